//! Are an epoch's keys in the gateway's memory while it lasts, and nowhere in it afterwards? The memory of the running gateway is searched
//! for them, all that it may read of itself.

use std::io::{Read, Seek, SeekFrom};

use prost::Message;
use twinveil::client::announce;
use twinveil::client::wallet::Wallet;
use twinveil::proto::v1::SubscribeResponse;
use twinveil::proto::v1::subscribe_response::Kind;
use twinveil::veil::crypto::hash::{hkdf_sha256, lp};
use twinveil::veil::name::{Did, Origin};
use twinveil::veil::transform::group::{Announced, Epoch};

use super::*;

const PATIENT: &str = "twinveil.sample.PatientFrame";

/// How often each needle is in the memory of a process; `None` where the system does not let it be read.
fn found(pid: u32, needles: &[&[u8]]) -> Option<Vec<usize>> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut memory = std::fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut found = vec![0; needles.len()];
    for line in maps.lines().filter(|line| line.split_whitespace().nth(1).is_some_and(|mode| mode.starts_with("rw"))) {
        let (from, to) = line.split_whitespace().next()?.split_once('-')?;
        let [from, to] = [from, to].map(|at| u64::from_str_radix(at, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        if memory.seek(SeekFrom::Start(from)).and_then(|_| memory.read_exact(&mut bytes)).is_err() {
            // Special areas of the kernel hold nothing of the process.
            continue;
        }
        for (count, needle) in found.iter_mut().zip(needles) {
            let first = needle[0];
            let mut rest = &bytes[..];
            while let Some(at) = rest.iter().position(|byte| *byte == first) {
                *count += usize::from(rest[at..].starts_with(needle));
                rest = &rest[at + 1..];
            }
        }
    }
    Some(found)
}

/// The announcements in a file that `subscribe --keep` wrote.
fn announcements(file: &Path) -> Vec<(Epoch, Announced)> {
    let bytes = std::fs::read(file).unwrap_or_default();
    let (mut rest, mut header, mut all) = (&bytes[..], None, Vec::new());
    while let Ok(response) = SubscribeResponse::decode_length_delimited(&mut rest) {
        match response.kind {
            Some(Kind::Header(sent)) => header = Some(sent),
            Some(Kind::View(view)) => {
                let header = header.as_ref().unwrap();
                let (key, origin) = (Did::parse(&header.gateway_key).unwrap(), Origin::new(header.origin.as_str()));
                all.extend(view.keys.iter().map(|envelope| announce::verify(envelope, &key, &origin).unwrap()));
            }
            _ => {}
        }
    }
    all
}

/// Everything that opens an epoch, as `src/manual/sealed.md` derives it: seed, base key, key of the cipher.
fn secrets(epoch: &Epoch, announced: &Announced, vault: &Wallet) -> [Vec<u8>; 3] {
    let seed = epoch.seed(announced, vault.vault()).expect("sealed for this vault");
    let origin = epoch.origin.as_str().as_bytes();
    let info = [
        &b"twinveil/sealed/v1\0"[..],
        &lp(origin),
        origin,
        &epoch.view.0,
        &epoch.slot.to_be_bytes(),
        &epoch.epoch.to_be_bytes(),
        &epoch.suite.number().to_be_bytes(),
        &epoch.fingerprint.0,
    ]
    .concat();
    let base = hkdf_sha256::<32>(&info, seed.expose(), &[b"base_key"]);
    let (key, _) = epoch.suite.key_and_salt(base.expose(), epoch.kid());
    [seed.expose().to_vec(), base.expose().to_vec(), key.expose().to_vec()]
}

#[cfg(target_os = "linux")]
#[test]
fn the_keys_of_an_epoch_are_gone_from_memory_when_it_ends() {
    let folder = Folder::new("secrets");
    let dir = &folder.0;
    new_wallet(dir);
    let gateway = Gateway::start(dir);
    let pid = gateway.child.id();
    gateway
        .done(dir, &["wallet", "enrol", "--wallet", "w.json", "--source", HOSPITAL, "--value", "p-1", "--source-key", "keys/hospital.key"]);
    let grant = |more: &[&str]| {
        let words = ["wallet", "grant", "--wallet", "w.json", "--to", CLINICIAN, "--purpose", "dpv:ServiceProvision", "--days", "7"];
        gateway.done(dir, &[&words[..], &["--permit", "health=encrypt", "--permit", "time=keep"], more].concat())
    };
    grant(&[]);
    let mut subscribe = Command::new(BINARY);
    subscribe.args(["subscribe", "--as", "clinician", "--schema", PATIENT, "--purpose", "dpv:ServiceProvision", "--keep", "kept"]);
    let mut stream = subscribe.args(["--gateway", &gateway.address]).current_dir(dir).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(stream.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut until = |word: &str| while !lines.next().expect("it goes on").contains(word) {};
    until("\"header\"");
    let publish = |note: &str| {
        std::fs::write(dir.join("frame.ndjson"), format!("{{\"patientId\":\"p-1\",\"capturedAtMs\":\"1\",\"note\":\"{note}\"}}\n"))
            .unwrap();
        gateway.done(dir, &["publish", "--as", "hospital", "--schema", PATIENT, "frame.ndjson"]);
    };
    let vault = Wallet::load(&dir.join("w.json")).unwrap();
    let last = || {
        let (epoch, announced) = announcements(&dir.join("kept")).pop().expect("announced");
        (epoch.epoch, secrets(&epoch, &announced, &vault))
    };
    let search = |needles: &[Vec<u8>; 3]| found(pid, &needles.each_ref().map(Vec::as_slice));

    publish("one");
    until("\"frame\"");
    let (first, of_first) = last();
    let Some(during) = search(&of_first) else {
        println!("SKIPPED that keys leave the memory: the system does not let this test read another process's");
        stream.kill().unwrap();
        stream.wait().unwrap();
        return;
    };
    assert!(during[2] > 0, "the search finds what is there: {during:?}");
    assert_eq!(during[..2], [0, 0], "seeds are gone as soon as they were wrapped");

    // The view changes: the next epoch begins, and this one's keys are nowhere.
    grant(&["--permit", "device=keep"]);
    publish("two");
    until("\"frame\"");
    let (second, of_second) = last();
    assert_eq!(second, first + 1);
    assert_eq!((search(&of_first).unwrap(), search(&of_second).unwrap()[2] > 0), (vec![0; 3], true), "the first is over");

    // Consent ends, and with it the last key.
    gateway.done(dir, &["wallet", "withdraw", "--wallet", "w.json", "--all"]);
    assert_eq!(search(&of_second).unwrap(), [0; 3], "no consent, no key");
    stream.kill().unwrap();
    stream.wait().unwrap();
}
