//! Does a view give exactly what removing fields would? `apply` is held against prost-reflect: the same frame decoded, hidden
//! fields removed, encoded again. Over generated messages of every shape, put on the wire in every legal way.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind as Type, MapKey, MessageDescriptor, ReflectMessage, Value};
use twinveil::veil::crypto::seal::Suite;
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::wrap::OpenKey;
use twinveil::veil::name::{Origin, ViewId};
use twinveil::veil::outcome::Refusal;
use twinveil::veil::policy::{Decided, Decision, Holders, Reason};
use twinveil::veil::schema::{ANNOUNCEMENT_FIELD, CaseValue, Content, NodeId, SEALED_FIELD, Schema, SelectKey, load};
use twinveil::veil::terms::{self, Treatment};
use twinveil::veil::transform::fragment::{merge, split};
use twinveil::veil::transform::group::Opener;
use twinveil::veil::view::{Bindings, BindingsSource, Program, Raw, Space, Veiled, View};
use twinveil::veil::wire::{self, Reader};
use twinveil::world::entropy;

const PROTO: &str = r#"
syntax = "proto3";
package shapes;
message Frame {
  string subject = 1;
  int64 a = 2; sint32 b = 3; fixed64 c = 4; float d = 5; bool e = 6; bytes f = 7;
  Inner inner = 8;
  repeated Inner many = 9;
  repeated sint64 packed = 10;
  repeated int32 unpacked = 11 [packed = false];
  repeated string words = 12;
  map<string, string> labels = 13;
  map<int32, double> whole = 14;
  oneof choice { string left = 15; Inner right = 16; uint32 middle = 17; }
  repeated Pair pairs = 18;
  optional uint64 explicit = 2047;
  double far = 2048;
  Tree tree = 536870911;
}
message Inner { string text = 1; optional double number = 2; Inner2 deep = 3; repeated Inner2 list = 4; }
message Inner2 { uint32 x = 1; string y = 20; }
message Tree { int32 value = 1; repeated Tree children = 2; }
message Pair { bytes extra = 1; string key = 2; Inner2 value = 3; optional uint32 alias = 4; }
"#;

const SIDE: &str = r#"
["shapes.Frame"]
subject = { sensitivity = "identifying", category = "identity", role = "subject" }
a = { sensitivity = "special", category = "health" }
b = { sensitivity = "special", category = "health" }
c = { sensitivity = "special", category = "health" }
d = { sensitivity = "special", category = "health" }
e = { sensitivity = "special", category = "health" }
f = { sensitivity = "special", category = "health" }
packed = { sensitivity = "special", category = "health" }
unpacked = { sensitivity = "special", category = "health" }
words = { sensitivity = "special", category = "health" }
whole = { sensitivity = "special", category = "health" }
left = { sensitivity = "special", category = "health" }
middle = { sensitivity = "special", category = "health" }
explicit = { sensitivity = "special", category = "health" }
far = { sensitivity = "special", category = "health" }
'labels["one"]' = { sensitivity = "special", category = "health" }
'labels["two"]' = { sensitivity = "special", category = "health" }
'pairs[key="hr"].value' = { sensitivity = "special", category = "health" }
'pairs[key="hr"].extra' = { sensitivity = "special", category = "health" }
'pairs[key="pos"].value.x' = { sensitivity = "special", category = "health" }
'pairs[key="pos"].alias' = { sensitivity = "special", category = "health" }
'pairs[alias=1].value' = { sensitivity = "special", category = "health" }
'pairs[alias=2].value.y' = { sensitivity = "special", category = "health" }
["shapes.Inner"]
text = { sensitivity = "special", category = "health" }
number = { sensitivity = "special", category = "health" }
["shapes.Inner2"]
x = { sensitivity = "special", category = "health" }
y = { sensitivity = "special", category = "health" }
["shapes.Tree"]
value = { sensitivity = "special", category = "health" }
"#;

struct Shapes {
    schema: Schema,
    message: MessageDescriptor,
}

fn shapes() -> Shapes {
    let file = protox::file::File::from_source("shapes.proto", PROTO).expect("valid");
    let mut resolver = protox::file::ChainFileResolver::new();
    resolver.add(Single(file));
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.open_file("shapes.proto").expect("compiles");
    let set = compiler.encode_file_descriptor_set();
    let pool = DescriptorPool::decode(&set[..]).expect("just compiled");
    let message = pool.get_message_by_name("shapes.Frame").expect("in the file");
    Shapes { schema: load(&set, "shapes.Frame", Some(SIDE)).expect("loads"), message }
}

struct Single(protox::file::File);

impl protox::file::FileResolver for Single {
    fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
        if name == "shapes.proto" {
            let again = protox::file::File::from_source(name, PROTO)?;
            debug_assert_eq!(self.0.file_descriptor_proto(), again.file_descriptor_proto());
            return Ok(again);
        }
        Err(protox::Error::file_not_found(name))
    }
}

/// Choices drawn from a seed: proptest shrinks the seed and the sizes, which is enough to replay.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn number(&mut self) -> i64 {
        let bits = self.roll(64) as u32;
        let value = (self.roll(1 << 31) << 33 | self.roll(1 << 31) << 2 | self.roll(4)) as i64;
        value >> bits
    }

    fn text(&mut self) -> String {
        (0..self.roll(5)).map(|_| ['a', 'ž', '9', '雪'][self.roll(4) as usize]).collect()
    }
}

fn message(of: &MessageDescriptor, dice: &mut Dice, depth: u32) -> DynamicMessage {
    let mut made = DynamicMessage::new(of.clone());
    for field in of.fields() {
        if dice.roll(3) == 0 || depth > 4 && matches!(field.kind(), Type::Message(_)) {
            continue;
        }
        if field.containing_oneof().is_some_and(|oneof| oneof.fields().any(|other| made.has_field(&other))) {
            continue;
        }
        made.set_field(&field, field_value(&field, dice, depth));
    }
    made
}

fn field_value(field: &FieldDescriptor, dice: &mut Dice, depth: u32) -> Value {
    if field.is_map() {
        let Type::Message(entry) = field.kind() else { unreachable!("maps have entries") };
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        let mut map = std::collections::HashMap::new();
        for _ in 0..dice.roll(4) {
            let key = match key.kind() {
                Type::String => MapKey::String(["one", "two", "three"][dice.roll(3) as usize].to_owned()),
                _ => MapKey::I32(dice.number() as i32),
            };
            map.insert(key, scalar(&value.kind(), value.name(), dice, depth));
        }
        return Value::Map(map);
    }
    if field.is_list() {
        return Value::List((0..dice.roll(4)).map(|_| scalar(&field.kind(), field.name(), dice, depth)).collect());
    }
    scalar(&field.kind(), field.name(), dice, depth)
}

fn scalar(kind: &Type, name: &str, dice: &mut Dice, depth: u32) -> Value {
    match kind {
        Type::Double => Value::F64(dice.number() as f64 / 8.0),
        Type::Float => Value::F32(dice.number() as i16 as f32 / 8.0),
        Type::Int32 | Type::Sint32 | Type::Sfixed32 => Value::I32(dice.number() as i32),
        Type::Int64 | Type::Sint64 | Type::Sfixed64 => Value::I64(dice.number()),
        Type::Uint32 if name == "alias" => Value::U32(dice.roll(4) as u32),
        Type::Uint32 | Type::Fixed32 => Value::U32(dice.number() as u32),
        Type::Uint64 | Type::Fixed64 => Value::U64(dice.number() as u64),
        Type::Bool => Value::Bool(dice.roll(2) == 1),
        Type::String if name == "key" => Value::String(["hr", "pos", "other", ""][dice.roll(4) as usize].to_owned()),
        Type::String => Value::String(dice.text()),
        Type::Bytes => Value::Bytes(dice.text().into_bytes().into()),
        Type::Enum(_) => Value::EnumNumber(0),
        Type::Message(of) => Value::Message(message(of, dice, depth + 1)),
    }
}

/// Puts a message on the wire in another legal way: records in another order between fields, lengths and varints longer than
/// they need be, unknown fields in between.
fn mangle(encoded: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut records: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut reader = Reader::new(encoded);
    let mut begin = 0;
    while let Some(record) = reader.next() {
        let number = record.expect("just encoded").number;
        records.push((number, encoded[begin..reader.position()].to_vec()));
        begin = reader.position();
    }
    // Fields move as a whole: the order of elements is theirs.
    let numbers: BTreeSet<u32> = records.iter().map(|record| record.0).collect();
    let mut order: Vec<(u64, u32)> = numbers.into_iter().map(|number| (dice.roll(1 << 20), number)).collect();
    order.sort_unstable();
    let mut out = Vec::new();
    for (_, number) in order {
        for (_, record) in records.iter().filter(|record| record.0 == number) {
            match dice.roll(6) {
                0 => {
                    wire::push_tag(&mut out, 1_999, wire::VARINT);
                    wire::push_varint(&mut out, dice.number() as u64);
                }
                1 => wire::push_len_prefixed(&mut out, 30_000, b"unknown"),
                2 => out.extend_from_slice(&[0xfb, 0xf8, 0x01, 0x08, 0x05, 0xfc, 0xf8, 0x01]),
                _ => {}
            }
            if dice.roll(4) == 0 { out.extend(overlong(record)) } else { out.extend_from_slice(record) }
        }
    }
    out
}

/// The record with its tag, and its varint or length, one byte longer.
fn overlong(record: &[u8]) -> Vec<u8> {
    let stretch = |out: &mut Vec<u8>, value: u64| {
        wire::push_varint(out, value);
        if out.len() < 9 {
            *out.last_mut().expect("a varint") |= 0x80;
            out.push(0);
        }
    };
    let (tag, at) = wire::varint(record, 0).expect("a tag");
    let mut out = Vec::new();
    stretch(&mut out, tag);
    match (tag & 7) as u8 {
        wire::VARINT | wire::LEN => {
            let (value, rest) = wire::varint(record, at).expect("a varint");
            let mut longer = Vec::new();
            stretch(&mut longer, value);
            out.extend(longer);
            out.extend_from_slice(&record[rest..]);
        }
        _ => out.extend_from_slice(&record[at..]),
    }
    out
}

/// The reference: removes every leaf that `keep` does not want, unknown fields, and what then holds nothing.
fn reduce(schema: &Schema, node: NodeId, message: &mut DynamicMessage, keep: &dyn Fn(u32) -> bool) {
    let fields = &schema.nodes()[node.0 as usize].fields;
    let _dropped: Vec<_> = message.take_unknown_fields().collect();
    let descriptors: Vec<FieldDescriptor> = message.descriptor().fields().collect();
    for field in descriptors {
        let known = fields.iter().find(|known| known.number == field.number());
        match known.map(|known| &known.content) {
            None => message.clear_field(&field),
            Some(Content::Discriminator) => {}
            Some(Content::Leaf(site)) => {
                if !keep(site.0) {
                    message.clear_field(&field);
                }
            }
            Some(Content::Message(child)) => {
                if !message.has_field(&field) {
                    continue;
                }
                let mut value = message.get_field(&field).into_owned();
                match &mut value {
                    Value::Message(inner) => {
                        reduce(schema, *child, inner, keep);
                        if holds_nothing(inner) {
                            message.clear_field(&field);
                            continue;
                        }
                    }
                    Value::List(list) => {
                        list.iter_mut().for_each(|inner| reduce(schema, *child, inner.as_message_mut().expect("messages"), keep));
                        list.retain(|inner| !holds_nothing(inner.as_message().expect("messages")));
                    }
                    _ => unreachable!("a message field"),
                }
                message.set_field(&field, value);
            }
            Some(Content::Select(select)) => {
                let mut value = message.get_field(&field).into_owned();
                let case = |key: &SelectKey, value: CaseValue| key.cases.iter().find(|(case, _)| *case == value).map(|(_, node)| *node);
                let text = |text: &str| CaseValue::Bytes(text.as_bytes().into());
                match &mut value {
                    Value::Map(map) => map.retain(|key, value| {
                        let MapKey::String(key) = key else { return false };
                        // This encoder leaves empty values out, so that nothing visible is in the entry.
                        if value.as_str().is_some_and(str::is_empty) {
                            return false;
                        }
                        case(&select.keys[0], text(key)).is_some_and(|node| {
                            let fields = &schema.nodes()[node.0 as usize].fields;
                            fields.iter().any(|field| matches!(&field.content, Content::Leaf(site) if keep(site.0)))
                        })
                    }),
                    Value::List(list) => list.retain_mut(|element| {
                        let element = element.as_message_mut().expect("messages");
                        // An absent key names nothing; the first that is present decides alone.
                        let keys = select.keys.iter().map(|key| (key, element.descriptor().get_field(key.by).expect("the key")));
                        let Some((key, by)) = keys.into_iter().find(|(_, by)| element.has_field(by)) else { return false };
                        let value = match element.get_field(&by).into_owned() {
                            Value::String(key) => text(&key),
                            Value::U32(key) => CaseValue::Int(key.into()),
                            other => unreachable!("{other:?} is no key of these shapes"),
                        };
                        let Some(node) = case(key, value) else { return false };
                        reduce(schema, node, element, keep);
                        let mut without = element.clone();
                        without.clear_field(&by);
                        !holds_nothing(&without)
                    }),
                    _ => unreachable!("a repeated field"),
                }
                message.set_field(&field, value);
            }
        }
    }
}

/// As it would arrive: no traces of what was taken out.
fn normal(message: &DynamicMessage) -> DynamicMessage {
    DynamicMessage::decode(message.descriptor(), &message.encode_to_vec()[..]).expect("just encoded")
}

fn holds_nothing(message: &DynamicMessage) -> bool {
    message.encoded_len() == 0
}

fn decision(schema: &Schema, dice: &mut Dice, among: &[Treatment]) -> Decision {
    let decided = |treatment| Decided { treatment, holders: Holders::VaultAndRecipient, reason: Reason::Floor };
    Decision { sites: schema.sites().iter().map(|_| decided(among[dice.roll(among.len() as u64) as usize])).collect() }
}

/// A view and room for it.
struct Tried {
    view: View,
    space: Space,
}

impl Tried {
    fn apply(&mut self, frame: Raw<'_>) -> Result<Veiled<'_>, Refusal> {
        self.view.apply(frame, &mut self.space)
    }
}

/// A view of the decision, and what opens its groups.
fn view(schema: &Schema, decision: &Decision) -> (Tried, Vec<Opener>) {
    let program = Arc::new(Program::compile(schema, decision));
    let holder = OpenKey::from_seed(&Secret::random(&mut entropy())).expect("a key");
    let key = holder.seal_key();
    let source = BindingsSource {
        origin: &Origin::new("twinveil.example/test"),
        recipient: "spiffe://example.org/test",
        purpose: &terms::purpose("dpv:ServiceProvision").expect("a term"),
        subject_key: Some(&Secret::random(&mut entropy())),
        pseudonym_epoch: 0,
        view: ViewId([1; 16]),
        epoch: 1,
        suite: Suite::Aes256Gcm,
        holders: &|_| vec![key],
    };
    let (bindings, announced) = Bindings::new(&program, &source, &mut entropy()).expect("good keys");
    let openers = announced.iter().map(|(epoch, announced)| epoch.open(announced, &holder).expect("ours")).collect();
    (Tried { view: View::new(program, bindings), space: Space::default() }, openers)
}

fn cases() -> ProptestConfig {
    let long = std::env::var_os("TWINVEIL_LONG").is_some();
    ProptestConfig { cases: if long { 200_000 } else { 3_000 }, ..ProptestConfig::default() }
}

#[test]
fn keep_and_strip_equal_removing_fields() {
    let shapes = shapes();
    proptest!(cases(), |(seed: u64)| {
        let mut dice = Dice(seed);
        let original = message(&shapes.message, &mut dice, 0);
        let frame = mangle(&original.encode_to_vec(), &mut dice);
        let decision = decision(&shapes.schema, &mut dice, &[Treatment::Keep, Treatment::Strip]);
        let mut expected = DynamicMessage::decode(shapes.message.clone(), &frame[..]).expect("legal");
        reduce(&shapes.schema, NodeId(0), &mut expected, &|site| decision.sites[site as usize].treatment == Treatment::Keep);
        let (mut view, _) = view(&shapes.schema, &decision);
        let veiled = view.apply(Raw::new(&frame)).expect("legal").bytes().to_vec();
        let found = DynamicMessage::decode(shapes.message.clone(), &veiled[..]).expect("still legal");
        prop_assert!(found == normal(&expected), "{:?}", frame);
        prop_assert!(found.unknown_fields().next().is_none());
        // What is kept can be viewed again and stays as it is.
        let again = view.apply(Raw::new(&veiled)).expect("legal").bytes().to_vec();
        prop_assert_eq!(again, veiled);
    });
}

#[test]
fn opening_what_was_encrypted_gives_it_back() {
    let shapes = shapes();
    proptest!(cases(), |(seed: u64)| {
        let mut dice = Dice(seed);
        let original = message(&shapes.message, &mut dice, 0);
        let frame = mangle(&original.encode_to_vec(), &mut dice);
        let decision = decision(&shapes.schema, &mut dice, &[Treatment::Keep, Treatment::Strip, Treatment::Encrypt]);
        let treatment = |site: u32| decision.sites[site as usize].treatment;
        let decode = |bytes: &[u8]| DynamicMessage::decode(shapes.message.clone(), bytes).expect("legal");
        let mut in_clear = decode(&frame);
        reduce(&shapes.schema, NodeId(0), &mut in_clear, &|site| treatment(site) == Treatment::Keep);
        let mut in_all = decode(&frame);
        reduce(&shapes.schema, NodeId(0), &mut in_all, &|site| treatment(site) != Treatment::Strip);
        let (mut view, mut openers) = view(&shapes.schema, &decision);
        let veiled = view.apply(Raw::new(&frame)).expect("legal").bytes().to_vec();
        let (clear, groups) = split(&veiled, SEALED_FIELD, ANNOUNCEMENT_FIELD).expect("legal");
        prop_assert!(decode(&clear) == normal(&in_clear), "{:?}", frame);
        prop_assert_eq!(groups.len(), openers.len());
        let mut fragments = Vec::new();
        for group in groups {
            prop_assert_eq!(group.len() % 32, 17, "header, tag and padded text");
            fragments.extend(openers[0].open(group, &clear).expect("ours"));
        }
        let opened = decode(&merge(&clear, &fragments).expect("every fragment has its place"));
        prop_assert!(normal(&sorted(&opened)) == normal(&sorted(&normal(&in_all))), "{:?}", frame);
    });
}

/// Sealed elements come back behind the others: elements are compared as a bag.
fn sorted(message: &DynamicMessage) -> DynamicMessage {
    let mut sorted_message = message.clone();
    let fields: Vec<_> = message.fields().map(|(field, value)| (field, value.clone())).collect();
    for (field, value) in fields {
        let value = match value {
            Value::Message(inner) => Value::Message(sorted(&inner)),
            Value::List(mut list) if matches!(field.kind(), Type::Message(_)) => {
                let inner = |value: &mut Value| *value = Value::Message(sorted(value.as_message().expect("messages")));
                list.iter_mut().for_each(inner);
                list.sort_by_key(|value| value.as_message().expect("messages").encode_to_vec());
                Value::List(list)
            }
            value => value,
        };
        sorted_message.set_field(&field, value);
    }
    sorted_message
}

#[test]
fn hidden_fields_change_no_byte_and_no_verdict() {
    let shapes = shapes();
    proptest!(cases(), |(seed: u64, garbage in proptest::collection::vec(any::<u8>(), 0..20))| {
        let mut dice = Dice(seed);
        let original = message(&shapes.message, &mut dice, 0).encode_to_vec();
        let mut decision = decision(&shapes.schema, &mut dice, &[Treatment::Keep, Treatment::Strip]);
        // Everything below `inner` is hidden: whatever is in it, broken or not, nobody can tell.
        for (site, decided) in shapes.schema.sites().iter().zip(&mut decision.sites) {
            if site.path.as_str().starts_with("inner") {
                decided.treatment = Treatment::Strip;
            }
        }
        let (mut view, _) = view(&shapes.schema, &decision);
        let mut with = original.clone();
        wire::push_len_prefixed(&mut with, 8, &garbage);
        let without = view.apply(Raw::new(&original)).expect("legal").bytes().to_vec();
        let with = view.apply(Raw::new(&with)).expect("hidden subtrees give no verdict").bytes().to_vec();
        prop_assert_eq!(with, without);
    });
}

#[test]
fn arbitrary_bytes_are_judged_or_refused_and_never_leak() {
    let shapes = shapes();
    proptest!(cases(), |(seed: u64, frame in proptest::collection::vec(any::<u8>(), 0..120))| {
        let decision = decision(&shapes.schema, &mut Dice(seed), &[Treatment::Strip]);
        let (mut view, _) = view(&shapes.schema, &decision);
        match view.apply(Raw::new(&frame)) {
            Ok(veiled) => prop_assert!(veiled.bytes().is_empty()),
            Err(refusal) => prop_assert!(Refusal::ALL.contains(&refusal)),
        }
    });
}

#[test]
fn a_wire_type_that_clashes_is_stripped() {
    let shapes = shapes();
    let decision = decision(&shapes.schema, &mut Dice(0), &[Treatment::Keep]);
    let (mut view, _) = view(&shapes.schema, &decision);
    // `subject` as varint, `a` as text, `c` as 32 bits, `inner` as a group, `d` as 64 bits.
    let mut frame = vec![0x08, 0x05, 0x12, 0x01, b'x', 0x25, 1, 2, 3, 4, 0x43, 0x0a, 0x01, b'y', 0x44, 0x29, 1, 2, 3, 4, 5, 6, 7, 8];
    frame.extend_from_slice(&[0x30, 0x01]);
    assert_eq!(view.apply(Raw::new(&frame)).expect("legal").bytes(), [0x30, 0x01]);
}

#[test]
fn a_field_number_that_protobuf_does_not_have_is_refused_wherever_it_is_seen() {
    let shapes = shapes();
    let decision = decision(&shapes.schema, &mut Dice(0), &[Treatment::Keep]);
    let (mut view, _) = view(&shapes.schema, &decision);
    // Number 0, number 2^29, and wire types 6 and 7.
    let bad: [&[u8]; 4] = [&[0x00, 0x01], &[0x80, 0x80, 0x80, 0x80, 0x10, 0x01], &[0x0e], &[0x0f]];
    for record in bad {
        let mut inside = Vec::new();
        wire::push_len_prefixed(&mut inside, 8, record);
        for frame in [record, &inside[..]] {
            assert_eq!(view.apply(Raw::new(frame)).err(), Some(Refusal::BadTag), "{frame:?}");
        }
    }
}

#[test]
fn nesting_is_followed_to_the_limit_and_not_one_deeper() {
    let shapes = shapes();
    let decision = decision(&shapes.schema, &mut Dice(0), &[Treatment::Keep]);
    let (mut view, _) = view(&shapes.schema, &decision);
    let nested = |levels: u32| {
        let mut inner = vec![0x08, 0x07];
        for _ in 0..levels {
            let mut outer = Vec::new();
            wire::push_len_prefixed(&mut outer, 2, &inner);
            inner = outer;
        }
        let mut frame = Vec::new();
        wire::push_len_prefixed(&mut frame, 536_870_911, &inner);
        frame
    };
    let deepest = nested(wire::DEPTH_MAX - 2);
    assert_eq!(view.apply(Raw::new(&deepest)).expect("within the limit").bytes(), deepest);
    assert_eq!(view.apply(Raw::new(&nested(wire::DEPTH_MAX - 1))).err(), Some(Refusal::TooDeep));
}

#[test]
fn an_element_with_two_keys_or_none_is_stripped() {
    let shapes = shapes();
    let decision = decision(&shapes.schema, &mut Dice(0), &[Treatment::Keep]);
    let (mut view, _) = view(&shapes.schema, &decision);
    let element = |records: &[u8]| {
        let mut frame = Vec::new();
        wire::push_len_prefixed(&mut frame, 18, records);
        frame
    };
    let (key, value) = (&[0x12, 2, b'h', b'r'][..], &[0x1a, 2, 0x08, 9][..]);
    let whole = [key, value].concat();
    assert_eq!(view.apply(Raw::new(&element(&whole))).expect("legal").bytes(), element(&whole));
    // The key is found wherever it stands, and comes first in what is sent.
    assert_eq!(view.apply(Raw::new(&element(&[value, key].concat()))).expect("legal").bytes(), element(&whole));
    for broken in [value.to_vec(), [key, value, key].concat(), [key, &[0x1a, 9, 1]].concat(), key.to_vec()] {
        let seen = view.apply(Raw::new(&element(&broken))).map(|veiled| veiled.bytes().to_vec());
        assert!(matches!(&seen, Ok(bytes) if bytes.is_empty()), "{broken:?}: {seen:?}");
    }
}
