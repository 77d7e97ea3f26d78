//! Is what the pages on threats promise shown by tests that are there? Every row of their tables names one; here the rows are read
//! and the tests looked for. Beside that, what no other module asks: whether there is a second door, and what is built in.

use std::collections::BTreeSet;

use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};

use crate::manual::{read, root};

const PAGES: [&str; 2] = ["src/manual/threats.md", "src/manual/one-identity.md"];
/// The last column of every table.
const SHOWN_BY: &str = "shown by";
/// What every section with a table says behind it.
const NOT_STOPPED: &str = "**Not stopped.**";

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

/// What is wrong with a page, and how many rows it has; `tested` says why a citation is none.
fn complaints(page: &str, tested: impl Fn(&str) -> Result<(), String>) -> (Vec<String>, usize) {
    let (mut wrong, mut rows) = (Vec::new(), 0);
    for section in page.split("\n## ") {
        let title = section.lines().next().unwrap_or_default();
        // Lines of one table follow each other; the first two are its head.
        let (mut head, mut place) = (Vec::new(), 0);
        for line in section.lines() {
            if !line.starts_with('|') {
                place = 0;
                continue;
            }
            place += 1;
            match (place, cells(line)) {
                (1, names) => {
                    if names.last() != Some(&SHOWN_BY) {
                        wrong.push(format!("`{title}`: a table whose last column is not `{SHOWN_BY}`: {line}"));
                    }
                    head = names;
                }
                (2, _) => {}
                (_, row) => {
                    rows += 1;
                    let (first, last) = (row[0], row[row.len() - 1]);
                    if row.len() != head.len() || row.iter().any(|cell| cell.is_empty()) {
                        wrong.push(format!("`{title}`: a row with other cells than its head: {line}"));
                    }
                    // Names in backticks with commas between, and no word beside them.
                    let named: Vec<_> =
                        last.split(", ").map(|name| name.strip_prefix('`').and_then(|name| name.strip_suffix('`'))).collect();
                    for name in named {
                        let shown = name.ok_or_else(|| format!("`{last}` names no test")).and_then(&tested);
                        wrong.extend(shown.err().map(|why| format!("`{title}`: `{first}`: {why}")));
                    }
                }
            }
        }
        if !head.is_empty() && section.rsplit("\n|").next().is_none_or(|behind| !behind.contains(NOT_STOPPED)) {
            wrong.push(format!("`{title}` does not say behind its table what is `{NOT_STOPPED}`"));
        }
    }
    (wrong, rows)
}

/// Whether a text of Rust has a test of this name that runs by itself.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<_> = text.lines().map(str::trim_start).collect();
    let head = [format!("fn {name}("), format!("async fn {name}(")];
    lines.iter().enumerate().any(|(at, line)| {
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        let marks: Vec<_> = above.filter(|line| line.starts_with("#[")).collect();
        let is_test = marks.iter().any(|mark| **mark == "#[test]" || mark.starts_with("#[tokio::test"));
        head.iter().any(|head| line.starts_with(head.as_str())) && is_test && !marks.iter().any(|mark| mark.starts_with("#[ignore"))
    })
}

/// Whether `tests/it/module.rs::name` or `src/room/file.rs::name` is a test of this tree.
fn is_there(cited: &str) -> Result<(), String> {
    let (file, name) = cited.split_once("::").ok_or_else(|| format!("`{cited}` is no `file.rs::name`"))?;
    let ours = (file.starts_with("tests/it/") || file.starts_with("src/")) && file.ends_with(".rs") && !file.contains("..");
    if !ours || !root().join(file).is_file() {
        return Err(format!("`{cited}`: there is no such file of tests"));
    }
    match has_test(&read(file), name) {
        true => Ok(()),
        false => Err(format!("`{cited}`: there is no such test in that file")),
    }
}

#[test]
fn every_row_of_the_pages_on_threats_names_a_test_that_is_there() {
    let mut wrong = Vec::new();
    for name in PAGES {
        let (complaints, rows) = complaints(&read(name), is_there);
        wrong.extend(complaints.into_iter().map(|complaint| format!("{name}: {complaint}")));
        assert!(rows >= 10, "{name}: the scan finds its rows, and not {rows}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_row_that_names_no_test_or_one_that_is_gone_is_found() {
    let here = "tests/it/threats.rs::a_row_that_names_no_test_or_one_that_is_gone_is_found";
    let page = |head: &str, cell: &str, behind: &str| {
        format!(
            "# Page\n\nWords.\n\n## Somebody\n\n| threat | answer | {head} |\n| --- | --- | --- |\n| one | two | {cell} |\n\n{behind}\n"
        )
    };
    let said = |head: &str, cell: &str, behind: &str| complaints(&page(head, cell, behind), is_there).0.join("\n");
    let good = format!("`{here}`, `src/world.rs::entropy_gives_different_bytes`");
    assert_eq!(complaints(&page(SHOWN_BY, &good, NOT_STOPPED), is_there), (Vec::new(), 1));
    for (head, cell, behind, complaint) in [
        ("tested", good.as_str(), NOT_STOPPED, "a table whose last column is not"),
        (SHOWN_BY, good.as_str(), "All is well.", "does not say behind its table"),
        (SHOWN_BY, "", NOT_STOPPED, "other cells than its head"),
        (SHOWN_BY, "", NOT_STOPPED, "names no test"),
        (SHOWN_BY, "review", NOT_STOPPED, "names no test"),
        (SHOWN_BY, &format!("{good}, and others"), NOT_STOPPED, "names no test"),
        (SHOWN_BY, &format!("`{here}` | more"), NOT_STOPPED, "other cells than its head"),
        (SHOWN_BY, "`tests/it/threats.rs`", NOT_STOPPED, "is no `file.rs::name`"),
        (SHOWN_BY, "`tests/it/none.rs::gone`", NOT_STOPPED, "no such file"),
        (SHOWN_BY, "`benches/log.rs::main`", NOT_STOPPED, "no such file"),
        (SHOWN_BY, "`tests/it/threats.rs::gone`", NOT_STOPPED, "no such test"),
        (SHOWN_BY, "`tests/it/threats.rs::is_there`", NOT_STOPPED, "no such test"),
        (SHOWN_BY, &format!("`{}`", &here[..here.len() - 1]), NOT_STOPPED, "no such test"),
    ] {
        assert!(said(head, cell, behind).contains(complaint), "{cell}: {}", said(head, cell, behind));
    }
    assert!(!has_test("#[test]\n#[ignore]\nfn slow() {}\n", "slow") && has_test("#[test]\n// Why.\nfn slow() {}\n", "slow"));
}

/// Every message that is reachable from this one, itself included.
fn reachable(message: &MessageDescriptor, found: &mut BTreeSet<String>) {
    if found.insert(message.full_name().to_owned()) {
        for field in message.fields() {
            if let Kind::Message(inner) = field.kind() {
                reachable(&inner, found);
            }
        }
    }
}

#[test]
fn of_all_methods_of_the_contract_one_gives_frames() {
    let pool = DescriptorPool::decode(twinveil::proto::CONTRACT).unwrap();
    let (mut give, mut all) = (Vec::new(), 0);
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let mut told = BTreeSet::new();
        reachable(&method.output(), &mut told);
        all += 1;
        if told.contains("twinveil.v1.Frame") || told.contains("twinveil.v1.Batch") {
            give.push(method.full_name().to_owned());
        }
    }
    assert!(all >= 11, "the contract has its methods, and not {all}");
    assert_eq!(give, ["twinveil.v1.Frames.Subscribe"], "a second door for frames");
}

#[test]
fn every_dependency_is_pinned_by_its_checksum_and_comes_from_one_place() {
    let lock_files = ["Cargo.lock", "tests/fuzz/Cargo.lock", "tests/judges/merkle/Cargo.lock"];
    for file in lock_files.into_iter().filter(|file| root().join(file).exists()) {
        let text = read(file);
        let (mut pinned, mut own) = (0, BTreeSet::new());
        for package in text.split("[[package]]").skip(1) {
            let value = |member: &str| {
                package.lines().find_map(|line| line.strip_prefix(member)?.strip_prefix(" = ")).map(|text| text.trim_matches('"'))
            };
            let name = value("name").expect("a name");
            match (value("source"), value("checksum")) {
                (Some("registry+https://github.com/rust-lang/crates.io-index"), Some(sum)) => {
                    assert!(sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()), "{file}: {name}: {sum}");
                    pinned += 1;
                }
                (None, None) => drop(own.insert(name.to_owned())),
                other => panic!("{file}: `{name}` comes from {other:?}"),
            }
        }
        assert!(pinned > 50, "{file}: {pinned}");
        assert!(own.iter().all(|name| name.starts_with("twinveil")), "{file}: of our own there is {own:?}");
    }
    // What is not in a lock file is pinned to a version in the script that installs it.
    let script = read("tests/run");
    let pins = script.split("pins=(").nth(1).and_then(|rest| rest.split("\n)").next()).expect("the tools from PyPI");
    assert!(pins.split_whitespace().all(|pin| pin.split_once("==").is_some_and(|(_, version)| !version.is_empty())), "{pins}");
    for rule in ["unknown-registry = \"deny\"", "unknown-git = \"deny\"", "wildcards = \"deny\""] {
        assert!(read("deny.toml").lines().any(|line| line == rule), "deny.toml: {rule}");
    }
}
