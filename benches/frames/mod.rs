//! What the benches measure on: a flat vitals message in three sizes, and what is done with its fields.

use std::collections::HashMap;
use std::sync::Arc;

use prost::Message;
use twinveil::veil::crypto::seal::Suite;
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::wrap::OpenKey;
use twinveil::veil::name::{Origin, ViewId};
use twinveil::veil::policy::{Decided, Decision, Holders, Reason};
use twinveil::veil::schema::{Schema, load};
use twinveil::veil::terms::{self, Treatment};
use twinveil::veil::view::{Bindings, BindingsSource, Program, View};
use twinveil::world::entropy;

/// The service of `load.rs` is in it, too.
const PROTO: &str = include_str!("../peers/bench.proto");

const SIDE: &str = include_str!("../peers/bench.fields.toml");

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

/// What is done with the fields, by path.
pub(crate) struct Case {
    /// What the case is called.
    pub(crate) name: &'static str,
    /// The treatment of a field.
    pub(crate) treat: fn(&str) -> Treatment,
    /// The suites that make a difference, and what they add to the name.
    pub(crate) suites: &'static [(&'static str, Suite)],
}

/// Strip alone, with coordinates rounded, and with three fields sealed in one group.
pub(crate) const CASES: [Case; 3] = [
    Case { name: "strip", treat: strip, suites: &[("", Suite::Aes256Gcm)] },
    Case { name: "generalize", treat: generalize, suites: &[("", Suite::Aes256Gcm)] },
    Case { name: "seal", treat: seal, suites: &[("-aes-gcm", Suite::Aes256Gcm), ("-chacha20", Suite::ChaCha20Poly1305)] },
];

fn strip(path: &str) -> Treatment {
    match path {
        "subject_id" | "device_id" | "position.latitude" | "position.longitude" | "labels" | "name" | "note" => Treatment::Strip,
        _ => Treatment::Keep,
    }
}

fn generalize(path: &str) -> Treatment {
    if path.starts_with("position.") { Treatment::Generalize } else { strip(path) }
}

fn seal(path: &str) -> Treatment {
    if matches!(path, "heart_rate_bpm" | "spo2_pct" | "note") { Treatment::Encrypt } else { strip(path) }
}

/// A decision by path.
pub(crate) fn decision(schema: &Schema, treat: impl Fn(&str) -> Treatment) -> Decision {
    let decided = |path: &str| Decided { treatment: treat(path), holders: Holders::VaultAndRecipient, reason: Reason::Floor };
    Decision { sites: schema.sites().iter().map(|site| decided(site.path.as_str())).collect() }
}

/// A view with fresh keys.
pub(crate) fn view(schema: &Schema, treat: fn(&str) -> Treatment, suite: Suite) -> View {
    let program = Arc::new(Program::compile(schema, &decision(schema, treat)));
    let holder = OpenKey::from_seed(&Secret::random(&mut entropy())).expect("a key").seal_key();
    let source = BindingsSource {
        origin: &Origin::new("twinveil.example/bench"),
        recipient: "spiffe://example.org/bench",
        purpose: &terms::purpose("dpv:ServiceProvision").expect("a DPV term"),
        subject_key: Some(&Secret::random(&mut entropy())),
        pseudonym_epoch: 0,
        view: ViewId([0; 16]),
        epoch: 1,
        suite,
        holders: &|_| vec![holder],
    };
    let (bindings, _) = Bindings::new(&program, &source, &mut entropy()).expect("holders have good keys");
    View::new(program, bindings)
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
