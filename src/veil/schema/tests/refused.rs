use prost::Message as _;

mod editions;
mod places;

use super::*;

const P: &str = "(twinveil.v1.field) = { sensitivity: PUBLIC category: DEVICE }";

/// The refusal of a schema whose root is `t.M`.
fn refused(set: &[u8], side: Option<&str>) -> LoadError {
    match load(set, "t.M", side) {
        Err(error) => error,
        Ok(schema) => panic!("loads: {:#?}", paths(&schema)),
    }
}

#[track_caller]
fn expect(error: &LoadError, fault: LoadFault, words: &str) {
    let text = error.to_string();
    assert_eq!(error.fault, fault, "{text}");
    assert!(text.contains(words), "{text}\n does not say\n{words}");
    assert!(!text.contains('\n') && text.ends_with(fault.todo()), "{text}");
    assert_eq!(error.code(), fault.code());
}

/// The annotation of a field of this type is refused.
#[track_caller]
fn expect_annotation(field: &str, annotation: &str, fault: LoadFault, words: &str) {
    let set = proto3(&format!(
        "message M {{ {field} f = 1 [(twinveil.v1.field) = {{ {annotation} }}]; }}
         message E {{ string k = 1; string value = 2; float f = 3; repeated string r = 4; E e = 5; }}
         enum N {{ ZERO = 0; ONE = 1; }}"
    ));
    expect(&refused(&set, None), fault, words);
}

/// The line of a side file about `message M { string s = 1; In in = 2; repeated In many = 3; map<int32, In> m = 4; … }` is refused.
#[track_caller]
fn expect_side(side: &str, fault: LoadFault, words: &str) {
    let set = proto3(
        "message M { string s = 1; In in = 2; repeated In many = 3; map<int32, In> m = 4; google.protobuf.Timestamp at = 5; N n = 6;
             repeated Keyed keyed = 7; map<string, string> labels = 8; }
         message In { string x = 1; int32 y = 2; } message Keyed { N n = 1; bool b = 2; string v = 3; }
         enum N { ZERO = 0; ONE = 1; }",
    );
    expect(&refused(&set, Some(side)), fault, words);
}

/// A descriptor set of one file, built by hand.
fn by_hand(change: impl FnOnce(&mut prost_types::FileDescriptorProto)) -> Vec<u8> {
    let mut file = prost_types::FileDescriptorProto {
        name: Some("hand.proto".into()),
        package: Some("t".into()),
        syntax: Some("proto3".into()),
        message_type: vec![prost_types::DescriptorProto {
            name: Some("M".into()),
            field: vec![by_hand_field("a", 1)],
            ..Default::default()
        }],
        ..Default::default()
    };
    change(&mut file);
    prost_types::FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

fn by_hand_field(name: &str, number: i32) -> prost_types::FieldDescriptorProto {
    prost_types::FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(1),
        r#type: Some(9),
        ..Default::default()
    }
}

#[test]
fn bytes_that_are_no_descriptor_set() {
    expect(&refused(b"\xff\xff", None), LoadFault::Unreadable, "not a descriptor set");
    expect(&refused(&vec![0; (16 << 20) + 1], None), LoadFault::Unreadable, "16777217 bytes");
    let deep = by_hand(|file| {
        for _ in 0..66 {
            let inner = std::mem::take(&mut file.message_type);
            file.message_type = vec![prost_types::DescriptorProto { name: Some("M".into()), nested_type: inner, ..Default::default() }];
        }
    });
    assert_eq!(refused(&deep, None).fault, LoadFault::Unreadable);
}

#[test]
fn descriptors_that_contradict_themselves() {
    type Change = fn(&mut prost_types::FileDescriptorProto);
    let cases: [(&str, Change); 10] = [
        ("takes the number 1 of another field", |file| file.message_type[0].field.push(by_hand_field("b", 1))),
        ("two fields are named `a`", |file| file.message_type[0].field.push(by_hand_field("a", 2))),
        ("a field number that protobuf does not have", |file| file.message_type[0].field.push(by_hand_field("b", 0))),
        ("a field number that protobuf does not have", |file| file.message_type[0].field.push(by_hand_field("b", 1 << 29))),
        ("not a proper name", |file| file.message_type[0].field.push(by_hand_field("b c", 2))),
        ("an unknown type", |file| file.message_type[0].field[0].r#type = Some(19)),
        ("an unknown label", |file| file.message_type[0].field[0].label = Some(4)),
        ("declared twice", |file| file.message_type.push(file.message_type[0].clone())),
        ("no proper name", |file| file.message_type[0].name = Some(String::new())),
        ("a map entry without a key and a value", |file| {
            file.message_type[0].options = Some(prost_types::MessageOptions { map_entry: Some(true), ..Default::default() });
        }),
    ];
    for (words, change) in cases {
        expect(&refused(&by_hand(change), None), LoadFault::Malformed, words);
    }
}

#[test]
fn editions_by_name() {
    let set = by_hand(|file| file.syntax = Some("editions".into()));
    expect(&refused(&set, None), LoadFault::Editions, "`t.M`: the file `hand.proto` is of an edition that is not named");
    let set = by_hand(|file| file.syntax = Some("proto4".into()));
    expect(&refused(&set, None), LoadFault::Editions, "the file `hand.proto` is of the syntax `proto4`");
    // Types of such a file may stand in the set, so long as no frame holds one.
    let unread = by_hand(|file| (file.package, file.syntax) = (Some("u".into()), Some("proto4".into())));
    assert!(load(&[proto3("message M { string s = 1; }"), unread].concat(), "t.M", None).is_ok());
}

#[test]
fn a_root_that_is_not_there() {
    let error = load(&by_hand(|_| ()), "t.N", None).expect_err("no such message");
    expect(&error, LoadFault::UnknownRoot, "no message `t.N` (did you mean `t.M`?)");
}

#[test]
fn types_that_are_not_in_the_set() {
    for kind in [11, 14] {
        let set = by_hand(|file| {
            file.message_type[0].field[0].r#type = Some(kind);
            file.message_type[0].field[0].type_name = Some(".t.Gone".into());
        });
        expect(&refused(&set, None), LoadFault::UnresolvedType, "`t.M.a`: no type `t.Gone`");
    }
}

#[test]
fn fields_and_extensions_with_the_gateways_numbers() {
    expect(&refused(&proto3("message M { string a = 18000; }"), None), LoadFault::Reserved, "`t.M.a`: takes the number 18000");
    expect(&refused(&proto3("message M { In in = 1; } message In { string a = 18001; }"), None), LoadFault::Reserved, "`t.In.a`");
    for number in [18_000, 18_001] {
        for extension in ["extend M { optional string x = N; }", "message Scope { extend M { repeated In x = N; } }"] {
            let extension = extension.replace('N', &number.to_string());
            let set = proto2(&format!("message M {{ optional In in = 1; extensions 1000 to max; }} message In {{}} {extension}"));
            expect(&refused(&set, None), LoadFault::Reserved, &format!("`t.M`: the extension `x` takes the number {number}"));
        }
    }
    // A range alone is let be, and so is an extension of a message that is not the frames'.
    for range in ["1000 to max", "18001 to 18001", "18000 to 18000"] {
        let set = proto2(&format!(
            "message M {{ optional In in = 1; extensions {range}; }} message In {{ extensions {range}; optional string s = 1; }}"
        ));
        assert!(load(&set, "t.M", None).is_ok(), "{range}");
    }
    let inner = "message M { optional In in = 1; } message In { optional string s = 1; extensions 18000; } extend In { optional string x = 18000; }";
    assert!(load(&proto2(inner), "t.M", None).is_ok());
}

#[test]
fn schemas_that_expand_too_far() {
    let mut chain = String::from("message M { L0 n = 1; }");
    for level in 0..DEPTH_MAX {
        chain.push_str(&format!("message L{level} {{ L{} n = 1; }}", level + 1));
    }
    chain.push_str(&format!("message L{DEPTH_MAX} {{ string s = 1; }}"));
    expect(&refused(&proto3(&chain), None), LoadFault::TooLarge, "more than 64 levels");
    let mut wide = String::from("message M { L0 a = 1; L0 b = 2; }");
    for level in 0..14 {
        wide.push_str(&format!("message L{level} {{ L{} a = 1; L{0} b = 2; }}", level + 1));
    }
    wide.push_str("message L14 { string s = 1; }");
    expect(&refused(&proto3(&wide), None), LoadFault::TooLarge, "16384 nodes");
    let fields: String = (1..=300).map(|i| format!("string s{i} = {i};")).collect();
    let many: String = (1..=220).map(|i| format!("In i{i} = {i};")).collect();
    expect(&refused(&proto3(&format!("message M {{ {many} }} message In {{ {fields} }}")), None), LoadFault::TooLarge, "65536 sites");
}

#[test]
fn side_files_that_are_not_of_the_documented_form() {
    let facts = "sensitivity = 'public', category = 'device'";
    expect_side("['t.M']\ns = ", LoadFault::SideFile, "side file, line 2");
    expect_side(&format!("['t.M']\ns = {{ {facts}, colour = 1 }}"), LoadFault::SideFile, "side file, line 2: unknown field `colour`");
    expect_side(&format!("['t.M']\nin.x = {{ {facts} }}"), LoadFault::SideFile, "a selector with dots or brackets stands in quotes");
    expect_side(&format!("['t.M']\ns = {{ {facts} }}\ns = {{ {facts} }}"), LoadFault::SideFile, "side file, line 3");
    expect_side(&format!("s = {{ {facts} }}"), LoadFault::SideFile, "side file, line 1");
    expect_side(&format!("['t.M']\ns = {{ {facts}, generalize = {{ decimals = 300 }} }}"), LoadFault::SideFile, "line 2");
    expect_side(&" ".repeat(sidefile::SIDE_FILE_BYTES_MAX + 1), LoadFault::SideFile, "4194305 bytes");
}

#[test]
fn names_that_do_not_exist() {
    let facts = "{ sensitivity = 'public', category = 'device' }";
    expect_side(&format!("['t.N']\ns = {facts}"), LoadFault::UnknownName, "no message `t.N` (did you mean `t.In`?)");
    expect_side(&format!("['t.M.LabelsEntry']\nvalue = {facts}"), LoadFault::UnknownName, "no message `t.M.LabelsEntry`");
    expect_side(&format!("['t.M']\nlabel = {facts}"), LoadFault::UnknownName, "`t.M` has no field `label` (did you mean `labels`?)");
    expect_side(&format!("['t.M']\n'in.z' = {facts}"), LoadFault::UnknownName, "`t.In` has no field `z`");
    expect_side(&format!("['t.M']\n'many[z=1].x' = {facts}"), LoadFault::UnknownName, "`t.In` has no field `z`");
}

#[test]
fn selectors_that_do_not_fit() {
    let facts = "{ sensitivity = 'public', category = 'device' }";
    expect_side(&format!("['t.M']\n'in..x' = {facts}"), LoadFault::Selector, "selector `in..x`, character 4: expected the name of a field");
    expect_side(&format!("['t.M']\n's.x' = {facts}"), LoadFault::Selector, "`s` is judged as one");
    expect_side(&format!("['t.M']\n'at.seconds' = {facts}"), LoadFault::Selector, "`at` is judged as one");
    expect_side(&format!("['t.M']\n'm.x' = {facts}"), LoadFault::Selector, "`m` is a map: name a key");
    expect_side(&format!("['t.M']\n'labels[\"a\"].x' = {facts}"), LoadFault::Selector, "`value` is judged as one");
    expect_side(&format!("['t.M']\n'many[x=\"a\"]' = {facts}"), LoadFault::Selector, "ends at an element of `many`");
    expect_annotation(
        "map<string, string>",
        "cases: { value: \"a\" path: \"v..\" field: {} }",
        LoadFault::Selector,
        "expected the name of a field",
    );
}

#[test]
fn facts_that_are_incomplete_or_unknown() {
    expect_annotation("string", "sensitivity: PERSONAL", LoadFault::Facts, "`t.M.f`: a sensitivity without a category");
    expect_annotation("string", "category: HEALTH", LoadFault::Facts, "a category without a sensitivity");
    expect_annotation("string", "", LoadFault::Facts, "neither a sensitivity nor a category");
    expect_annotation("string", "floor: STRIP", LoadFault::Facts, "neither a sensitivity nor a category");
    expect_side(
        "['t.M']\ns = { sensitivity = 'specal', category = 'health' }",
        LoadFault::Facts,
        "unknown sensitivity `specal` (did you mean `special`?)",
    );
    expect_side("['t.M']\ns = { sensitivity = 'special', category = 'helth' }", LoadFault::Facts, "did you mean `health`?");
    expect_side("['t.M']\ns = { sensitivity = 'special', category = 'health', role = 'x' }", LoadFault::Facts, "unknown role `x`");
    expect_side("['t.M']\ns = { sensitivity = 'special', category = 'health', floor = 'drop' }", LoadFault::Facts, "unknown floor `drop`");
    expect_side("['t.M']\ns = { category = 'health' }", LoadFault::Facts, "side file, `t.M`, `s`: a category without");
}

/// `a` with an option 51818 that a compiler of another vocabulary wrote.
fn foreign_option(option: &[u8]) -> Vec<u8> {
    let message = by_hand_field("a", 1);
    let mut field = message.encode_to_vec();
    let mut options = Vec::new();
    prost::encoding::encode_key(51_818, prost::encoding::WireType::LengthDelimited, &mut options);
    prost::encoding::encode_varint(option.len() as u64, &mut options);
    options.extend(option);
    prost::encoding::bytes::encode(8, &options, &mut field);
    let mut descriptor = Vec::new();
    prost::encoding::string::encode(1, &"M".to_owned(), &mut descriptor);
    prost::encoding::bytes::encode(2, &field, &mut descriptor);
    let mut file = Vec::new();
    prost::encoding::string::encode(2, &"t".to_owned(), &mut file);
    prost::encoding::bytes::encode(4, &descriptor, &mut file);
    let mut set = Vec::new();
    prost::encoding::bytes::encode(1, &file, &mut set);
    set
}

#[test]
fn annotations_of_a_vocabulary_that_this_gateway_does_not_know() {
    expect(&refused(&foreign_option(&[8, 9, 16, 1]), None), LoadFault::Facts, "a sensitivity that this gateway does not know");
    expect(&refused(&foreign_option(&[8, 1, 16, 99]), None), LoadFault::Facts, "a category that");
    expect(&refused(&foreign_option(&[8, 1, 16, 1, 24, 9]), None), LoadFault::Facts, "a role that");
    expect(&refused(&foreign_option(&[8, 1, 16, 1, 32, 9]), None), LoadFault::Facts, "a floor that");
    expect(&refused(&foreign_option(&[8, 1, 16, 1, 0x78, 1]), None), LoadFault::Facts, "says something that this gateway does not know");
    expect(&refused(&foreign_option(&[0xff]), None), LoadFault::Facts, "can't be read");
    expect(&refused(&foreign_option(&[8, 1, 16, 1, 42, 4, 0x10, 1, 0x38, 9]), None), LoadFault::Generalize, "a unit that");
    assert!(load(&foreign_option(&[8, 1, 16, 1]), "t.M", None).is_ok());
}

#[test]
fn generalizations_that_do_not_fit_the_type() {
    let g = |how: &str| format!("sensitivity: PERSONAL category: LOCATION generalize: {{ {how} }}");
    for (field, how, words) in [
        ("bool", "step: 1", "`step` does not fit bool"),
        ("N", "step: 1", "`step` does not fit enum"),
        ("bytes", "prefix_chars: 1", "`prefix_chars` does not fit bytes"),
        ("int32", "decimals: 1", "`decimals` does not fit int32"),
        ("repeated double", "place: { h3_resolution: 6 axis: LATITUDE }", "`place` does not fit repeated double"),
        ("sint64", "time_bucket: \"1h\"", "`time_bucket` does not fit sint64"),
        ("string", "time_bucket: \"1h\"", "`time_bucket` does not fit string"),
        ("float", "step: 0", "a step is a number above 0"),
        ("float", "step: -1", "a step is a number above 0"),
        ("float", "step: inf", "a step is a number above 0"),
        ("int32", "step: 0.5", "a step for int32 is a whole number"),
        ("float", "decimals: 16", "`decimals` is 0 to 15"),
        ("float", "decimals: 300", "`decimals` is 0 to 15"),
        ("float", "buckets: {}", "buckets are 1 to 1024 numbers, ascending"),
        ("float", "buckets: { edges: [2, 1] }", "ascending"),
        ("float", "buckets: { edges: [1, 1] }", "ascending"),
        ("uint32", "buckets: { edges: [-1, 1] }", "whole numbers from 0 to 4294967295"),
        ("int64", "time_bucket: \"1 week\"", "a time bucket is a span"),
        ("double", "time_bucket: \"1h\" unit: MILLISECONDS", "a unit is for integers, not for double"),
        ("google.protobuf.Timestamp", "time_bucket: \"1h\" unit: NANOSECONDS", "a unit is for integers, not for timestamp"),
        ("float", "step: 1 unit: SECONDS", "`step` has no unit"),
        ("string", "prefix_chars: 0", "`prefix_chars` is 1 to 1024"),
        ("double", "place: { h3_resolution: 16 axis: LATITUDE }", "0 to 15"),
        ("double", "place: { h3_resolution: 6 }", "`place` has the axis"),
        ("double", "unit: SECONDS", "`generalize` does not say how"),
        ("double", "place: { h3_resolution: 6 axis: LATITUDE }", "exactly one latitude and one longitude"),
    ] {
        expect_annotation(field, &g(how), LoadFault::Generalize, words);
    }
    let side = |how: &str| format!("['t.M']\ns = {{ sensitivity = 'personal', category = 'time', generalize = {{ {how} }} }}");
    expect_side(&side(""), LoadFault::Generalize, "does not say how");
    expect_side(&side("step = 1, decimals = 1"), LoadFault::Generalize, "says how in two ways");
    expect_side(&side("time_bucket = '1h', unit = 'h'"), LoadFault::Generalize, "unknown unit `h`");
    expect_side(&side("place = { h3_resolution = 1, axis = 'lattitude' }"), LoadFault::Generalize, "did you mean `latitude`?");
}

#[test]
fn coordinates_without_their_pair() {
    let place = |resolution: u32, axis: &str| {
        format!(
            "[(twinveil.v1.field) = {{ sensitivity: PERSONAL category: LOCATION generalize: {{ place: {{ h3_resolution: {resolution} axis: {axis} }} }} }}]"
        )
    };
    let (north, east, coarse) = (place(6, "LATITUDE"), place(6, "LONGITUDE"), place(5, "LONGITUDE"));
    for fields in [
        format!("double a = 1 {north}; double b = 2 {north};"),
        format!("double a = 1 {north}; double b = 2 {coarse};"),
        format!("double a = 1 {north}; double b = 2 {east}; double c = 3 {east};"),
        format!("double a = 1 {north}; In in = 2;"),
    ] {
        let set = proto3(&format!("message M {{ {fields} }} message In {{ double b = 1 {east}; }}"));
        expect(&refused(&set, None), LoadFault::Generalize, "exactly one latitude and one longitude in the same message");
    }
}

#[test]
fn floors_that_do_not_exist_for_the_type() {
    for (field, annotation, words) in [
        ("float", "sensitivity: IDENTIFYING category: IDENTITY floor: PSEUDONYMIZE", "the floor `pseudonymize` does not exist for float"),
        ("string", "sensitivity: SPECIAL category: HEALTH floor: PSEUDONYMIZE", "does not exist for string that is special and health"),
        ("string", "sensitivity: SPECIAL category: HEALTH floor: GENERALIZE", "the floor `generalize` does not exist"),
        ("bool", "sensitivity: IDENTIFYING category: IDENTITY floor: PSEUDONYMIZE", "does not exist for bool"),
    ] {
        expect_annotation(field, annotation, LoadFault::Undefined, words);
    }
    let group = proto2(
        "message M { optional group G = 1 [(twinveil.v1.field) = { sensitivity: SPECIAL category: HEALTH floor: ENCRYPT }] { optional string s = 1; } }",
    );
    expect(&refused(&group, None), LoadFault::Undefined, "the floor `encrypt` does not exist for group");
}

#[test]
fn required_fields_that_could_be_left_out() {
    for (body, place) in [
        ("message M { required string a = 1; }", "`t.M.a`"),
        ("message M { required string a = 1 [(twinveil.v1.field) = { sensitivity: OPERATIONAL category: SITE }]; }", "`t.M.a`"),
        ("message M { required string a = 1 [(twinveil.v1.field) = { sensitivity: PUBLIC category: SITE floor: STRIP }]; }", "`t.M.a`"),
        ("message M { required string a = 1 [(twinveil.v1.field) = { sensitivity: PUBLIC category: SITE floor: ENCRYPT }]; }", "`t.M.a`"),
        ("message M { required In in = 1; } message In { optional string s = 1; }", "`t.M.in`"),
        ("message M { optional In in = 1; } message In { required string s = 1; }", "`t.In.s`"),
    ] {
        expect(&refused(&proto2(body), None), LoadFault::Required, &format!("{place}: is `required`"));
    }
}

#[test]
fn every_fault_is_reached_by_a_test_of_its_name() {
    let source = concat!(include_str!("refused.rs"), include_str!("refused/places.rs"));
    for fault in LoadFault::ALL {
        let used = source.matches(&format!("LoadFault::{fault:?},")).count() + source.matches(&format!("LoadFault::{fault:?})")).count();
        assert!(used > 0, "no test refuses with {fault:?}");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), at in 0usize..4000, byte: u8) {
        let _ = load(&bytes, "t.M", None);
        // One byte of a real schema changed: read or refused.
        let mut set = crate::proto::SAMPLES.to_vec();
        let at = at % set.len();
        set[at] = byte;
        let _ = load(&set, "twinveil.sample.PatientFrame", None);
    }
}
