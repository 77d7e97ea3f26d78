//! What does a gateway remember that was killed? The program itself, as an operator runs it: `twinveil serve` as a child, wallets
//! and sources as other children, and SIGKILL in between.

mod disk;
mod restart;
mod secrets;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_twinveil");
const HOSPITAL: &str = "spiffe://example.org/source/hospital";
const CLINICIAN: &str = "spiffe://example.org/recipient/clinician";

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("twinveil-process-{}-{name}", std::process::id()));
        let _left_over = std::fs::remove_dir_all(&path);
        let made = Command::new(BINARY).args(["init"]).arg(&path).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}

struct Gateway {
    child: Child,
    address: String,
}

/// Makes a command a gateway's: free ports, pipes.
fn as_gateway<'c>(command: &'c mut Command, dir: &Path) -> &'c mut Command {
    let command = command.args(["serve", "--config"]).arg(dir.join("twinveil.toml"));
    command.env("TWINVEIL_LISTEN", "127.0.0.1:0").env("TWINVEIL_HEALTH_LISTEN", "127.0.0.1:0");
    command.stdout(Stdio::piped()).stderr(Stdio::piped())
}

impl Gateway {
    fn start(dir: &Path) -> Self {
        Self::spawn(as_gateway(&mut Command::new(BINARY), dir))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening on ").and_then(|rest| rest.split(' ').next()).map(str::to_owned);
        let Some(address) = address else {
            let output = child.wait_with_output().unwrap();
            panic!("no address in `{line}`: {}", String::from_utf8_lossy(&output.stderr));
        };
        Self { child, address }
    }

    /// Kills the running one first: two can't have one store.
    fn start_after(dir: &Path, running: &mut Self) -> Self {
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        Self::start(dir)
    }

    fn run(&self, dir: &Path, words: &[&str]) -> Output {
        Command::new(BINARY).args(words).args(["--gateway", &self.address]).current_dir(dir).output().unwrap()
    }

    fn done(&self, dir: &Path, words: &[&str]) -> String {
        let output = self.run(dir, words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_waited = self.child.wait();
    }
}

fn grant<'a>(purpose: &'a str, days: &'a str) -> Vec<&'a str> {
    vec!["wallet", "grant", "--wallet", "w.json", "--to", CLINICIAN, "--purpose", purpose, "--permit", "health=keep", "--days", days]
}

fn new_wallet(dir: &Path) {
    let made = Command::new(BINARY).args(["wallet", "new", "w.json"]).current_dir(dir).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

#[test]
fn what_was_acknowledged_survives_a_kill_between_any_two_calls() {
    let folder = Folder::new("survives");
    let dir = &folder.0;
    new_wallet(dir);
    let mut gateway = Gateway::start(dir);
    let restart = |gateway: &mut Gateway| *gateway = Gateway::start_after(dir, gateway);
    gateway
        .done(dir, &["wallet", "enrol", "--wallet", "w.json", "--source", HOSPITAL, "--value", "p-1", "--source-key", "keys/hospital.key"]);
    restart(&mut gateway);
    // Enrolled once and for all: another wallet can't take the value.
    std::fs::rename(dir.join("w.json"), dir.join("first.json")).unwrap();
    new_wallet(dir);
    let again = ["wallet", "enrol", "--wallet", "w.json", "--source", HOSPITAL, "--value", "p-1", "--source-key", "keys/hospital.key"];
    let refused = gateway.run(dir, &again);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("TV-L04"), "{refused:?}");
    std::fs::rename(dir.join("first.json"), dir.join("w.json")).unwrap();

    gateway.done(dir, &grant("dpv:ServiceProvision", "7"));
    restart(&mut gateway);
    assert!(gateway.done(dir, &["wallet", "standing", "--wallet", "w.json"]).contains(" live "));
    gateway.done(dir, &["wallet", "withdraw", "--wallet", "w.json", "--all"]);
    restart(&mut gateway);
    let standing = gateway.done(dir, &["wallet", "standing", "--wallet", "w.json"]);
    assert!(standing.contains(" withdrawn ") && !standing.contains(" live "), "{standing}");
    // The chain goes on where it was.
    gateway.done(dir, &grant("dpv:ImproveHealthcare", "7"));
}

#[test]
fn kills_under_load_lose_nothing_that_was_acknowledged_and_leave_one_log() {
    // A wallet's records are bounded, so there is one for every few kills.
    let wallets = if std::env::var_os("TWINVEIL_LONG").is_some() { 30 } else { 1 };
    let folder = Folder::new("load");
    let dir = &folder.0;
    let mut entries = 4;
    for wallet in 0..wallets {
        let kills = if wallets == 1 { 3 } else { 10 };
        entries += kill_under_load(dir, wallet * kills..(wallet + 1) * kills);
        let audit = offline(dir, &["log", "verify", "--older", "older.checkpoint"]);
        assert!(audit.starts_with(&format!("ok {entries}: {} about persons, 4 of institutions", entries - 4)), "{audit}");
        std::fs::rename(dir.join("w.json"), dir.join(format!("w{wallet}.json"))).unwrap();
    }
}

/// Kills a gateway in the middle of what a fresh wallet makes it write; says how many records it took.
fn kill_under_load(dir: &Path, rounds: std::ops::Range<usize>) -> usize {
    new_wallet(dir);
    let mut acknowledged: Vec<String> = Vec::new();
    for round in rounds {
        let gateway = Gateway::start(dir);
        let pid = gateway.child.id().to_string();
        // The kill comes at another moment in every round, in the middle of whatever is being written.
        let delay = format!("0.{:02}", 5 + (round * 37) % 90);
        let mut killer = Command::new("sh").args(["-c", &format!("sleep {delay}; kill -9 {pid}")]).spawn().unwrap();
        for _ in 0..20 {
            let answer = gateway.run(dir, &grant("dpv:ServiceProvision", "7"));
            if !answer.status.success() {
                break;
            }
            let text = String::from_utf8(answer.stdout).unwrap();
            let record = text.lines().find_map(|line| line.strip_prefix("record")).map(|id| id.trim().to_owned());
            acknowledged.push(record.unwrap_or_else(|| panic!("no record in `{text}`")));
        }
        killer.wait().unwrap();
        drop(gateway);
        // What was signed before any kill is still what the log begins with; nobody has to be asked.
        let older = dir.join("older.checkpoint");
        offline(dir, if older.exists() { &["log", "verify", "--older", "older.checkpoint"] } else { &["log", "verify"] });
        std::fs::copy(dir.join("log/checkpoint"), older).unwrap();
    }
    let receipts = ["wallet", "receipts", "--wallet", "w.json", "--output", "json"];
    let kept = offline(dir, &receipts);
    let gateway = Gateway::start(dir);
    let standing = gateway.done(dir, &["wallet", "standing", "--wallet", "w.json", "--output", "json"]);
    for record in &acknowledged {
        assert!(standing.contains(record), "{record} was acknowledged and is gone");
        assert!(kept.contains(record), "{record} was acknowledged without a receipt");
    }
    // What was taken and never answered is in the log, too.
    gateway.done(dir, &["wallet", "receipts", "--wallet", "w.json", "--fetch"]);
    offline(dir, &["wallet", "receipts", "--wallet", "w.json", "--verify"]);
    let (fetched, taken) = (offline(dir, &receipts).lines().count(), standing.matches("\"state\"").count());
    assert!(fetched == taken && (taken > 0 || acknowledged.is_empty()), "{fetched} receipts for {taken} records");
    taken
}

/// Runs a command that asks no gateway.
fn offline(dir: &Path, words: &[&str]) -> String {
    let output = Command::new(BINARY).args(words).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_store_that_cannot_be_read_stops_the_start_and_says_so() {
    let folder = Folder::new("unreadable");
    let dir = &folder.0;
    std::fs::write(dir.join("store"), "not a folder").unwrap();
    let output = Command::new(BINARY)
        .args(["serve", "--config"])
        .arg(dir.join("twinveil.toml"))
        .env("TWINVEIL_LISTEN", "127.0.0.1:0")
        .env("TWINVEIL_HEALTH_LISTEN", "127.0.0.1:0")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("TV-D"), "{said}");
}

/// A process may be dumped, or read by others of its user, where `/proc` says that its files are its own; else they are root's
/// (proc(5), `/proc/pid`; in a user namespace, whom it takes for root). Root starts both under another group, to have something to lose.
#[cfg(target_os = "linux")]
#[test]
fn a_gateway_leaves_no_core_dump_and_is_closed_to_others_of_its_user() {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::process::CommandExt;

    const OTHER_GROUP: u32 = 65_534;
    let ours = std::fs::metadata("/proc/self/environ").unwrap();
    let is_root = ours.uid() == 0;
    // With dumps of any size allowed, where that may be said.
    let started = |program: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -S -c \"$(ulimit -H -c)\"; exec \"$0\" \"$@\"", program]);
        if is_root {
            command.gid(OTHER_GROUP);
        }
        command
    };
    let owner = |pid: u32| std::fs::metadata(format!("/proc/{pid}/environ")).map(|meta| (meta.uid(), meta.gid())).unwrap();
    let core = |pid: u32| {
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap().to_owned();
        let mut sizes = line.split_whitespace().map(str::to_owned);
        [sizes.next().unwrap(), sizes.next().unwrap()]
    };

    let folder = Folder::new("dumps");
    let gateway = Gateway::spawn(as_gateway(&mut started(BINARY), &folder.0));
    let mut other = started("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // The shell has become the program when its limits and owner are read: the gateway said that it listens, this one answers.
    other.stdin.as_mut().unwrap().write_all(b"there\n").unwrap();
    BufReader::new(other.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    let pids = [gateway.child.id(), other.id()];
    let (owners, limits) = (pids.map(owner), pids.map(core));
    other.kill().unwrap();
    other.wait().unwrap();
    let own = (ours.uid(), if is_root { OTHER_GROUP } else { ours.gid() });
    assert_eq!(owners[1], own, "any other program");
    assert_ne!(owners[0], own, "the gateway");
    assert_eq!(limits[0], ["0", "0"]);
    if limits[1] == ["0", "0"] {
        println!("SKIPPED that core dumps are limited: this machine allows none to anybody");
    }
}

#[test]
fn a_gateway_that_is_asked_for_every_line_tells_nothing_of_libraries_and_no_value() {
    let folder = Folder::new("loud");
    let dir = &folder.0;
    new_wallet(dir);
    let mut command = Command::new(BINARY);
    let loud = "trace,h2=trace,hyper=trace,hyper_util=trace,tonic=trace,tower=trace,rustls=trace,tokio=trace,[conn]=trace";
    let log = std::fs::File::create(dir.join("gateway.log")).unwrap();
    let command = as_gateway(&mut command, dir).env("TWINVEIL_LOG", loud).env("RUST_LOG", "trace").stderr(log);
    let gateway = Gateway::spawn(command);
    let value = "canary-3c90";
    gateway
        .done(dir, &["wallet", "enrol", "--wallet", "w.json", "--source", HOSPITAL, "--value", value, "--source-key", "keys/hospital.key"]);
    gateway.done(dir, &grant("dpv:ServiceProvision", "7"));
    let mut frames = String::new();
    for (who, note) in [(value, "note-canary-3c90"), ("somebody-canary-3c90", "x"), (value, "note-canary-3c90")] {
        frames += &format!("{{\"patientId\":\"{who}\",\"deviceId\":\"device-canary-3c90\",\"note\":\"{note}\"}}\n");
    }
    std::fs::write(dir.join("frames.ndjson"), frames).unwrap();
    let publish = ["publish", "--as", "hospital", "--schema", "twinveil.sample.PatientFrame", "frames.ndjson"];
    assert_eq!(gateway.run(dir, &publish).status.code(), Some(1), "one is of nobody who is enrolled");
    let subscribe = ["subscribe", "--as", "clinician", "--schema", "twinveil.sample.TurbineFrame", "--purpose", value];
    assert!(!gateway.run(dir, &subscribe).status.success(), "no such purpose");
    drop(gateway);
    let said = std::fs::read_to_string(dir.join("gateway.log")).unwrap();
    assert!(said.contains("frames were refused"), "{said}");
    for line in said.lines() {
        let target = line.split_whitespace().find(|word| word.ends_with(':') && !word.starts_with(char::is_numeric)).unwrap_or_default();
        let loud = [" TRACE ", " DEBUG ", " INFO "].iter().any(|level| line.contains(level));
        assert!(!loud || target.starts_with("twinveil"), "{line}");
        assert!(!line.contains("canary-3c90"), "{line}");
    }
}

#[test]
fn a_hangup_reloads_and_so_does_a_change_of_a_file() {
    let folder = Folder::new("reload");
    let dir = &folder.0;
    let log = dir.join("gateway.log");
    let mut command = Command::new(BINARY);
    let gateway = Gateway::spawn(as_gateway(&mut command, dir).stderr(std::fs::File::create(&log).unwrap()));
    #[expect(clippy::disallowed_methods, reason = "nothing else runs on this thread")]
    let said = |text: &str, count: usize| {
        let began = std::time::Instant::now();
        while std::fs::read_to_string(&log).unwrap().matches(text).count() < count {
            assert!(began.elapsed().as_secs() < 20, "waited for {count} of `{text}`: {}", std::fs::read_to_string(&log).unwrap());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    let hung_up = Command::new("sh").args(["-c", &format!("kill -HUP {}", gateway.child.id())]).status().unwrap();
    assert!(hung_up.success());
    said("the configuration was reloaded", 1);
    let policy = dir.join("policy.cedar");
    let good = std::fs::read_to_string(&policy).unwrap();
    std::fs::write(&policy, format!("{good}permit")).unwrap();
    said("TV-P02", 1);
    std::fs::write(&policy, format!("{good}// as it was\n")).unwrap();
    said("the configuration was reloaded", 2);
    new_wallet(dir);
    assert!(gateway.run(dir, &["wallet", "standing", "--wallet", "w.json"]).status.success(), "it serves as before");
}
