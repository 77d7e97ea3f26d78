//! etcdctl in front of the gateway and etcd behind it, against etcdctl and another, fresh etcd alone: both print the same. Where
//! nobody classified values, they are not there, and all else is.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;

use super::{Running, descriptors, everything_public, free, plain, program, routed, run_with};
use crate::harness::{Folder, World};

const PROTOS: &[(&str, &str)] = &[("kv.proto", include_str!("etcd/kv.proto")), ("rpc.proto", include_str!("etcd/rpc.proto"))];
const SERVICES: [&str; 5] =
    ["etcdserverpb.KV", "etcdserverpb.Watch", "etcdserverpb.Lease", "etcdserverpb.Cluster", "etcdserverpb.Maintenance"];

/// A cluster of one; it names itself the same each time.
struct Etcd {
    at: SocketAddr,
    running: Running,
    folder: Folder,
}

impl Etcd {
    async fn start() -> Option<Self> {
        let (folder, at) = (Folder::new(), free());
        let running = Self::run(&folder, at).await?;
        Some(Self { at, running, folder })
    }

    async fn run(folder: &Folder, at: SocketAddr) -> Option<Running> {
        let mut etcd = program("etcd")?;
        etcd.arg("--data-dir").arg(folder.join("data")).args(["--listen-peer-urls", "http://127.0.0.1:0"]);
        for which in ["--listen-client-urls", "--advertise-client-urls"] {
            etcd.arg(which).arg(format!("http://{at}"));
        }
        etcd.args(["--logger", "zap", "--log-level", "error", "--log-outputs", "stderr"]);
        let mut running = Running::start(etcd);
        running.listens(at).await;
        Some(running)
    }

    /// Killed, and started again with what it had on disk.
    async fn die_and_come_back(&mut self) {
        self.running.kill();
        self.running = Self::run(&self.folder, self.at).await.expect("asked for before");
    }
}

fn etcdctl(at: SocketAddr, args: &[&str]) -> Option<Command> {
    let mut ctl = program("etcdctl")?;
    ctl.env("ETCDCTL_API", "3").args(["--endpoints", &at.to_string(), "--command-timeout", "10s"]).args(args);
    Some(ctl)
}

async fn gateway(etcd: &Etcd, stripped: &[&str]) -> World {
    let set = descriptors(PROTOS);
    let side = everything_public(&set, stripped);
    // What etcd says when it refuses is part of its API.
    let lines = routed(etcd.at, &SERVICES, "etcd.binpb", "etcd.toml", "errors = \"pass\"");
    plain(&[("etcd.binpb", &set), ("etcd.toml", side.as_bytes())], &lines).await
}

/// Runs etcdctl once: what it printed and how it ended. The log of its retries has names of connections in it.
fn once(at: SocketAddr, args: &[&str], input: &str) -> String {
    let ended = run_with(etcdctl(at, args).expect("asked for before"), input);
    let err: String = ended.err.lines().filter(|line| !line.starts_with('{')).collect();
    format!("$ etcdctl {}\n{}{err}\n[{:?}]\n", args.join(" "), ended.out, ended.code)
}

/// The lease in what was printed, which etcd draws by chance.
fn lease(printed: &str) -> String {
    let word = printed.lines().nth(1).and_then(|line| line.split(' ').nth(1)).unwrap_or_else(|| panic!("no lease in {printed}"));
    assert!(word.len() >= 15 && word.bytes().all(|b| b.is_ascii_hexdigit()), "{printed}");
    word.to_owned()
}

/// What a watch in JSON has told, however it was told in parts.
fn events(said: &str) -> Vec<Value> {
    // What begins otherwise is its log.
    let told = said.lines().filter(|line| line.starts_with("{\"Header\"")).map(|line| serde_json::from_str::<Value>(line).unwrap());
    told.flat_map(|told| told["Events"].as_array().cloned().unwrap_or_default()).collect()
}

/// Everything that is asked of an etcd, and what is printed.
async fn session(at: SocketAddr) -> String {
    let mut all = String::new();
    let mut say = |args: &[&str], input: &str| {
        let printed = once(at, args, input);
        all += &printed;
        printed
    };
    let mut watching = Running::start(etcdctl(at, &["watch", "--prefix", "--prev-kv", "ward/", "-w", "json", "--rev", "1"]).unwrap());
    say(&["put", "ward/3B/bed/1", "Milo Feil"], "");
    watching.heard("the first event", |said| (events(said).len() == 1).then_some(())).await;
    say(&["put", "ward/3B/bed/1", "Ada Lang", "--prev-kv", "-w", "json"], "");
    say(&["put", "ward/3B/bed/2", ""], "");
    say(&["put", "ward/3B/bed/3"], "from standard input, with\nlines");
    say(&["get", "ward/3B/bed/1"], "");
    say(&["get", "--prefix", "ward/"], "");
    say(&["get", "--prefix", "ward/", "-w", "json", "--sort-by", "MODIFY", "--order", "DESCEND"], "");
    say(&["get", "--prefix", "ward/", "--keys-only", "--limit", "2", "-w", "json"], "");
    say(&["get", "ward/3B/bed/1", "--rev", "2", "-w", "json"], "");
    say(&["get", "nothing", "-w", "json"], "");
    let granted = say(&["lease", "grant", "600"], "");
    let granted = lease(&granted);
    say(&["put", "ward/3B/nurse", "Ida", "--lease", &granted], "");
    say(&["lease", "keep-alive", "--once", &granted], "");
    say(&["lease", "timetolive", &granted, "--keys"], "");
    say(&["lease", "list"], "");
    let yes = "create(\"ward/3B/doctor\") = \"0\"\nvalue(\"ward/3B/bed/1\") = \"Ada Lang\"\nversion(\"ward/3B/bed/1\") > \"1\"\n\n\
               put ward/3B/doctor Max\nget --prefix ward/3B/bed\ndel ward/3B/bed/2\n\nget ward/3B/doctor\n\n";
    say(&["txn", "-w", "json"], yes);
    say(&["txn"], yes);
    say(&["txn"], "mod(\"ward/3B/doctor\") > \"1\"\n\nget ward/3B/doctor\n\n\n");
    say(&["del", "ward/3B/bed/3", "--prev-kv"], "");
    say(&["lease", "revoke", &granted], "");
    say(&["lease", "revoke", &granted], "");
    say(&["get", "ward/3B/nurse", "-w", "json"], "");
    say(&["compact", "5"], "");
    say(&["compact", "5"], "");
    say(&["get", "ward/3B/bed/1", "--rev", "2"], "");
    say(&["member", "list", "-w", "json"], "");
    say(&["endpoint", "health"], "");
    say(&["put", "ward/end", "of it"], "");
    for event in watching.heard("ten events", |said| Some(events(said)).filter(|events| events.len() == 10)).await {
        all += &format!("{event}\n");
    }
    let id = u64::from_str_radix(&granted, 16).unwrap();
    let all = all.replace(&granted, "LEASE").replace(&id.to_string(), "LEASE").replace(&at.to_string(), "ETCD");
    // How long something took and what is left of a lease is never the same.
    let plain = |line: &str| {
        let line = line.split(" took = ").next().unwrap_or_default();
        (595..600).fold(line.to_owned(), |line, left| line.replace(&format!("remaining({left}s)"), "remaining(600s)"))
    };
    all.lines().map(|line| plain(line) + "\n").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcdctl_prints_the_same_through_the_gateway_as_without() {
    if program("etcdctl").is_none() {
        return;
    }
    let (Some(alone), Some(behind)) = (Etcd::start().await, Etcd::start().await) else { return };
    let world = gateway(&behind, &[]).await;
    let expected = session(alone.at).await;
    let through = session(world.gate).await.replace(&behind.at.to_string(), "ETCD");
    for (direct, through) in expected.lines().zip(through.lines()) {
        assert_eq!(direct, through, "\n{expected}");
    }
    assert_eq!(expected, through);
    for word in ["OK", "SUCCESS", "FAILURE", "keepalived with TTL", "is healthy", "requested lease not found", "has been compacted"] {
        assert!(expected.contains(word), "{word}: {expected}");
    }
    assert!(world.metric("twinveil_messages_out_total").await > 60);
}

/// The same without any `value` that etcd answers with.
fn without_values(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            if fields.contains_key("mod_revision") {
                fields.remove("value");
            }
            fields.values_mut().for_each(without_values);
        }
        Value::Array(items) => items.iter_mut().for_each(without_values),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_classified_values_etcdctl_shows_empty_ones_and_everything_else() {
    if program("etcdctl").is_none() {
        return;
    }
    let Some(etcd) = Etcd::start().await else { return };
    let world = gateway(&etcd, &["mvccpb.KeyValue.value"]).await;
    let watch = ["watch", "--prefix", "--prev-kv", "ward/", "-w", "json", "--rev", "1"];
    let (mut direct, mut veiled) =
        (Running::start(etcdctl(etcd.at, &watch).unwrap()), Running::start(etcdctl(world.gate, &watch).unwrap()));
    let mut plainly = Running::start(etcdctl(world.gate, &["watch", "--prefix", "ward/", "--rev", "1"]).unwrap());
    for (key, value) in [("ward/bed/1", "Milo Feil"), ("ward/bed/1", "Ada Lang"), ("ward/bed/2", "Milo Feil")] {
        assert!(once(world.gate, &["put", key, value], "").contains("OK"));
    }
    assert_eq!(once(etcd.at, &["get", "ward/bed/1"], ""), "$ etcdctl get ward/bed/1\nward/bed/1\nAda Lang\n\n[Some(0)]\n");
    assert_eq!(once(world.gate, &["get", "ward/bed/1"], ""), "$ etcdctl get ward/bed/1\nward/bed/1\n\n\n[Some(0)]\n");
    let txn = "value(\"ward/bed/1\") = \"Ada Lang\"\n\nget --prefix ward/\n\n\n";
    for (args, input) in [(vec!["get", "--prefix", "ward/", "-w", "json"], ""), (vec!["txn", "-w", "json"], txn)] {
        let [mut full, seen] = [etcd.at, world.gate].map(|at| {
            let printed = run_with(etcdctl(at, &args).unwrap(), input).well();
            printed.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok()).unwrap_or_else(|| panic!("{printed}"))
        });
        assert_ne!(full, seen, "{args:?}");
        without_values(&mut full);
        assert_eq!(full, seen, "{args:?}");
    }
    let [full, seen] = [etcd.at, world.gate].map(|at| {
        let ctl = etcdctl(at, &["endpoint", "status", "-w", "json"]).unwrap();
        run_with(ctl, "").well().replace(&at.to_string(), "HERE")
    });
    assert!(full.contains("\"leader\"") && full == seen, "{full} {seen}");
    assert!(once(etcd.at, &["del", "ward/bed/2"], "").contains("\n1\n"));
    let all = |said: &str| Some(events(said)).filter(|events| events.len() == 4);
    let mut full = direct.heard("four events", all).await;
    let seen = veiled.heard("four events", all).await;
    assert_ne!(full, seen);
    full.iter_mut().for_each(without_values);
    assert_eq!(full, seen);
    let granted = lease(&once(world.gate, &["lease", "grant", "3"], ""));
    let mut kept = Running::start(etcdctl(world.gate, &["lease", "keep-alive", &granted]).unwrap());
    kept.heard("three signs of life", |said| (said.matches("keepalived with TTL(3)").count() >= 3).then_some(())).await;
    let said = plainly.heard("the last event", |said| said.contains("DELETE\nward/bed/2\n\n").then(|| said.to_owned())).await;
    assert_eq!(said, "PUT\nward/bed/1\n\nPUT\nward/bed/1\n\nPUT\nward/bed/2\n\nDELETE\nward/bed/2\n\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_by_itself_after_etcd_died_and_came_back() {
    if program("etcdctl").is_none() {
        return;
    }
    let Some(mut etcd) = Etcd::start().await else { return };
    let world = gateway(&etcd, &[]).await;
    let mut watching = Running::start(etcdctl(world.gate, &["watch", "--prefix", "ward/", "-w", "json", "--rev", "1"]).unwrap());
    assert!(once(world.gate, &["put", "ward/bed/1", "Ada Lang"], "").contains("OK"));
    watching.heard("the first event", |said| (events(said).len() == 1).then_some(())).await;
    etcd.die_and_come_back().await;
    assert!(once(world.gate, &["put", "ward/bed/2", "Milo Feil"], "").contains("OK"), "{}", once(world.gate, &["endpoint", "health"], ""));
    let events = watching.heard("the event after it", |said| Some(events(said)).filter(|events| events.len() > 1)).await;
    let keys: Vec<_> = events.iter().map(|event| event["kv"]["mod_revision"].as_u64().unwrap()).collect();
    assert_eq!(keys, [2, 3], "none is lost, none comes twice");
}
