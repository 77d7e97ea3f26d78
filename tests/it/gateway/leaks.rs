//! Nothing leaks sideways: not into the log, not into metrics, not into the store; and recipients who put together all that they
//! received have nothing to join a person by.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use prost::Message;
use twinveil::client::dsse;
use twinveil::proto::sample::{Activity, Identity, PatientFrame, Position, Vitals, Waveform};
use twinveil::proto::v1::subscribe_response::Kind;
use twinveil::proto::v1::{EpochKey, SubmitRequest};
use twinveil::veil::consent::envelope::Envelope;
use twinveil::veil::schema::{ANNOUNCEMENT_FIELD, SEALED_FIELD};
use twinveil::veil::transform::fragment::split;

use super::{CARE, RESEARCH, START_MS};
use crate::harness::{Ask, Given, PATIENT, Source, Sub, World, permit, permit_all, sealed_for_recipient};

/// In every text that a source or person wrote.
const CANARY: &str = "canary-b7f1";
/// In numbers: no port, count or time of a test looks like it.
const CANARY_NUMBER: u64 = 7_310_952_846_113;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Everything that the gateway says, at its loudest, with the filter that keeps libraries quiet.
fn captured() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = Log::default();
        let writer = log.clone();
        let filter = tracing_subscriber::EnvFilter::builder().parse_lossy("warn,twinveil=trace");
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(move || writer.clone()).init();
        log
    })
}

fn full_of_canaries(sequence: u64) -> PatientFrame {
    let text = |what: &str| format!("{what}-{CANARY}");
    PatientFrame {
        patient_id: text("id"),
        device_id: text("device"),
        sequence: CANARY_NUMBER + sequence,
        captured_at_ms: START_MS,
        identity: Some(Identity {
            given_name: text("given"),
            family_name: text("family"),
            birth_date: text("born"),
            national_id: text("national"),
            passport: text("passport"),
            address: text("address"),
            city: text("city"),
            postcode: text("postcode"),
            sex: text("sex"),
        }),
        position: Some(Position { latitude: 48.220_731_095, longitude: 16.350_731_095, altitude_m: 207.3, speed_m_s: 1.2 }),
        vitals: Some(Vitals { heart_rate_bpm: Some(73.109_52), rr_ms: vec![821, 833], ..Vitals::default() }),
        waveforms: vec![Waveform { channel: text("channel"), rate_hz: 250.0, samples: vec![0.125; 8] }],
        note: text("note"),
        labels: HashMap::from([("ward".into(), text("ward")), ("diagnosis".into(), text("diagnosis")), (text("key"), text("value"))]),
        activity: Some(Activity { steps: Some(7_310_952), ..Activity::default() }),
        ..PatientFrame::default()
    }
}

/// Whether the bytes hold a canary, plain or in one of the encodings that records and logs use.
fn found_in(bytes: &[u8]) -> Option<String> {
    let spellings = [
        CANARY.to_owned(),
        CANARY_NUMBER.to_string().chars().take(10).collect(),
        "7310952".into(),
        "731095".into(),
        "73.1095".into(),
        data_encoding::HEXLOWER.encode(CANARY.as_bytes()),
        // Wherever in a base64 text it begins, one of these is in it.
        data_encoding::BASE64_NOPAD.encode(CANARY.as_bytes())[..12].into(),
        data_encoding::BASE64_NOPAD.encode(&CANARY.as_bytes()[1..])[..12].into(),
        data_encoding::BASE64_NOPAD.encode(&CANARY.as_bytes()[2..])[..12].into(),
        format!("{:?}", CANARY.as_bytes()).trim_matches(['[', ']']).to_owned(),
    ];
    spellings.into_iter().find(|spelling| bytes.windows(spelling.len()).any(|window| window == spelling.as_bytes()))
}

fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_of_a_frame_and_no_name_gets_into_log_store_or_metrics() {
    let log = captured();
    let world = World::start().await;
    let person = world.patient(&format!("id-{CANARY}")).await;
    world.grant(&person, &Given::to(&world, &["clinician", "researcher"], CARE).purposes(&[CARE, RESEARCH])).await;
    let mut clinician = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let mut researcher = world.subscribe("researcher", Ask::of(PATIENT, RESEARCH)).await;
    let mut source = world.source("hospital", PATIENT).await;
    source.send(&(0..20).map(full_of_canaries).collect::<Vec<_>>()).await;
    assert_eq!(clinician.messages::<PatientFrame>(20).await[0].note, format!("note-{CANARY}"), "the canaries were there");
    researcher.frames(20).await;
    // Everything that goes wrong and is told about.
    let broken = [&full_of_canaries(1).encode_to_vec()[..], &[0x0a, 0x7f]].concat();
    let broken_inside = [&full_of_canaries(1).encode_to_vec()[..], &[0x42, 0x02, 0x0d, 0x00]].concat();
    let stranger = PatientFrame { patient_id: format!("other-{CANARY}"), ..full_of_canaries(2) }.encode_to_vec();
    let ack = source.send_bytes(vec![broken, broken_inside, stranger]).await;
    assert_eq!(ack.refused.len(), 2);
    source.send(&[full_of_canaries(3)]).await;
    clinician.frame().await;
    let mut odd = Source::open(world.channel("hospital").await, &format!("hospital.{CANARY}")).await.unwrap();
    odd.ack().await.expect_err("no such schema");
    let recipient = world.channel("clinician").await;
    for (schema, purpose) in [(CANARY, CARE), (PATIENT, CANARY)] {
        assert!(Sub::open(recipient.clone(), Ask::of(schema, purpose)).await.is_err());
    }
    for payload in [format!("{{\"{CANARY}\":1}}"), CANARY.into(), format!("{{\"status\":\"{CANARY}\"}}")] {
        let signer = twinveil::veil::crypto::sign::SignKey::from_seed(&world.key("hospital"));
        let record = Envelope::sign("application/vnd.twinveil.consent+json;v=1", payload.into_bytes(), &signer);
        world.submit(&record).await.expect_err("no record");
        let half =
            Envelope::sign("application/vnd.twinveil.enrolment+json;v=1", format!("{{\"value\":\"{CANARY}\"}}").into_bytes(), &signer);
        let request = SubmitRequest { record: Some(dsse::to_proto(&half)) };
        world.consents().submit(request).await.expect_err("no enrolment");
    }
    let other = world.wallet();
    let enrolment = other.enrol(&world.spiffe("hospital"), &format!("other-{CANARY}"), &world.origin(), world.now()).unwrap();
    world.submit(&enrolment).await.expect_err("not countersigned");
    world.standing(&person).await;
    world.explain(&person, "clinician", CARE, PATIENT).await;
    world.withdraw_all(&person).await;
    let metrics = world.http("/metrics").await;
    let (folder, _) = world.stop().await;
    assert_eq!(found_in(metrics.as_bytes()), None, "metrics");
    let said = log.0.lock().unwrap().clone();
    let text = String::from_utf8_lossy(&said);
    assert!(text.contains("frames were refused") && text.contains("TV-W01") && text.contains("a record or query was refused"), "{text}");
    let lines = text.lines().filter(|line| found_in(line.as_bytes()).is_some());
    assert_eq!(lines.collect::<Vec<_>>(), Vec::<&str>::new(), "the log");
    let files = files_below(&folder.join("store"));
    assert!(!files.is_empty());
    for file in files {
        assert_eq!(found_in(&std::fs::read(&file).unwrap()), None, "{}", file.display());
    }
    assert_eq!(found_in(full_of_canaries(0).encode_to_vec().as_slice()), Some(CANARY.into()), "the search finds what is there");
}

/// Everything in a stream that could tell one subject from another, by kind.
fn identifiers(sub: &Sub) -> BTreeMap<&'static str, BTreeSet<Vec<u8>>> {
    let mut found = BTreeMap::<_, BTreeSet<Vec<u8>>>::new();
    let mut note = |kind: &'static str, value: &[u8]| {
        assert!(!value.is_empty(), "{kind}");
        found.entry(kind).or_default().insert(value.to_vec());
    };
    note("stream", &sub.header.stream_id);
    for view in &sub.views {
        note("label", view.subject.as_bytes());
        for envelope in &view.keys {
            let key = EpochKey::decode(envelope.payload.clone()).unwrap();
            note("view id", &key.view_id);
            note("commitment", &key.commit);
            key.wraps.iter().for_each(|wrap| note("wrap", wrap));
            key.wraps.iter().for_each(|wrap| note("encapsulated key", &wrap[..32]));
            envelope.signatures.iter().for_each(|signature| note("signature", &signature.sig));
        }
    }
    for message in sub.kept.iter().flatten() {
        let Some(Kind::Batch(batch)) = &message.kind else { continue };
        for frame in &batch.frames {
            let (clear, groups) = split(&frame.message, SEALED_FIELD, ANNOUNCEMENT_FIELD).unwrap();
            let typed = PatientFrame::decode(&clear[..]).unwrap();
            note("patient", typed.patient_id.as_bytes());
            if typed.device_id.len() == 26 {
                note("device", typed.device_id.as_bytes());
                note("counter", &typed.sequence.to_be_bytes());
            }
            groups.iter().for_each(|group| note("group", group));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recipients_who_pool_all_they_received_share_no_identifier() {
    let world = World::start().await;
    let person = world.patient("ada").await;
    let lab = world.wallet();
    let rules: Vec<_> = permit_all().into_iter().chain([permit("device_id", "pseudonymize"), permit("sequence", "pseudonymize")]).collect();
    // One key for all of them, even: sealing to it makes no two wraps alike.
    let given =
        Given::to(&world, &["clinician", "researcher"], CARE).purposes(&[CARE, "dpv:ImproveHealthcare", RESEARCH, "dpv:AcademicResearch"]);
    world.grant(&person, &given.rules(rules).and(sealed_for_recipient("note")).key(lab.vault_key())).await;
    let mut streams = Vec::new();
    for (party, purpose) in
        [("clinician", CARE), ("clinician", "dpv:ImproveHealthcare"), ("researcher", RESEARCH), ("researcher", "dpv:AcademicResearch")]
    {
        streams.push(world.subscribe(party, Ask::of(PATIENT, purpose)).await.keeping());
    }
    let mut again = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await.keeping();
    let frames: Vec<_> = (1..=10)
        .map(|sequence| PatientFrame {
            patient_id: "ada".into(),
            device_id: "monitor-7".into(),
            sequence,
            note: format!("note {sequence}"),
            ..PatientFrame::default()
        })
        .collect();
    world.publish("hospital", PATIENT, &frames).await;
    for sub in streams.iter_mut().chain([&mut again]) {
        sub.frames(10).await;
    }
    let seen: Vec<_> = streams.iter().map(identifiers).collect();
    for (i, one) in seen.iter().enumerate() {
        assert_eq!(one["patient"].len(), 1, "within a stream a person stays recognisable");
        for other in &seen[i + 1..] {
            let (mine, theirs): (BTreeSet<_>, BTreeSet<_>) = (one.values().flatten().collect(), other.values().flatten().collect());
            assert_eq!(mine.intersection(&theirs).collect::<Vec<_>>(), Vec::<&&Vec<u8>>::new());
        }
    }
    // For the same recipient and purpose people stay the same, streams do not.
    let (first, again) = (&seen[0], identifiers(&again));
    assert_eq!((&first["patient"], &first["label"]), (&again["patient"], &again["label"]));
    for kind in ["stream", "view id", "commitment", "wrap", "group"] {
        assert!(first[kind].is_disjoint(&again[kind]), "{kind}");
    }
}
