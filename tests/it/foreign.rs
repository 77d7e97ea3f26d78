//! The schemas of others: are they read as protobuf reads them, and does a side file alone make a gateway's view of them?

mod editions;
pub(crate) mod otlp;
mod places;
mod sparkplug;

use std::path::Path;
use std::sync::Arc;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::Value;
use twinveil::veil::crypto::seal::Suite;
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::wrap::OpenKey;
use twinveil::veil::name::{Origin, ViewId};
use twinveil::veil::policy::{Decided, Decision, Holders, Reason};
use twinveil::veil::schema::{Schema, Site, check, load};
use twinveil::veil::terms::{self, Treatment};
use twinveil::veil::view::{Bindings, BindingsSource, Program, Raw, Space, View};
use twinveil::world::entropy;

/// A file of the collection of published schemas; `None`, said loudly, where it is not at hand.
pub(crate) fn published(file: &str) -> Option<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/protos").join(file);
    let read = std::fs::read(path);
    if let Err(cause) = &read {
        eprintln!("SKIPPED: `{file}` of the published schemas is not at hand ({cause})");
    }
    read.ok()
}

/// A schema with its side file, and the descriptor that messages are made and read with.
struct Foreign {
    schema: Schema,
    message: MessageDescriptor,
}

impl Foreign {
    /// Every field of it must be classified.
    fn new(set: &[u8], message: &str, side: &str) -> Self {
        let schema = load(set, message, Some(side)).unwrap_or_else(|error| panic!("{message}: {} {error}", error.code()));
        let unclassified: Vec<_> = check::unclassified(&schema).take(5).collect();
        assert!(unclassified.is_empty(), "{message}: {unclassified:?}");
        let pool = DescriptorPool::decode(set).unwrap();
        Self { schema, message: pool.get_message_by_name(message).unwrap() }
    }

    fn encode(&self, json: &Value) -> Vec<u8> {
        DynamicMessage::deserialize(self.message.clone(), json).unwrap().encode_to_vec()
    }

    fn decode(&self, bytes: &[u8]) -> Value {
        serde_json::to_value(DynamicMessage::decode(self.message.clone(), bytes).unwrap()).unwrap()
    }

    /// What leaves where every field is treated as `treat` says; a floor is the least that a side file grants by itself.
    fn veil(&self, frame: &[u8], treat: impl Fn(&Site) -> Treatment) -> Vec<u8> {
        veil(&self.schema, frame, treat)
    }

    fn floors(&self, frame: &[u8]) -> Vec<u8> {
        self.veil(frame, |site| site.facts.floor)
    }
}

/// What leaves of a frame.
fn veil(schema: &Schema, frame: &[u8], treat: impl Fn(&Site) -> Treatment) -> Vec<u8> {
    let decided = |site| Decided { treatment: treat(site), holders: Holders::VaultAndRecipient, reason: Reason::Floor };
    let decision = Decision { sites: schema.sites().iter().map(decided).collect() };
    let program = Arc::new(Program::compile(schema, &decision));
    let key = OpenKey::from_seed(&Secret::random(&mut entropy())).unwrap().seal_key();
    let source = BindingsSource {
        origin: &Origin::new("twinveil.example/test"),
        recipient: "spiffe://example.org/test",
        purpose: &terms::purpose("dpv:ServiceProvision").unwrap(),
        subject_key: Some(&Secret::random(&mut entropy())),
        pseudonym_epoch: 0,
        view: ViewId([1; 16]),
        epoch: 1,
        suite: Suite::Aes256Gcm,
        holders: &|_| vec![key],
    };
    let (bindings, _) = Bindings::new(&program, &source, &mut entropy()).unwrap();
    let mut space = Space::default();
    View::new(program, bindings).apply(Raw::new(frame), &mut space).unwrap().bytes().to_vec()
}

/// Whether the bytes hold the text.
fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
