//! Our own vectors of releases, `tests/vectors/release-v1.json`: a recipient keeps what is sealed for somebody's vault, and opens the
//! epochs that this somebody releases later, and no others. Made by the code with keys that are written down, compared with the file,
//! and opened by a program in Python that was written from the manual alone.
//!
//! `TWINVEIL_OVERWRITE=1 cargo test --test it vectors::release` writes the file anew.

use serde_json::{Value, json};
use twinveil::client::wallet::Wallet;
use twinveil::client::{announce, dsse};
use twinveil::veil::consent::envelope::{Envelope, Payload, Signed};
use twinveil::veil::consent::refusal::RecordRefusal;
use twinveil::veil::consent::release::Release;
use twinveil::veil::consent::withdrawal::Withdrawal;
use twinveil::veil::crypto::seal::Suite;
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::sign::SignKey;
use twinveil::veil::crypto::wrap::wrap;
use twinveil::veil::name::{Origin, Spiffe, UnixMs};
use twinveil::veil::policy::Holders;
use twinveil::veil::transform::group::{Announced, Epoch, Opener};

use super::sealed::{
    Counting, FRAME, GATEWAY, OPENED, ORIGIN, PROTO, RECIPIENT, SIDE, Sealing, VAULT, hex, info, open_key, opened, schema,
};
use crate::manual::{read, root};
use crate::outsiders::python;

const FILE: &str = "tests/vectors/release-v1.json";
/// The seed of the key that the subject signs with.
const SUBJECT: u8 = 6;
const LAB: &str = "spiffe://example.org/recipient/lab";
/// 2026-02-01 09:00 UTC.
const AT: UnixMs = UnixMs(1_769_936_400_000);

/// Frames of one view, epoch by epoch, and which of these are released.
struct Case {
    name: &'static str,
    sealed: Vec<(&'static str, Holders)>,
    suite: Suite,
    epochs: &'static [u64],
    released: &'static [u64],
}

fn cases() -> Vec<Case> {
    let vault = vec![("note", Holders::Vault), ("items.hidden", Holders::Vault)];
    let one = |name, suite| Case { name, sealed: vault.clone(), suite, epochs: &[1], released: &[1] };
    vec![
        one("one epoch, which is released", Suite::ChaCha20Poly1305),
        one("the same with AES-256-GCM", Suite::Aes256Gcm),
        Case {
            name: "three epochs, of which the first and the last are released",
            sealed: vault.clone(),
            suite: Suite::ChaCha20Poly1305,
            epochs: &[1, 2, 3],
            released: &[1, 3],
        },
        Case {
            name: "two slots: the recipient opens one by itself, and the other by the release",
            sealed: vec![("note", Holders::VaultAndRecipient), ("items.hidden", Holders::Vault)],
            suite: Suite::ChaCha20Poly1305,
            epochs: &[7],
            released: &[7],
        },
    ]
}

fn subject() -> Wallet {
    Wallet::from_seeds(Secret::take(&mut [SUBJECT; 32]), Secret::take(&mut [VAULT; 32])).unwrap()
}

fn sign_key(seed: u8) -> SignKey {
    SignKey::from_seed(&Secret::take(&mut [seed; 32]))
}

/// As a program would that has the release in hand: refused with a code, or good.
fn checked(release: &Envelope) -> Result<Release, RecordRefusal> {
    Signed::<Release>::new(release)?.verify(&Origin::new(ORIGIN)).map(|verified| verified.get().clone())
}

/// What the recipient opens an epoch with: its own wrap, or else a release.
fn opener((epoch, announced): &(Epoch, Announced), release: Option<&Release>) -> Option<Opener> {
    let own = open_key(RECIPIENT);
    let released = || {
        let mut of_epoch = release?.epochs.iter().filter(|one| (one.view, one.slot, one.epoch) == (epoch.view, epoch.slot, epoch.epoch));
        let seed = of_epoch.find_map(|one| epoch.released(announced, &one.wrap, &own))?;
        epoch.open_with(announced, &seed)
    };
    epoch.open(announced, &own).or_else(released)
}

/// The release with something else in it, signed by the subject all the same.
fn changed(release: &Envelope, change: impl FnOnce(&mut Value)) -> Envelope {
    let mut document: Value = serde_json::from_slice(&release.payload).unwrap();
    change(&mut document);
    Envelope::sign(Release::MEDIA_TYPE, document.to_string().into_bytes(), &sign_key(SUBJECT))
}

/// What a release is not: with the code it is refused by, or, where it reads well and opens nothing, without.
fn no_releases(release: &Envelope, (epoch, announced): &(Epoch, Announced)) -> Vec<(&'static str, Envelope, Option<&'static str>)> {
    let mut forged = release.clone();
    forged.signatures[0].sig[40] ^= 1;
    let mut unsigned = release.clone();
    unsigned.signatures.clear();
    let by_another = Envelope::sign(Release::MEDIA_TYPE, release.payload.clone(), &sign_key(GATEWAY));
    let other_type = Envelope::sign(Withdrawal::MEDIA_TYPE, release.payload.clone(), &sign_key(SUBJECT));
    let wrapped = |wrap: Vec<u8>| {
        let text = data_encoding::BASE64.encode(&wrap);
        changed(release, |document| document["epochs"][0]["wrap"] = text.into())
    };
    let good = checked(release).unwrap().epochs[0].wrap.clone();
    let mut bent = good.clone();
    bent[50] ^= 1;
    let label = [b"twinveil/release/v1\0".to_vec(), info(epoch)].concat();
    let sealed =
        |to: u8, info: &[u8], seed: &[u8]| wrap(&open_key(to).seal_key(), info, &announced.commit, seed, &mut Counting(60)).unwrap();
    let seed = epoch.seed(announced, &open_key(VAULT)).unwrap();
    vec![
        ("a byte of the signature was changed", forged, Some("TV-C04")),
        ("nobody signed", unsigned, Some("TV-C04")),
        ("somebody signed who is not the subject", by_another, Some("TV-C05")),
        ("signed as another kind of document", other_type, Some("TV-C03")),
        ("for another gateway", changed(release, |document| document["gateway"] = "gateway.example.org/other".into()), Some("TV-C12")),
        ("a member that no release has", changed(release, |document| document["reason"] = "research".into()), Some("TV-C06")),
        ("a member is missing", changed(release, |document| drop(document.as_object_mut().unwrap().remove("recipient"))), Some("TV-C06")),
        ("no epochs", changed(release, |document| document["epochs"] = json!([])), Some("TV-C07")),
        ("a wrap of 79 bytes", wrapped(good[..79].to_vec()), Some("TV-C07")),
        ("a byte of the wrap was changed", wrapped(bent), None),
        ("wrapped for another key", wrapped(sealed(VAULT, &label, seed.expose())), None),
        ("wrapped without the label of releases", wrapped(sealed(RECIPIENT, &info(epoch), seed.expose())), None),
        ("a seed that is not the committed one", wrapped(sealed(RECIPIENT, &label, &[9; 32])), None),
        ("of another epoch", changed(release, |document| document["epochs"][0]["epoch"] = 99.into()), None),
        ("of another slot", changed(release, |document| document["epochs"][0]["slot"] = 9.into()), None),
        ("of another view", changed(release, |document| document["epochs"][0]["view"] = "22".repeat(16).into()), None),
    ]
}

fn envelope(envelope: &Envelope) -> Value {
    serde_json::from_str(&envelope.to_json()).unwrap()
}

impl Case {
    fn json(&self) -> Value {
        let schema = schema();
        let mut sealings: Vec<_> = self.epochs.iter().map(|epoch| Sealing::over(&schema, &self.sealed, self.suite, *epoch)).collect();
        // Of each epoch the slot that the recipient can't open by itself.
        let chosen: Vec<_> = sealings
            .iter()
            .map(|sealing| sealing.epochs.iter().find(|epoch| opener(epoch, None).is_none()).expect("a slot for the vault alone"))
            .filter(|(epoch, _)| self.released.contains(&epoch.epoch))
            .map(|(epoch, announced)| (epoch.clone(), announced.clone()))
            .collect();
        let (lab, to) = (Spiffe::parse(LAB).unwrap(), open_key(RECIPIENT).seal_key());
        let signed = subject().release(&chosen, (&lab, &to), &Origin::new(ORIGIN), AT, &mut Counting(100)).unwrap().expect("its own");
        let release = checked(&signed).expect("a good one");
        assert_eq!((release.recipient.clone(), release.key, release.epochs.len()), (lab, to, chosen.len()));

        let epochs: Vec<_> = sealings
            .iter_mut()
            .map(|sealing| {
                let openers =
                    |release: Option<&Release>| sealing.epochs.iter().filter_map(|epoch| opener(epoch, release)).collect::<Vec<_>>();
                let (mut without, mut with) = (openers(None), openers(Some(&release)));
                let slots: Vec<_> = sealing
                    .epochs
                    .iter()
                    .map(|(epoch, announced)| {
                        let announcement = dsse::from_proto(&announce::sign(&sign_key(GATEWAY), epoch, announced));
                        json!({ "slot": epoch.slot, "announcement": envelope(&announcement) })
                    })
                    .collect();
                let number = sealing.epochs[0].0.epoch;
                let frames: Vec<_> = (0..2)
                    .map(|_| {
                        let sent = sealing.send(FRAME);
                        let (before, after) = (opened(&mut without, &sent), opened(&mut with, &sent));
                        assert_eq!(before == after, !self.released.contains(&number), "a release opens what it names");
                        assert_eq!(after.len() == OPENED.len(), self.released.contains(&number));
                        json!({ "sent": hex(&sent), "before": hex(&before), "after": hex(&after) })
                    })
                    .collect();
                json!({ "epoch": number, "slots": slots, "frames": frames })
            })
            .collect();
        let first = &chosen[0];
        let refused: Vec<_> = no_releases(&signed, first)
            .into_iter()
            .map(|(why, other, code)| {
                match (checked(&other), code) {
                    (Err(refusal), Some(code)) => assert_eq!(refusal.code(), code, "{why}"),
                    (Ok(release), None) => assert!(opener(first, Some(&release)).is_none(), "{why}"),
                    (answer, _) => panic!("{why}: {answer:?}"),
                }
                json!({ "why": why, "code": code, "release": envelope(&other) })
            })
            .collect();
        json!({
            "name": self.name,
            "suite": self.suite.number(),
            "epochs": epochs,
            "release": envelope(&signed),
            "released": chosen.iter().map(|(epoch, _)| json!([epoch.slot, epoch.epoch])).collect::<Vec<_>>(),
            "refused": refused,
        })
    }
}

#[test]
fn our_own_vectors_of_releases_are_what_a_wallet_signs_and_a_recipient_opens() {
    let open = |seed: u8| json!({ "private_key": hex(&[seed; 32]), "public_key": open_key(seed).seal_key().to_string() });
    let signs = |seed: u8| json!({ "seed": hex(&[seed; 32]), "did": sign_key(seed).did().to_string() });
    let file = json!({
        "about": "Releases, version 1, as src/manual/sealed.md and src/manual/signing.md describe them. Bytes are hexadecimal. A \
                  recipient got the announcements and frames of each epoch, `sent`, in this order. `before` is what it has of a frame \
                  with its own key alone, `after` with the release, too. `released` names slot and epoch. What is `refused` is no \
                  release: with the code that a gateway's programs say, or, where `code` is null, one that reads well and opens nothing \
                  of the first epoch that the good one releases.",
        "origin": ORIGIN,
        "view_id": hex(&[0x11; 16]),
        "schema_fingerprint": hex(&schema().fingerprint().0),
        "proto": PROTO,
        "side_file": SIDE,
        "gateway": signs(GATEWAY),
        "subject": signs(SUBJECT),
        "recipient": open(RECIPIENT),
        "vault": open(VAULT),
        "cases": cases().iter().map(Case::json).collect::<Vec<_>>(),
    });
    let text = serde_json::to_string_pretty(&file).unwrap() + "\n";
    if std::env::var_os("TWINVEIL_OVERWRITE").is_some() {
        std::fs::write(root().join(FILE), &text).unwrap();
    }
    assert!(read(FILE) == text, "{FILE} is not what the code makes; see the head of this file");
}

#[test]
fn a_program_written_from_the_manual_alone_opens_what_was_released_and_nothing_else() {
    let Some(mut python) = python("the opener of releases in Python") else { return };
    let ran = python.arg(root().join("tests/vectors/open_release.py")).arg(root().join(FILE)).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    // Two frames an epoch, before and after, and sixteen that are none for each case.
    let checks: usize = cases().iter().map(|case| 4 * case.epochs.len() + 16).sum();
    assert_eq!(String::from_utf8_lossy(&ran.stdout).trim(), format!("{checks} checked"));
}
