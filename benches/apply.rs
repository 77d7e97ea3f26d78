//! One frame through one view: how much does it cost beside decoding, clearing and encoding again, and beside copying bytes?
//!
//! `cargo bench --bench apply`; baselines run in the same process, so that the ratios count, not the times.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use twinveil::veil::crypto::seal::{AeadKey, Suite, nonce};
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::transform::group::PAD_BYTES;
use twinveil::veil::view::{Raw, Space};
use twinveil::world::entropy;

mod frames;

fn apply(c: &mut Criterion) {
    let schema = frames::schema();
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
        for case in frames::CASES {
            for (suffix, suite) in case.suites {
                let (mut view, mut space) = (frames::view(&schema, case.treat, *suite), Space::default());
                group.bench_function(id(&format!("{}{suffix}", case.name)), |b| {
                    b.iter(|| black_box(view.apply(Raw::new(black_box(&frame)), &mut space).expect("well-formed").bytes().len()));
                });
            }
        }
        // What sealing can't do without: the least group, and all that is left of the frame as associated data.
        let key = AeadKey::new(Suite::Aes256Gcm, &Secret::random(&mut entropy())).expect("a key");
        let mut strip = frames::view(&schema, frames::CASES[0].treat, Suite::Aes256Gcm);
        let stripped = strip.apply(Raw::new(&frame), &mut Space::default()).expect("well-formed").bytes().to_vec();
        let (salt, mut plain, mut ctr) = (Secret::random(&mut entropy()), [0; PAD_BYTES], 0u64);
        group.bench_function(id("aead-aes-gcm"), |b| {
            b.iter(|| {
                ctr += 1;
                black_box(key.seal(&nonce(&salt, ctr), black_box(&stripped), &mut plain).expect("short enough"))
            });
        });
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
