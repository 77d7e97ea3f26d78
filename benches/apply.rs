//! One frame through one view: how much does it cost beside decoding, clearing and encoding again, and beside copying bytes?
//!
//! `cargo bench --bench apply`; baselines run in the same process, so that the ratios count, not the times.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use twinveil::veil::crypto::seal::Suite;
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::wrap::OpenKey;
use twinveil::veil::name::{Origin, ViewId};
use twinveil::veil::policy::Decision;
use twinveil::veil::schema::Schema;
use twinveil::veil::terms::{self, Treatment};
use twinveil::veil::view::{Bindings, BindingsSource, Program, Raw, Space, View};
use twinveil::world::entropy;

mod frames;

fn view(schema: &Schema, decision: &Decision, suite: Suite) -> View {
    let program = Arc::new(Program::compile(schema, decision));
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

fn apply(c: &mut Criterion) {
    let schema = frames::schema();
    let strip = frames::decision(&schema, |path| if frames::STRIPPED.contains(&path) { Treatment::Strip } else { Treatment::Keep });
    let generalize = frames::decision(&schema, |path| match path {
        "position.latitude" | "position.longitude" => Treatment::Generalize,
        path if frames::STRIPPED.contains(&path) => Treatment::Strip,
        _ => Treatment::Keep,
    });
    let seal = frames::decision(&schema, |path| match path {
        "heart_rate_bpm" | "spo2_pct" | "note" => Treatment::Encrypt,
        path if frames::STRIPPED.contains(&path) => Treatment::Strip,
        _ => Treatment::Keep,
    });
    let pool = DescriptorPool::decode(&frames::descriptors()[..]).expect("compiled");
    let reflected = pool.get_message_by_name("bench.Vitals").expect("in the file");
    for frame in frames::sizes() {
        let mut group = c.benchmark_group("apply");
        group.throughput(Throughput::Bytes(frame.len() as u64));
        let id = |what: &str| BenchmarkId::new(what, frame.len());
        let mut copy = Vec::with_capacity(frame.len());
        group.bench_function(id("memcpy"), |b| {
            b.iter(|| {
                copy.clear();
                copy.extend_from_slice(black_box(&frame));
                black_box(copy.len())
            });
        });
        for (name, decision, suite) in [
            ("strip", &strip, Suite::Aes256Gcm),
            ("generalize", &generalize, Suite::Aes256Gcm),
            ("seal-aes-gcm", &seal, Suite::Aes256Gcm),
            ("seal-chacha20", &seal, Suite::ChaCha20Poly1305),
        ] {
            let (mut view, mut space) = (view(&schema, decision, suite), Space::default());
            group.bench_function(id(name), |b| {
                b.iter(|| black_box(view.apply(Raw::new(black_box(&frame)), &mut space).expect("well-formed").bytes().len()));
            });
        }
        let mut out = Vec::with_capacity(frame.len());
        group.bench_function(id("prost"), |b| {
            b.iter(|| {
                let mut message = frames::Vitals::decode(black_box(&frame[..])).expect("well-formed");
                message.subject_id.clear();
                message.device_id.clear();
                message.position = None;
                message.labels.clear();
                message.name.clear();
                message.note.clear();
                out.clear();
                message.encode(&mut out).expect("room");
                black_box(out.len())
            });
        });
        group.bench_function(id("prost-reflect"), |b| {
            b.iter(|| {
                let mut message = DynamicMessage::decode(reflected.clone(), black_box(&frame[..])).expect("well-formed");
                for field in ["subject_id", "device_id", "position", "labels", "name", "note"] {
                    message.clear_field_by_name(field);
                }
                out.clear();
                message.encode(&mut out).expect("room");
                black_box(out.len())
            });
        });
        group.finish();
    }
}

criterion_group!(benches, apply);
criterion_main!(benches);
