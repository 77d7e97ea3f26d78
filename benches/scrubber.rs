//! How much does one message of the benchmark that Envoy publishes for its scrubber cost us?
//!
//! `cargo bench --bench scrubber`. The message has that benchmark's shape and sizes (N entries in each of six maps and two lists), and
//! its ten rules: values of maps, fields below them, list elements, a oneof. Envoy's figures are those of its own machine: what is like
//! for like is the ratio to decoding and encoding, which it publishes beside them.

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prost::{Message, Oneof};
use twinveil::veil::crypto::seal::Suite;
use twinveil::veil::schema::{Schema, load};
use twinveil::veil::terms::Treatment;
use twinveil::veil::view::{Raw, Space};

#[allow(dead_code, reason = "shared with other benches")]
mod frames;

const PROTO: &str = r#"
syntax = "proto3";
package bench;
message Below { string deep_secret = 1; string deep_public = 2; }
message Entry { string secret = 1; string public_field = 2; string other_info = 3; Below internal_details = 4; }
message Scrubbed {
  map<string, string> tags = 1;
  map<string, int32> int_map = 2;
  map<string, int32> safe_int_map = 3;
  map<string, Entry> deep_map = 4;
  map<string, Entry> object_map = 5;
  map<string, Entry> full_scrub_map = 6;
  repeated string repeated_secrets = 7;
  repeated Entry repeated_messages = 8;
  oneof single_choice { string choice_a_string = 10; int32 choice_b_int = 11; }
}
"#;

/// The rules: what is removed wherever it is.
const REMOVED: [&str; 10] = [
    "tags.value",
    "deep_map.value.secret",
    "int_map.value",
    "object_map.value.secret",
    "full_scrub_map.value",
    "deep_map.value.internal_details.deep_secret",
    "repeated_secrets",
    "repeated_messages.secret",
    "choice_a_string",
    "choice_b_int",
];

#[derive(Clone, PartialEq, Message)]
struct Below {
    #[prost(string, tag = "1")]
    deep_secret: String,
    #[prost(string, tag = "2")]
    deep_public: String,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    secret: String,
    #[prost(string, tag = "2")]
    public_field: String,
    #[prost(string, tag = "3")]
    other_info: String,
    #[prost(message, optional, tag = "4")]
    internal_details: Option<Below>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Choice {
    #[prost(string, tag = "10")]
    A(String),
    #[prost(int32, tag = "11")]
    B(i32),
}

#[derive(Clone, PartialEq, Message)]
struct Scrubbed {
    #[prost(map = "string, string", tag = "1")]
    tags: HashMap<String, String>,
    #[prost(map = "string, int32", tag = "2")]
    int_map: HashMap<String, i32>,
    #[prost(map = "string, int32", tag = "3")]
    safe_int_map: HashMap<String, i32>,
    #[prost(map = "string, message", tag = "4")]
    deep_map: HashMap<String, Entry>,
    #[prost(map = "string, message", tag = "5")]
    object_map: HashMap<String, Entry>,
    #[prost(map = "string, message", tag = "6")]
    full_scrub_map: HashMap<String, Entry>,
    #[prost(string, repeated, tag = "7")]
    repeated_secrets: Vec<String>,
    #[prost(message, repeated, tag = "8")]
    repeated_messages: Vec<Entry>,
    #[prost(oneof = "Choice", tags = "10, 11")]
    single_choice: Option<Choice>,
}

fn message(entries: usize) -> Scrubbed {
    let entry = |secret: &str, public: &str| Entry { secret: secret.into(), public_field: public.into(), ..Entry::default() };
    let below = Below { deep_secret: "core".into(), ..Below::default() };
    let deep = Entry { other_info: "misc".into(), internal_details: Some(below), ..entry("super_secret", "public_data") };
    let keys = || (0..entries).map(|i| (format!("k_{i}"), i as i32));
    Scrubbed {
        tags: keys().map(|(key, _)| (key, "sensitive_value".into())).collect(),
        int_map: keys().map(|(key, i)| (key, i * 100)).collect(),
        safe_int_map: keys().collect(),
        deep_map: keys().map(|(key, _)| (key, deep.clone())).collect(),
        object_map: keys().map(|(key, _)| (key, entry("val", "val"))).collect(),
        full_scrub_map: keys().map(|(key, _)| (key, entry("val", ""))).collect(),
        repeated_secrets: vec!["sensitive_list_item".into(); entries],
        repeated_messages: vec![entry("hush", "loud"); entries],
        single_choice: Some(if entries.is_multiple_of(2) { Choice::A("selected_string".into()) } else { Choice::B(999) }),
    }
}

struct Only;

impl protox::file::FileResolver for Only {
    fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
        if name == "scrubbed.proto" { protox::file::File::from_source(name, PROTO) } else { Err(protox::Error::file_not_found(name)) }
    }
}

fn schema() -> Schema {
    let mut compiler = protox::Compiler::with_file_resolver(Only);
    compiler.open_file("scrubbed.proto").expect("compiles");
    let facts = |fields: &[&str]| -> String {
        fields.iter().map(|field| format!("'{field}' = {{ sensitivity = \"personal\", category = \"health\" }}\n")).collect()
    };
    let maps = ["tags", "int_map", "safe_int_map", "deep_map", "object_map", "full_scrub_map"];
    let keys: Vec<_> = maps.iter().map(|map| format!("{map}.key")).collect();
    let mut fields: Vec<&str> = keys.iter().map(String::as_str).collect();
    fields.extend(["tags.value", "int_map.value", "safe_int_map.value", "repeated_secrets", "choice_a_string", "choice_b_int"]);
    let side = format!(
        "[\"bench.Scrubbed\"]\n{}[\"bench.Entry\"]\n{}[\"bench.Below\"]\n{}",
        facts(&fields),
        facts(&["secret", "public_field", "other_info"]),
        facts(&["deep_secret", "deep_public"]),
    );
    load(&compiler.encode_file_descriptor_set(), "bench.Scrubbed", Some(&side)).expect("loads")
}

fn keep(_path: &str) -> Treatment {
    Treatment::Keep
}

fn scrub(path: &str) -> Treatment {
    let under = |rule: &str| path == rule || path.strip_prefix(rule).is_some_and(|rest| rest.starts_with('.'));
    if REMOVED.iter().any(|rule| under(rule)) { Treatment::Strip } else { Treatment::Keep }
}

/// What should come out.
fn scrubbed(mut message: Scrubbed) -> Scrubbed {
    message.tags.values_mut().for_each(String::clear);
    message.int_map.values_mut().for_each(|value| *value = 0);
    for entry in message.deep_map.values_mut().chain(message.object_map.values_mut()).chain(&mut message.repeated_messages) {
        entry.secret.clear();
        // Nothing of it is left.
        entry.internal_details = None;
    }
    message.full_scrub_map.values_mut().for_each(|entry| *entry = Entry::default());
    message.repeated_secrets.clear();
    message.single_choice = None;
    message
}

fn scrubber(c: &mut Criterion) {
    let schema = schema();
    for entries in [10, 100, 1_000] {
        let message = message(entries);
        let frame = message.encode_to_vec();
        let mut group = c.benchmark_group("scrubber");
        group.throughput(Throughput::Bytes(frame.len() as u64));
        for (name, treat, wanted) in
            [("passthrough", keep as fn(&str) -> Treatment, message.clone()), ("scrub", scrub, scrubbed(message.clone()))]
        {
            let (mut view, mut space) = (frames::view(&schema, treat, Suite::Aes256Gcm), Space::default());
            let got = view.apply(Raw::new(&frame), &mut space).expect("well-formed");
            assert_eq!(Scrubbed::decode(got.bytes()).expect("well-formed"), wanted, "{name}");
            group.bench_function(BenchmarkId::new(name, entries), |b| {
                b.iter(|| black_box(view.apply(Raw::new(black_box(&frame)), &mut space).expect("well-formed").bytes().len()));
            });
        }
        let mut out = Vec::with_capacity(frame.len());
        group.bench_function(BenchmarkId::new("decode and encode", entries), |b| {
            b.iter(|| {
                let message = Scrubbed::decode(black_box(&frame[..])).expect("well-formed");
                out.clear();
                message.encode(&mut out).expect("room");
                black_box(out.len())
            });
        });
        group.finish();
    }
}

criterion_group!(benches, scrubber);
criterion_main!(benches);
