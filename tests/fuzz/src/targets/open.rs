//! What a recipient does with frames from a gateway that nobody has to trust: split, read headers, open, merge. The group
//! format is written here a second time, from its description, so that any plaintext can be sealed properly.
//!
//! Input: a mode, then what it needs.

use std::cell::RefCell;

use prost::Message;
use twinveil::client::announce;
use twinveil::client::subscriber::{Event, Subscriber};
use twinveil::proto::v1;
use twinveil::veil::crypto::hash::{hkdf_sha256, lp};
use twinveil::veil::crypto::seal::{AeadKey, NONCE_BYTES, Suite};
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::sign::SignKey;
use twinveil::veil::crypto::wrap::{OpenKey, wrap};
use twinveil::veil::name::{Fingerprint, Origin, ViewId};
use twinveil::veil::schema::{ANNOUNCEMENT_FIELD, SEALED_FIELD};
use twinveil::veil::transform::fragment::{Fragment, merge, split};
use twinveil::veil::transform::group::{Announced, Epoch, OpenError, Opener, parse_header, push_header};
use twinveil::veil::wire::{Reader, Value, push_len_prefixed, push_varint};

use super::{Input, Steps, one_line};

pub(super) fn run(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 4 {
        0 => hostile(input.rest()),
        1 => sealed(input),
        2 => bent(input),
        _ => stream(input),
    }
}

/// A frame that nobody sealed: taken apart, and nothing in it opens.
fn hostile(frame: &[u8]) {
    if let Some((kid, ctr, len)) = parse_header(frame) {
        assert!((1..=17).contains(&len) && len <= frame.len());
        let mut again = Vec::new();
        push_header(&mut again, kid, ctr);
        assert_eq!(parse_header(&again), Some((kid, ctr, again.len())));
        assert!(again.len() <= len, "nobody writes a header shorter");
    }
    let Ok((clear, groups)) = split(frame, SEALED_FIELD, ANNOUNCEMENT_FIELD) else { return };
    for record in Reader::new(&clear) {
        let record = record.expect("what was legal stays it");
        assert!(record.number != ANNOUNCEMENT_FIELD && (record.number != SEALED_FIELD || !matches!(record.value, Value::Len(_))));
    }
    OURS.with_borrow_mut(|ours| {
        for group in groups {
            assert!(ours.opener.open(group, &clear).is_err(), "a group opened that nobody sealed");
        }
    });
}

/// Any plaintext, sealed properly: opened exactly where it is a list of fragments, and merged exactly where they have a place.
fn sealed(mut input: Input<'_>) {
    let plain = input.long_piece();
    let clear = input.rest();
    OURS.with_borrow_mut(|ours| {
        let (group, frame) = ours.seal(plain, clear);
        let Ok((seen, groups)) = split(&frame, SEALED_FIELD, ANNOUNCEMENT_FIELD) else { return };
        if seen != clear || groups != [&group[..]] {
            // The clear part has such fields of its own; then the seal is not over what is left of it.
            return;
        }
        let fragments = match ours.opener.open(&group, &seen) {
            Ok(fragments) => fragments,
            Err(error) => return assert_eq!(error, OpenError::Malformed),
        };
        assert_eq!(ours.opener.open(&group, &seen), Err(OpenError::Replayed));
        if let Ok(whole) = merge(&seen, &fragments) {
            let within = seen.len() + fragments.iter().map(|fragment| fragment.body.len() + 10 * (fragment.path.len() + 1)).sum::<usize>();
            assert!(whole.len() <= within, "{} bytes from {within}", whole.len());
            if fragments.iter().all(|fragment| fragment.body.is_empty()) {
                assert_eq!(merge(&whole, &[]).as_ref(), Ok(&whole));
            }
        }
        // Written again as described, it is read as the same.
        let (group, _) = ours.seal(&written(&fragments), clear);
        assert_eq!(ours.opener.open(&group, &seen).as_ref(), Ok(&fragments));
    });
}

/// One byte of a proper group, or of the frame it belongs to, is changed: it does not open.
fn bent(mut input: Input<'_>) {
    let (at, bits) = (usize::from(input.byte()), input.byte().max(1));
    let plain = input.long_piece();
    let clear = input.rest();
    OURS.with_borrow_mut(|ours| {
        let (mut group, _) = ours.seal(plain, clear);
        let mut clear = clear.to_vec();
        let len = group.len();
        if at % 2 == 1 && !clear.is_empty() {
            let at = at % clear.len();
            clear[at] ^= bits;
        } else {
            group[at % len] ^= bits;
        }
        assert!(ours.opener.open(&group, &clear).is_err(), "a changed group opened");
    });
}

/// Messages of a stream, each with its length in front.
fn stream(mut input: Input<'_>) {
    let key = SignKey::from_seed(&Secret::take(&mut [8; 32]));
    let mut subscriber = Subscriber::new(vec![holder()], None);
    let header = v1::Header {
        gateway_key: key.did().to_string(),
        origin: ORIGIN.into(),
        schema_fingerprint: vec![4; 32].into(),
        ..v1::Header::default()
    };
    let take = |subscriber: &mut Subscriber, kind| subscriber.take(v1::SubscribeResponse { kind: Some(kind) });
    let flags = input.byte();
    if flags & 1 != 0 {
        take(&mut subscriber, v1::subscribe_response::Kind::Header(header)).expect("the first header");
    }
    if flags & 2 != 0 && flags & 1 != 0 {
        let keys = vec![announce::sign(&key, &epoch(Suite::Aes256Gcm), &announced(Suite::Aes256Gcm))];
        let view = v1::View { view: 1, open: true, keys, ..v1::View::default() };
        take(&mut subscriber, v1::subscribe_response::Kind::View(view)).expect("a proper announcement");
    }
    while !input.is_empty() {
        let Ok(message) = v1::SubscribeResponse::decode(input.long_piece()) else { continue };
        match subscriber.take(message) {
            Ok(events) => {
                for event in events {
                    if let Event::Frame(frame) = event {
                        assert!(frame.opened <= frame.groups);
                        assert!(frame.opened > 0 || frame.message == frame.clear, "nothing was opened, and something was merged");
                    }
                }
            }
            Err(error) => one_line(&error.to_string()),
        }
    }
}

thread_local! {
    /// Its counter goes on from case to case, so that no case is a replay of another.
    static OURS: RefCell<Ours> = RefCell::new(Ours::new(Suite::ChaCha20Poly1305));
}

/// A key that both sides have.
struct Ours {
    key: AeadKey,
    salt: [u8; NONCE_BYTES],
    kid: u64,
    ctr: u64,
    opener: Opener,
}

const ORIGIN: &str = "twinveil.example/fuzz";

fn holder() -> OpenKey {
    OpenKey::from_seed(&Secret::take(&mut [6; 32])).expect("a key")
}

fn epoch(suite: Suite) -> Epoch {
    Epoch { origin: Origin::new(ORIGIN), view: ViewId([3; 16]), slot: 1, epoch: 258, suite, fingerprint: Fingerprint([4; 32]) }
}

const SEED: [u8; 32] = [2; 32];

fn info(suite: Suite) -> Vec<u8> {
    let origin = ORIGIN.as_bytes();
    let (slot, epoch) = (1u32.to_be_bytes(), 258u64.to_be_bytes());
    [b"twinveil/sealed/v1\0", &lp(origin)[..], origin, &[3; 16], &slot, &epoch, &suite.number().to_be_bytes(), &[4; 32]].concat()
}

fn announced(suite: Suite) -> Announced {
    let info = info(suite);
    let commit = *hkdf_sha256::<32>(&info, &SEED, &[b"commit"]).expose();
    Announced { commit, wraps: vec![wrap(&holder().seal_key(), &info, &commit, &SEED, &mut Steps(1)).expect("a good key")] }
}

impl Ours {
    fn new(suite: Suite) -> Self {
        let kid = epoch(suite).kid();
        let base = hkdf_sha256::<32>(&info(suite), &SEED, &[b"base_key"]);
        let (key, salt) = suite.key_and_salt(base.expose(), kid);
        let opener = epoch(suite).open(&announced(suite), &holder()).expect("sealed for this key");
        Self { key: AeadKey::new(suite, &key).expect("a key"), salt: *salt.expose(), kid, ctr: 0, opener }
    }

    /// The group, and the frame with it.
    fn seal(&mut self, plain: &[u8], clear: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut group = Vec::new();
        push_header(&mut group, self.kid, self.ctr);
        let aad = [&group[..], b"twinveil/frame/v1\0", clear].concat();
        let mut nonce = self.salt;
        nonce[4..].iter_mut().zip(self.ctr.to_be_bytes()).for_each(|(byte, count)| *byte ^= count);
        let mut text = plain.to_vec();
        let tag = self.key.seal(&nonce, &aad, &mut text).expect("short enough");
        self.ctr += 1;
        group.extend_from_slice(&text);
        group.extend_from_slice(&tag);
        let mut frame = clear.to_vec();
        push_len_prefixed(&mut frame, SEALED_FIELD, &group);
        (group, frame)
    }
}

fn written(fragments: &[Fragment]) -> Vec<u8> {
    let mut out = Vec::new();
    for Fragment { path, body } in fragments {
        push_varint(&mut out, path.len() as u64 + 1);
        for (number, ordinal) in path {
            push_varint(&mut out, u64::from(*number));
            push_varint(&mut out, u64::from(*ordinal));
        }
        push_varint(&mut out, body.len() as u64);
        out.extend_from_slice(body);
    }
    out
}
