//! Twinveil: a privacy-preserving gateway for digital-twin data. It speaks gRPC on both sides, and for every frame and every
//! recipient it keeps, generalizes, pseudonymizes, encrypts or strips each field, by the most protective of three: the schema's
//! floor, the operator's policy, and the signed consent of whom the data is about.
//!
//! # The path of a frame
//!
//! 1. **Bytes in.** A frame is read where it lies: borrowed, with bounded depth and size ([`veil::wire`]).
//! 2. **What is this field?** The schema says so for every path: sensitivity, category, role, floor, generalization
//!    ([`veil::schema`]).
//! 3. **What may this recipient have?** Signed records add up to a standing, and the standing says which rules decide now
//!    ([`veil::consent`]). The operator's policy gives floors; [`veil::policy::decide`] joins them into a treatment and a reason for
//!    every field.
//! 4. **Compile.** The decision becomes a program, shared by every subject with the same decision; keys and constants are bound to it
//!    ([`veil::view::Program`], [`veil::view::Bindings`]).
//! 5. **Transform.** A small instruction set: values made coarser, replaced, sealed in one group per frame and set of key holders
//!    ([`veil::transform`]).
//! 6. **Bytes out.** [`veil::view::View::apply`] walks the frame once. It is the only exit: what it does not know is left out, and
//!    what it cannot judge is refused whole.
//!
//! # The house rule
//!
//! **The shell may import the veil, the veil never imports the shell.** [`veil`] is pure: bytes, facts and an instant in; bytes and an
//! outcome out; no I/O, no clock, no entropy of its own. Everything else brings bytes to it and carries them away. The
//! [`manual`] says why things are as they are, and has an entry for every error code.
//!
//! # Example
//!
//! Somebody permits a lab to see health data, coarse. The lab gets the heart rate in steps of five, and nothing else.
//!
//! ```
//! use std::sync::Arc;
//!
//! use prost::Message;
//! use twinveil::proto::{SAMPLES, sample::{Identity, PatientFrame, Vitals}};
//! use twinveil::veil::consent::deciding::{Deciding, DecidingRule};
//! use twinveil::veil::consent::rule::{Effect, Rule};
//! use twinveil::veil::crypto::seal::Suite;
//! use twinveil::veil::name::{Origin, RecordId, UnixMs, ViewId};
//! use twinveil::veil::policy::{Floor, FloorTable, decide};
//! use twinveil::veil::terms::{Category, Treatment, purpose};
//! use twinveil::veil::view::{Bindings, BindingsSource, Program, Raw, Space, View};
//! use twinveil::{veil::schema, world};
//!
//! // Step 2. The sample schema; `load` takes any descriptor set, with a side file where it carries no facts.
//! let schema = schema::load_annotated(SAMPLES, "twinveil.sample.PatientFrame")?;
//!
//! // Step 3. A gateway takes rules from records that it verified, and floors from the operator's Cedar policy.
//! let rule = Rule {
//!     effect: Effect::Permit,
//!     category: Some(Category::Health),
//!     sensitivity: None,
//!     selector: None,
//!     treatment: Treatment::Generalize,
//!     recipient_holds_key: false,
//! };
//! let rules = vec![DecidingRule { record: RecordId([7; 32]), index: 0, rule: &rule }];
//! let consent = Deciding { rules, recipient_key: None, vault_key: None, valid_until: UnixMs::NEVER };
//! let floors = FloorTable(vec![Floor { treatment: Treatment::Keep, policy: None }; schema.sites().len()]);
//! let decision = decide(&schema, &floors, Some(&consent), None);
//! assert!(decision.delivers(&schema, Some(&consent), None));
//!
//! // Step 4.
//! let program = Arc::new(Program::compile(&schema, &decision));
//! let source = BindingsSource {
//!     origin: &Origin::new("gateway.example.org/twins"),
//!     recipient: "spiffe://example.org/recipient/lab",
//!     purpose: &purpose("dpv:ScientificResearch").expect("a DPV term"),
//!     subject_key: None,
//!     pseudonym_epoch: 0,
//!     view: ViewId([0; 16]),
//!     epoch: 1,
//!     suite: Suite::ChaCha20Poly1305,
//!     holders: &|_| Vec::new(),
//! };
//! let (bindings, _) = Bindings::new(&program, &source, &mut world::entropy()).expect("no key holder, so no bad key");
//! let mut view = View::new(program, bindings);
//!
//! // Steps 1, 5 and 6.
//! let frame = PatientFrame {
//!     patient_id: "p-2041".into(),
//!     identity: Some(Identity { family_name: "Feil".into(), ..Identity::default() }),
//!     vitals: Some(Vitals { heart_rate_bpm: Some(72.0), ..Vitals::default() }),
//!     note: "slept well".into(),
//!     ..PatientFrame::default()
//! };
//! let bytes = frame.encode_to_vec();
//! let mut space = Space::default();
//! let seen = view.apply(Raw::new(&bytes), &mut space)?;
//! assert_eq!((bytes.len(), seen.bytes().len()), (35, 7));
//! let coarse = PatientFrame { vitals: Some(Vitals { heart_rate_bpm: Some(70.0), ..Vitals::default() }), ..PatientFrame::default() };
//! assert_eq!(seen.bytes(), coarse.encode_to_vec());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "gateway")]
pub mod cli;
pub mod client;
#[cfg(feature = "gateway")]
pub mod config;
#[cfg(feature = "gateway")]
pub mod control;
#[cfg(feature = "gateway")]
pub mod descriptors;
#[cfg(feature = "gateway")]
pub mod gate;
#[cfg(feature = "gateway")]
pub mod hardening;
#[cfg(feature = "gateway")]
pub mod health;
#[cfg(feature = "http2")]
pub mod http2;
#[cfg(feature = "gateway")]
pub mod judge;
#[cfg(feature = "gateway")]
pub mod ledger;
#[cfg(feature = "gateway")]
pub mod log;
pub mod manual;
pub mod proto;
#[cfg(feature = "gateway")]
pub mod server;
#[cfg(feature = "gateway")]
pub mod status;
#[cfg(feature = "gateway")]
pub mod stop;
#[cfg(feature = "gateway")]
pub mod store;
#[cfg(feature = "gateway")]
pub mod telemetry;
#[cfg(feature = "gateway")]
pub mod traces;
pub mod veil;
#[cfg(feature = "gateway")]
pub mod world;
