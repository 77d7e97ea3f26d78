use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::client::authority::DelegationTerms;
use crate::veil::consent::agreement::{Agreement, QuorumDocument};
use crate::veil::consent::delegation::{Capacity, Delegation, Right};
use crate::veil::consent::delegation_end::{self, DelegationEnd};
use crate::veil::consent::envelope::Verified;
use crate::veil::consent::testing::{DAY, NOW, after, gateway, other_gateway};
use crate::veil::terms::purpose;

/// A counter: tests need different bytes, not secret ones.
struct Counter(u8);

impl rand_core::TryRng for Counter {
    type Error = std::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        rand_core::utils::next_word_via_fill(self)
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        rand_core::utils::next_word_via_fill(self)
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        for byte in out {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Counter {}

fn wallet(n: u8) -> Wallet {
    Wallet::generate(&mut Counter(n))
}

fn terms() -> Terms {
    let document = crate::veil::consent::testing::document(1, 1, None);
    let mut terms = json!({"expires": after(30 * DAY).to_string()});
    for member in ["status", "method", "notice", "controllers", "recipients", "purposes", "storage", "jurisdiction", "withdrawal", "rules"]
    {
        terms[member] = document[member].clone();
    }
    serde_json::from_value(terms).expect("terms")
}

fn verify<T: Payload + Clone>(envelope: &Envelope) -> T {
    Signed::<T>::new(envelope).and_then(|signed| signed.verify(&gateway())).expect("the gateway takes what the wallet signs").get().clone()
}

/// A new folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("twinveil-wallet-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("a folder");
    path
}

#[test]
fn what_the_wallet_signs_the_gateway_reads() {
    let (wallet, source) = (wallet(1), Spiffe::parse("spiffe://hospital.example/monitor").expect("good"));
    let head = Head { seq: 4, record: Some(RecordId([4; 32])) };
    let consent: Consent = verify(&wallet.grant(&terms(), SignerRole::Subject, &gateway(), head, NOW, &mut Counter(9)).expect("good"));
    assert_eq!((consent.subject, consent.seq, consent.prev, consent.at), (wallet.did(), 5, head.record, NOW));
    assert_eq!(consent.vault_key, Some(wallet.vault_key()));
    let mandate: Consent =
        verify(&wallet.grant(&terms(), SignerRole::Operator, &gateway(), Head::default(), NOW, &mut Counter(9)).expect("good"));
    assert_eq!((mandate.by.role, mandate.seq), (SignerRole::Operator, 1));
    for reach in [Reach::UpTo(5), Reach::Records(vec![RecordId([1; 32]), RecordId([2; 32])])] {
        let withdrawal: Withdrawal = verify(&wallet.withdraw(&reach, SignerRole::Subject, &gateway(), NOW).expect("good"));
        assert_eq!(withdrawal.reach, reach);
    }
    let explain = Asks::Explain {
        recipient: source.clone(),
        holder: Some(wallet.did()),
        purpose: purpose("dpv:AcademicResearch").expect("term"),
        schema: crate::veil::name::SchemaName::new("a.B"),
        as_of: Some(after(DAY)),
    };
    for asks in [Asks::Standing, explain] {
        assert_eq!(verify::<Query>(&wallet.query(&asks, &gateway(), NOW).expect("good")).asks, asks);
    }
    let statement: RecipientKey = verify(&wallet.recipient_key(&source, &gateway(), after(DAY)).expect("good"));
    assert_eq!((statement.key, statement.expires), (wallet.vault_key(), after(DAY)));
}

#[test]
fn an_enrolment_is_signed_in_two_halves() {
    let (subject, party, source) = (wallet(1), wallet(100), Spiffe::parse("spiffe://hospital.example/monitor").expect("good"));
    let half = subject.enrol(&source, "4711", &gateway(), NOW).expect("good");
    let both = party.countersign(&half, &gateway()).expect("good");
    let verified = Signed::<Enrolment>::new(&both).and_then(|signed| signed.verify(&gateway())).expect("good");
    assert!(verified.signed_by(&subject.did()) && verified.signed_by(&party.did()));
    assert_eq!(party.countersign(&half, &other_gateway()).expect_err("elsewhere").code(), "TV-C12");
    let mut forged = half;
    forged.signatures[0].sig[0] ^= 1;
    assert_eq!(party.countersign(&forged, &gateway()), Err(RecordRefusal::BadSignature));
}

#[test]
fn what_the_gateway_would_refuse_is_not_signed() {
    let mut endless = terms();
    endless.expires = None;
    assert_eq!(
        wallet(1).grant(&endless, SignerRole::Subject, &gateway(), Head::default(), NOW, &mut Counter(9)),
        Err(RecordRefusal::Endless)
    );
}

#[test]
fn a_record_id_is_a_random_uuid() {
    let text = uuid(&mut Counter(0xf0));
    assert_eq!((text.len(), &text[14..15]), (36, "4"));
    assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"));
    assert_ne!(text, uuid(&mut Counter(0)));
}

#[test]
fn a_key_file_reads_back_and_is_never_written_over() {
    let folder = folder("file");
    let path = folder.join("me.key");
    let wallet = wallet(7);
    wallet.save(&path).expect("new");
    let read = Wallet::load(&path).expect("own file");
    assert_eq!((read.did(), read.vault_key()), (wallet.did(), wallet.vault_key()));
    assert_eq!(wallet.save(&path).expect_err("there already").code(), "TV-K01");
    std::fs::remove_dir_all(folder).expect("own folder");
}

#[cfg(unix)]
#[test]
fn a_key_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder("mode");
    let path = folder.join("me.key");
    wallet(7).save(&path).expect("new");
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    for mode in [0o640, 0o604, 0o620] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("own file");
        assert_eq!(Wallet::load(&path).expect_err("readable").code(), "TV-K02");
    }
    std::fs::remove_dir_all(folder).expect("own folder");
}

#[test]
fn a_damaged_key_file_is_refused_without_quoting_it() {
    let folder = folder("damage");
    let path = folder.join("me.key");
    wallet(7).save(&path).expect("new");
    let text = std::fs::read_to_string(&path).expect("there");
    let seed = base64::encode(wallet(7).sign_seed.expose());
    for damaged in [
        text[..40].to_owned(),
        text.replace(&seed, "AAAA"),
        text.replace(KIND, "other"),
        text.replace(&wallet(7).did().to_string(), "did:key:z6Mk"),
    ] {
        std::fs::write(&path, damaged).expect("own file");
        let error = Wallet::load(&path).expect_err("damaged");
        assert_eq!(error.code(), "TV-K03");
        assert!(!error.to_string().contains(&seed[..8]));
    }
    assert_eq!(Wallet::load(&folder.join("none")).expect_err("missing").code(), "TV-K01");
    assert!(!format!("{:?}", wallet(7)).contains(&seed[..8]));
    std::fs::remove_dir_all(folder).expect("own folder");
}

/// The wallet that signs as the veil's test key `n`.
fn seeded(n: u8) -> Wallet {
    Wallet::from_seeds(Secret::take(&mut [n; 32]), Secret::take(&mut [n + 100; 32])).expect("keys")
}

fn read<T: Payload>(envelope: &Envelope) -> Verified<T> {
    Signed::new(envelope).and_then(|signed| signed.verify(&gateway())).expect("the gateway takes what wallets sign")
}

fn half() -> Envelope {
    let scope = json!({"recipients": "any", "purposes": ["dpv:AcademicResearch"], "permits": "any"});
    let terms = DelegationTerms {
        delegate: seeded(2).did(),
        capacity: Capacity::Guardian,
        not_before: None,
        expires: after(DAY),
        rights: vec![Right::View, Right::Grant],
        depth: 0,
        scope: serde_json::from_value(scope).expect("a scope"),
        vault_key: Some(seeded(1).vault_key()),
    };
    let own = seeded(1).voice(SignerRole::Subject);
    seeded(1).delegate(&own, &terms, &gateway(), Head::default(), NOW).expect("signed")
}

#[test]
fn a_delegation_is_whole_with_the_delegates_signature_and_no_others() {
    let both = seeded(2).cosign(&half(), &gateway()).expect("the delegate");
    assert_eq!(read::<Delegation>(&both).get().delegate, seeded(2).did());
    assert_eq!(seeded(3).cosign(&half(), &gateway()), Err(RecordRefusal::NotSignedBy(seeded(2).did())));
    assert_eq!(seeded(2).cosign(&half(), &other_gateway()).expect_err("elsewhere").code(), "TV-C12");
}

#[test]
fn a_delegate_speaks_for_the_subject_and_names_the_delegation() {
    let delegation = seeded(2).cosign(&half(), &gateway()).expect("the delegate").id();
    let voice = Voice { subject: seeded(1).did(), role: SignerRole::Delegate(delegation), vault_key: Some(seeded(1).vault_key()) };
    let terms = Terms { expires: Some(after(DAY).to_string()), ..terms() };
    let head = Head { seq: 1, record: Some(delegation) };
    let grant = seeded(2).grant_as(&voice, &terms, &gateway(), head, NOW, &mut Counter(9)).expect("signed");
    let consent = read::<Consent>(&grant);
    assert_eq!((consent.get().subject, consent.get().by.key, consent.get().by.role), (voice.subject, seeded(2).did(), voice.role));
    assert_eq!(consent.get().vault_key, voice.vault_key);
    let cosigned = seeded(3).cosign(&grant, &gateway()).expect("anybody may add a signature");
    assert!(read::<Consent>(&cosigned).signed_by(&seeded(3).did()));
    let withdrawal = seeded(2).withdraw_as(&voice, &Reach::UpTo(9), &gateway(), NOW).expect("signed");
    assert_eq!(read::<Withdrawal>(&withdrawal).get().by.role, voice.role);
    for asks in [Asks::Standing, Asks::Notices, Asks::Record(delegation)] {
        let query = read::<Query>(&seeded(2).query_as(&voice, &asks, &gateway(), NOW).expect("signed"));
        assert_eq!((query.get().subject, query.get().by.role, &query.get().asks), (voice.subject, voice.role, &asks));
    }
    let end = seeded(2).end_delegations(&voice, &[delegation], &gateway(), NOW).expect("signed");
    assert_eq!((end.payload_type.as_str(), read::<DelegationEnd>(&end).get().by.key), (delegation_end::MEDIA_TYPE, seeded(2).did()));
}

#[test]
fn an_agreement_is_signed_by_whom_an_older_one_asks_for() {
    let rule = QuorumDocument { matches: None, need: 1, of: vec![seeded(2).did().to_string()] };
    let role = SignerRole::Subject;
    let first = seeded(1).agree(vec![rule], &[], role, &gateway(), Head::default(), NOW).expect("signed");
    let head = Head { seq: 1, record: Some(first.id()) };
    let second = seeded(1).agree(vec![], &[first.id()], role, &gateway(), head, NOW).expect("signed");
    let second = seeded(2).cosign(&second, &gateway()).expect("the other");
    assert_eq!(read::<Agreement>(&second).signers_among(&[seeded(1).did(), seeded(2).did()]), 2);
    assert_eq!(seeded(1).agree(vec![], &[], role, &gateway(), Head::default(), NOW).expect_err("nothing").code(), "TV-C07");
}
