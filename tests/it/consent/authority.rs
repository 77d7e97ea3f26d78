//! Those who speak for others, and those who must sign, too: over real sockets, while frames flow.

use serde_json::json;
use tonic::Code;
use twinveil::client::authority::DelegationTerms;
use twinveil::client::dsse;
use twinveil::client::wallet::{Terms, Voice, Wallet};
use twinveil::proto::sample::PatientFrame;
use twinveil::proto::v1::{
    ExplainRequest, Notice, NoticesRequest, ReceiptsRequest, RecordRequest, StandingRequest, StandingResponse, WithdrawRequest,
    WithdrawResponse,
};
use twinveil::veil::consent::agreement::QuorumDocument;
use twinveil::veil::consent::delegation::{Capacity, Right};
use twinveil::veil::consent::envelope::Envelope;
use twinveil::veil::consent::query::Asks;
use twinveil::veil::consent::record::SignerRole;
use twinveil::veil::consent::standing::Head;
use twinveil::veil::consent::withdrawal::Reach;
use twinveil::veil::name::{RecordId, SchemaName, UnixMs};
use twinveil::veil::terms::purpose;
use twinveil::world::entropy;

use super::{CARE, clinician, for_clinician, frame, in_ms};
use crate::harness::{Given, PATIENT, World, permit, permit_category, soon};

const EVERYTHING: &[Right] = &[Right::View, Right::Grant, Right::Renew, Right::Withdraw];

impl World {
    async fn head_of(&self, wallet: &Wallet) -> Head {
        let standing = self.standing(wallet).await;
        Head { seq: standing.seq, record: standing.head[..].try_into().ok().map(RecordId) }
    }

    /// A delegation with both signatures, handed in; what the delegate speaks by.
    async fn delegation(&self, subject: &Wallet, delegate: &Wallet, rights: &[Right], scope: serde_json::Value) -> Voice {
        let terms = DelegationTerms {
            delegate: delegate.did(),
            capacity: Capacity::Guardian,
            not_before: None,
            expires: in_ms(self, 7_200_000),
            rights: rights.to_vec(),
            depth: 0,
            scope: serde_json::from_value(scope).unwrap(),
            vault_key: Some(subject.vault_key()),
        };
        let own = subject.voice(SignerRole::Subject);
        let half = subject.delegate(&own, &terms, &self.origin(), self.head_of(subject).await, self.now()).unwrap();
        let both = delegate.cosign(&half, &self.origin()).unwrap();
        self.submit(&both).await.expect("both have signed");
        Voice { subject: subject.did(), role: SignerRole::Delegate(both.id()), vault_key: Some(subject.vault_key()) }
    }

    async fn signed_by(&self, wallet: &Wallet, voice: &Voice, subject: &Wallet, given: &Given) -> Envelope {
        let head = self.head_of(subject).await;
        wallet.grant_as(voice, given.terms(), &self.origin(), head, self.now(), &mut entropy()).unwrap()
    }

    async fn standing_by(&self, wallet: &Wallet, voice: &Voice) -> Result<StandingResponse, tonic::Status> {
        let query = wallet.query_as(voice, &Asks::Standing, &self.origin(), self.now()).unwrap();
        let request = StandingRequest { query: Some(dsse::to_proto(&query)) };
        soon("a standing", self.consents().standing(request)).await.map(tonic::Response::into_inner)
    }

    async fn hand_in(&self, record: &Envelope) -> Result<WithdrawResponse, tonic::Status> {
        let request = WithdrawRequest { record: Some(dsse::to_proto(record)), seen: String::new() };
        soon("an answer to an end", self.consents().withdraw(request)).await.map(tonic::Response::into_inner)
    }

    async fn notices(&self, wallet: &Wallet, voice: &Voice, past: bool) -> Result<tonic::Streaming<Notice>, tonic::Status> {
        let query = wallet.query_as(voice, &Asks::Notices, &self.origin(), self.now()).unwrap();
        let request = NoticesRequest { query: Some(dsse::to_proto(&query)), past };
        soon("notices", self.consents().notices(request)).await.map(tonic::Response::into_inner)
    }
}

async fn told(notices: &mut tonic::Streaming<Notice>, count: usize) -> Vec<(String, String)> {
    let mut told = Vec::new();
    while told.len() < count {
        let notice = soon("a notice", notices.message()).await.expect("open").expect("more");
        told.push((notice.what, notice.by));
    }
    told
}

fn any() -> serde_json::Value {
    json!({"recipients": "any", "purposes": "any", "permits": "any"})
}

fn says(refused: Result<impl std::fmt::Debug, tonic::Status>, code: Code, text: &str) {
    let status = refused.expect_err(text);
    assert_eq!((status.code(), status.message().split(':').next()), (code, Some(text)), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guardian_grants_and_the_end_of_the_delegation_closes_the_open_stream() {
    let world = World::start().await;
    let (ada, guardian) = (world.patient("ada").await, world.wallet());
    let mut stream = clinician(&world).await;
    let voice = world.delegation(&ada, &guardian, EVERYTHING, any()).await;
    let record = world.signed_by(&guardian, &voice, &ada, &for_clinician(&world)).await;
    world.submit(&record).await.expect("the guardian's grant");
    world.publish("hospital", PATIENT, &[frame("ada", 1)]).await;
    assert_eq!(stream.message::<PatientFrame>().await.sequence, 1);
    let grant = &world.standing(&ada).await.grants[0];
    assert_eq!((grant.state.as_str(), grant.delegate.clone()), ("live", guardian.did().to_string()), "the act names the delegate");
    // The reason of every field names the record, and the record names the delegate.
    let explained = world.explain(&ada, "clinician", CARE, PATIENT).await;
    assert!(explained.fields.iter().any(|field| field.reason.contains(&record.id().to_string()[..8]) && field.record == record.id().0[..]));
    let [by] = &explained.records[..] else { panic!("{:?}", explained.records) };
    assert_eq!(
        (by.role.as_str(), &by.signer, &by.authority[..]),
        ("delegate", &guardian.did().to_string(), &voice.role.authority().unwrap().0[..])
    );

    let end = guardian.end_delegations(&voice, &[voice.role.authority().unwrap()], &world.origin(), world.now()).unwrap();
    let answer = world.hand_in(&end).await.expect("either side ends it");
    assert_eq!((answer.ended, answer.streams.len(), answer.streams[0].last_handover), (1, 1, 1));
    let view = stream.view().await;
    assert_eq!((view.open, view.reason.as_str()), (false, "the subject's consent changed"));
    world.publish("hospital", PATIENT, &[frame("ada", 2)]).await;
    assert!(stream.is_quiet(std::time::Duration::from_millis(30)).await);
    let standing = world.standing(&ada).await;
    assert_eq!((standing.grants[0].state.as_str(), standing.delegations[0].state.as_str()), ("ended", "ended"));
    assert_eq!(standing.delegations[0].over_by, format!("delegate {}", guardian.did()));
    says(world.submit(&world.signed_by(&guardian, &voice, &ada, &for_clinician(&world)).await).await, Code::PermissionDenied, "TV-C22");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delegate_gets_receipts_of_what_the_scope_shows_and_the_subject_of_everything() {
    let world = World::start().await;
    let (ada, guardian, proxy, blind) = (world.patient("ada").await, world.wallet(), world.wallet(), world.wallet());
    let scope = json!({"recipients": [{"spiffe": world.spiffe("researcher").to_string()}], "purposes": "any", "permits": "any"});
    let all = world.delegation(&ada, &guardian, EVERYTHING, any()).await;
    let some = world.delegation(&ada, &proxy, &[Right::View], scope).await;
    let none = world.delegation(&ada, &blind, &[Right::Grant], any()).await;
    let delegation = |voice: &Voice| voice.role.authority().unwrap();
    let given = world.signed_by(&guardian, &all, &ada, &for_clinician(&world)).await;
    let answer = world.submit(&given).await.expect("the guardian's grant");
    assert!(answer.receipt.is_some(), "who signs for another has the receipt, too");
    let withdrawal = guardian.withdraw_as(&all, &Reach::Records(vec![given.id()]), &world.origin(), world.now()).unwrap();
    assert!(world.hand_in(&withdrawal).await.expect("in force").receipt.is_some());
    let seen = async |wallet: &Wallet, voice: &Voice| {
        let query = wallet.query_as(voice, &Asks::Receipts, &world.origin(), world.now()).unwrap();
        let request = ReceiptsRequest { query: Some(dsse::to_proto(&query)), from: 0 };
        let answer = soon("receipts", world.consents().receipts(request)).await?.into_inner();
        Ok::<_, tonic::Status>(answer.receipts.iter().map(|kept| RecordId(kept.record[..].try_into().unwrap())).collect::<Vec<_>>())
    };
    let own = seen(&ada, &ada.voice(SignerRole::Subject)).await.unwrap();
    // Of the enrolment she knows; the rest is in the order in which it was taken.
    assert_eq!(own[1..], [delegation(&all), delegation(&some), delegation(&none), given.id(), withdrawal.id()]);
    assert_eq!(seen(&guardian, &all).await.unwrap(), [delegation(&all), given.id()]);
    assert_eq!(seen(&proxy, &some).await.unwrap(), [delegation(&some)], "the grant is to another recipient");
    says(seen(&blind, &none).await, Code::PermissionDenied, "TV-C23");
    assert_eq!(seen(&guardian, &guardian.voice(SignerRole::Subject)).await.unwrap(), [], "about themselves there is nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delegate_who_may_not_or_says_too_much_is_told_so_and_nothing_acts() {
    let world = World::start().await;
    let (ada, proxy) = (world.patient("ada").await, world.wallet());
    let scope = json!({"recipients": [{"spiffe": world.spiffe("clinician").to_string()}], "purposes": [CARE],
                       "permits": [{"match": {"category": "health"}, "treatment": "generalize"}]});
    let narrow = world.delegation(&ada, &proxy, &[Right::View, Right::Grant], scope).await;
    let blind = world.delegation(&ada, &proxy, &[Right::Grant], any()).await;
    let within = for_clinician(&world).rules(vec![permit_category("health", "generalize")]);
    for (given, text) in [
        (for_clinician(&world).rules(vec![permit_category("health", "keep")]), "TV-C24"),
        (for_clinician(&world).rules(vec![permit("note", "generalize")]), "TV-C24"),
        (Given::to(&world, &["researcher"], CARE).rules(vec![permit_category("health", "generalize")]), "TV-C24"),
        (within.clone().until(in_ms(&world, 7_300_000)), "TV-C24"),
    ] {
        says(world.submit(&world.signed_by(&proxy, &narrow, &ada, &given).await).await, Code::PermissionDenied, text);
    }
    let withdrawal = proxy.withdraw_as(&narrow, &Reach::UpTo(9), &world.origin(), world.now()).unwrap();
    says(world.hand_in(&withdrawal).await, Code::PermissionDenied, "TV-C23");
    says(world.standing_by(&proxy, &blind).await, Code::PermissionDenied, "TV-C23");
    says(world.notices(&proxy, &blind, false).await, Code::PermissionDenied, "TV-C23");
    assert!(world.standing(&ada).await.grants.is_empty());
    world.submit(&world.signed_by(&proxy, &narrow, &ada, &within).await).await.expect("within the scope");

    // What lies outside of the scope is not theirs to see.
    let own = world.grant(&ada, &Given::to(&world, &["researcher"], "dpv:ScientificResearch")).await;
    let standing = world.standing_by(&proxy, &narrow).await.expect("may view");
    assert_eq!((standing.seq, standing.grants.len(), standing.delegations.len()), (4, 1, 2));
    let ask = |asks: Asks| dsse::to_proto(&proxy.query_as(&narrow, &asks, &world.origin(), world.now()).unwrap());
    let request = RecordRequest { query: Some(ask(Asks::Record(own))) };
    says(world.consents().record(request).await, Code::PermissionDenied, "TV-C24");
    let explain = |party: &str, what: &str| Asks::Explain {
        recipient: world.spiffe(party),
        holder: None,
        purpose: purpose(what).unwrap(),
        schema: SchemaName::new(PATIENT),
        as_of: None,
    };
    let researcher = ExplainRequest { query: Some(ask(explain("researcher", "dpv:ScientificResearch"))) };
    says(world.consents().explain(researcher).await, Code::PermissionDenied, "TV-C24");
    let care = ExplainRequest { query: Some(ask(explain("clinician", CARE))) };
    assert!(world.consents().explain(care).await.expect("theirs").into_inner().delivers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_guardians_sign_and_one_withdraws() {
    let world = World::start().await;
    let (child, one, other) = (world.patient("ada").await, world.wallet(), world.wallet());
    let of = vec![one.did().to_string(), other.did().to_string()];
    let rule = QuorumDocument { matches: None, need: 2, of };
    let agreement = child.agree(vec![rule], &[], SignerRole::Subject, &world.origin(), world.head_of(&child).await, world.now()).unwrap();
    world.submit(&agreement).await.expect("the child's key");
    let alone = world.signed(&child, SignerRole::Subject, &for_clinician(&world)).await;
    says(world.submit(&alone).await, Code::PermissionDenied, "TV-C26");
    let half = one.cosign(&alone, &world.origin()).unwrap();
    says(world.submit(&half).await, Code::PermissionDenied, "TV-C26");
    world.submit(&other.cosign(&half, &world.origin()).unwrap()).await.expect("both");
    let mut stream = clinician(&world).await;
    world.publish("hospital", PATIENT, &[frame("ada", 1)]).await;
    stream.frame().await;
    let voice = Voice { subject: child.did(), role: SignerRole::Signatory(agreement.id()), vault_key: None };
    let withdrawal = other.withdraw_as(&voice, &Reach::Records(vec![alone.id()]), &world.origin(), world.now()).unwrap();
    assert_eq!(world.hand_in(&withdrawal).await.expect("one is enough").ended, 1);
    assert!(!stream.view().await.open);
    assert_eq!(world.standing(&child).await.grants[0].over_by, format!("signatory {}", other.did()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_under_an_agreement_are_left_out_of_a_grant_that_lacks_signatures() {
    let world = World::start().await;
    let (ada, council) = (world.patient("ada").await, world.wallet());
    let health = serde_json::from_value(json!({"category": "health"})).unwrap();
    let rule = QuorumDocument { matches: Some(health), need: 1, of: vec![council.did().to_string()] };
    let head = world.head_of(&ada).await;
    let agreement = ada.agree(vec![rule], &[], SignerRole::Subject, &world.origin(), head, world.now()).unwrap();
    world.submit(&agreement).await.expect("hers");
    // By path nobody can tell the category but the schema.
    let given = for_clinician(&world).rules(vec![permit("vitals", "keep"), permit("sequence", "keep")]);
    let alone = world.signed(&ada, SignerRole::Subject, &given).await;
    world.submit(&alone).await.expect("some of it counts");
    let mut stream = clinician(&world).await;
    world.publish("hospital", PATIENT, &[frame("ada", 1)]).await;
    let seen = stream.message::<PatientFrame>().await;
    assert_eq!((seen.sequence, seen.vitals), (1, None));
    let explained = world.explain(&ada, "clinician", CARE, PATIENT).await;
    let reason = explained.fields.iter().find(|field| field.path == "vitals.heart_rate_bpm").unwrap().reason.clone();
    assert_eq!(reason, format!("agreement {} asks for more signatures", &agreement.id().to_string()[..8]));
    // With the other's signature it does.
    let next = world.signed(&ada, SignerRole::Subject, &given.replaces(alone.id())).await;
    world.submit(&council.cosign(&next, &world.origin()).unwrap()).await.expect("both");
    world.publish("hospital", PATIENT, &[frame("ada", 2)]).await;
    assert_eq!(stream.message::<PatientFrame>().await.vitals.unwrap().heart_rate_bpm, Some(73.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delegate_renews_the_same_terms_without_a_gap_and_no_others() {
    let world = World::start().await;
    let (ada, proxy) = (world.patient("ada").await, world.wallet());
    let first = world.grant(&ada, &for_clinician(&world)).await;
    let voice = world.delegation(&ada, &proxy, &[Right::View, Right::Renew], any()).await;
    let mut stream = clinician(&world).await;
    world.publish("hospital", PATIENT, &[frame("ada", 1)]).await;
    stream.frame().await;
    let asked = proxy.query_as(&voice, &Asks::Record(first), &world.origin(), world.now()).unwrap();
    let answer = world.consents().record(RecordRequest { query: Some(dsse::to_proto(&asked)) }).await.expect("may view").into_inner();
    let record = dsse::from_proto(&answer.record.unwrap());
    assert_eq!(record.id(), first);
    let (terms, vault_key) = Terms::renewing(&record, in_ms(&world, 7_000_000)).unwrap();
    let voice = Voice { vault_key, ..voice };
    let mut other = terms.clone();
    other.purposes.push("dpv:ScientificResearch".into());
    let head = world.head_of(&ada).await;
    let sign = |terms: &Terms| proxy.grant_as(&voice, terms, &world.origin(), head, world.now(), &mut entropy()).unwrap();
    says(world.submit(&sign(&other)).await, Code::InvalidArgument, "TV-C25");
    world.submit(&sign(&terms)).await.expect("the same terms");
    world.publish("hospital", PATIENT, &[frame("ada", 2)]).await;
    // Not a word in between: the view is what it was.
    assert_eq!(stream.frame().await.handover, 2);
    assert!(stream.views.iter().all(|view| view.open) && stream.views.len() == 1);
    let states: Vec<_> = world.standing(&ada).await.grants.into_iter().map(|grant| grant.state).collect();
    assert_eq!(states, ["replaced", "live"]);
    let unknown = proxy.query_as(&voice, &Asks::Record(RecordId([9; 32])), &world.origin(), world.now()).unwrap();
    says(world.consents().record(RecordRequest { query: Some(dsse::to_proto(&unknown)) }).await, Code::NotFound, "TV-C27");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_is_told_what_happens_as_it_happens_and_by_whom() {
    let world = World::start().await;
    let (ada, guardian) = (world.patient("ada").await, world.wallet());
    world.grant(&ada, &Given::to(&world, &["researcher"], CARE)).await;
    let own = ada.voice(SignerRole::Subject);
    let mut notices = world.notices(&ada, &own, false).await.expect("hers");
    let voice = world.delegation(&ada, &guardian, EVERYTHING, any()).await;
    let mut theirs = world.notices(&guardian, &voice, true).await.expect("may view");
    let by = |word: &str| format!("{word} {}", guardian.did());
    assert_eq!(told(&mut notices, 1).await, [("delegated".to_owned(), "subject".to_owned())], "from now on");
    // Eight seconds: the last quarter is two.
    let record = world.signed_by(&guardian, &voice, &ada, &for_clinician(&world).until(in_ms(&world, 8_000))).await;
    world.submit(&record).await.expect("the guardian's");
    let expected = [("granted".to_owned(), by("delegate")), ("expiring".into(), String::new()), ("expired".into(), String::new())];
    assert_eq!(told(&mut notices, 3).await, expected);
    assert_eq!(told(&mut theirs, 5).await[2..], expected, "with what was before");
    let end = ada.end_delegations(&own, &[voice.role.authority().unwrap()], &world.origin(), world.now()).unwrap();
    world.hand_in(&end).await.expect("hers");
    assert_eq!(told(&mut notices, 1).await, [("delegation ended".to_owned(), "subject".to_owned())]);
    // Who may not view any more is told no more.
    let status = soon("the end", theirs.message()).await.expect_err("over");
    assert_eq!(status.message().split(':').next(), Some("TV-C22"));
    world.withdraw_all(&ada).await;
    assert_eq!(told(&mut notices, 1).await, [("withdrawn".to_owned(), "subject".to_owned())]);
    let (_folder, _clock) = world.stop().await;
    let status = soon("the end", notices.message()).await.expect_err("the gateway stops");
    assert!(status.message().starts_with("TV-G06") || status.code() == Code::Unknown || status.code() == Code::Unavailable, "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_of_another_kind_is_refused_where_it_does_not_belong() {
    let world = World::start().await;
    let ada = world.patient("ada").await;
    let standing = dsse::to_proto(&ada.query(&Asks::Standing, &world.origin(), world.now()).unwrap());
    says(world.consents().record(RecordRequest { query: Some(standing.clone()) }).await, Code::InvalidArgument, "TV-G04");
    says(world.consents().notices(NoticesRequest { query: Some(standing), past: false }).await, Code::InvalidArgument, "TV-G04");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clinic_hours_close_and_open_a_stream_by_themselves() {
    let world = World::start().await;
    let ada = world.patient("ada").await;
    // The last seconds before a full minute of hours that the test chooses: from then on closed, two minutes later open again.
    let now = world.now();
    let minute = now.0.div_euclid(60_000) + 2;
    world.clock.shift(minute * 60_000 - now.0 - 5_000);
    let time = |minute: i64| {
        let of_day = minute.rem_euclid(1_440);
        format!("{:02}:{:02}", of_day / 60, of_day % 60)
    };
    // Two windows: all that ends at the edge, and all that begins a minute later. Around midnight one of them is empty.
    let all = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let mut windows = Vec::new();
    if time(minute) != "00:00" {
        windows.push(json!({"zone": "UTC", "days": all, "from": "00:00", "to": time(minute)}));
    } else {
        windows.push(json!({"zone": "UTC", "days": all, "from": "00:01", "to": "24:00"}));
    }
    if time(minute) != "00:00" && time(minute + 1) != "00:00" {
        windows.push(json!({"zone": "UTC", "days": all, "from": time(minute + 1), "to": "24:00"}));
    }
    world.grant(&ada, &for_clinician(&world).windows(serde_json::from_value(json!(windows)).unwrap())).await;
    let mut stream = clinician(&world).await;
    world.publish("hospital", PATIENT, &[frame("ada", 1)]).await;
    assert_eq!(stream.message::<PatientFrame>().await.sequence, 1);
    let edge = UnixMs(minute * 60_000);
    assert_eq!(world.explain(&ada, "clinician", CARE, PATIENT).await.valid_until_ms, edge.0);
    let view = stream.view().await;
    assert_eq!((view.open, view.reason.as_str()), (false, "time"));
    assert!(world.now() >= edge);
    world.publish("hospital", PATIENT, &[frame("ada", 2)]).await;
    assert!(stream.is_quiet(std::time::Duration::from_millis(30)).await);
    assert_eq!(world.standing(&ada).await.grants[0].state, "out of hours");
    world.clock.shift(58_000);
    // The idle stream slept by the clock before it was moved: a frame wakes it.
    let mut sequence = 3;
    let opened = crate::harness::eventually("the hours to begin", async || {
        sequence += 1;
        world.publish("hospital", PATIENT, &[frame("ada", sequence)]).await;
        tokio::time::timeout(std::time::Duration::from_millis(50), stream.next()).await.ok()
    });
    assert!(matches!(opened.await, Ok(Some(twinveil::client::subscriber::Event::View(view))) if view.open));
}
