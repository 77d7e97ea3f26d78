//! What must not happen, made to happen from inside: keys that are spent, and bindings of another program.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::veil::crypto::seal::Suite;
use crate::veil::crypto::secret::Secret;
use crate::veil::name::{Origin, ViewId};
use crate::veil::outcome::Refusal;
use crate::veil::policy::{Decided, Decision, Holders, Reason};
use crate::veil::schema::{Schema, load_annotated};
use crate::veil::terms::{Treatment, purpose};

struct Ones;

impl rand_core::TryRng for Ones {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(1)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(1)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.fill(1);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Ones {}

fn schema() -> Schema {
    load_annotated(crate::proto::SAMPLES, "twinveil.sample.PatientFrame").expect("loads")
}

/// Everything in one way, the device's number in another.
fn program(schema: &Schema, device: Treatment, others: Treatment) -> Arc<Program> {
    let sites = schema.sites().iter().map(|site| Decided {
        treatment: if site.path.as_str() == "device_id" { device } else { others },
        holders: Holders::Vault,
        reason: Reason::Floor,
    });
    Arc::new(Program::compile(schema, &Decision { sites: sites.collect() }))
}

fn bindings(program: &Program) -> Bindings {
    let source = BindingsSource {
        origin: &Origin::new("gateway.example.org/twins"),
        recipient: "spiffe://example.org/recipient",
        purpose: &purpose("dpv:ServiceProvision").expect("a DPV term"),
        subject_key: Some(&Secret::take(&mut [3; 32])),
        pseudonym_epoch: 0,
        view: ViewId([1; 16]),
        epoch: 1,
        suite: Suite::ChaCha20Poly1305,
        holders: &|_| Vec::new(),
    };
    Bindings::new(program, &source, &mut Ones).expect("no key holder, so no bad key").0
}

/// `patient_id` and `device_id`.
const FRAME: &[u8] = b"\x0a\x06p-2041\x12\x02m7";

#[test]
fn with_a_spent_key_the_frame_is_refused_and_nothing_of_it_remains() {
    let schema = schema();
    let program = program(&schema, Treatment::Encrypt, Treatment::Keep);
    let mut bindings = bindings(&program);
    bindings.sealers.iter_mut().for_each(crate::veil::transform::group::Sealer::spend);
    let mut view = View::new(program, bindings);
    let mut space = Space::default();
    assert!(view.spent());
    assert_eq!(view.apply(Raw::new(FRAME), &mut space).err(), Some(Refusal::SealFailed));
    assert!(space.out.is_empty(), "what was kept is gone, too");
}

#[test]
fn bindings_of_another_program_show_less_and_never_more() {
    let schema = schema();
    let kept = program(&schema, Treatment::Keep, Treatment::Strip);
    for treatment in [Treatment::Pseudonymize, Treatment::Encrypt] {
        let mut view = View::new(program(&schema, treatment, Treatment::Strip), bindings(&kept));
        let mut space = Space::default();
        assert_eq!(view.apply(Raw::new(FRAME), &mut space).expect("legal").bytes(), b"", "{treatment}");
    }
}

#[test]
fn every_refusal_of_a_walk_leaves_nothing_of_what_was_kept_before_it() {
    let schema = schema();
    let broken: [(&[u8], Refusal); 6] = [
        (&[0x12], Refusal::Truncated),
        (&[0x12, 0x80], Refusal::Truncated),
        (&[0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], Refusal::BadVarint),
        (&[0x07], Refusal::BadTag),
        (&[0x0c], Refusal::BadGroup),
        (&[0x0b; 70], Refusal::TooDeep),
    ];
    for treatment in [Treatment::Keep, Treatment::Pseudonymize, Treatment::Encrypt, Treatment::Strip] {
        let program = program(&schema, treatment, Treatment::Keep);
        let mut view = View::new(Arc::clone(&program), bindings(&program));
        let mut space = Space::default();
        for (record, refusal) in broken {
            let frame = [FRAME, record].concat();
            assert_eq!(view.apply(Raw::new(&frame), &mut space).err(), Some(refusal), "{record:?}");
            assert!(space.out.is_empty(), "{record:?}");
        }
    }
}

proptest! {
    #[test]
    fn whom_a_frame_is_about_is_found_on_the_way(
        records in proptest::collection::vec(proptest::sample::select(vec![
            &b"\x0a\x06p-2041"[..], b"\x0a\x06p-2042", b"\x0a\x00", b"\x8a\x00\x06p-2041", b"\x0a\x86\x00p-2041", b"\x08\x07", b"\x12\x02m7",
            b"\x12\x80\x00", b"\x18\x05", b"\x32\x08\x0a\x06p-2041", b"\x0a\x70", b"\x0f", b"\x7a\x03abc",
        ]), 0..6),
        treatment in proptest::sample::select(vec![Treatment::Keep, Treatment::Strip, Treatment::Pseudonymize, Treatment::Encrypt]),
    ) {
        let (schema, frame) = (schema(), records.concat());
        let path = schema.subject().expect("it has one");
        let sites = schema.sites().iter().map(|site| Decided {
            treatment: if site.path.as_str() == "patient_id" { treatment } else { Treatment::Keep },
            holders: Holders::Vault,
            reason: Reason::Floor,
        });
        let program = Arc::new(Program::compile(&schema, &Decision { sites: sites.collect() }));
        let (mut one, mut other) = (View::new(Arc::clone(&program), bindings(&program)), View::new(Arc::clone(&program), bindings(&program)));
        let raw = Raw::new(&frame);
        let expected = Raw::new(FRAME).subject(path).expect("a subject");
        let about = one.apply_about(raw, &expected, &mut Space::default()).map(|veiled| veiled.bytes().to_vec());
        let plain = other.apply(raw, &mut Space::default()).map(|veiled| veiled.bytes().to_vec());
        let names = raw.subject(path).as_ref() == Ok(&expected);
        // An empty name beside it is no name; who asks then is told to ask again.
        let empty = records.contains(&&b"\x0a\x00"[..]);
        prop_assert_eq!(about.is_some(), names && !empty && plain.is_ok());
        if let Some(about) = about {
            prop_assert_eq!(Ok(&about), plain.as_ref());
        }
        // What was not sealed took no number.
        let again = |view: &mut View| view.apply(Raw::new(FRAME), &mut Space::default()).map(|veiled| veiled.bytes().to_vec());
        if names && !empty || plain.is_err() {
            prop_assert_eq!(again(&mut one), again(&mut other));
        }
    }
}
