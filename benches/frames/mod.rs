//! What the bench measures on: a flat vitals message in three sizes, and the decision to strip six of its fields.

use std::collections::HashMap;

use prost::Message;
use twinveil::veil::policy::{Decided, Decision, Holders, Reason};
use twinveil::veil::schema::{Schema, load};
use twinveil::veil::terms::Treatment;

const PROTO: &str = r#"
syntax = "proto3";
package bench;
message Position { double latitude = 1; double longitude = 2; }
message Vitals {
  string subject_id = 1; string device_id = 2; uint64 sequence = 3; int64 captured_at_ms = 4; int32 modality = 5;
  Position position = 6; float heart_rate_bpm = 7; float spo2_pct = 8; repeated sint32 samples = 9;
  map<string, string> labels = 10; string name = 11; string note = 12;
}
"#;

const SIDE: &str = r#"
["bench.Position"]
latitude = { sensitivity = "personal", category = "location", generalize = { decimals = 2 } }
longitude = { sensitivity = "personal", category = "location", generalize = { decimals = 2 } }
["bench.Vitals"]
subject_id = { sensitivity = "identifying", category = "identity", role = "subject" }
device_id = { sensitivity = "personal", category = "device" }
sequence = { sensitivity = "personal", category = "device", role = "sequence" }
captured_at_ms = { sensitivity = "personal", category = "time", role = "captured_at" }
modality = { sensitivity = "personal", category = "device" }
heart_rate_bpm = { sensitivity = "special", category = "health" }
spo2_pct = { sensitivity = "special", category = "health" }
samples = { sensitivity = "special", category = "biometric" }
labels = { sensitivity = "personal", category = "health" }
name = { sensitivity = "identifying", category = "identity" }
note = { sensitivity = "special", category = "health" }
"#;

/// The message as prost has it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Vitals {
    #[prost(string, tag = "1")]
    pub(crate) subject_id: String,
    #[prost(string, tag = "2")]
    pub(crate) device_id: String,
    #[prost(uint64, tag = "3")]
    pub(crate) sequence: u64,
    #[prost(int64, tag = "4")]
    pub(crate) captured_at_ms: i64,
    #[prost(int32, tag = "5")]
    pub(crate) modality: i32,
    #[prost(message, optional, tag = "6")]
    pub(crate) position: Option<Position>,
    #[prost(float, tag = "7")]
    pub(crate) heart_rate_bpm: f32,
    #[prost(float, tag = "8")]
    pub(crate) spo2_pct: f32,
    #[prost(sint32, repeated, tag = "9")]
    pub(crate) samples: Vec<i32>,
    #[prost(map = "string, string", tag = "10")]
    pub(crate) labels: HashMap<String, String>,
    #[prost(string, tag = "11")]
    pub(crate) name: String,
    #[prost(string, tag = "12")]
    pub(crate) note: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Position {
    #[prost(double, tag = "1")]
    pub(crate) latitude: f64,
    #[prost(double, tag = "2")]
    pub(crate) longitude: f64,
}

struct Only;

impl protox::file::FileResolver for Only {
    fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
        if name == "bench.proto" { protox::file::File::from_source(name, PROTO) } else { Err(protox::Error::file_not_found(name)) }
    }
}

/// The descriptor set of the message.
pub(crate) fn descriptors() -> Vec<u8> {
    let mut compiler = protox::Compiler::with_file_resolver(Only);
    compiler.open_file("bench.proto").expect("compiles");
    compiler.encode_file_descriptor_set()
}

/// The schema of the message.
pub(crate) fn schema() -> Schema {
    load(&descriptors(), "bench.Vitals", Some(SIDE)).expect("loads")
}

/// What is stripped.
pub(crate) const STRIPPED: [&str; 7] = ["subject_id", "device_id", "position.latitude", "position.longitude", "labels", "name", "note"];

/// A decision by path.
pub(crate) fn decision(schema: &Schema, treatment: impl Fn(&str) -> Treatment) -> Decision {
    let decided = |path: &str| Decided { treatment: treatment(path), holders: Holders::VaultAndRecipient, reason: Reason::Floor };
    Decision { sites: schema.sites().iter().map(|site| decided(site.path.as_str())).collect() }
}

/// Encoded frames of 142, 970 and about 3,600 bytes.
pub(crate) fn sizes() -> Vec<Vec<u8>> {
    let frame = |samples: usize| Vitals {
        subject_id: "p-2041".into(),
        device_id: "monitor-77".into(),
        sequence: 70_001,
        captured_at_ms: 1_790_000_000_000,
        modality: 1,
        position: Some(Position { latitude: 45.772_175, longitude: 14.357_659 }),
        heart_rate_bpm: 72.0,
        spo2_pct: 97.0,
        samples: (0..samples).map(|i| (i as i32 * 37) % 1_900 - 950).collect(),
        labels: HashMap::from([("ward".to_owned(), "3B".to_owned()), ("bed".to_owned(), "12".to_owned())]),
        name: "Milo Feil".into(),
        note: "slept well, no pain".into(),
    };
    [9, 425, 1_735].map(|samples| frame(samples).encode_to_vec()).to_vec()
}
