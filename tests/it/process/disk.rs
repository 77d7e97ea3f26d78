//! What does a full disk do? Store and log are on a small disk of their own, and somebody else fills it.

#[cfg(target_os = "linux")]
use std::time::Instant;

use super::*;
#[cfg(target_os = "linux")]
use crate::harness::{PATIENCE, disk::Small};

#[cfg(target_os = "linux")]
#[test]
fn on_a_full_disk_nothing_is_acknowledged_that_is_not_kept_and_streams_go_on() {
    let Some(disk) = Small::new("full") else {
        println!("SKIPPED that a full disk refuses and recovers: this system lets nobody mount a small one");
        return;
    };
    let folder = Folder::new("full");
    let dir = &folder.0;
    disk.holds(dir, &["store", "log"]);
    new_wallet(dir);
    let gateway = Gateway::start(dir);
    gateway
        .done(dir, &["wallet", "enrol", "--wallet", "w.json", "--source", HOSPITAL, "--value", "p-1", "--source-key", "keys/hospital.key"]);
    gateway.done(dir, &grant("dpv:ServiceProvision", "7"));
    let mut subscribe = Command::new(BINARY);
    subscribe.args(["subscribe", "--as", "clinician", "--schema", "twinveil.sample.PatientFrame", "--purpose", "dpv:ServiceProvision"]);
    let mut stream = subscribe.args(["--gateway", &gateway.address]).current_dir(dir).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(stream.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut until = |word: &str| while !lines.next().expect("it goes on").contains(word) {};
    until("\"header\"");
    let publish = || {
        let publish = ["publish", "--as", "hospital", "--schema", "twinveil.sample.PatientFrame", "--output", "json", "frame.ndjson"];
        gateway.done(dir, &publish)
    };
    std::fs::write(dir.join("frame.ndjson"), "{\"patientId\":\"p-1\",\"capturedAtMs\":\"1\",\"vitals\":{\"heartRateBpm\":60}}\n").unwrap();
    publish();
    until("\"frame\"");

    // Until the room that the files have inside is used up, records are taken; from then on they are refused, each by name.
    disk.fill();
    let (mut taken, mut refused) = (1, Vec::new());
    while refused.len() < 3 {
        assert!(taken < 2_000, "the disk is full, and nothing is refused");
        let tried = gateway.run(dir, &grant("dpv:ServiceProvision", "7"));
        match tried.status.code() {
            Some(0) => taken += 1,
            _ => refused.push(String::from_utf8(tried.stderr).unwrap()),
        }
    }
    let by_name = |said: &String| ["TV-L06", "TV-L10", "TV-G17"].iter().any(|code| said.contains(code));
    assert!(refused.iter().all(by_name), "{refused:?}");
    // A stream that stands goes on without the disk.
    publish();
    until("\"frame\"");

    // With room again all goes on by itself.
    disk.empty();
    // Whoever comes while the gateway opens its file anew is refused once more.
    let patience = Instant::now() + PATIENCE;
    loop {
        let tried = gateway.run(dir, &grant("dpv:ServiceProvision", "7"));
        if tried.status.success() {
            break;
        }
        refused.push(String::from_utf8(tried.stderr).unwrap());
        assert!(Instant::now() < patience && refused.iter().all(by_name), "{refused:?}");
    }
    publish();
    until("\"frame\"");
    stream.kill().unwrap();
    stream.wait().unwrap();
    let standing = |gateway: &Gateway| -> serde_json::Value {
        serde_json::from_str(&gateway.done(dir, &["wallet", "standing", "--wallet", "w.json", "--output", "json"])).unwrap()
    };
    let before = standing(&gateway);
    // Each that was acknowledged; and those that were kept and could not be logged, which said so.
    let unlogged = refused.iter().filter(|said| said.contains("TV-L10")).count() as u64;
    assert_eq!(before["seq"].as_u64().unwrap(), taken + 1 + unlogged, "{refused:?}");
    drop(gateway);
    let after = standing(&Gateway::start(dir));
    assert_eq!((&after["seq"], &after["head"]), (&before["seq"], &before["head"]), "what acted is what is on the disk");
}
