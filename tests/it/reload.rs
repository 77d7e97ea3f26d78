//! Does what an operator changes come into force on what is open, and does what is open stay open?

mod routes;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use tonic::Code;

use crate::gateway::{CARE, patient_frames};
use crate::harness::{Ask, Given, PATIENT, World, channel, eventually, pem_files, permit_all, soon, strangers_folder};
use crate::harness::{Source, Sub};
use twinveil::proto::sample::PatientFrame;

/// A rule that takes notes from everybody.
const NO_NOTES: &str = "@id(\"no-notes\") forbid (principal, action == Action::\"keep\", resource) when { resource.path == \"note\" };\n";

/// A patient who lets the clinician have everything, an open stream to her, and one from the hospital.
async fn open(world: &World) -> (Source, Sub, Vec<PatientFrame>) {
    let frames: Vec<_> = patient_frames(1, 8).into_iter().map(|frame| PatientFrame { note: "as ever".into(), ..frame }).collect();
    let person = world.patient(&frames[0].patient_id).await;
    world.grant(&person, &Given::to(world, &["clinician"], CARE).rules(permit_all())).await;
    let sub = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    (world.source("hospital", PATIENT).await, sub, frames)
}

/// What of frames is kept as it is, whatever their identifiers became.
fn plain(frames: &[PatientFrame]) -> Vec<(u64, String, bool)> {
    frames.iter().map(|frame| (frame.sequence, frame.note.clone(), frame.vitals.is_some())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_policy_is_in_force_from_the_next_frame_of_an_open_stream() {
    let world = World::start().await;
    let (mut source, mut sub, frames) = open(&world).await;
    source.send(&frames[..2]).await;
    assert_eq!(plain(&sub.messages(2).await), plain(&frames[..2]));
    world.edit("policy.cedar", |text| text + NO_NOTES);
    world.reload().await.unwrap();
    source.send(&frames[2..4]).await;
    let view = sub.view().await;
    assert_eq!((view.open, view.reason.as_str()), (true, "the operator's rules changed"));
    let stripped: Vec<_> = frames[2..4].iter().map(|frame| PatientFrame { note: String::new(), ..frame.clone() }).collect();
    assert_eq!(plain(&sub.messages(2).await), plain(&stripped));
    world.edit("policy.cedar", |text| text.replace(NO_NOTES, ""));
    world.reload().await.unwrap();
    source.send(&frames[4..]).await;
    assert_eq!(plain(&sub.messages(4).await), plain(&frames[4..]));
    assert_eq!(world.metric("twinveil_reloads_total").await, 2);
    source.finish().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_good_is_refused_whole_and_what_was_stays() {
    let world = World::start().await;
    let (mut source, mut sub, frames) = open(&world).await;
    let good = |name: &str| std::fs::read_to_string(world.folder.join(name)).unwrap();
    let (config, policy) = (good("twinveil.toml"), good("policy.cedar"));
    let strangers = strangers_folder();
    let cases: [(&str, String, &str, &str); 7] = [
        (
            "policy.cedar",
            format!("{policy}\n{NO_NOTES}\n@id(\"x\") permit (principal in Group::\"clinicl\", action, resource);"),
            "TV-P05",
            "clinical",
        ),
        ("policy.cedar", format!("{NO_NOTES} permit"), "TV-P02", "policy.cedar"),
        // Of one change that is good and one that is not, nothing is taken.
        ("twinveil.toml", config.replace("may = [\"subscribe\"]", "may = []") + "\n[limit]\n", "TV-O07", "did you mean `limits`?"),
        ("twinveil.toml", config.replace("gateway.example.org/twins", "other.example.org"), "TV-O08", "`origin` can't change"),
        (
            "twinveil.toml",
            config.replace("# listen = \"127.0.0.1:7443\"", "listen = \"127.0.0.1:7449\""),
            "TV-O08",
            "`listen` can't change",
        ),
        ("keys/sign.key", format!("{:064x}\n", 7), "TV-O08", "`keys.sign` can't change"),
        ("certs/server.key", std::fs::read_to_string(strangers.join("certs/server.key")).unwrap(), "TV-O03", "server.pem"),
    ];
    for (number, (name, text, code, says)) in cases.into_iter().enumerate() {
        let before = good(name);
        std::fs::write(world.folder.join(name), text).unwrap();
        let error = world.reload().await.expect_err(name);
        assert!(error.code() == code && error.to_string().contains(says), "{name}: {error}");
        std::fs::write(world.folder.join(name), before).unwrap();
        source.send(&frames[number..=number]).await;
        assert_eq!(plain(&[sub.message().await]), plain(&frames[number..=number]), "{name}");
        assert_eq!(world.metric("twinveil_reloads_refused_total").await, number as u64 + 1);
    }
    assert_eq!((sub.views.len(), world.metric("twinveil_reloads_total").await), (1, 0), "nobody was told of anything");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_removed_or_loses_the_right_has_open_streams_ended() {
    let world = World::start().await;
    let (mut source, mut sub, frames) = open(&world).await;
    let idle = world.channel("researcher").await;
    let mut researcher = Sub::open(idle.clone(), Ask::of(PATIENT, "dpv:ScientificResearch")).await.unwrap();
    let mut windfarm = world.source("windfarm", crate::harness::TURBINE).await;
    source.send(&frames[..1]).await;
    assert_eq!(plain(&[sub.message().await]), plain(&frames[..1]));
    world.edit("twinveil.toml", |text| {
        let text = text.replace("groups = [\"clinical\"]\nmay = [\"subscribe\"]", "groups = [\"clinical\"]\nmay = []");
        let text = text.replace("recipient/researcher", "recipient/somebody-else");
        text.replace(
            "name = \"windfarm\"\nspiffe = \"spiffe://example.org/source/windfarm\"\nmay = [\"publish\"]\nkey",
            "name = \"windfarm\"\nspiffe = \"spiffe://example.org/source/windfarm\"\nmay = [\"call\"]\nkey",
        )
    });
    world.reload().await.unwrap();
    let (frames_after, ended) = sub.rest().await;
    assert_eq!((frames_after.len(), ended.unwrap_err().code()), (0, Code::PermissionDenied));
    assert_eq!(sub.end.as_ref().map(|end| end.code.as_str()), Some("TV-G03"));
    // Nothing ever came for this one, and still it ends.
    assert_eq!(researcher.rest().await.1.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(researcher.end.as_ref().map(|end| end.code.as_str()), Some("TV-G14"));
    assert_eq!(windfarm.ack().await.unwrap_err().code(), Code::PermissionDenied);
    // Neither on the old connection nor on a new one.
    assert!(Sub::open(idle, Ask::of(PATIENT, "dpv:ScientificResearch")).await.is_err());
    let again = Sub::open(world.channel("clinician").await, Ask::of(PATIENT, CARE)).await;
    assert_eq!(again.err().map(|status| status.code()), Some(Code::PermissionDenied));
    let refused =
        async { Sub::open(channel(world.gate, &pem_files(&world.folder.0, "researcher")).await.ok()?, Ask::of(PATIENT, CARE)).await.ok() };
    assert!(refused.await.is_none());
    // Whoever may go on does.
    assert_eq!(source.send(&frames[1..2]).await.accepted, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewed_certificates_serve_new_connections_and_old_ones_stay() {
    let world = World::start().await;
    let (mut source, mut sub, frames) = open(&world).await;
    let strangers = strangers_folder();
    for name in ["server.pem", "server.key", "ca.pem"] {
        std::fs::copy(strangers.join("certs").join(name), world.folder.join("certs").join(name)).unwrap();
    }
    world.reload().await.unwrap();
    // Of the new authority: who trusts it and is known by it comes in, and nobody else.
    let files = pem_files(&strangers.0, "clinician");
    Sub::open(channel(world.gate, &files).await.unwrap(), Ask::of(PATIENT, CARE)).await.unwrap();
    let old = twinveil::gate::tls::PemFiles { peer_ca: files.peer_ca, ..pem_files(&world.folder.0, "clinician") };
    let refused = async { Sub::open(channel(world.gate, &old).await.ok()?, Ask::of(PATIENT, CARE)).await.ok() };
    assert!(refused.await.is_none());
    source.send(&frames).await;
    assert_eq!(plain(&sub.messages(frames.len()).await), plain(&frames));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_nothing_is_lost_while_it_reloads() {
    let world = World::start().await;
    let (mut source, mut sub, frames) = open(&world).await;
    // Large enough that some are half-way out whenever one looks.
    let frame = PatientFrame { note: "x".repeat(40_000), ..frames[0].clone() };
    let reloading = async {
        for round in 0..20 {
            world.edit("policy.cedar", |text| format!("{text}// {round}\n"));
            world.reload().await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let sending = async {
        for number in 0..400u64 {
            let frame = PatientFrame { sequence: number, ..frame.clone() };
            assert_eq!(source.send(&[frame]).await.accepted, number + 1);
        }
    };
    let reading = async {
        for number in 0..400u64 {
            let frame: PatientFrame = sub.message().await;
            assert_eq!((frame.sequence, frame.note.len()), (number, 40_000));
        }
    };
    tokio::join!(reloading, sending, reading);
    assert_eq!((world.metric("twinveil_reloads_total").await, world.metric("twinveil_streams_cut_off_total").await), (20, 0));
    assert_eq!(sub.views.len(), 1, "nothing changed for her, and she was told nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_a_file_is_noticed_and_a_bad_one_is_tried_once() {
    let world = World::start().await;
    let (stopper, stop) = twinveil::stop::stop();
    let watching = tokio::spawn(world.reloader().watch(world.folder.join("twinveil.toml"), stop));
    let reloads = async |name: &str, count: u64| {
        eventually(name, async || (world.metric(name).await == count).then_some(())).await;
    };
    // Once it has done what it is asked, its first look was at what was.
    Arc::clone(&world.reloader()).ask();
    reloads("twinveil_reloads_total", 1).await;
    world.edit("policy.cedar", |text| text + "permit");
    reloads("twinveil_reloads_refused_total", 1).await;
    world.edit("policy.cedar", |text| text.trim_end_matches("permit").to_owned() + NO_NOTES);
    reloads("twinveil_reloads_total", 2).await;
    Arc::clone(&world.reloader()).ask();
    reloads("twinveil_reloads_total", 3).await;
    assert_eq!(world.metric("twinveil_reloads_refused_total").await, 1);
    drop(stopper);
    soon("the watcher to end", watching).await.unwrap();
}
