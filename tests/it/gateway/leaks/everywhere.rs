//! A value in every field of both sample twins, a whole run with all that goes wrong, and a search for them in everything that comes
//! out anywhere but where it is meant to.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use prost::Message;
use tonic::Status;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use twinveil::client::dsse;
use twinveil::client::wallet::Wallet;
use twinveil::proto::v1::frames_client::FramesClient;
use twinveil::proto::v1::{SubmitRequest, SubscribeRequest, Treatment};
use twinveil::telemetry::log_filter;
use twinveil::veil::consent::envelope::Envelope;
use twinveil::veil::crypto::sign::SignKey;
use twinveil::veil::schema::load_annotated;

use super::super::{ADVERTISING, CARE, MAINTENANCE, RENDERING, RESEARCH};
use super::canaries::{CANARY, Filled, canary_in, fill};
use crate::harness::{Ask, Given, PATIENT, Source, Sub, TURBINE, World, eventually, permit, soon};

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

/// Everything that the gateway says when an operator asks for all of it, of libraries too.
fn captured() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = Log::default();
        let writer = log.clone();
        let filter = log_filter("trace,trace,h2=trace,hyper=trace,hyper_util=trace,tonic=trace,tower=trace,rustls=trace,tokio=trace");
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone()).with_filter(filter);
        tracing_subscriber::registry().with(lines).init();
        log
    })
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// What came out where nothing of a frame may be, by place.
#[derive(Default)]
struct Said(Vec<(String, Vec<u8>)>);

impl Said {
    fn note(&mut self, place: &str, bytes: impl Into<Vec<u8>>) {
        self.0.push((place.to_owned(), bytes.into()));
    }

    /// A refusal with its message, details and metadata.
    fn status<T>(&mut self, place: &str, answer: Result<T, Status>) {
        let status = answer.err().unwrap_or_else(|| panic!("{place} is refused"));
        self.note(place, format!("{status:?} {:?} {:?}", status.details(), status.metadata()));
    }
}

/// The raw bytes that a recipient received, and how each field was treated in the one view that it has.
fn received(sub: &Sub) -> (Vec<u8>, Vec<(String, Treatment)>) {
    let bytes = sub.kept.iter().flatten().flat_map(Message::encode_to_vec).collect();
    let [view] = sub.views.as_slice() else { panic!("{} views", sub.views.len()) };
    (bytes, view.fields.iter().map(|field| (field.path.clone(), field.treatment())).collect())
}

/// A recipient has every value that it may have as it is, and no other; sealed ones are not there either. How many it has.
fn has_only_what_it_may(party: &str, sub: &Sub, filled: &Filled) -> usize {
    let (bytes, fields) = received(sub);
    let mut kept = 0;
    for planted in &filled.planted {
        let treatment = fields.iter().find(|(path, _)| *path == planted.path).map(|(_, treatment)| *treatment);
        let may = treatment == Some(Treatment::Keep);
        assert_eq!(planted.is_in(&bytes), may, "{party}: `{}` under {treatment:?}", planted.path);
        kept += usize::from(may);
    }
    kept
}

fn every_site_is_planted(schema: &str, filled: &Filled) {
    let schema = load_annotated(twinveil::proto::SAMPLES, schema).unwrap();
    let sites: BTreeSet<_> = schema.sites().iter().map(|site| site.path.as_str()).filter(|path| *path != "modality").collect();
    let planted: BTreeSet<_> = filled.planted.iter().map(|planted| planted.path.as_str()).collect();
    assert_eq!(sites.difference(&planted).collect::<Vec<_>>(), Vec::<&&str>::new(), "fields without a value of their own");
}

async fn what_goes_wrong(world: &World, person: &Wallet, patient: &Filled, source: &mut Source, said: &mut Said) {
    let broken = [&patient.bytes[..], &[0x0a, 0x7f]].concat();
    let broken_inside = [&patient.bytes[..], &[0x42, 0x02, 0x0d, 0x00]].concat();
    let stranger = fill(PATIENT, &format!("other-{CANARY}")).bytes;
    let ack = source.send_bytes(vec![broken, broken_inside, stranger]).await;
    assert_eq!(ack.refused.len(), 2);
    said.note("an acknowledgement", ack.encode_to_vec());
    let mut odd = Source::open(world.channel("hospital").await, &format!("hospital.{CANARY}")).await.unwrap();
    said.status("a schema that is not there", odd.ack().await);
    let recipient = world.channel("clinician").await;
    for (schema, purpose) in [(CANARY, CARE), (PATIENT, CANARY)] {
        let ask = SubscribeRequest { schema: schema.into(), purpose: purpose.into(), ..SubscribeRequest::default() };
        let mut request = tonic::Request::new(ask);
        request.metadata_mut().insert("x-note", CANARY.parse().unwrap());
        request.metadata_mut().insert_bin("x-note-bin", tonic::metadata::MetadataValue::from_bytes(&patient.bytes));
        said.status("a subscription", soon("an answer", FramesClient::new(recipient.clone()).subscribe(request)).await);
    }
    said.status("a source that subscribes", Sub::open(world.channel("hospital").await, Ask::of(PATIENT, CARE)).await);
    // What is wrong with a record is told to whoever sent it, in its own words; the log has the code alone.
    let signer = SignKey::from_seed(&world.key("hospital"));
    for payload in [format!("{{\"{CANARY}\":1}}"), CANARY.into(), format!("{{\"status\":\"{CANARY}\"}}")] {
        let record = Envelope::sign("application/vnd.twinveil.consent+json;v=1", payload.into_bytes(), &signer);
        world.submit(&record).await.expect_err("no record");
        let half = format!("{{\"value\":\"{CANARY}\"}}").into_bytes();
        let half = Envelope::sign("application/vnd.twinveil.enrolment+json;v=1", half, &signer);
        world
            .consents()
            .submit(SubmitRequest { record: Some(dsse::to_proto(&half)), ..SubmitRequest::default() })
            .await
            .expect_err("no enrolment");
    }
    let other = world.wallet();
    let enrolment = other.enrol(&world.spiffe("hospital"), &format!("other-{CANARY}"), &world.origin(), world.now()).unwrap();
    said.status("an enrolment without a countersignature", world.submit(&enrolment).await);
    // What the control plane answers, to her and to others.
    said.note("her standing", world.standing(person).await.encode_to_vec());
    said.note("somebody's standing", world.standing(&other).await.encode_to_vec());
    said.note("an explanation", world.explain(person, "clinician", CARE, PATIENT).await.encode_to_vec());
}

async fn what_stock_tools_see(world: &World, said: &mut Said) {
    for path in ["/metrics", "/healthz", &format!("/{CANARY}")] {
        said.note(path, world.http(path).await);
    }
    let health = HealthClient::new(world.channel("portal").await).check(HealthCheckRequest::default()).await.unwrap();
    said.note("health over gRPC", health.into_inner().encode_to_vec());
    let asked = ["twinveil.v1.Consents", "twinveil.v1.Frames", "twinveil.v1.EpochKey"].map(|symbol| ServerReflectionRequest {
        message_request: Some(MessageRequest::FileContainingSymbol(symbol.into())),
        ..ServerReflectionRequest::default()
    });
    let mut reflection = ServerReflectionClient::new(world.channel("portal").await);
    let mut answers = soon("reflection", reflection.server_reflection_info(tokio_stream::iter(asked))).await.unwrap().into_inner();
    while let Some(answer) = soon("reflection", answers.message()).await.unwrap() {
        // The answer repeats the question, and nothing of a frame.
        said.note("reflection", answer.encode_to_vec());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_of_any_field_gets_anywhere_but_to_whom_it_is_kept_for() {
    let log = captured();
    let mut said = Said::default();
    let world = World::start().await;
    let (patient, turbine) = (fill(PATIENT, &format!("{CANARY}-subject")), fill(TURBINE, &format!("{CANARY}-asset")));
    every_site_is_planted(PATIENT, &patient);
    every_site_is_planted(TURBINE, &turbine);

    let parties = [("clinician", CARE), ("researcher", RESEARCH), ("renderer", RENDERING), ("advertiser", ADVERTISING)];
    let person = world.patient(&format!("{CANARY}-subject")).await;
    let given = Given::to(&world, &parties.map(|(party, _)| party), CARE).purposes(&parties.map(|(_, purpose)| purpose));
    world.grant(&person, &given).await;
    let steward = world.wallet();
    world.enrol("windfarm", &format!("{CANARY}-asset"), &steward).await;
    world.mandate(&Given::to(&world, &["vendor"], MAINTENANCE)).await;
    world.grant(&steward, &Given::to(&world, &["vendor"], MAINTENANCE).rules(vec![permit("actions", "keep")])).await;

    let mut streams = Vec::new();
    for (party, purpose) in parties {
        streams.push((party, world.subscribe(party, Ask::of(PATIENT, purpose)).await.keeping()));
    }
    let mut vendor = world.subscribe("vendor", Ask::of(TURBINE, MAINTENANCE)).await.keeping();
    let mut nobody = world.subscribe("clinician", Ask::of(TURBINE, CARE)).await.keeping();
    let mut source = world.source("hospital", PATIENT).await;
    said.note("an acknowledgement", source.send_bytes(vec![patient.bytes.clone(); 5]).await.encode_to_vec());
    let mut bridge = world.source("windfarm", TURBINE).await;
    said.note("an acknowledgement", bridge.send_bytes(vec![turbine.bytes.clone(); 5]).await.encode_to_vec());
    for (_, sub) in &mut streams {
        sub.frames(5).await;
    }
    vendor.frames(5).await;
    let kept: Vec<_> = streams.iter().map(|(party, sub)| (*party, has_only_what_it_may(party, sub, &patient))).collect();
    assert_eq!(has_only_what_it_may("vendor", &vendor, &turbine), KEPT_BY_VENDOR);
    assert_eq!(kept, KEPT, "how many fields each has as they are");
    assert!(nobody.is_quiet(std::time::Duration::from_millis(20)).await, "no policy lets clinicians see turbines");

    what_goes_wrong(&world, &person, &patient, &mut source, &mut said).await;
    world.withdraw_all(&person).await;
    said.note("the end of a source", format!("{:?}", source.finish().await));
    what_stock_tools_see(&world, &mut said).await;
    for (place, bytes) in &said.0 {
        for filled in [&patient, &turbine] {
            assert_eq!(filled.found_in(bytes), None, "{place}");
        }
        assert!(!canary_in(bytes), "{place}: {}", String::from_utf8_lossy(bytes));
    }

    let (folder, _) = world.stop().await;
    let has = async |what: &str| {
        eventually("the log", async || String::from_utf8_lossy(&log.0.lock().unwrap()).contains(what).then_some(())).await;
    };
    for what in ["frames were refused", "TV-W01", "a record or query was refused"] {
        has(what).await;
    }
    let text = log.0.lock().unwrap().clone();
    for line in text.split(|byte| *byte == b'\n') {
        let found = patient.found_in(line).or(turbine.found_in(line)).or(canary_in(line).then_some("the mark"));
        assert_eq!(found, None, "the log: {}", String::from_utf8_lossy(line));
    }
    let (stored, logged) = (files_below(&folder.join("store")), files_below(&folder.join("log")));
    assert!(!stored.is_empty() && logged.len() > 5);
    for file in stored.into_iter().chain(logged) {
        let bytes = std::fs::read(&file).unwrap();
        let found = patient.found_in(&bytes).or(turbine.found_in(&bytes)).or(canary_in(&bytes).then_some("the mark"));
        assert_eq!(found, None, "{}", file.display());
    }
    for filled in [&patient, &turbine] {
        assert!(filled.planted.iter().all(|planted| planted.is_in(&filled.bytes)), "the search finds what is there");
    }
}

/// Of the 36 fields of a patient, by recipient, counted by hand from the sample policy and the schema's floors; of the 24 of a
/// turbine, by its vendor.
const KEPT: [(&str, usize); 4] = [("clinician", 33), ("researcher", 2), ("renderer", 1), ("advertiser", 0)];
const KEPT_BY_VENDOR: usize = 13;
