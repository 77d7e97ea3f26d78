use super::*;
use crate::veil::crypto::secret::Secret;
use crate::veil::crypto::sign::SignKey;
use crate::veil::merkle::checkpoint::{Checkpoint, Head};
use crate::veil::merkle::leaf::{Leaf, Salt};
use crate::veil::merkle::receipt::LogProof;
use crate::veil::merkle::tree::Frontier;

/// A log in which what it is given is the last entry, and whose checkpoints are of every size.
struct Log {
    key: SignKey,
    verifier: VerifierKey,
    tree: Frontier,
}

impl Log {
    fn new() -> Self {
        let key = SignKey::from_seed(&Secret::take(&mut [5; 32]));
        let verifier = VerifierKey::new("log.example", key.did()).expect("a name");
        Self { key, verifier, tree: Frontier::default() }
    }

    fn tell(&mut self, act: Act, disclosure: &Disclosure, place: Option<Place>) -> Disclosed {
        let bytes = disclosure.encode_to_vec();
        let salt = Salt([7; 32]);
        let leaf = Leaf::new(act, UnixMs(0), &salt, &RecordId(sha256(&[&bytes])));
        let (path, index) = (self.tree.peaks().to_vec(), self.tree.size());
        self.tree.append(Hash::leaf(leaf.bytes()));
        let head = Head { size: index + 1, root: self.tree.root() };
        let checkpoint = Checkpoint::sign(&head, &self.verifier, &self.key).expect("a text");
        let proof = LogProof { extra: Some(leaf.bytes().to_vec()), index, path: path.into_iter().rev().collect(), checkpoint };
        let place = place.map(|place| v1::DisclosurePlace {
            blind: Bytes::copy_from_slice(&place.blind),
            number: place.number,
            before: Bytes::copy_from_slice(&place.before),
        });
        Disclosed {
            record: bytes.into(),
            place,
            receipt: Some(v1::Receipt { salt: Bytes::copy_from_slice(&salt.0), proof: proof.to_string() }),
        }
    }
}

fn disclosure(n: u8, place: &Place, warrant: &[u8]) -> Disclosure {
    Disclosure {
        id: Bytes::copy_from_slice(&[n; 16]),
        place: Bytes::copy_from_slice(&place.commitment()),
        recipient: "spiffe://lab.example/reader".into(),
        frames: 3,
        until_ms: 5,
        warrant: Bytes::copy_from_slice(warrant),
        ..Disclosure::default()
    }
}

/// So many disclosures, one after the other, and one under a warrant.
pub(in crate::client) fn history(count: u8) -> (Vec<Disclosed>, VerifierKey) {
    let (mut log, mut before, mut all) = (Log::new(), [0; 32], Vec::new());
    for n in 0..count {
        let place = Place::behind(n.into(), before, [n; 16]);
        let told = log.tell(Act::Disclosure, &disclosure(n, &place, b""), Some(place));
        before = sha256(&[&told.record]);
        all.push(told);
    }
    let place = Place::behind(0, [0; 32], [99; 16]);
    all.push(log.tell(Act::Disclosure, &disclosure(99, &place, &[9; 32]), Some(place)));
    (all, log.verifier)
}

fn lines(told: &[Disclosed], log: &VerifierKey) -> Vec<Line> {
    told.iter().map(|told| Line::read(told, log).expect("as the log has it")).collect()
}

#[test]
fn a_whole_history_holds_and_is_read_back_from_its_file() {
    let (told, log) = history(4);
    let lines = lines(&told, &log);
    assert_eq!(check(&lines, true), []);
    for line in &lines {
        let again = Line::parse_json(&line.to_json(), &log).expect("as it was written");
        assert_eq!((again.record, again.place, &again.receipt), (line.record, line.place, &line.receipt));
    }
    assert_eq!(denied(&lines, &lines), []);
}

#[test]
fn one_that_is_left_out_shows_wherever_it_was() {
    let (told, log) = history(4);
    let all = lines(&told, &log);
    for at in 0..3 {
        let mut fewer = all.clone();
        let gone = fewer.remove(at);
        let missing = Flaw::Missing { record: all[at + 1].record, expected: at as u64, found: at as u64 + 1 };
        assert_eq!(check(&fewer, true), [missing], "number {at}");
        assert_eq!(denied(&all, &fewer), [Flaw::Denied(gone.record)]);
    }
    // The last one shows to whoever saw it before.
    assert_eq!(check(&[&all[..3], &all[4..]].concat(), true), []);
    assert_eq!(denied(&all, &[&all[..3], &all[4..]].concat()), [Flaw::Denied(all[3].record)]);
    // A row under a warrant stands for itself: whether it is shown or not leaves no gap.
    assert_eq!(check(&all[..4], true), []);
}

#[test]
fn one_in_the_place_of_another_shows() {
    let mut log = Log::new();
    let mut tell = |n: u8, number, before| {
        let place = Place::behind(number, before, [n; 16]);
        log.tell(Act::Disclosure, &disclosure(n, &place, b""), Some(place))
    };
    let first = tell(0, 0, [0; 32]);
    let before = sha256(&[&first.record]);
    let told = [first, tell(1, 1, before), tell(2, 1, before)];
    let lines = lines(&told, &log.verifier);
    assert_eq!(check(&lines, true), [Flaw::Missing { record: lines[2].record, expected: 2, found: 1 }]);
}

#[test]
fn a_line_that_is_not_what_the_log_has_is_not_believed() {
    let (told, log) = history(2);
    let read = |change: &dyn Fn(&mut Disclosed)| {
        let mut bent = told[1].clone();
        change(&mut bent);
        Line::read(&bent, &log).map(drop).expect_err("bent").code()
    };
    let other = Disclosure { frames: 2, ..Disclosure::decode(&told[1].record[..]).expect("a disclosure") };
    assert_eq!(read(&|bent| bent.record = other.encode_to_vec().into()), "TV-M05");
    assert_eq!(read(&|bent| bent.record = b"\x0a\x7f".as_slice().into()), "TV-M01");
    assert_eq!(read(&|bent| bent.receipt = told[0].receipt.clone()), "TV-M05");
    assert_eq!(read(&|bent| bent.receipt = None), "TV-M01");
    assert_eq!(read(&|bent| bent.place = told[0].place.clone()), "TV-K05");
    for bit in 0..8 * told[1].record.len() {
        let flipped = |bent: &mut Disclosed| {
            let mut bytes = bent.record.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bent.record = bytes.into();
        };
        assert!(["TV-M05", "TV-M01"].contains(&read(&flipped)), "bit {bit}");
    }
    // Another act with the same object is no disclosure.
    let mut log = Log::new();
    let place = Place::behind(0, [0; 32], [1; 16]);
    let told = log.tell(Act::Consent, &disclosure(1, &place, b""), Some(place));
    assert_eq!(Line::read(&told, &log.verifier).map(drop).expect_err("a consent").code(), "TV-M05");
}

#[test]
fn a_subject_is_told_every_place_and_a_delegate_none() {
    let (mut told, log) = history(2);
    told.iter_mut().for_each(|told| told.place = None);
    let lines = lines(&told, &log);
    assert_eq!(check(&lines, false), []);
    assert_eq!(check(&lines, true).len(), 3);
    assert!(check(&lines, true).iter().all(|flaw| flaw.code() == "TV-K05"));
}

#[test]
fn a_log_that_was_forked_shows() {
    let (told, log) = history(2);
    let mut other = Log::new();
    let place = Place::behind(0, [0; 32], [44; 16]);
    let forked = other.tell(Act::Disclosure, &disclosure(44, &place, b""), Some(place));
    let both = lines(&[told[0].clone(), forked], &log);
    assert!(check(&both, true).contains(&Flaw::Unproved(both[1].record, Doubt::Forked)));
}

#[test]
fn a_line_of_the_file_that_was_changed_is_told_of() {
    let (told, log) = history(1);
    let good = lines(&told, &log)[0].to_json();
    for bad in ["", "{}", &good[1..], &good.replacen("proof", "prove", 1), &good.replacen("index 0", "index 1", 1)] {
        assert!(Line::parse_json(bad, &log).is_err(), "{bad}");
    }
}
