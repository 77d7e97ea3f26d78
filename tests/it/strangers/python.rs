//! Python's grpcio on both sides, with gzip and deflate: it neither knows nor finds out that somebody reads along.

use super::{Running, run, script, ward_stubs};
use crate::harness::{Given, forbid};
use crate::proxy::{CARE, at, patient};

/// What a client prints for each way of packing. Nothing of `Milo Feil` is in it: neither the name nor what the server says of him.
const SEEN: &str = "\
look p-1 72.5 True ''
headers ['x-request-id=17'] trailers ['x-request-id=18']
watch 0 True ''
watch 1 True ''
watch 2 True ''
record 5
talk 0 True ''
talk 1 True ''
talk 2 True ''
fail ALREADY_EXISTS False []
large RESOURCE_EXHAUSTED TV-G11
late DEADLINE_EXCEEDED
cancel after [0, 1, 2]
cancelled CANCELLED
muted CANCELLED
watches True
";

/// What the server prints meanwhile, whatever comes first.
const MET: [&str; 8] = [
    "deadline True",
    "late call active False",
    "metadata",
    "metadata",
    "metadata x-request-id=16",
    "mute call active False",
    "watch ended",
    "watch ended",
];

/// What was printed by the client, what it and the server said of the packing of messages, and what else the server said.
struct Said {
    out: String,
    client: String,
    server: String,
}

impl Said {
    /// How many messages somebody packed.
    fn packed(text: &str, how: &str) -> usize {
        text.matches(&format!("Compressed[{how}]")).count()
    }

    /// How long the messages were that came, before they were opened.
    fn came(text: &str) -> Vec<usize> {
        let lens = text.split("DecompressMessage: len=").skip(1);
        lens.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()).collect()
    }
}

/// Calls of every kind between a client and a server in Python, each way of packing in turn, through a gateway with this route.
async fn calls(route: &str) -> Option<Said> {
    let stubs = ward_stubs()?;
    let mut server = script("ward_server.py", &[&stubs.0]).unwrap();
    let traced = [("GRPC_TRACE", "compression"), ("GRPC_VERBOSITY", "DEBUG")];
    let mut server = Running::start({
        server.envs(traced);
        server
    });
    let port: u16 = server.heard("its port", |said| said.lines().find_map(|line| line.parse().ok())).await;
    let world = at(&format!("127.0.0.1:{port}"), &format!("metadata = [\"x-request-id\"]\n{route}")).await;
    let person = world.patient("p-1").await;
    world.enrol("clinician", "p-1", &person).await;
    world.grant(&person, &Given::to(&world, &["clinician", "hospital"], CARE).and(forbid("name"))).await;
    let address = world.gate.to_string();
    let mut client = script("ward_client.py", &[&address, &world.folder.join("certs"), &stubs.0]).unwrap();
    client.envs(traced);
    let ended = run(client);
    let ends = |said: &str| said.matches("watch ended").count() == 6 && said.matches("mute call").count() == 3;
    let heard = server.heard("the last call to end", |said| ends(said).then(|| said.to_owned())).await;
    Some(Said { out: ended.out, client: ended.err, server: heard })
}

/// What the client printed for each way of packing.
fn seen() -> String {
    ["Gzip", "Deflate", "NoCompression"].map(|packing| format!("packing {packing}\n{SEEN}")).concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_calls_of_every_kind_and_their_ends_go_through_between_programs_in_python() {
    let Some(Said { out, client, server }) = calls("").await else { return };
    assert_eq!(out, seen(), "{client}");
    // Not that nothing was compressed: one question and eight charts in each way, and the answers in the server's own.
    let packed = Said::packed;
    assert!(packed(&client, "gzip") >= 9 && packed(&client, "deflate") >= 9, "{client}");
    assert!(packed(&server, "gzip") >= 6 && packed(&server, "deflate") >= 9, "{server}");
    let words = ["deadline", "late", "metadata", "mute", "watch"];
    let mut met: Vec<_> = server.lines().filter(|line| words.iter().any(|word| line.starts_with(word))).collect();
    met.sort_unstable();
    let mut expected = MET.repeat(3);
    expected.sort_unstable();
    assert_eq!(met, expected, "{server}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_either_program_in_python_compressed_reaches_the_other_compressed_where_the_route_says_so() {
    let (Some(off), Some(on)) = (calls("").await, calls("recompress = true").await) else { return };
    assert_eq!(on.out, seen(), "{}", on.client);
    let long = |text: &str| Said::came(text).iter().filter(|len| **len > 500).count();
    // Every answer that says much is packed by the server; what is asked is by the client in two turns of three.
    let (answers, asked) = (long(&off.client), long(&off.server));
    assert!(answers >= 30 && asked >= 27, "{answers} {asked}");
    assert_eq!((long(&on.client), long(&on.server)), (0, asked / 3));
    assert_eq!(Said::came(&on.client).len(), Said::came(&off.client).len());
}

/// A gateway in front of a server with these options of channels, and what a client of it prints.
async fn tried(options: &[&str], what: &str) -> Option<String> {
    let stubs = ward_stubs()?;
    let mut server = script("ward_server.py", &[&stubs.0]).expect("asked for before");
    server.args(options);
    let mut server = Running::start(server);
    let port: u16 = server.heard("its port", |said| said.lines().find_map(|line| line.parse().ok())).await;
    let world = at(&format!("127.0.0.1:{port}"), "").await;
    let _person = patient(&world, "p-1").await;
    let address = world.gate.to_string();
    let client = script("ward_restless.py", &[&address, &world.folder.join("certs"), &stubs.0, &what]);
    Some(run(client.expect("asked for before")).well())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_closes_its_connections_in_good_order_again_and_again_costs_no_call() {
    let Some(said) = tried(&["max_connection_age_ms=150", "max_connection_age_grace_ms=3000"], "ages").await else { return };
    let calls: u32 = said.strip_prefix("OK ").and_then(|rest| rest.trim().parse().ok()).unwrap_or_else(|| panic!("{said}"));
    assert!(calls > 100, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_few_streams_at_once_is_called_on_as_many_connections_as_calls_need() {
    let Some(said) = tried(&["max_concurrent_streams=2"], "narrow").await else { return };
    assert_eq!(said, "open [0, 0]\nnone left OK\nwaits OK [999, 999]\nthen OK\n");
}
