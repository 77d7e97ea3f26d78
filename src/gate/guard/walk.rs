//! Follows the frames of one direction of an HTTP/2 connection by their heads (RFC 9113 §4.1), and says what each costs whoever reads
//! it and carries nothing.

/// The preface of a client (RFC 9113 §3.4), in bytes.
const PREFACE_BYTES: usize = 24;
/// The head of a frame, in bytes.
const HEAD_BYTES: usize = 9;
/// What a frame costs that is work and no message: as much as this many bytes that are sent.
pub(super) const CONTROL_COST: u64 = 64;
/// Windows are opened once or twice for each piece that was sent, however small.
const WINDOW_UPDATE_COST: u64 = 8;
/// Answers to PING and SETTINGS are no reason to be asked again.
const PING_ANSWER_BYTES: u64 = 17;
const SETTINGS_ANSWER_BYTES: u64 = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Where in the bytes a connection is.
#[derive(Debug)]
pub(super) struct Walk {
    /// Of what is before the next head: the preface, or a payload.
    left: usize,
    head: [u8; HEAD_BYTES],
    /// How much of the head has come.
    known: usize,
    /// Whether a head has come.
    begun: bool,
    /// The stream whose list of headers is not complete.
    listing: Option<u32>,
    /// No frame is looked at behind this one.
    over: bool,
}

/// What was found in a piece of the connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// All of it may go on.
    All,
    /// So many bytes may, which end with a frame; what follows costs too much.
    Until(usize),
}

impl Walk {
    /// Of what a client says.
    pub(super) fn of_client() -> Self {
        Self { left: PREFACE_BYTES, ..Self::of_server() }
    }

    /// Of what a server says.
    pub(super) fn of_server() -> Self {
        Self { left: 0, head: [0; HEAD_BYTES], known: 0, begun: false, listing: None, over: false }
    }

    /// Whether a frame has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Goes through a piece; `affords` is asked for what each frame costs.
    #[inline]
    pub(super) fn go(&mut self, piece: &[u8], mut affords: impl FnMut(u64) -> bool) -> Found {
        let mut at = 0;
        loop {
            let passed = self.left.min(piece.len() - at);
            at += passed;
            self.left -= passed;
            if self.left == 0 && self.over {
                return Found::Until(at);
            }
            let Some(rest) = piece.get(at..).filter(|rest| !rest.is_empty()) else { return Found::All };
            if self.known == 0
                && let Some(head) = rest.first_chunk::<HEAD_BYTES>()
            {
                at += HEAD_BYTES;
                self.over = !self.take(*head, &mut affords);
                continue;
            }
            let more = rest.len().min(HEAD_BYTES - self.known);
            for (to, from) in self.head.iter_mut().skip(self.known).zip(rest) {
                *to = *from;
            }
            at += more;
            self.known += more;
            if self.known == HEAD_BYTES {
                self.known = 0;
                self.over = !self.take(self.head, &mut affords);
            }
        }
    }

    #[inline]
    fn take(&mut self, head: [u8; HEAD_BYTES], affords: &mut impl FnMut(u64) -> bool) -> bool {
        let [a, b, c, kind, flags, s, t, u, v] = head;
        self.left = u32::from_be_bytes([0, a, b, c]) as usize;
        self.begun = true;
        let cost = match kind {
            DATA if self.left > 0 || flags & END_STREAM != 0 => return true,
            HEADERS | CONTINUATION | PUSH_PROMISE => {
                let stream = u32::from_be_bytes([s & 0x7f, t, u, v]);
                self.listing = (flags & END_HEADERS == 0).then_some(stream);
                // What comes with them is work for calls; HTTP/2 bounds their number itself.
                return true;
            }
            WINDOW_UPDATE => WINDOW_UPDATE_COST,
            PING => CONTROL_COST + PING_ANSWER_BYTES,
            SETTINGS => CONTROL_COST + SETTINGS_ANSWER_BYTES,
            _ => CONTROL_COST,
        };
        affords(cost)
    }

    /// Frames at which the reader ends the connection with `ENHANCE_YOUR_CALM`: a list of headers that goes on and on and says
    /// nothing. It is the one way to have that said in between its own frames.
    pub(super) fn farewell(&self) -> Vec<u8> {
        let mut frames = Vec::with_capacity((FAREWELL_FRAMES + 1) * HEAD_BYTES);
        let mut push = |kind, stream: u32| {
            frames.extend_from_slice(&[0, 0, 0, kind, 0]);
            frames.extend_from_slice(&stream.to_be_bytes());
        };
        let stream = self.listing.unwrap_or_else(|| {
            push(HEADERS, 1);
            1
        });
        for _ in 0..FAREWELL_FRAMES {
            push(CONTINUATION, stream);
        }
        frames
    }
}

/// Twice as many CONTINUATION frames as may follow each other, and more.
const FAREWELL_FRAMES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let len = (payload.len() as u32).to_be_bytes();
        [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    fn costs(frames: &[Vec<u8>]) -> u64 {
        let mut spent = 0;
        let found = Walk::of_server().go(&frames.concat(), |cost| {
            spent += cost;
            true
        });
        assert_eq!(found, Found::All);
        spent
    }

    #[test]
    fn what_carries_something_costs_nothing() {
        let calls = [frame(1, 4, 1, b"x"), frame(0, 0, 1, b"message"), frame(0, 1, 1, b""), frame(1, 5, 1, b"trailers")];
        assert_eq!(costs(&calls), 0);
        assert_eq!(costs(&[frame(0, 0, 1, b"")]), CONTROL_COST);
        assert_eq!(
            costs(&[frame(2, 0, 1, &[0; 5]), frame(3, 0, 1, &[0; 4]), frame(7, 0, 0, &[0; 8]), frame(77, 0, 0, b"?")]),
            4 * CONTROL_COST
        );
        assert_eq!(costs(&[frame(6, 0, 0, &[0; 8]), frame(6, 1, 0, &[0; 8])]), 2 * (CONTROL_COST + 17));
        assert_eq!(costs(&[frame(4, 0, 0, &[0; 6])]), CONTROL_COST + 9);
        // Two windows opened for the smallest message that was sent: ten bytes and one of its own.
        assert!(costs(&[frame(8, 0, 0, &[0; 4]), frame(8, 0, 1, &[0; 4])]) <= 16);
    }

    #[test]
    fn a_farewell_goes_on_with_the_list_that_is_not_complete() {
        let mut walk = Walk::of_server();
        assert!(walk.farewell().starts_with(&frame(1, 0, 1, b"")));
        walk.go(&frame(1, 0, 7, b"begun"), |_| true);
        assert!(walk.farewell().starts_with(&frame(9, 0, 7, b"")));
        walk.go(&frame(9, 4, 7, b"done"), |_| true);
        assert!(walk.farewell().starts_with(&frame(1, 0, 1, b"")));
    }

    proptest! {
        #[test]
        fn however_a_connection_is_cut_it_ends_behind_the_frame_that_was_too_much(
            frames in proptest::collection::vec((0u8..12, proptest::collection::vec(any::<u8>(), 0..40)), 1..20),
            affords in 0u64..10,
            cuts in proptest::collection::vec(1usize..25, 1..40),
        ) {
            let all: Vec<Vec<u8>> = frames.iter().map(|(kind, payload)| frame(*kind, 0, 1, payload)).collect();
            let stream = [&[b'P'; PREFACE_BYTES][..], &all.concat()].concat();
            // The same by hand.
            let (mut asked, mut end) = (0, None);
            let mut at = PREFACE_BYTES;
            for ((kind, payload), bytes) in frames.iter().zip(&all) {
                at += bytes.len();
                let costs = !matches!(kind, 1 | 5 | 9) && !(*kind == 0 && !payload.is_empty());
                asked += u64::from(costs);
                if costs && asked > affords {
                    end = Some(at);
                    break;
                }
            }
            let (mut walk, mut rest, mut passed, mut left) = (Walk::of_client(), &stream[..], 0, affords);
            let mut found = None;
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                let spend = |_| match left.checked_sub(1) {
                    Some(less) => { left = less; true }
                    None => false,
                };
                match walk.go(now, spend) {
                    Found::All => passed += now.len(),
                    Found::Until(count) => { found = Some(passed + count); break }
                }
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, end);
        }
    }
}
