use std::path::PathBuf;

use serde_json::json;

use super::*;
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
    let seed = BASE64.encode(wallet(7).sign_seed.expose());
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
