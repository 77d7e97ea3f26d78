//! Features of editions, held against protobuf's own resolution (PyPI `protobuf`).

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use twinveil::veil::schema::load;
use twinveil::veil::terms::{Kind, Treatment};
use twinveil::veil::wire::push_varint;

use super::veil;

/// How many files protobuf and we read.
const FILES: usize = 400;

/// A side file that classifies every field of the message, so that `required` ones are taken.
fn all_public(message: &str, fields: &[&Value]) -> String {
    let mut side = format!("[\"{message}\"]\n");
    for field in fields {
        side.push_str(&format!("{} = {{ sensitivity = \"public\", category = \"operation\" }}\n", field["name"].as_str().unwrap()));
    }
    side
}

fn tag(number: u32, wire_type: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    push_varint(&mut bytes, u64::from(number << 3 | wire_type));
    bytes
}

#[test]
fn features_resolve_as_they_do_in_protobuf() {
    let Ok(python) = std::env::var("TWINVEIL_PYTHON") else {
        println!("SKIPPED features of editions against protobuf: TWINVEIL_PYTHON is not set (tests/run sets it)");
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/editions.py");
    let ran = Command::new(python).arg(script).arg(FILES.to_string()).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let (mut files, mut closed_seen) = (0, [0, 0]);
    let mut seen = [0; 5];
    for line in String::from_utf8(ran.stdout).unwrap().lines() {
        files += 1;
        let file: Value = serde_json::from_str(line).unwrap();
        let set = data_encoding::HEXLOWER.decode(file["set"].as_str().unwrap().as_bytes()).unwrap();
        for message in ["M0", "M1"] {
            let name = format!("{}.{message}", file["package"].as_str().unwrap());
            let fields: Vec<&Value> = file["fields"].as_array().unwrap().iter().filter(|field| field["message"] == message).collect();
            assert_eq!(fields.len(), 8);
            let schema = load(&set, &name, Some(&all_public(&name, &fields))).unwrap_or_else(|error| panic!("{name}: {error}"));
            for field in &fields {
                let path = field["name"].as_str().unwrap();
                let site = schema.sites().iter().find(|site| site.path.as_str() == path).unwrap();
                let ours = [site.repeated, !site.repeated && !site.implicit, site.required, site.packed, site.kind == Kind::Group];
                let theirs = ["repeated", "presence", "required", "packed", "group"].map(|what| field[what].as_bool().unwrap());
                assert_eq!(ours, theirs, "{name}.{path}: repeated, presence, required, packed, group");
                seen.iter_mut().zip(theirs).for_each(|(seen, is)| *seen += usize::from(is));
                // On the wire a delimited message is a group and no other is: the one is kept, the other is no field of this type.
                if matches!(site.kind, Kind::Group | Kind::Message | Kind::Map) {
                    let group = [tag(site.number, 3), tag(site.number, 4)].concat();
                    let prefixed = [tag(site.number, 2), vec![0]].concat();
                    let (kept, dropped) = if theirs[4] { (group, prefixed) } else { (prefixed, group) };
                    assert_eq!(veil(&schema, &[dropped, kept.clone()].concat(), |_| Treatment::Keep), kept, "{name}.{path}: on the wire");
                }
                if let Some(closed) = field["closed"].as_bool().filter(|_| !site.repeated) {
                    // A value that a closed enum does not declare is nothing to go by.
                    let other = fields.iter().find(|other| other["name"] != field["name"]).unwrap()["name"].as_str().unwrap();
                    let facts = "{ sensitivity = \"public\", category = \"operation\" }";
                    let holder = name.replace(".M", ".W");
                    let side = format!("[\"{holder}\"]\n'many[{path}=99].{other}' = {facts}\n");
                    let refused = load(&set, &holder, Some(&side)).err().is_some_and(|error| error.detail.contains("closed enum"));
                    assert_eq!(refused, closed, "{name}.{path}: closed");
                    closed_seen[usize::from(closed)] += 1;
                }
            }
        }
    }
    assert_eq!(files, FILES);
    assert!(seen.iter().chain(&closed_seen).all(|&count| count > 50), "combinations too few to judge by: {seen:?}, {closed_seen:?}");
}
