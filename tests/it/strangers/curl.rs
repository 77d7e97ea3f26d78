//! buf curl: services are listed and described, called in every way, and refusals have the codes that they should.

use std::process::Command;

use serde_json::{Value, json};

use super::{Ended, everything_public, packaged, plain, routed, run};
use crate::harness::World;
use crate::harness::ward::{descriptors, serve};
use crate::proxy::{at, patient};

/// The program with a home of its own.
fn buf(world: &World, args: &[&str]) -> Option<Command> {
    let mut buf = packaged("buf", |environment| environment.join("bin/buf"))?;
    let home = world.folder.join("home");
    buf.env("HOME", &home).env("XDG_CACHE_HOME", &home).env("BUF_CACHE_DIR", &home).current_dir(&world.folder.0);
    buf.args(["curl", "--protocol", "grpc", "--timeout", "20s"]).args(args);
    Some(buf)
}

/// A call over TLS with a party's certificate, described by the descriptor set of the service.
fn call(world: &World, party: &str, method: &str, data: &str) -> Ended {
    let (certificate, key) = (format!("certs/{party}.pem"), format!("certs/{party}.key"));
    let url = format!("https://localhost:{}/{method}", world.gate.port());
    let args = ["--schema", "ward.binpb", "--cacert", "certs/ca.pem", "--cert", &certificate, "--key", &key, "--data", data, &url];
    run(buf(world, &args).expect("asked for before"))
}

/// The messages of an answer.
fn answers(ended: Ended) -> Vec<Value> {
    serde_json::Deserializer::from_str(&ended.well()).into_iter().map(Result::unwrap).collect()
}

/// The code of a refusal and what came before it. The program ends with eight times the number of the code.
#[track_caller]
fn refused(ended: &Ended) -> (i32, String) {
    let said: Value = serde_json::from_str(&ended.err).unwrap_or_else(|_| panic!("{ended:?}"));
    (ended.code.unwrap() / 8, format!("{} {}", said["code"].as_str().unwrap(), said["message"].as_str().unwrap_or_default()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_every_kind_come_back_as_they_should_and_refusals_with_their_codes() {
    let (address, got) = serve().await;
    let world = at(&address.to_string(), "").await;
    if buf(&world, &[]).is_none() {
        return;
    }
    let ada = patient(&world, "p-1").await;
    let chart = |number: i64| {
        let chart = json!({"patient": "p-1", "heartRate": 60 + number, "note": format!("note {number}"), "name": "Milo Feil"});
        let mut chart = chart.as_object().unwrap().clone();
        if number > 0 {
            chart.insert("atMs".into(), number.to_string().into());
        }
        Value::Object(chart)
    };
    let ask = r#"{"patient": "p-1", "count": 3}"#;
    assert_eq!(answers(call(&world, "clinician", "ward.v1.Ward/Look", ask)), [chart(0)]);
    assert_eq!(answers(call(&world, "clinician", "ward.v1.Ward/Watch", ask)), [chart(0), chart(1), chart(2)]);
    let charts = format!("{} {}\n{}", chart(0), chart(1), chart(2));
    assert_eq!(answers(call(&world, "clinician", "ward.v1.Ward/Talk", &charts)), [chart(0), chart(1), chart(2)]);
    assert_eq!(answers(call(&world, "clinician", "ward.v1.Ward/Record", &charts)), [json!({"count": 3})]);

    let word = |word: &str| format!(r#"{{"patient": "p-1", "count": 3, "word": "{word}"}}"#);
    let (code, said) = refused(&call(&world, "clinician", "ward.v1.Ward/Look", &word("fail")));
    assert!(code == 6 && said.starts_with("already_exists") && !said.contains("Milo"), "{code} {said}");
    for (kind, number, name) in [("cut", 14, "unavailable TV-G20"), ("html", 13, "internal TV-G21")] {
        let (code, said) = refused(&call(&world, "clinician", "ward.v1.Ward/Look", &word(kind)));
        assert!(code == number && said.starts_with(name), "{kind}: {code} {said}");
    }
    // Half of a stream, and then what its end was.
    let broken = call(&world, "clinician", "ward.v1.Ward/Watch", &word("broken"));
    let (code, said) = refused(&broken);
    assert!(code == 3 && said.starts_with("invalid_argument TV-G22"), "{code} {said}");
    assert_eq!(serde_json::from_str::<Value>(&broken.out).unwrap(), chart(0));
    let before = got.calls.lock().unwrap().len();
    let (code, said) = refused(&call(&world, "researcher", "ward.v1.Ward/Look", ask));
    assert!(code == 7 && said.starts_with("permission_denied TV-G03"), "{code} {said}");
    assert_eq!(got.calls.lock().unwrap().len(), before);

    world.withdraw_all(&ada).await;
    assert_eq!(answers(call(&world, "clinician", "ward.v1.Ward/Look", ask)), [json!({})]);
    assert_eq!(answers(call(&world, "clinician", "ward.v1.Ward/Watch", ask)), [] as [Value; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_plain_http_2_services_are_listed_described_and_called() {
    let (address, _) = serve().await;
    let set = descriptors();
    let side = everything_public(&set, &["ward.v1.Chart.name"]);
    // One method has a route, its neighbours have none.
    let lines = routed(address, &["ward.v1.Ward/Look"], "ward.binpb", "ward.toml", "");
    let world = plain(&[("ward.binpb", &set), ("ward.toml", side.as_bytes())], &lines).await;
    if buf(&world, &[]).is_none() {
        return;
    }
    let base = format!("http://{}", world.gate);
    let over = |args: &[&str]| run(buf(&world, &[&["--http2-prior-knowledge"], args].concat()).unwrap());
    let services = over(&["--list-services", &base]).well();
    for service in ["twinveil.v1.Frames", "grpc.health.v1.Health"] {
        assert!(services.lines().any(|line| line == service), "{service}: {services}");
    }
    let methods = over(&["--list-methods", &base]).well();
    for method in ["twinveil.v1.Frames/Subscribe", "grpc.health.v1.Health/Check"] {
        assert!(methods.lines().any(|line| line == method), "{method}: {methods}");
    }
    // What it looks like, the gateway says itself.
    assert_eq!(answers(over(&[&format!("{base}/grpc.health.v1.Health/Check")])), [json!({"status": "SERVING"})]);
    let strange = over(&["--data", r#"{"service": "nobody.v1.Knows"}"#, &format!("{base}/grpc.health.v1.Health/Check")]);
    assert_eq!(refused(&strange).0, 5, "{strange:?}");

    let schema = ["--schema", "ward.binpb", "--reflect=false", "--data", r#"{"patient": "p-1"}"#];
    let looked = over(&[&schema[..], &[&format!("{base}/ward.v1.Ward/Look")]].concat());
    assert_eq!(answers(looked), [json!({"patient": "p-1", "heartRate": 60, "note": "note 0"})], "all but the name is public");
    let (code, said) = refused(&over(&[&schema[..], &[&format!("{base}/ward.v1.Ward/Watch")]].concat()));
    assert!(code == 12 && said.starts_with("unimplemented TV-G13"), "{code} {said}");
}
