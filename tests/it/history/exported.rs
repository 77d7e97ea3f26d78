//! What somebody takes along of a history, and what others read of a log that a gateway serves: nobody is asked for more.

use serde_json::Value;

use super::*;

/// Two hours of a person, and the gateway gone: the folder has what was exported, `history.ndjson`.
async fn taken_along() -> (Folder, u64) {
    let world = World::with(SOON).await;
    let person = world.patient("p-1").await;
    person.save(&world.folder.join("w.json")).unwrap();
    world.grant(&person, &Given::to(&world, &["clinician"], CARE)).await;
    let mut sub = world.subscribe("clinician", Ask::of(PATIENT, CARE)).await;
    for count in [3, 4] {
        world.publish("hospital", PATIENT, &frames("p-1", count)).await;
        sub.frames(count as usize).await;
        world.logged(&person).await;
    }
    let gate = world.gate.to_string();
    let export = ["wallet", "export", "--history", "--wallet", "w.json", "--gateway", &gate];
    let (code, said, complaint) = cli(&world.folder, &[&export[..], &["--out", "history.ndjson"]].concat());
    assert_eq!((code, said.as_str(), complaint.as_str()), (0, "", ""));
    let (code, said, _) = cli(&world.folder, &export);
    let lines = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((code, lines(&said)), (0, lines(&std::fs::read_to_string(world.folder.join("history.ndjson")).unwrap())));
    let both = cli(&world.folder, &[&export[..], &["--fhir"]].concat());
    assert_eq!(both.0, 3, "one or the other: {both:?}");
    (world.stop().await.0, 7)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_is_taken_along_is_proved_without_its_gateway_line_by_line() {
    let (gone, total) = taken_along().await;
    // What moves, and the log's key: nothing else of the gateway is there.
    let folder = Folder::new();
    for file in ["history.ndjson", "log.vkey"] {
        std::fs::copy(gone.join(file), folder.join(file)).unwrap();
    }
    drop(gone);
    let words = ["wallet", "history", "--exported", "history.ndjson", "--log-key", "log.vkey"];
    let run = |more: &[&str]| cli(&folder, &[&words[..], more].concat());
    let (code, said, complaint) = run(&[]);
    assert_eq!((code, complaint.as_str()), (0, ""), "{said}");
    assert!(said.contains("No line is missing before the last one") && said.contains("entry ") && said.contains(CARE), "{said}");
    assert!(!said.contains("This is complete"), "that there were no later lines, none of them proves: {said}");
    let (_, json, _) = run(&["--output", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let told = json["disclosed"].as_array().unwrap();
    assert_eq!(told.iter().map(|line| line["frames"].as_u64().unwrap()).sum::<u64>(), total);
    let (code, said, _) = run(&["--until", "2000-01-01T00:00:00Z"]);
    assert!(code == 0 && said.starts_with("nothing was handed over"), "{said}");

    // The proof of a line is one that others' tools read, too.
    let whole = std::fs::read_to_string(folder.join("history.ndjson")).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    assert_eq!(lines.len(), 1 + told.len());
    for (line, told) in lines[1..].iter().zip(told) {
        let line: Value = serde_json::from_str(line).unwrap();
        std::fs::write(folder.join("one.tlog-proof"), line["proof"].as_str().unwrap()).unwrap();
        let (code, said, _) = cli(&folder, &["log", "verify", "--key", "log.vkey", "one.tlog-proof"]);
        assert!(code == 0 && said.starts_with(&format!("ok entry {} of ", told["entry"])), "{said}");
    }

    // A line less, a line of other bytes, another log's key, and what is none.
    let with = |text: &str| {
        std::fs::write(folder.join("history.ndjson"), text).unwrap();
        run(&[])
    };
    let (code, _, complaint) = with(&[&[lines[0]], &lines[2..]].concat().join("\n"));
    assert!(code == 1 && complaint.contains("TV-K06"), "{complaint}");
    let record: Value = serde_json::from_str(lines[1]).unwrap();
    let mut bytes = data_encoding::BASE64.decode(record["record"].as_str().unwrap().as_bytes()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let bent = whole.replacen(record["record"].as_str().unwrap(), &data_encoding::BASE64.encode(&bytes), 1);
    let (code, _, complaint) = with(&bent);
    assert!(code == 1 && complaint.contains("is not believed"), "{complaint}");
    assert_eq!(with(lines[1]).0, 3, "no first line");
    let stranger = crate::harness::strangers_folder();
    std::fs::copy(stranger.join("log.vkey"), folder.join("log.vkey")).unwrap();
    let (code, _, complaint) = with(&whole);
    assert!(code == 1 && complaint.contains("under another key"), "{complaint}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_served_is_listed_proved_and_audited_by_its_address() {
    let world = World::with(SOON).await;
    let person = world.patient("p-1").await;
    world.grant(&person, &Given::to(&world, &["clinician"], CARE)).await;
    let address = format!("http://{}", world.health);
    let log = |what: &str, more: &[&str]| cli(&world.folder, &[&["log", what, "--dir", &address, "--key", "log.vkey"], more].concat());
    for (what, more) in [("list", &["--output", "json"][..]), ("verify", &[]), ("checkpoint", &[]), ("prove", &["--entry", "0"])] {
        let (code, served, complaint) = log(what, more);
        assert_eq!((code, complaint.as_str()), (0, ""), "{what}");
        // The folder says the same.
        assert_eq!(served, cli(&world.folder, &[&["log", what], more].concat()).1, "{what}");
    }
    let (code, said, _) = log("list", &["--kind", "policy"]);
    assert!(code == 0 && said.contains("policy") && said.contains("1 of "), "{said}");

    // Who serves it is not asked whose it is; another's key finds that it is not theirs; and where nothing is, nothing is listed.
    let (code, _, complaint) = cli(&world.folder, &["log", "list", "--dir", &address]);
    assert!(code == 3 && complaint.contains("`--key FILE`"), "{complaint}");
    let stranger = crate::harness::strangers_folder();
    std::fs::copy(stranger.join("log.vkey"), world.folder.join("other.vkey")).unwrap();
    let (code, said, complaint) = cli(&world.folder, &["log", "list", "--dir", &address, "--key", "other.vkey"]);
    assert!(code == 1 && said.is_empty() && complaint.contains("TV-"), "{said}{complaint}");
    let nowhere = format!("{address}/elsewhere");
    let (code, _, complaint) = cli(&world.folder, &["log", "list", "--dir", &nowhere, "--key", "log.vkey"]);
    assert!(code == 3 && complaint.contains("is not a whole log"), "{complaint}");
    let (code, _, complaint) = cli(&world.folder, &["log", "list", "--dir", "https://127.0.0.1", "--key", "log.vkey"]);
    assert!(code == 3 && complaint.contains("plain HTTP"), "{complaint}");
    let (folder, _) = world.stop().await;
    let (code, said, complaint) = cli(&folder, &["log", "list", "--dir", &address, "--key", "log.vkey"]);
    assert!(code == 3 && said.is_empty() && complaint.contains("connection refused"), "{said}{complaint}");
}
