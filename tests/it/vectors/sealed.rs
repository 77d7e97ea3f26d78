//! Our own vectors of sealed groups, `tests/vectors/sealed-v1.json`: made by the code with keys that are written down, compared
//! with the file, and opened by the program in Python that was written from the manual alone.
//!
//! `TWINVEIL_OVERWRITE=1 cargo test --test it vectors::sealed` writes the file anew.

use std::convert::Infallible;
use std::sync::Arc;

use serde_json::{Value, json};
use twinveil::client::{announce, dsse};
use twinveil::veil::crypto::hash::hkdf_sha256;
use twinveil::veil::crypto::seal::Suite;
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::sign::SignKey;
use twinveil::veil::crypto::wrap::{OpenKey, unwrap};
use twinveil::veil::name::{Origin, SealKey, ViewId};
use twinveil::veil::policy::{Decided, Decision, Holders, Reason};
use twinveil::veil::schema::{ANNOUNCEMENT_FIELD, SEALED_FIELD, Schema, load};
use twinveil::veil::terms::{Treatment, purpose};
use twinveil::veil::transform::fragment::{Fragment, merge, split};
use twinveil::veil::transform::group::{Announced, Epoch, Opener, parse_header};
use twinveil::veil::view::{Bindings, BindingsSource, Program, Raw, Space, View};

use crate::manual::{read, root};
use crate::outsiders::python;

const FILE: &str = "tests/vectors/sealed-v1.json";
pub(super) const ORIGIN: &str = "gateway.example.org/twins";
/// The recipient's private key is 32 bytes of this, the vault's of that, the gateway's seed of the third.
pub(crate) const RECIPIENT: u8 = 3;
pub(crate) const VAULT: u8 = 4;
pub(super) const GATEWAY: u8 = 5;

pub(super) const PROTO: &str = r#"syntax = "proto3"; package vector;
message Frame { string id = 1; string note = 2; repeated Item items = 3; }
message Item { uint32 shown = 1; uint32 hidden = 2; }"#;

pub(super) const SIDE: &str = r#"["vector.Frame"]
id = { sensitivity = "identifying", category = "identity", role = "subject" }
note = { sensitivity = "special", category = "health" }
"items.shown" = { sensitivity = "personal", category = "device" }
"items.hidden" = { sensitivity = "special", category = "health" }
"#;

const NESTED_PROTO: &str = r#"syntax = "proto3"; package vector;
message Frame { string id = 1; Ward ward = 2; repeated Bed beds = 3; }
message Ward { string name = 1; string head = 2; }
message Bed { uint32 number = 1; repeated Reading readings = 2; }
message Reading { uint32 at = 1; uint32 pulse = 2; }"#;

const NESTED_SIDE: &str = r#"["vector.Frame"]
id = { sensitivity = "identifying", category = "identity", role = "subject" }
"ward.name" = { sensitivity = "personal", category = "location" }
"ward.head" = { sensitivity = "identifying", category = "identity" }
"beds.number" = { sensitivity = "personal", category = "location" }
"beds.readings.at" = { sensitivity = "personal", category = "time" }
"beds.readings.pulse" = { sensitivity = "special", category = "health" }
"#;

/// What is sealed in the schema of the manual's page.
pub(crate) const SIMPLE: &[(&str, Holders)] = &[("note", Holders::VaultAndRecipient), ("items.hidden", Holders::VaultAndRecipient)];
/// id "p", note "ill", items {1, 2} and {3, 4}.
pub(crate) const FRAME: &[u8] = &[0x0a, 1, b'p', 0x12, 3, b'i', b'l', b'l', 0x1a, 4, 8, 1, 16, 2, 0x1a, 4, 8, 3, 16, 4];
/// The same, as it is after opening: what was sealed at the root stands behind.
pub(crate) const OPENED: &[u8] = &[0x0a, 1, b'p', 0x1a, 4, 8, 1, 16, 2, 0x1a, 4, 8, 3, 16, 4, 0x12, 3, b'i', b'l', b'l'];

/// Not random at all: a vector has to come out the same.
pub(crate) struct Counting(pub u8);

impl rand_core::TryRng for Counting {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for byte in out {
            *byte = self.0;
            self.0 = self.0.wrapping_add(1);
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Counting {}

fn descriptor_set(proto: &str) -> Vec<u8> {
    struct Single(String);
    impl protox::file::FileResolver for Single {
        fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
            protox::file::File::from_source(name, &self.0)
        }
    }
    let mut compiler = protox::Compiler::with_file_resolver(Single(proto.to_owned()));
    compiler.open_file("vector.proto").unwrap();
    compiler.encode_file_descriptor_set()
}

fn schema_of(proto: &str, side: &str) -> Schema {
    load(&descriptor_set(proto), "vector.Frame", Some(side)).unwrap()
}

/// The schema of the vector in the manual.
pub(crate) fn schema() -> Schema {
    schema_of(PROTO, SIDE)
}

pub(super) fn open_key(seed: u8) -> OpenKey {
    OpenKey::from_seed(&Secret::take(&mut [seed; 32])).unwrap()
}

fn holders(of: Holders) -> Vec<SealKey> {
    match of {
        Holders::Vault => vec![open_key(VAULT).seal_key()],
        Holders::VaultAndRecipient => vec![open_key(RECIPIENT).seal_key(), open_key(VAULT).seal_key()],
        Holders::MandateVault | Holders::MandateVaultAndRecipient => panic!("no vector is about a mandate"),
    }
}

/// A view that seals, and what was announced about it.
pub(crate) struct Sealing {
    view: View,
    space: Space,
    pub epochs: Vec<(Epoch, Announced)>,
}

impl Sealing {
    /// Over the schema of the manual's page, first epoch.
    pub(crate) fn of(sealed: &[(&str, Holders)], suite: Suite) -> Self {
        Self::over(&schema(), sealed, suite, 1)
    }

    pub(super) fn over(schema: &Schema, sealed: &[(&str, Holders)], suite: Suite, epoch: u64) -> Self {
        let decided = |path: &str| {
            let found = sealed.iter().find(|(name, _)| *name == path);
            let treatment = if found.is_some() { Treatment::Encrypt } else { Treatment::Keep };
            Decided { treatment, holders: found.map_or(Holders::Vault, |(_, holders)| *holders), reason: Reason::Floor }
        };
        let decision = Decision { sites: schema.sites().iter().map(|site| decided(site.path.as_str())).collect() };
        let program = Arc::new(Program::compile(schema, &decision));
        let source = BindingsSource {
            origin: &Origin::new(ORIGIN),
            recipient: "spiffe://example.org/recipient/lab",
            purpose: &purpose("dpv:ScientificResearch").unwrap(),
            subject_key: None,
            pseudonym_epoch: 0,
            view: ViewId([0x11; 16]),
            epoch,
            suite,
            holders: &holders,
        };
        let (bindings, epochs) = Bindings::new(&program, &source, &mut Counting(0)).unwrap();
        Self { view: View::new(program, bindings), space: Space::default(), epochs }
    }

    /// A frame as it is sent.
    pub(crate) fn send(&mut self, frame: &[u8]) -> Vec<u8> {
        self.view.apply(Raw::new(frame), &mut self.space).unwrap().bytes().to_vec()
    }

    pub(crate) fn opener(&self, slot: usize, key: u8) -> Option<Opener> {
        let (epoch, announced) = &self.epochs[slot];
        epoch.open(announced, &open_key(key))
    }

    fn seed(&self, slot: usize, key: u8) -> Option<Vec<u8>> {
        let (epoch, announced) = &self.epochs[slot];
        announced.wraps.iter().find_map(|wrap| unwrap(&open_key(key), &info(epoch), &announced.commit, wrap))
    }

    /// The base key as a holder derives it, after the manual's page.
    pub(crate) fn base_key(&self, slot: usize, key: u8) -> Secret<32> {
        hkdf_sha256(&info(&self.epochs[slot].0), &self.seed(slot, key).expect("a holder"), &[b"base_key"])
    }
}

/// What an epoch is bound to, after the manual's page.
pub(super) fn info(epoch: &Epoch) -> Vec<u8> {
    let origin = epoch.origin.as_str().as_bytes();
    let length = u32::try_from(origin.len()).unwrap().to_be_bytes();
    let (slot, number, suite) = (epoch.slot.to_be_bytes(), epoch.epoch.to_be_bytes(), epoch.suite.number().to_be_bytes());
    [b"twinveil/sealed/v1\0", &length[..], origin, &epoch.view.0, &slot, &number, &suite, &epoch.fingerprint.0].concat()
}

/// The fragments in a plaintext, after the manual's page; for numbers below 128.
pub(crate) fn fragments(plain: &[u8]) -> Vec<Fragment> {
    assert!(plain.len().is_multiple_of(32) && !plain.is_empty());
    let (mut found, mut rest) = (Vec::new(), plain);
    while let Some((&first, after)) = rest.split_first().filter(|(first, _)| **first != 0) {
        let (path, after) = after.split_at(2 * (usize::from(first) - 1));
        let (&length, after) = after.split_first().unwrap();
        assert!(path.iter().chain([&first, &length]).all(|byte| *byte < 128), "a longer varint");
        let (body, after) = after.split_at(length.into());
        let path = path.chunks(2).map(|level| (level[0].into(), level[1].into())).collect();
        found.push(Fragment { path, body: body.to_vec() });
        rest = after;
    }
    assert!(rest.iter().all(|byte| *byte == 0), "padding");
    found
}

pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// One case of the file: a view with its announcements, and frames through it in order.
struct Case {
    name: &'static str,
    schema: (&'static str, &'static str),
    sealed: Vec<(&'static str, Holders)>,
    suite: Suite,
    epoch: u64,
    frames: Vec<Vec<u8>>,
}

fn cases() -> Vec<Case> {
    let simple = |name, suite, frames| Case { name, schema: (PROTO, SIDE), sealed: SIMPLE.to_vec(), suite, epoch: 1, frames };
    let long = [&[0x0a, 1, b'p', 0x12, 40][..], &[b'x'; 40]].concat();
    // id "p", ward {"A", "Dr"}, bed 7 with readings {1, 60} and {pulse 61}, bed without a number with reading {2, 62}.
    let nested = [
        &[0x0a, 1, b'p', 0x12, 7, 0x0a, 1, b'A', 0x12, 2, b'D', b'r'][..],
        &[0x1a, 12, 8, 7, 0x12, 4, 8, 1, 16, 60, 0x12, 2, 16, 61],
        &[0x1a, 6, 0x12, 4, 8, 2, 16, 62],
    ]
    .concat();
    vec![
        simple("a field and a field inside a list", Suite::ChaCha20Poly1305, vec![FRAME.to_vec()]),
        simple("the same with AES-256-GCM", Suite::Aes256Gcm, vec![FRAME.to_vec()]),
        simple("nothing to seal, and more than 32 bytes", Suite::ChaCha20Poly1305, vec![vec![0x0a, 1, b'p'], long]),
        simple("counters from 0 past 7, which takes a byte more", Suite::Aes256Gcm, vec![FRAME.to_vec(); 10]),
        Case {
            name: "two slots, of which the recipient opens one",
            schema: (PROTO, SIDE),
            sealed: vec![("note", Holders::VaultAndRecipient), ("items.hidden", Holders::Vault)],
            suite: Suite::ChaCha20Poly1305,
            epoch: 258,
            frames: vec![FRAME.to_vec(), vec![0x0a, 1, b'p']],
        },
        Case {
            name: "a message inside a list inside a message",
            schema: (NESTED_PROTO, NESTED_SIDE),
            sealed: vec![("ward.head", Holders::VaultAndRecipient), ("beds.readings.pulse", Holders::VaultAndRecipient)],
            suite: Suite::ChaCha20Poly1305,
            epoch: 2,
            frames: vec![nested],
        },
    ]
}

/// What somebody with these keys makes of a frame as sent.
pub(super) fn opened(openers: &mut [Opener], sent: &[u8]) -> Vec<u8> {
    let (clear, groups) = split(sent, SEALED_FIELD, ANNOUNCEMENT_FIELD).unwrap();
    let mut all = Vec::new();
    for group in groups {
        let (kid, ..) = parse_header(group).unwrap();
        if let Some(opener) = openers.iter_mut().find(|opener| opener.kid() == kid) {
            all.extend(opener.open(group, &clear).unwrap());
        }
    }
    merge(&clear, &all).unwrap()
}

impl Case {
    fn json(&self) -> Value {
        let schema = schema_of(self.schema.0, self.schema.1);
        let mut sealing = Sealing::over(&schema, &self.sealed, self.suite, self.epoch);
        let gateway = SignKey::from_seed(&Secret::take(&mut [GATEWAY; 32]));
        let slots: Vec<_> = (0..sealing.epochs.len())
            .map(|slot| {
                let (epoch, announced) = &sealing.epochs[slot];
                let envelope = dsse::from_proto(&announce::sign(&gateway, epoch, announced)).to_json();
                json!({
                    "slot": slot,
                    "seed": hex(&sealing.seed(slot, VAULT).unwrap()),
                    "base_key": hex(sealing.base_key(slot, VAULT).expose()),
                    "commit": hex(&announced.commit),
                    "wraps": announced.wraps.iter().map(|wrap| hex(wrap)).collect::<Vec<_>>(),
                    "announcement": serde_json::from_str::<Value>(&envelope).unwrap(),
                })
            })
            .collect();
        let mut holders =
            [RECIPIENT, VAULT].map(|key| (key, (0..sealing.epochs.len()).filter_map(|slot| sealing.opener(slot, key)).collect::<Vec<_>>()));
        let frames: Vec<_> = self
            .frames
            .iter()
            .map(|raw| {
                let sent = sealing.send(raw);
                let clear = split(&sent, SEALED_FIELD, ANNOUNCEMENT_FIELD).unwrap().0;
                let [recipient, vault] = holders.each_mut().map(|(_, openers)| hex(&opened(openers, &sent)));
                json!({ "raw": hex(raw), "sent": hex(&sent), "clear": hex(&clear), "opened": { "recipient": recipient, "vault": vault } })
            })
            .collect();
        let mut bent = data_encoding::HEXLOWER.decode(frames[0]["sent"].as_str().unwrap().as_bytes()).unwrap();
        *bent.last_mut().unwrap() ^= 1;
        let moved = format!("0a0171{}", &frames[0]["sent"].as_str().unwrap()[6..]);
        json!({
            "name": self.name,
            "proto": self.schema.0,
            "side_file": self.schema.1,
            "sealed": self.sealed.iter().map(|(path, _)| path).collect::<Vec<_>>(),
            "origin": ORIGIN,
            "view_id": hex(&[0x11; 16]),
            "epoch": self.epoch,
            "suite": self.suite.number(),
            "schema_fingerprint": hex(&schema.fingerprint().0),
            "slots": slots,
            "frames": frames,
            "refused": [
                { "why": "the last byte of the tag was changed", "first": true, "sent": hex(&bent) },
                { "why": "the groups were moved to another frame", "first": true, "sent": moved },
                { "why": "the groups were taken out", "first": true, "sent": frames[0]["clear"] },
                { "why": "the counter was seen before, with the frames above", "first": false, "sent": frames[0]["sent"] },
            ],
        })
    }
}

#[test]
fn our_own_vectors_are_what_we_seal_and_open() {
    let key = |seed: u8| json!({ "private_key": hex(&[seed; 32]), "public_key": open_key(seed).seal_key().to_string() });
    let gateway = SignKey::from_seed(&Secret::take(&mut [GATEWAY; 32]));
    let file = json!({
        "about": "Sealed groups, version 1, as src/manual/sealed.md describes them. Bytes are hexadecimal. `raw` is a frame before \
                  the view, `sent` what leaves the gateway, `clear` its records without fields 18000 and 18001, `opened` what a \
                  holder of the key has afterwards. Frames of a case come in this order over one stream. What is `refused` does not \
                  open: not in a view of its own (`first`), or not after the frames. `seed` and `base_key` are \
                  secrets that only a vector tells.",
        "gateway": { "seed": hex(&[GATEWAY; 32]), "did": gateway.did().to_string() },
        "keys": { "recipient": key(RECIPIENT), "vault": key(VAULT) },
        "cases": cases().iter().map(Case::json).collect::<Vec<_>>(),
    });
    for case in file["cases"].as_array().unwrap() {
        let pool = prost_reflect::DescriptorPool::decode(&descriptor_set(case["proto"].as_str().unwrap())[..]).unwrap();
        let read = |bytes: &Value| {
            let bytes = data_encoding::HEXLOWER.decode(bytes.as_str().unwrap().as_bytes()).unwrap();
            prost_reflect::DynamicMessage::decode(pool.get_message_by_name("vector.Frame").unwrap(), &bytes[..]).unwrap()
        };
        for frame in case["frames"].as_array().unwrap() {
            assert_eq!(read(&frame["opened"]["vault"]), read(&frame["raw"]), "{}: the vault gets everything back", case["name"]);
        }
    }
    let text = serde_json::to_string_pretty(&file).unwrap() + "\n";
    if std::env::var_os("TWINVEIL_OVERWRITE").is_some() {
        std::fs::write(root().join(FILE), &text).unwrap();
    }
    assert!(read(FILE) == text, "{FILE} is not what the code makes; see the head of this file");
}

#[test]
fn an_opener_written_from_the_manual_alone_opens_our_own_vectors() {
    let Some(mut python) = python("the opener of sealed groups in Python") else { return };
    let ran = python.arg(root().join("tests/vectors/open_sealed.py")).arg(root().join(FILE)).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let frames: usize = cases().iter().map(|case| 2 * (case.frames.len() + 4)).sum();
    assert_eq!(String::from_utf8_lossy(&ran.stdout).trim(), format!("{frames} checked"));
}
