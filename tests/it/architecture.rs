//! Does every file import only what its room may? The table of the house, kept.

mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The longest file, its test module aside: past this a second thought moved in.
const LINES_MAX: usize = 450;

/// A room, what of ours it may import beside itself, and why no more. The room with the longest matching name counts.
struct Room(&'static str, &'static str, &'static str);

/// What the word `ground` stands for in the tables.
const GROUND: &str = "veil::name veil::logsafe veil::terms veil::outcome veil::dpv veil::base64";
const GROUND_BECAUSE: &str = "the ground imports nothing else of ours, so that all may import it";

const HOUSE: &[Room] = &[
    Room("veil::name", "ground", GROUND_BECAUSE),
    Room("veil::logsafe", "ground", GROUND_BECAUSE),
    Room("veil::terms", "ground", GROUND_BECAUSE),
    Room("veil::outcome", "ground", GROUND_BECAUSE),
    Room("veil::dpv", "ground", GROUND_BECAUSE),
    Room("veil::base64", "ground", GROUND_BECAUSE),
    Room("veil", "veil", "the core can be read, tested, fuzzed and ported alone"),
    Room("veil::wire", "ground", "bytes come before meaning"),
    Room("veil::crypto", "ground", "keys don't know what they protect"),
    Room("veil::schema", "veil::wire veil::crypto::hash proto::v1 ground", "meaning comes before permission"),
    Room("veil::consent", "veil::crypto ground", "what was agreed doesn't depend on who asks"),
    Room("veil::policy", "veil::schema veil::consent ground", "a decision touches no bytes and no keys"),
    Room(
        "veil::risk",
        "veil::policy veil::consent veil::schema ground",
        "what could be inferred follows from decisions; who assesses needs no bytes and no keys",
    ),
    Room("veil::transform", "veil::wire veil::crypto ground", "how, never whether"),
    Room(
        "veil::view",
        "veil::policy veil::consent veil::schema veil::transform veil::crypto veil::wire ground",
        "the only room that joins whether and how",
    ),
    Room(
        "veil::oracle",
        "veil::schema veil::policy veil::wire veil::transform::generalize ground",
        "a judge that took the tables of a view would share their errors",
    ),
    Room("veil::merkle", "veil::crypto ground", "the log is arithmetic over hashes"),
    Room("veil::demand", "veil::consent veil::crypto ground", "a demand is facts and signatures; only a view opens bytes"),
    Room(
        "veil::report",
        "veil::demand veil::merkle veil::consent::envelope veil::consent::refusal veil::consent::text veil::consent::SKEW_MS_MAX veil::crypto::hash veil::risk \
         proto::v1 ground",
        "a reader recomputes a report without a gateway",
    ),
    Room("proto", "veil::terms", "the contract is spoken by all, so it knows only the words they share"),
    Room("descriptors", "proto", "what compiles sources knows nothing of what their messages mean"),
    Room("client", "veil proto", "a wallet is not a gateway"),
    Room("config", "veil", "settings are read before anything runs"),
    Room("world", "veil", "time and entropy don't know who asks"),
    Room("hardening", "veil::logsafe", "the process is closed before anything of it runs"),
    Room("telemetry", "veil", "it may say only what the core marked as sayable"),
    Room("traces", "telemetry stop world veil::name", "it knows methods and codes, nothing that a call carries"),
    Room("stop", "", "an end is an argument; whoever starts something holds the other end of it"),
    Room("health", "log telemetry world stop", "strangers ask it: it knows counters, no payload, subject or recipient"),
    Room("http2", "", "bytes between two ends of a connection; it knows nothing of whose they are"),
    Room("status", "veil", "an answer is made from what it is told, not looked up"),
    Room("store", "veil config world", "storage doesn't know who calls"),
    Room("log", "veil::merkle veil::crypto ground", "it keeps leaves and hashes; whom and what they are about, it can't know"),
    Room("ledger", "store log veil world proto client::dsse", "one writer; the planes above meet in it"),
    Room("judge", "ledger veil config", "the one place of the shell that joins schemas, policy and ledger"),
    Room(
        "gate",
        "judge ledger store veil telemetry traces status world stop config descriptors client proto http2",
        "the data plane opens envelopes, never payloads",
    ),
    Room("control", "judge ledger store veil status world config client proto", "the planes meet only in the ledger"),
    Room("console", "ledger judge veil::view veil::demand ground", "a window, not a second door"),
    Room("manual", "", "pages are read, not run"),
    Room(
        "server",
        "config descriptors world stop telemetry traces health status store log ledger judge gate control console client veil proto",
        "a start composes the rooms; a command starts it, not the other way round",
    ),
    Room(
        "cli",
        "server config descriptors world stop hardening telemetry health status store log ledger judge gate control console client veil proto",
        "a command is a client or a start",
    ),
    Room("main", "cli", "the program is its commands"),
];

/// What only some rooms may name, which (`shell`: all but the core), and why. `*::` at the front: however it was imported.
struct Reserved(&'static str, &'static str, &'static str);

const RESERVED: &[Reserved] = &[
    Reserved("std::net", "shell veil::logsafe", "the core does no I/O; an address may be marked as printable, not opened"),
    Reserved(
        "std::fs std::env std::process std::thread *::io::stdin tokio tokio_stream tonic axum hyper hyper_util tower redb tracing",
        "shell",
        "the core does no I/O and nothing async",
    ),
    Reserved(
        "aes_gcm chacha20poly1305 curve25519_dalek ed25519_dalek hkdf hmac hpke rand_core sha2 x25519_dalek",
        "veil::crypto",
        "one room names cryptography, so that one room is audited",
    ),
    Reserved("aws_lc_rs", "veil::crypto gate::tls", "one room names cryptography, so that one room is audited; TLS takes its provider"),
    Reserved(
        "getrandom *::SysRng *::OsRng std::time::SystemTime *::SystemTime::now *::Timestamp::now *::Zoned::now",
        "world",
        "time and entropy are asked for in one place, so that tests and simulations can stand in for it",
    ),
    Reserved("rustix", "hardening", "what the operating system may do with the process is settled in one place"),
    Reserved("std::time::Instant", "world cli", "the core and the planes take time as an argument; a command may show progress"),
    Reserved(
        "println! print! eprintln! eprint! *::io::stdout",
        "cli",
        "printing is a privilege; all others speak through telemetry, which takes only what is marked as sayable",
    ),
    Reserved(
        "*::Status::new *::Status::with_details *::Status::with_metadata *::Status::from_error *::Status::ok *::Status::cancelled \
         *::Status::unknown *::Status::invalid_argument *::Status::deadline_exceeded *::Status::not_found *::Status::already_exists \
         *::Status::permission_denied *::Status::resource_exhausted *::Status::failed_precondition *::Status::aborted \
         *::Status::out_of_range *::Status::unimplemented *::Status::internal *::Status::unavailable *::Status::data_loss \
         *::Status::unauthenticated",
        "status",
        "short text outside, full text inside: one file decides what a stranger reads",
    ),
];

/// Whether `path` is `place` or lies in it.
fn within(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn within_any(path: &str, places: &str) -> bool {
    places.split_whitespace().any(|place| match place {
        "ground" => within_any(path, GROUND),
        "shell" => !within(path, "veil"),
        _ => within(path, place),
    })
}

fn is_one_of(path: &str, reserved: &str) -> bool {
    reserved.split_whitespace().any(|what| match what.strip_prefix("*::") {
        Some(tail) => format!("::{path}").ends_with(&format!("::{tail}")),
        None => within(path, what),
    })
}

/// What is wrong with the file of module `home` (such as `veil::wire::reader`).
fn complaints(home: &str, text: &str) -> BTreeSet<String> {
    let rooms = HOUSE.iter().filter(|Room(room, ..)| within(home, room));
    let Some(Room(room, may, because)) = rooms.max_by_key(|Room(room, ..)| room.len()) else {
        return BTreeSet::from([format!("`{home}` has no row in the table: say what it may import, and why no more")]);
    };
    let mut wrong = BTreeSet::new();
    for (line, path) in source::paths(&source::code(text), home) {
        if let Some(ours) = path.strip_prefix("crate::") {
            if !within(ours, room) && !within_any(ours, may) {
                wrong.insert(format!("`{home}` line {line} imports `{ours}`: `{room}` may not, because {because}"));
            }
        } else if let Some(Reserved(_, by, because)) = RESERVED.iter().find(|row| is_one_of(&path, row.0) && !within_any(home, row.1)) {
            wrong.insert(format!("`{home}` line {line} names `{path}`: only `{by}` may, because {because}"));
        }
    }
    wrong
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
            false => {}
        }
    }
    found
}

/// Every source file of ours with its module and text, but for those that are declared behind `#[cfg(test)]`.
fn house() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let texts: Vec<_> = files(&src).into_iter().map(|path| (fs::read_to_string(&path).expect("text"), path)).collect();
    let tests: Vec<_> = texts.iter().flat_map(|(text, path)| test_files(text, path)).collect();
    let mut house = Vec::new();
    for (text, path) in
        texts.iter().filter(|(_, path)| !tests.iter().any(|test| path.starts_with(test) || *path == test.with_extension("rs")))
    {
        let name = path.strip_prefix(&src).expect("below").with_extension("");
        let segments: Vec<_> = name.iter().map(|part| part.to_string_lossy()).filter(|part| part != "mod").collect();
        house.push((segments.join("::"), text.clone()));
    }
    house
}

/// The files (without extension) or folders that `text` declares as test modules.
fn test_files(text: &str, path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().expect("in a folder");
    let inner = if path.ends_with("mod.rs") || path.ends_with("lib.rs") { folder.to_owned() } else { path.with_extension("") };
    let pieces = text.split("#[cfg(test)]").skip(1);
    let heads = pieces.filter_map(|piece| piece.split_once(';').map(|(head, _)| head.trim())).filter(|head| !head.contains('{'));
    let modules = heads.filter_map(|head| {
        let name = head.split_whitespace().skip_while(|word| *word != "mod").nth(1)?;
        let file = head.strip_prefix("#[path = \"").and_then(|rest| rest.split_once(".rs\""));
        Some(file.map_or_else(|| inner.join(name), |(file, _)| folder.join(file)))
    });
    modules.collect()
}

#[test]
fn every_room_imports_only_what_the_table_of_the_house_allows() {
    let house = house();
    assert!(house.len() > 20, "only {} files found", house.len());
    let wrong: Vec<_> = house.iter().filter(|(home, _)| home != "lib").flat_map(|(home, text)| complaints(home, text)).collect();
    assert!(wrong.is_empty(), "{}\n", wrong.join("\n"));
}

#[test]
fn no_file_holds_a_second_thought() {
    let lines = |text: &str| source::code(text).trim_end().lines().count();
    let long: Vec<_> = house().iter().map(|(home, text)| (lines(text), home.clone())).filter(|(lines, _)| *lines > LINES_MAX).collect();
    assert!(long.is_empty(), "longer than {LINES_MAX} lines, tests aside; which thought can move out? {long:?}");
}

#[test]
fn a_broken_rule_is_found_and_told_with_its_reason() {
    for (home, text, line, reason) in [
        ("veil::wire::reader", "use crate::veil::policy::Decision;", 1, "bytes come before meaning"),
        ("veil::policy::decide", "use std::fmt;\nuse super::super::{name::Did, wire::{Reader as Bytes}};", 2, "touches no bytes"),
        ("veil::crypto::seal", "mod fast {\n use super::super::super::schema::Schema;\n}", 2, "don't know what they protect"),
        ("veil::consent", "/* a // \"note */ use super::view;", 1, "doesn't depend on who asks"),
        ("veil::view::apply", "fn now() -> bool { std::time::SystemTime::now() != x }", 1, "asked for in one place"),
        ("gate::hub", "use jiff::Timestamp;\nlet t = Timestamp::now();", 2, "asked for in one place"),
        ("veil::terms", "use std::{collections::HashMap, fs};", 1, "no I/O"),
        ("veil::view", "let s = r#\"// \"#; tokio::select! {}", 1, "no I/O"),
        ("gate::route", "let c = '\"'; crate::control::open();", 1, "never payloads"),
        ("gate::route", "return tonic::Status::internal(text);", 1, "what a stranger reads"),
        ("veil::oracle::projection", "use crate::veil::view::Program;", 1, "share their errors"),
        ("control::consent", "use crate::gate::hub::Hub;", 1, "meet only in the ledger"),
        ("ledger", "let digest = sha2::Sha256::digest(b\"\");", 1, "one room is audited"),
        ("store", "match x { _ => println!(\"{x}\") }", 1, "printing is a privilege"),
        ("server", "use crate::cli::run;", 1, "not the other way round"),
        ("attic::trunk", "use std::fmt;", 0, "no row"),
    ] {
        let found = complaints(home, text);
        let told = |found: &String| found.contains(reason) && (line == 0 || found.contains(&format!(" line {line} ")));
        assert!(found.len() == 1 && found.iter().all(told), "{home}: {text}\n{found:?}");
    }
}

#[test]
fn what_is_allowed_or_only_spoken_of_or_only_tested_is_not_a_complaint() {
    for (home, text) in [
        ("veil::wire::reader", "pub(crate) use super::{GROUP, LEN};\nuse crate::veil::outcome::Refusal;"),
        ("veil::wire", "//! Unlike [`crate::veil::policy`], no `println!`.\nconst HINT: &str = \"see crate::gate, \\\" std::fs\";"),
        ("veil::wire", "fn f<'a>(x: &'a str) -> char { 'x' }\n#[cfg(test)]\nmod tests { use crate::gate::hub; mod b {} }\nfn g() {}"),
        ("veil::logsafe", "impl LogSafe for std::net::SocketAddr {}"),
        ("gate::tls", "use rustls::crypto::{CryptoProvider, aws_lc_rs};\naws_lc_rs::default_provider()"),
        ("world", "let rng = getrandom::rand_core::UnwrapErr(getrandom::SysRng);"),
        ("ledger", "use crate::client::dsse;\npub(in crate::gate) fn f() {}"),
    ] {
        assert_eq!(complaints(home, text), BTreeSet::new(), "{home}: {text}");
    }
    let found = complaints("veil::wire", "#[cfg(test)]\nmod tests { use crate::gate; }\nuse crate::gate;");
    assert!(found.len() == 1 && found.iter().all(|found| found.contains("line 3")), "code after a test module counts: {found:?}");
}
