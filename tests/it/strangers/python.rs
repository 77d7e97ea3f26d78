//! Python's grpcio on both sides, with gzip and deflate: it neither knows nor finds out that somebody reads along.

use super::{Running, run, script, ward_stubs};
use crate::harness::{Given, forbid};
use crate::proxy::{CARE, at};

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
late DEADLINE_EXCEEDED
cancel after [0, 1, 2]
cancelled CANCELLED
watches True
";

/// What the server prints meanwhile.
const MET: &str = "\
metadata x-request-id=16
watch ended
metadata
metadata
deadline True
late call active False
watch ended
metadata
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_calls_of_every_kind_and_their_ends_go_through_between_programs_in_python() {
    let Some(stubs) = ward_stubs() else { return };
    let mut server = script("ward_server.py", &[&stubs.0]).unwrap();
    let traced = [("GRPC_TRACE", "compression"), ("GRPC_VERBOSITY", "DEBUG")];
    let mut server = Running::start({
        server.envs(traced);
        server
    });
    let port: u16 = server.heard("its port", |said| said.lines().find_map(|line| line.parse().ok())).await;
    let world = at(&format!("127.0.0.1:{port}"), "metadata = [\"x-request-id\"]").await;
    let person = world.patient("p-1").await;
    world.enrol("clinician", "p-1", &person).await;
    world.grant(&person, &Given::to(&world, &["clinician", "hospital"], CARE).and(forbid("name"))).await;
    let address = world.gate.to_string();
    let mut client = script("ward_client.py", &[&address, &world.folder.join("certs"), &stubs.0]).unwrap();
    client.envs(traced);
    let ended = run(client);
    let packed = |text: &str, how: &str| text.matches(&format!("Compressed[{how}]")).count();
    assert_eq!(
        ended.out,
        ["Gzip", "Deflate", "NoCompression"].map(|packing| format!("packing {packing}\n{SEEN}")).concat(),
        "{}",
        ended.err
    );
    // Not that nothing was compressed: one question and eight charts in each way, and the answers in the server's own.
    assert!(packed(&ended.err, "gzip") >= 9 && packed(&ended.err, "deflate") >= 9, "{}", ended.err);
    let heard = server.heard("the last call to end", |said| (said.matches("watch ended").count() == 6).then(|| said.to_owned())).await;
    assert!(packed(&heard, "gzip") >= 6 && packed(&heard, "deflate") >= 9, "{heard}");
    let met: String = heard.lines().filter(|line| MET.lines().any(|met| met == *line)).map(|line| format!("{line}\n")).collect();
    assert_eq!(met, MET.repeat(3), "{heard}");
    assert_eq!(heard.lines().filter(|line| line.starts_with("metadata")).count(), 12, "{heard}");
}
