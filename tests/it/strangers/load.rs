//! h2load: ten clients with ten streams each, some thousand calls, every one of them answered in full.

use super::{plain, program, routed, run};
use crate::harness::prefixed;
use crate::harness::ward::{WardAsk, chart, descriptors, serve};
use prost::Message;

const CALLS: usize = 5_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_unary_calls_on_many_streams_are_all_answered() {
    let Some(mut h2load) = program("h2load") else { return };
    let (address, got) = serve().await;
    let set = descriptors();
    let side = super::everything_public(&set, &["ward.v1.Chart.name"]);
    let lines = routed(address, &["ward.v1.Ward"], "ward.binpb", "ward.toml", "");
    let world = plain(&[("ward.binpb", &set), ("ward.toml", side.as_bytes())], &lines).await;
    let question = WardAsk { patient: "p-1".into(), count: 1, word: "a word".into() }.encode_to_vec();
    std::fs::write(world.folder.join("body"), prefixed(0, &question)).unwrap();
    h2load.args(["-n", &CALLS.to_string(), "-c", "10", "-m", "10", "-H", "content-type: application/grpc", "-H", "te: trailers"]);
    h2load.arg("-d").arg(world.folder.join("body")).arg(format!("http://{}/ward.v1.Ward/Look", world.gate));
    let said = run(h2load).well();
    let line = |start: &str| said.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no `{start}`: {said}"));
    let all = format!("{CALLS} total, {CALLS} started, {CALLS} done, {CALLS} succeeded, 0 failed, 0 errored, 0 timeout");
    assert_eq!(line("requests: "), format!("requests: {all}"), "{said}");
    assert_eq!(line("status codes: "), format!("status codes: {CALLS} 2xx, 0 3xx, 0 4xx, 0 5xx"), "{said}");
    // A refusal is 200 as well: so every byte of every answer is counted, without the name that nobody classified.
    let answer = crate::harness::ward::Chart { name: String::new(), ..chart("p-1", 0) }.encode_to_vec();
    let bytes = CALLS * (5 + answer.len());
    assert!(line("traffic: ").ends_with(&format!("({bytes}) data")), "{said}");
    let asked = got.messages.lock().unwrap();
    assert!(asked.len() == CALLS && asked.iter().all(|message| *message == question), "{}", asked.len());
}
