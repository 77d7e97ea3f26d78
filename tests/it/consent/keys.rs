//! Sealed fields: opened by who holds a key, and by nobody else.

use prost::Message;
use tonic::Code;
use twinveil::client::announce::AnnounceError;
use twinveil::client::dsse;
use twinveil::client::subscriber::{Event, Received, Subscriber, SubscriberError};
use twinveil::client::wallet::Wallet;
use twinveil::proto::sample::PatientFrame;
use twinveil::proto::v1::keys_client::KeysClient;
use twinveil::proto::v1::subscribe_response::Kind;
use twinveil::proto::v1::{AnnouncedRequest, EpochKey, SubscribeResponse};
use twinveil::veil::consent::document::RecipientDocument;
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::wrap::OpenKey;
use twinveil::veil::name::{Did, Origin, SealKey, UnixMs};
use twinveil::veil::schema::{ANNOUNCEMENT_FIELD, SEALED_FIELD};
use twinveil::veil::transform::fragment::split;
use twinveil::veil::transform::group::OpenError;

use super::{CARE, frame, in_ms};
use crate::harness::{Ask, Given, PATIENT, Sub, World, permit_all, sealed_for_recipient, soon};

const RESEARCH: &str = "dpv:ScientificResearch";
const LAB: [u8; 32] = [71; 32];
const VAULT: [u8; 32] = [72; 32];
const STRANGER: [u8; 32] = [73; 32];

fn key(seed: [u8; 32]) -> OpenKey {
    OpenKey::from_seed(&Secret::take(&mut { seed })).unwrap()
}

fn wallet(signs: u8, opens: [u8; 32]) -> Wallet {
    Wallet::from_seeds(Secret::take(&mut [signs; 32]), Secret::take(&mut { opens })).unwrap()
}

/// Ada, whose notes are sealed for the clinician's key; researchers get them sealed to her vault alone.
async fn with_ada() -> (World, Wallet) {
    let world = World::start().await;
    let ada = wallet(1, VAULT);
    world.enrol("hospital", "ada", &ada).await;
    let sealed = permit_all().into_iter().chain([sealed_for_recipient("note")]).collect();
    world.grant(&ada, &Given::to(&world, &["clinician"], CARE).rules(sealed).key(key(LAB).seal_key())).await;
    world.grant(&ada, &Given::to(&world, &["researcher"], RESEARCH).key(key(LAB).seal_key())).await;
    (world, ada)
}

fn note(bytes: &[u8]) -> String {
    PatientFrame::decode(bytes).expect("stock stubs parse it").note
}

/// Reads what somebody else received, with other keys.
fn again(messages: &[SubscribeResponse], header: &Sub, keys: Vec<OpenKey>) -> Result<Vec<Received>, SubscriberError> {
    let mut reader = Subscriber::new(keys, None);
    reader.take(SubscribeResponse { kind: Some(Kind::Header(header.header.clone())) })?;
    let mut frames = Vec::new();
    for message in messages {
        for event in reader.take(message.clone())? {
            if let Event::Frame(frame) = event {
                frames.push(frame);
            }
        }
    }
    Ok(frames)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_field_is_opened_by_its_key_holders_and_by_nobody_else() {
    let (world, _) = with_ada().await;
    let mut holder = world.subscribe("clinician", Ask::of(PATIENT, CARE).opening(STRANGER).opening(LAB)).await.keeping();
    let mut keyless = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    let mut researcher = world.subscribe("researcher", Ask::of(PATIENT, RESEARCH).opening(LAB)).await.keeping();
    let frames: Vec<_> =
        (1..=10).map(|n| PatientFrame { note: if n % 3 == 0 { String::new() } else { format!("note {n}") }, ..frame("ada", n) }).collect();
    world.publish("hospital", PATIENT, &frames).await;
    for sent in &frames {
        let opened = holder.frame().await;
        assert_eq!((opened.groups, opened.opened, note(&opened.message)), (1, 1, sent.note.clone()));
        assert_eq!(note(&opened.clear), "");
        let closed = keyless.frame().await;
        assert_eq!((closed.groups, closed.opened, note(&closed.message)), (1, 0, String::new()));
        assert_eq!(PatientFrame::decode(&closed.message[..]).unwrap().sequence, sent.sequence, "the rest is there");
        // The policy seals notes for researchers; without the person's word for a key, the lab's key opens nothing.
        let vault_only = researcher.frame().await;
        assert_eq!((vault_only.groups, vault_only.opened), (1, 0));
    }
    // The person opens both, from what the recipients hand over.
    for sub in [&holder, &researcher] {
        let kept = sub.kept.clone().unwrap();
        let notes: Vec<_> = again(&kept, sub, vec![key(VAULT)]).unwrap().iter().map(|frame| note(&frame.message)).collect();
        assert_eq!(notes, frames.iter().map(|frame| frame.note.clone()).collect::<Vec<_>>());
        assert!(again(&kept, sub, vec![key(STRANGER)]).unwrap().iter().all(|frame| frame.opened == 0));
    }
    // An empty note is sealed like any other: whether there is one is not to be seen.
    let sealed = |wanted: usize| {
        let kept = holder.kept.iter().flatten();
        let frames: Vec<_> =
            kept.filter_map(|m| if let Some(Kind::Batch(b)) = &m.kind { Some(b.frames.clone()) } else { None }).flatten().collect();
        frames[wanted].message.len()
    };
    assert_eq!(sealed(1), sealed(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announcements_and_groups_that_were_changed_on_the_way_are_not_believed() {
    let (world, _) = with_ada().await;
    let mut holder = world.subscribe("clinician", Ask::of(PATIENT, CARE).opening(LAB)).await.keeping();
    world.publish("hospital", PATIENT, &[frame("ada", 1), frame("ada", 2)]).await;
    holder.frames(2).await;
    let kept = holder.kept.clone().unwrap();
    let read = |change: &dyn Fn(&mut Kind)| {
        let changed: Vec<_> = kept
            .iter()
            .cloned()
            .map(|mut message| {
                change(message.kind.as_mut().unwrap());
                message
            })
            .collect();
        again(&changed, &holder, vec![key(LAB)]).map(|frames| frames.len())
    };
    assert_eq!(read(&|_| ()), Ok(2));
    let view = |change: fn(&mut twinveil::proto::intoto::Envelope)| {
        read(&|kind| {
            if let Kind::View(view) = kind {
                change(&mut view.keys[0]);
            }
        })
    };
    let bad = |error| Err(SubscriberError::Announcement(error));
    assert_eq!(view(|envelope| envelope.signatures.clear()), bad(AnnounceError::BadSignature));
    assert_eq!(view(|envelope| envelope.payload = [&envelope.payload[..], &[0x18, 9]].concat().into()), bad(AnnounceError::BadSignature));
    assert_eq!(view(|envelope| envelope.payload_type = "text/plain".into()), bad(AnnounceError::Malformed));
    let frames = |change: fn(&mut Vec<twinveil::proto::v1::Frame>)| {
        read(&|kind| {
            if let Kind::Batch(batch) = kind {
                change(&mut batch.frames);
            }
        })
    };
    let group = |error| Err(SubscriberError::Group(error));
    let bend = |frames: &mut Vec<twinveil::proto::v1::Frame>| {
        let mut bytes = frames[0].message.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        frames[0].message = bytes.into();
    };
    assert_eq!(frames(bend), group(OpenError::Forged));
    assert_eq!(frames(|frames| frames[0].message = [&[0x18, 0x63][..], &frames[0].message].concat().into()), group(OpenError::Forged));
    assert_eq!(frames(|frames| frames[1] = frames[0].clone()), group(OpenError::Replayed));
    let strip = |frames: &mut Vec<twinveil::proto::v1::Frame>| {
        let (clear, _) = split(&frames[0].message, SEALED_FIELD, ANNOUNCEMENT_FIELD).unwrap();
        frames[0].message = clear.into();
    };
    assert_eq!(frames(strip), Err(SubscriberError::GroupMissing));
    let missing = frames(|frames| drop(frames.remove(0)));
    assert!(missing.is_ok(), "what is missing at the end of a batch shows in the next number: {missing:?}");
    // Another gateway's key than the one that is expected.
    let mut pinned = Subscriber::new(Vec::new(), Some(Did([7; 32])));
    let header = SubscribeResponse { kind: Some(Kind::Header(holder.header.clone())) };
    assert_eq!(pinned.take(header).map(|events| events.len()), Err(SubscriberError::OtherGateway));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announcement_that_was_missed_is_told_again_to_its_recipient_and_to_no_other() {
    let (world, ada) = with_ada().await;
    let mut holder = world.subscribe("clinician", Ask::of(PATIENT, CARE).opening(LAB)).await;
    world.publish("hospital", PATIENT, &[frame("ada", 1)]).await;
    holder.frame().await;
    let announced = holder.views[0].keys.clone();
    let epoch = EpochKey::decode(announced[0].payload.clone()).unwrap();
    let ask = AnnouncedRequest { view_id: epoch.view_id.clone(), epoch: epoch.epoch };
    let call = async |party: &str, ask: AnnouncedRequest| {
        let mut keys = KeysClient::new(world.channel(party).await);
        soon("an answer about keys", keys.announced(ask)).await.map(|answer| answer.into_inner().keys)
    };
    assert_eq!(call("clinician", ask.clone()).await.expect("its own"), announced);
    let denied = async |party: &str, ask: AnnouncedRequest| {
        let status = call(party, ask).await.expect_err("not announced to them");
        (status.code(), status.message().split(':').next().unwrap().to_owned())
    };
    let unknown = (Code::NotFound, "TV-G18".to_owned());
    assert_eq!(denied("researcher", ask.clone()).await, unknown);
    assert_eq!(denied("clinician", AnnouncedRequest { epoch: epoch.epoch + 1, ..ask.clone() }).await, unknown);
    assert_eq!(denied("clinician", AnnouncedRequest { view_id: vec![0; 16].into(), ..ask.clone() }).await, unknown);
    assert_eq!(denied("clinician", AnnouncedRequest { view_id: vec![0; 3].into(), ..ask.clone() }).await.0, Code::InvalidArgument);
    // A change of what is sealed, and to whom, is another epoch: an old key opens nothing new.
    let rules = permit_all().into_iter().chain([sealed_for_recipient("note"), sealed_for_recipient("identity")]).collect();
    world.grant(&ada, &Given::to(&world, &["clinician"], CARE).rules(rules).key(key(STRANGER).seal_key())).await;
    let view = holder.view().await;
    assert_eq!(EpochKey::decode(view.keys[0].payload.clone()).unwrap().epoch, epoch.epoch + 1);
    world.publish("hospital", PATIENT, &[frame("ada", 2)]).await;
    let received = holder.frame().await;
    // The national id has a floor in the schema: whole, it is for the vault alone, in a group of its own.
    assert_eq!((received.groups, received.opened), (2, 0), "the newest record names another key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_serves_for_an_hour_and_the_next_frame_comes_under_another() {
    const HOUR_MS: i64 = 3_600_000;
    let (world, ada) = (World::start().await, wallet(1, VAULT));
    world.enrol("hospital", "ada", &ada).await;
    let sealed = permit_all().into_iter().chain([sealed_for_recipient("note")]).collect();
    let given = Given::to(&world, &["clinician"], CARE).rules(sealed).key(key(LAB).seal_key());
    world.grant(&ada, &given.until(in_ms(&world, 5 * HOUR_MS))).await;
    let mut holder = world.subscribe("clinician", Ask::of(PATIENT, CARE).opening(LAB)).await;
    world.publish("hospital", PATIENT, &[frame("ada", 1)]).await;
    holder.frame().await;
    let of = |view: &twinveil::proto::v1::View| EpochKey::decode(view.keys[0].payload.clone()).unwrap();
    let first = of(&holder.views[0]);
    world.clock.shift(HOUR_MS / 2);
    world.publish("hospital", PATIENT, &[frame("ada", 2)]).await;
    holder.frame().await;
    assert_eq!(holder.views.len(), 1, "half an hour is no hour");
    world.clock.shift(HOUR_MS / 2);
    world.publish("hospital", PATIENT, &[frame("ada", 3)]).await;
    let received = holder.frame().await;
    assert_eq!((received.opened, note(&received.message)), (1, "note 3".into()));
    let second = of(holder.views.last().expect("announced before it"));
    assert_eq!((holder.views.len(), second.epoch, &second.view_id), (2, first.epoch + 1, &first.view_id));
    assert_ne!((second.commit, second.wraps), (first.commit, first.wraps));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_known_by_a_did_key_brings_a_statement_that_holds() {
    let world = World::start().await;
    let (ada, lab) = (world.patient("ada").await, wallet(9, LAB));
    let to_lab = vec![RecipientDocument { did: Some(lab.did().to_string()), ..RecipientDocument::default() }];
    let sealed = permit_all().into_iter().chain([sealed_for_recipient("note")]).collect();
    world.grant(&ada, &Given::to(&world, &[], CARE).recipients(to_lab).rules(sealed)).await;
    let (clinician, later) = (world.spiffe("clinician"), in_ms(&world, 60_000));
    let statement = lab.recipient_key(&clinician, &world.origin(), later).unwrap();
    let ask = || Ask::of(PATIENT, CARE).opening(LAB);
    let mut stated = world.subscribe("clinician", ask().stating(dsse::to_proto(&statement))).await;
    let mut silent = world.subscribe("clinician", ask()).await;
    let other = wallet(10, STRANGER).recipient_key(&clinician, &world.origin(), later).unwrap();
    let mut somebody_else = world.subscribe("clinician", ask().stating(dsse::to_proto(&other))).await;
    world.publish("hospital", PATIENT, &[frame("ada", 1)]).await;
    let received = stated.frame().await;
    assert_eq!((received.opened, note(&received.message)), (1, "note 1".into()));
    for sub in [&mut silent, &mut somebody_else] {
        assert!(sub.is_quiet(std::time::Duration::from_millis(30)).await);
    }
    // Asked about the workload alone nothing flows; asked about the one that speaks for the lab, it does.
    assert!(!world.explain(&ada, "clinician", CARE, PATIENT).await.delivers);
    assert!(world.explain_holder(&ada, "clinician", Some(lab.did()), CARE, PATIENT).await.delivers);
    let channel = world.channel("clinician").await;
    let mut forged = statement.clone();
    forged.payload =
        String::from_utf8(forged.payload).unwrap().replace(&lab.vault_key().to_string(), &key(STRANGER).seal_key().to_string()).into();
    for (why, statement) in [
        ("for another workload", lab.recipient_key(&world.spiffe("researcher"), &world.origin(), later).unwrap()),
        ("expired", lab.recipient_key(&clinician, &world.origin(), UnixMs(world.now().0 - 1)).unwrap()),
        ("for another gateway", lab.recipient_key(&clinician, &Origin::new("gateway.example.org/other"), later).unwrap()),
        ("forged", forged),
    ] {
        let status = Sub::open(channel.clone(), ask().stating(dsse::to_proto(&statement))).await.err().expect(why);
        assert_eq!((status.code(), &status.message()[..6]), (Code::Unauthenticated, "TV-G09"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_nothing_can_be_sealed_to_is_nobody_elses_trouble() {
    let (world, _) = with_ada().await;
    let eve = world.patient("eve").await;
    let mut clinician = world.subscribe("clinician", Ask::of(PATIENT, CARE).opening(LAB)).await;
    world.publish("hospital", PATIENT, &[frame("ada", 1)]).await;
    clinician.frame().await;
    // Of low order: whatever is sealed to it everybody opens.
    let sealed = permit_all().into_iter().chain([sealed_for_recipient("note")]).collect();
    let given = Given::to(&world, &["clinician"], CARE).rules(sealed).key(SealKey([0; 32]));
    let record = world.signed(&eve, twinveil::veil::consent::record::SignerRole::Subject, &given).await;
    let taken = world.submit(&record).await.is_ok();
    world.publish("hospital", PATIENT, &[frame("eve", 1), frame("ada", 2)]).await;
    let received = clinician.message::<PatientFrame>().await;
    assert_eq!((received.sequence, received.note.as_str()), (2, "note 2"), "eve withholds her own frames alone (taken: {taken})");
}
