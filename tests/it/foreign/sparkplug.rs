//! Sparkplug B as published: births name a metric and give its alias, data gives the alias alone.

use serde_json::{Value, json};
use twinveil::veil::wire::{VARINT, push_len_prefixed, push_tag, push_varint};

use super::{Foreign, holds, published};

const SIDE: &str = include_str!("../../../src/cli/assets/side-files/sparkplug-b.toml");

fn payload() -> Option<Foreign> {
    let set = published("sparkplug-b/descriptor.binpb")?;
    Some(Foreign::new(&set, "org.eclipse.tahu.protobuf.Payload", SIDE))
}

/// Names, else aliases, of the metrics that came out.
fn metrics(out: &Value) -> Vec<String> {
    let name = |metric: &Value| metric.get("name").or(metric.get("alias")).unwrap().as_str().unwrap().to_owned();
    out["metrics"].as_array().map(|metrics| metrics.iter().map(name).collect()).unwrap_or_default()
}

#[test]
fn a_birth_is_judged_by_name_and_data_by_alias_and_both_alike() {
    let Some(payload) = payload() else { return };
    let values = [
        ("Nacelle/Vibration", "1", "floatValue", json!(0.25)),
        ("Gearbox/Oil Temperature", "2", "floatValue", json!(61.5)),
        ("Output/Active Power", "3", "doubleValue", json!(1849.5)),
        ("Site/Latitude", "4", "doubleValue", json!(54.125)),
        ("Operator/Badge", "6", "stringValue", json!("canary-badge")),
        ("Operator/Shift", "7", "stringValue", json!("canary-night")),
        ("Operator/Comment", "8", "stringValue", json!("canary-comment")),
    ];
    let birth: Vec<Value> = values
        .iter()
        .map(|(name, alias, kind, value)| {
            json!({"name": name, "alias": alias, "timestamp": "1735689600123", "datatype": 9, kind.to_owned(): value,
                "metadata": {"description": "canary-description"}, "properties": {"keys": ["canary-key"], "values": [{"stringValue": "canary"}]}})
        })
        .collect();
    let data: Vec<Value> = values
        .iter()
        .map(|(_, alias, kind, value)| json!({"alias": alias, "timestamp": "1735689601123", kind.to_owned(): value}))
        .collect();
    let message = |metrics: &[Value]| json!({"timestamp": "1735689600123", "metrics": metrics, "seq": "17", "uuid": "canary-node", "body": "Y2FuYXJ5"});

    let bytes = payload.floors(&payload.encode(&message(&birth)));
    assert!(!holds(&bytes, "canary"));
    let born = payload.decode(&bytes);
    let names =
        ["Nacelle/Vibration", "Gearbox/Oil Temperature", "Output/Active Power", "Site/Latitude", "Operator/Badge", "Operator/Shift"];
    assert_eq!(metrics(&born), names);

    let bytes = payload.floors(&payload.encode(&message(&data)));
    assert!(!holds(&bytes, "canary"));
    let told = payload.decode(&bytes);
    assert_eq!(metrics(&told), ["1", "2", "3", "4", "6", "7"]);
    for out in [&born, &told] {
        assert_eq!((&out["metrics"][0]["floatValue"], &out["metrics"][2]["doubleValue"]), (&json!(0.25), &json!(1849.5)));
        assert_eq!((&out["metrics"][3]["doubleValue"], &out["metrics"][5]["stringValue"]), (&Value::Null, &Value::Null), "sealed");
        assert_eq!(out["metrics"][4]["stringValue"].as_str().unwrap().len(), 26, "a pseudonym");
        assert_eq!((&out["seq"], &out["body"], &out["metrics"][0]["metadata"]), (&json!("17"), &Value::Null, &Value::Null));
    }
}

#[test]
fn a_name_that_is_present_decides_alone_and_a_key_that_stands_twice_grants_nothing() {
    let Some(payload) = payload() else { return };
    let of = |metric: Value| metrics(&payload.decode(&payload.floors(&payload.encode(&json!({"metrics": [metric]})))));
    assert_eq!(of(json!({"alias": "1", "floatValue": 1.5})), ["1"]);
    // A name without a line, an empty one too, is stripped although the alias has one.
    assert!(of(json!({"name": "Operator/Comment", "alias": "1", "floatValue": 1.5})).is_empty());
    assert!(of(json!({"name": "", "alias": "1", "floatValue": 1.5})).is_empty());
    assert!(of(json!({"alias": "9", "floatValue": 1.5})).is_empty() && of(json!({"floatValue": 1.5})).is_empty());
    // The name decides, and the alias is a field: what the alias alone would grant is not sent.
    let out = payload.floors(&payload.encode(&json!({"metrics": [{"name": "Nacelle/Vibration", "alias": "3", "doubleValue": 1849.5}]})));
    assert_eq!(payload.decode(&out)["metrics"], json!([{"name": "Nacelle/Vibration", "alias": "3"}]));

    let name = |text: &str| {
        let mut record = Vec::new();
        push_len_prefixed(&mut record, 1, text.as_bytes());
        record
    };
    let number = |field: u32, value: u64| {
        let mut record = Vec::new();
        push_tag(&mut record, field, VARINT);
        push_varint(&mut record, value);
        record
    };
    let value = [0x65, 0, 0, 0x80, 0x3f].to_vec();
    let frame = |records: &[Vec<u8>]| {
        let mut frame = Vec::new();
        push_len_prefixed(&mut frame, 2, &records.concat());
        frame
    };
    let (hr, alias) = (name("Nacelle/Vibration"), number(2, 1));
    let comes_out = |records: &[Vec<u8>]| !payload.decode(&payload.floors(&frame(records)))["metrics"].is_null();
    // Wherever the keys stand, the answer is the same.
    for records in
        [[hr.clone(), alias.clone(), value.clone()], [value.clone(), alias.clone(), hr.clone()], [alias.clone(), value.clone(), hr.clone()]]
    {
        assert!(comes_out(&records));
        let out = payload.decode(&payload.floors(&frame(&records)));
        assert_eq!(out["metrics"], json!([{"name": "Nacelle/Vibration", "alias": "1", "floatValue": 1.0}]));
    }
    for twice in [
        vec![hr.clone(), hr.clone(), value.clone()],
        vec![alias.clone(), value.clone(), alias.clone()],
        vec![hr.clone(), alias.clone(), alias.clone(), value.clone()],
        vec![hr.clone(), alias.clone(), number(2, 2), value.clone()],
        vec![name("Operator/Comment"), hr.clone(), alias.clone(), value.clone()],
    ] {
        assert!(!comes_out(&twice), "{twice:?}");
    }
}

#[test]
fn what_a_source_writes_as_the_gateways_field_is_stripped() {
    let Some(payload) = payload() else { return };
    let mut frame = payload.encode(&json!({"seq": "17"}));
    let honest = payload.floors(&frame);
    for number in [18_000, 18_001, 6, 536_870_911] {
        push_len_prefixed(&mut frame, number, b"forged");
    }
    let out = payload.floors(&frame);
    assert!(!holds(&out, "forged"));
    // One empty group of its own, and no other.
    assert_eq!(out.len(), honest.len());
}
