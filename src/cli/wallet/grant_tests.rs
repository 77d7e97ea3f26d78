use clap::{Args as _, FromArgMatches};

use super::*;
use crate::veil::consent::envelope::Signed;
use crate::veil::consent::record::{Consent, SignerRole, Status};

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("twinveil-grant-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("folder");
    let terms = include_str!("../assets/terms.json").replace("@NOTICE@", &"ab".repeat(32));
    std::fs::write(path.join("terms.json"), terms).expect("file");
    path
}

fn args(dir: &std::path::Path, line: &str) -> Result<Args, String> {
    let dir = dir.to_str().expect("utf-8");
    let words = ["grant", "--wallet", "w.json", "--origin", "log.example", "--dir", dir].into_iter().chain(line.split(' '));
    let matches = Args::augment_args(clap::Command::new("grant")).try_get_matches_from(words).map_err(|error| error.to_string())?;
    Args::from_arg_matches(&matches).map_err(|error| error.to_string())
}

fn signed(name: &str, line: &str) -> Result<Consent, String> {
    let dir = folder(name);
    let args = args(&dir, line)?;
    let wallet = Wallet::generate(&mut entropy());
    let origin = args.connection.origin().expect("said");
    let terms = args.terms(now().expect("clock")).map_err(|error| error.to_string());
    std::fs::remove_dir_all(&dir).expect("clean");
    let head = args.head.unwrap_or_default();
    let record = args
        .sign(&wallet, &args.speaker.voice(&wallet, args.role.into()), &origin, terms?, head, &[])
        .map_err(|refusal| refusal.to_string())?;
    let verified = Signed::<Consent>::new(&record).and_then(|signed| signed.verify(&origin)).map_err(|refusal| refusal.to_string())?;
    Ok(verified.get().clone())
}

const TO: &str = "--to spiffe://example.org/recipient/clinician --purpose dpv:ServiceProvision";

#[test]
fn a_grant_says_who_gets_what_for_how_long() {
    let consent = signed("grant", &format!("{TO} --permit health=keep --permit note=encrypt --forbid location --give-key --days 30"))
        .expect("signed");
    assert_eq!((consent.status, consent.by.role, consent.seq), (Status::Given, SignerRole::Subject, 1));
    assert!((consent.expires.0 - consent.at.0 - 30 * MS_PER_DAY).abs() < 60_000);
    assert_eq!(consent.rules.iter().map(|rule| rule.recipient_holds_key).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(consent.recipients.len(), 1);
    assert!(consent.vault_key.is_some());
}

#[test]
fn a_mandate_a_refusal_and_the_next_record_of_a_chain() {
    let mandate = signed("mandate", &format!("{TO} --permit operation=keep --role operator --days 1")).expect("signed");
    assert_eq!(mandate.by.role, SignerRole::Operator);
    let refusal = signed("refusal", "--forbid location").expect("signed");
    assert_eq!((refusal.status, refusal.recipients.len()), (Status::Refused, 0));
    let id = "cd".repeat(32);
    let next =
        signed("next", &format!("{TO} --permit health=keep --expires 2034-01-01T00:00:00+01:00 --offline --head 4:{id}")).expect("signed");
    assert_eq!((next.seq, next.prev, next.expires), (5, Some(RecordId([0xcd; 32])), UnixMs(2_019_682_800_000)));
}

#[test]
fn several_recipients_and_purposes_stand_in_one_record() {
    let did = Wallet::generate(&mut entropy()).did();
    let consent = signed(
        "many",
        &format!("--to spiffe://a.example/b,{did} --purpose dpv:ServiceProvision,dpv:ImproveHealthcare --permit health=keep --days 1"),
    )
    .expect("signed");
    assert_eq!((consent.recipients.len(), consent.purposes.len()), (2, 2));
}

#[test]
fn each_thing_left_out_or_misspelt_is_named() {
    for (line, says) in [
        (TO.to_owned(), "say what"),
        (format!("{TO} --permit health=keep"), "say until when"),
        ("--permit health=keep --days 1".to_owned(), "say to whom and what for"),
        (format!("{TO} --permit health=keep --give-key --days 1"), "`--give-key` needs a rule that encrypts"),
        (format!("{TO} --permit helth=keep --days 1"), "did you mean `health`?"),
        (format!("{TO} --permit health=keep --days 0"), "0 is not in"),
        (format!("{TO} --permit health=keep --days 1 --expires 2034-01-01T00:00:00Z"), "cannot be used with"),
        (format!("{TO} --permit health=keep --days 1 --key x"), "not a X25519 Multikey"),
        (format!("{TO} --permit health=keep --days 1 --offline"), "--head"),
        (format!("{TO} --permit health=keep --days 1 --offline --head 4"), "write `SEQ:ID`"),
        (format!("{TO} --permit health=keep --days 1 --offline --head 0:aa"), "write `SEQ:ID`"),
        ("--to clinician --purpose dpv:ServiceProvision --permit health=keep --days 1".to_owned(), "neither a SPIFFE id"),
        (
            "--to spiffe://a.example/b --purpose dpv:ServiceProvison --permit health=keep --days 1".to_owned(),
            "did you mean `dpv:ServiceProvision`?",
        ),
    ] {
        let error = signed("wrong", &line).expect_err(&line);
        assert!(error.contains(says), "{line}: {error}");
    }
}

#[test]
fn a_key_goes_to_one_recipient() {
    let key = Wallet::generate(&mut entropy()).vault_key();
    let one = signed("key", &format!("{TO} --permit health=encrypt --give-key --key {key} --days 1")).expect("signed");
    assert_eq!(one.recipients[0].key, Some(key));
    let two = format!("{TO} --to spiffe://a.example/b --permit health=encrypt --give-key --key {key} --days 1");
    assert!(signed("keys", &two).expect_err("two").contains("exactly one recipient"));
}
