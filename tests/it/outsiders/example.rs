//! The subscriber that service developers copy, against a running gateway.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use twinveil::client::wallet::Wallet;
use twinveil::proto::sample::{PatientFrame, Vitals};
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::sign::SignKey;
use twinveil::veil::crypto::wrap::OpenKey;

use super::{python, stubs};
use crate::harness::{Folder, Given, PATIENT, World, eventually, permit_all, sealed_for_recipient};
use crate::manual::{read, root};

const CARE: &str = "dpv:ServiceProvision";
const LAB: [u8; 32] = [91; 32];

fn frame(sequence: u64) -> PatientFrame {
    let note = if sequence.is_multiple_of(4) { String::new() } else { format!("note {sequence} {}", "long ".repeat(sequence as usize)) };
    let vitals = Vitals { heart_rate_bpm: Some(73.0), temperature_c: Some(36.5), ..Vitals::default() };
    PatientFrame { patient_id: "ada".into(), sequence, note, vitals: Some(vitals), ..PatientFrame::default() }
}

/// The example as its head says how to run it.
struct Running(Child);

impl Running {
    fn start(world: &World, stubs: &Folder, gateway_key: &str, key: bool) -> Self {
        let mut example: Command = python("the subscriber in Python").expect("asked for before");
        let path = std::env::join_paths([stubs.join("stubs"), root().join("examples")]).unwrap();
        example.env("PYTHONPATH", path).arg(root().join("examples/subscriber.py"));
        example.args(["--gateway", &format!("localhost:{}", world.gate.port()), "--party", "clinician", "--purpose", CARE]);
        example.args(["--gateway-key", gateway_key, "--certs"]).arg(world.folder.join("certs"));
        if key {
            let file = stubs.join("lab.json");
            let _left_over = std::fs::remove_file(&file);
            Wallet::from_seeds(Secret::take(&mut [92; 32]), Secret::take(&mut { LAB })).unwrap().save(&file).unwrap();
            example.arg("--open").arg(file);
        }
        Self(example.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn lines(&mut self, count: usize) -> Vec<Value> {
        tokio::task::block_in_place(|| {
            let lines = BufReader::new(self.0.stdout.as_mut().unwrap()).lines().take(count);
            lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
        })
    }

    /// Its end: whether it was a good one, and its last words.
    fn end(mut self) -> (bool, String) {
        tokio::task::block_in_place(|| {
            let mut said = String::new();
            self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            (self.0.wait().unwrap().success(), said)
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _already_gone = self.0.kill();
        let _already_waited = self.0.wait();
    }
}

async fn streams_open(world: &World, count: u64) {
    eventually("the subscriber to subscribe", async || (world.metric("twinveil_streams_opened_total").await >= count).then_some(())).await;
}

fn said(line: &Value) -> (u64, &str, f64) {
    let number = line["sequence"].as_str().unwrap().parse().unwrap();
    (number, line["note"].as_str().unwrap_or_default(), line["vitals"]["heart_rate_bpm"].as_f64().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_in_python_opens_live_frames_and_nothing_that_it_has_no_key_for() {
    let Some(stubs) = stubs("the subscriber in Python") else { return };
    for suite in ["CHACHA20_POLY1305", "AES_256_GCM_SHA512_128"] {
        let world = World::with(&format!("[seal]\nsuite = \"{suite}\"")).await;
        let gateway = SignKey::from_seed(&world.key("sign")).did().to_string();
        let ada = world.patient("ada").await;
        let lab = OpenKey::from_seed(&Secret::take(&mut { LAB })).unwrap().seal_key();
        let rules = |also: &str| permit_all().into_iter().chain([sealed_for_recipient("note"), sealed_for_recipient(also)]).collect();
        world.grant(&ada, &Given::to(&world, &["clinician"], CARE).rules(rules("note")).key(lab)).await;
        let mut holder = Running::start(&world, &stubs, &gateway, true);
        let mut keyless = Running::start(&world, &stubs, &gateway, false);
        let stranger = Running::start(&world, &stubs, &SignKey::from_seed(&Secret::take(&mut [7; 32])).did().to_string(), true);
        streams_open(&world, 3).await;
        let frames: Vec<_> = (1..=20).map(frame).collect();
        world.publish("hospital", PATIENT, &frames).await;
        for (sent, opened) in frames.iter().zip(holder.lines(20)) {
            assert_eq!(said(&opened), (sent.sequence, sent.note.as_str(), 73.0));
        }
        for (sent, closed) in frames.iter().zip(keyless.lines(20)) {
            assert_eq!(said(&closed), (sent.sequence, "", 73.0), "the rest parses with stock stubs");
        }
        // More is sealed: the view changes, with new keys, while the stream is open.
        world.grant(&ada, &Given::to(&world, &["clinician"], CARE).rules(rules("vitals.temperature_c")).key(lab)).await;
        world.publish("hospital", PATIENT, &[frame(21)]).await;
        let [opened] = &holder.lines(1)[..] else { panic!("no line") };
        assert_eq!((said(opened).1, opened["vitals"]["temperature_c"].as_f64()), (frame(21).note.as_str(), Some(36.5)));
        let [closed] = &keyless.lines(1)[..] else { panic!("no line") };
        assert_eq!((said(closed).1, &closed["vitals"]["temperature_c"]), ("", &Value::Null));
        let (well, last_words) = stranger.end();
        assert!(!well && last_words.contains("another key than the pinned one"), "{last_words}");
        world.withdraw_all(&ada).await;
        world.stop().await;
        let (well, last_words) = holder.end();
        assert!(well && last_words.contains("TV-G06"), "{last_words}");
    }
}

#[test]
fn the_example_is_short_and_is_where_the_manual_says() {
    assert!(read("examples/subscriber.py").lines().count() < 80);
    assert!(read("README.md").contains("examples/subscriber.py") && read("src/manual/subscriber.md").contains("examples/subscriber.py"));
}
