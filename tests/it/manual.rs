//! Does the manual say what the code does? Codes, tables, examples and vectors of the pages are held against it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use twinveil::veil::consent::agreement::Agreement;
use twinveil::veil::consent::delegation::Delegation;
use twinveil::veil::consent::delegation_end::DelegationEnd;
use twinveil::veil::consent::enrolment::Enrolment;
use twinveil::veil::consent::envelope::{Envelope, Payload, Signed};
use twinveil::veil::consent::query::Query;
use twinveil::veil::consent::recipient_key::RecipientKey;
use twinveil::veil::consent::record::Consent;
use twinveil::veil::consent::refusal::RecordRefusal;
use twinveil::veil::consent::release::Release;
use twinveil::veil::consent::withdrawal::Withdrawal;
use twinveil::veil::crypto::seal::Suite;
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::sign::SignKey;
use twinveil::veil::crypto::wrap::OpenKey;
use twinveil::veil::demand;
use twinveil::veil::demand::write::write;
use twinveil::veil::name::{Origin, UnixMs, ViewId};
use twinveil::veil::policy::{Decided, Decision, Holders, Reason};
use twinveil::veil::schema::{ANNOUNCEMENT_FIELD, SEALED_FIELD, table};
use twinveil::veil::terms::{Treatment, purpose};
use twinveil::veil::transform::fragment::{merge, split};
use twinveil::veil::transform::group::Opener;
use twinveil::veil::view::{Bindings, BindingsSource, Program, Raw, Space, View};

use crate::outsiders::python;
use crate::vectors::sealed::{Counting, schema};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn page(name: &str) -> String {
    read(&format!("src/manual/{name}.md"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Every `"TV-X00"` literal outside of tests.
fn codes() -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let mut found = BTreeSet::new();
    for path in files {
        let shown = path.to_string_lossy().into_owned();
        if shown.ends_with("tests.rs") || shown.contains("/tests/") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("mod tests {").next().unwrap_or_default();
        for literal in code.split("\"TV-").skip(1).filter_map(|rest| rest.split('"').next()) {
            let (family, number) = literal.split_at(literal.len().min(1));
            if family.bytes().all(|b| b.is_ascii_uppercase()) && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) {
                found.insert(format!("TV-{literal}"));
            }
        }
    }
    found
}

/// The rows of the catalogue: code → the other cells.
fn entries() -> Vec<(String, Vec<String>)> {
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    page("errors")
        .lines()
        .filter(|line| line.starts_with("| `TV-"))
        .map(|line| {
            let mut cells = cells(line);
            (cells.remove(0).trim_matches('`').to_owned(), cells)
        })
        .collect()
}

#[test]
fn every_code_has_an_entry_and_every_entry_a_code() {
    let documented: BTreeSet<String> = entries().into_iter().map(|(code, _)| code).collect();
    let codes = codes();
    assert!(codes.len() > 70, "the scan finds codes: {codes:?}");
    let missing: Vec<_> = codes.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(&codes).collect();
    assert!(missing.is_empty() && stale.is_empty(), "src/manual/errors.md: no entry for {missing:?}, no code for {stale:?}");
}

#[test]
fn every_entry_says_cause_whose_move_and_what_to_do_once() {
    let mut seen = BTreeSet::new();
    for (code, cells) in entries() {
        assert!(seen.insert(code.clone()), "{code} stands twice");
        let [cause, whose, todo] = cells.as_slice() else { panic!("{code}: {cells:?}") };
        // "come back" is advice; one word is none, and neither is a dash.
        let words = |cell: &str| cell.split_whitespace().filter(|word| word.chars().any(char::is_alphabetic)).count();
        assert!(words(cause) >= 3 && words(todo) >= 2, "{code}: `{cause}`, `{todo}`");
        assert!(["sender", "owner", "operator", "ours"].contains(&whose.as_str()), "{code}: `{whose}`");
    }
}

#[test]
fn the_table_of_treatments_is_the_one_that_decides() {
    assert!(page("treatments").contains(&table::markdown()), "src/manual/treatments.md should hold:\n{}", table::markdown());
}

/// The JSON blocks of the page on signing.
fn examples() -> Vec<String> {
    page("signing").split("```json\n").skip(1).filter_map(|rest| rest.split("```").next().map(str::to_owned)).collect()
}

#[test]
fn the_examples_of_documents_are_read_as_they_stand() {
    fn reads<T: Payload>(text: &str) -> Result<(), RecordRefusal> {
        T::parse(text.as_bytes()).map(drop)
    }
    let examples = examples();
    let [consent, withdrawal, delegation, end, agreement, enrolment, query, key, release] = examples.as_slice() else {
        panic!("{} examples", examples.len())
    };
    assert_eq!(reads::<Delegation>(delegation), Ok(()));
    assert_eq!(reads::<DelegationEnd>(end), Ok(()));
    assert_eq!(reads::<Agreement>(agreement), Ok(()));
    assert_eq!(reads::<Consent>(consent), Ok(()));
    assert_eq!(reads::<Withdrawal>(withdrawal), Ok(()));
    assert_eq!(reads::<Enrolment>(enrolment), Ok(()));
    assert_eq!(reads::<Query>(query), Ok(()));
    assert_eq!(reads::<RecipientKey>(key), Ok(()));
    assert_eq!(reads::<Release>(release), Ok(()));
    let types = [
        Consent::MEDIA_TYPE,
        Delegation::MEDIA_TYPE,
        DelegationEnd::MEDIA_TYPE,
        Agreement::MEDIA_TYPE,
        Enrolment::MEDIA_TYPE,
        Query::MEDIA_TYPE,
        RecipientKey::MEDIA_TYPE,
        Release::MEDIA_TYPE,
    ];
    assert!(types.iter().all(|media_type| page("signing").contains(&format!("`{media_type}`"))));
}

#[test]
fn the_examples_of_legal_demands_are_read_with_their_head_in_front() {
    fn reads<T: Payload>(said: &str) -> Result<(), RecordRefusal> {
        let said = serde_json::from_str(said).unwrap();
        let key = SignKey::from_seed(&Secret::take(&mut [1; 32]));
        write::<T>(&said, &key, &Origin::new("gateway.example.org/twins"), UnixMs(1_769_850_000_000), [7; 16]).map(drop)
    }
    let page = page("demand");
    let examples: Vec<&str> = page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [demand, first, second, third, decision, challenge, notice, release] = examples[..] else { panic!("{} examples", examples.len()) };
    assert_eq!(reads::<demand::Demand>(demand), Ok(()));
    for stage in [first, second, third] {
        assert_eq!(reads::<demand::Stage>(stage), Ok(()));
    }
    assert_eq!(reads::<demand::Decision>(decision), Ok(()));
    assert_eq!(reads::<demand::Challenge>(challenge), Ok(()));
    assert_eq!(reads::<demand::Notice>(notice), Ok(()));
    assert_eq!(reads::<demand::Release>(release), Ok(()));
}

/// The lines of a block that begins with `first`, as name → value.
fn vector(text: &str, first: &str) -> BTreeMap<String, String> {
    let at = text.find(&format!("```text\n{first}")).unwrap_or_else(|| panic!("no block that begins with `{first}`"));
    let block = text[at + 8..].split("```").next().unwrap_or_default();
    block.lines().filter_map(|line| line.split_once("  ").map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))).collect()
}

#[test]
fn the_vector_of_a_signature_verifies_and_is_what_we_sign() {
    let page = page("signing").replace("record id c", "record id  c").replace("signature n", "signature  n");
    let vector = vector(&page, "payload ");
    let key = SignKey::from_seed(&Secret::take(&mut [1; 32]));
    let envelope = Envelope::sign(&vector["type"], vector["payload"].clone().into_bytes(), &key);
    assert_eq!(envelope.id().to_string(), vector["record id"]);
    assert_eq!(data_encoding::BASE64.encode(&envelope.signatures[0].sig), vector["signature"]);
    let signed = Signed::<Withdrawal>::new(&envelope).unwrap();
    signed.verify(&Origin::new("gateway.example.org/twins")).unwrap();
}

#[test]
fn the_vector_of_a_sealed_group_is_what_we_seal_and_opens() {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let schema = schema();
    let sealed = |path: &str| if matches!(path, "note" | "items.hidden") { Treatment::Encrypt } else { Treatment::Keep };
    let decided = |path: &str| Decided { treatment: sealed(path), holders: Holders::VaultAndRecipient, reason: Reason::Floor };
    let decision = Decision { sites: schema.sites().iter().map(|site| decided(site.path.as_str())).collect() };
    let program = Arc::new(Program::compile(&schema, &decision));
    let holder = OpenKey::from_seed(&Secret::take(&mut [3; 32])).unwrap();
    let origin = Origin::new("gateway.example.org/twins");
    let source = BindingsSource {
        origin: &origin,
        recipient: "spiffe://example.org/recipient/lab",
        purpose: &purpose("dpv:ScientificResearch").unwrap(),
        subject_key: None,
        pseudonym_epoch: 0,
        view: ViewId([0x11; 16]),
        epoch: 1,
        suite: Suite::ChaCha20Poly1305,
        holders: &|_| vec![holder.seal_key()],
    };
    let (bindings, announced) = Bindings::new(&program, &source, &mut Counting(0)).unwrap();
    let (epoch, announced) = &announced[0];
    // id "p", note "ill", items {1, 2} and {3, 4}.
    let frame = [0x0a, 1, b'p', 0x12, 3, b'i', b'l', b'l', 0x1a, 4, 8, 1, 16, 2, 0x1a, 4, 8, 3, 16, 4];
    let (mut view, mut space) = (View::new(program, bindings), Space::default());
    let sent = view.apply(Raw::new(&frame), &mut space).unwrap().bytes().to_vec();
    let mut opener: Opener = epoch.open(announced, &holder).unwrap();
    let (clear, groups) = split(&sent, SEALED_FIELD, ANNOUNCEMENT_FIELD).unwrap();
    let opened = merge(&clear, &opener.open(groups[0], &clear).unwrap()).unwrap();
    let lines = [
        ("origin", origin.to_string()),
        ("view_id", hex(&epoch.view.0)),
        ("slot", epoch.slot.to_string()),
        ("epoch", epoch.epoch.to_string()),
        ("fingerprint", hex(&epoch.fingerprint.0)),
        ("commit", hex(&announced.commit)),
        ("wrap", hex(&announced.wraps[0])),
        ("raw frame", hex(&frame)),
        ("sent frame", hex(&sent)),
        ("clear bytes", hex(&clear)),
        ("opened", hex(&opened)),
    ];
    let block: String = lines.iter().map(|(name, value)| format!("{name:<12} {value}\n")).collect();
    assert!(page("sealed").contains(&block), "src/manual/sealed.md should hold:\n{block}");
}

#[test]
fn an_opener_written_from_the_page_alone_opens_the_vector() {
    let Some(mut python) = python("the opener of sealed groups in Python") else { return };
    let ran = python.arg(root().join("tests/vectors/open_sealed.py")).arg(root().join("src/manual/sealed.md")).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn what_the_readme_and_the_manual_point_to_is_there() {
    let mut pages = vec!["README.md".to_owned()];
    pages.extend(
        fs::read_dir(root().join("src/manual"))
            .unwrap()
            .map(|entry| format!("src/manual/{}", entry.unwrap().file_name().to_string_lossy())),
    );
    for name in pages {
        for quoted in read(&name).split('`').skip(1).step_by(2) {
            let place = quoted.split("::").next().unwrap_or_default();
            let ours = ["src/", "tests/", "proto/", "benches/", "certs/", "examples/"].iter().any(|folder| place.starts_with(folder));
            if ours && !place.contains([' ', '*', '{', '\n']) {
                assert!(root().join(place).exists(), "{name} points to `{place}`");
            }
        }
    }
}
