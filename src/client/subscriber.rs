//! What a recipient does with its stream: verifies announcements, opens sealed groups before anything is parsed, checks that no
//! hand-over number is missing, and knows what is withheld and why.

use std::collections::HashMap;
use std::fmt;

use bytes::Bytes;

use super::announce::{self, AnnounceError};
use crate::proto::v1::{self, subscribe_response::Kind};
use crate::veil::consent::release::{Release, Released};
use crate::veil::crypto::wrap::OpenKey;
use crate::veil::name::{Did, Origin};
use crate::veil::outcome::Refusal;
use crate::veil::schema::{ANNOUNCEMENT_FIELD, SEALED_FIELD};
use crate::veil::transform::fragment::{merge, split};
use crate::veil::transform::group::{Announced, Epoch, OpenError, Opener, parse_header};

/// Reads one stream.
#[derive(Debug)]
pub struct Subscriber {
    keys: Vec<OpenKey>,
    releases: Vec<Release>,
    pinned: Option<Did>,
    header: Option<(v1::Header, Did)>,
    views: HashMap<u32, Seen>,
    handed_over: u64,
}

#[derive(Debug)]
struct Seen {
    view: v1::View,
    openers: Vec<Opener>,
}

/// What happens on a stream.
#[derive(Debug)]
pub enum Event {
    /// It begins.
    Begins(v1::Header),
    /// A view begins, changes or closes.
    View(v1::View),
    /// A frame, with everything opened that the keys at hand open.
    Frame(Received),
    /// Frames were lost to this recipient's own slowness.
    Gap(u64),
    /// It ends.
    Ends(v1::End),
}

/// A frame as received.
#[derive(Debug)]
pub struct Received {
    /// The number of its view.
    pub view: u32,
    /// Its hand-over number, from 1.
    pub handover: u64,
    /// The encoded message, opened fields merged in.
    pub message: Vec<u8>,
    /// The encoded message without what was sealed.
    pub clear: Vec<u8>,
    /// Sealed groups in it.
    pub groups: usize,
    /// How many of them were opened.
    pub opened: usize,
}

/// Why a stream is not to be believed, or can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriberError {
    /// The first message is not a header, or a second one came that tells of no other schema.
    Header,
    /// The header names another gateway key than the pinned one, or none.
    OtherGateway,
    /// A frame of a view that was not announced, or is closed.
    UnknownView(u32),
    /// Hand-over numbers do not follow each other: something was taken out on the way.
    Missing {
        /// The number that should have come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// An announcement is not believed.
    Announcement(AnnounceError),
    /// A group that is for our key does not open.
    Group(OpenError),
    /// A frame lacks a group that our key opens; every frame of a view has every group.
    GroupMissing,
    /// The frame is no protobuf message.
    Frame(Refusal),
    /// The message has no kind: the gateway is newer than this program.
    Unknown,
}

impl fmt::Display for SubscriberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("the stream does not begin with one header"),
            Self::OtherGateway => f.write_str("the gateway signs with another key than the one that is expected"),
            Self::UnknownView(view) => write!(f, "a frame of view {view}, which was not announced"),
            Self::Missing { expected, found } => write!(f, "hand-over number {expected} is missing: {found} came"),
            Self::Announcement(error) => write!(f, "{error}"),
            Self::Group(error) => write!(f, "{error}"),
            Self::GroupMissing => f.write_str("a sealed group was taken out of a frame"),
            Self::Frame(error) => write!(f, "a frame is broken: {error}"),
            Self::Unknown => f.write_str("a message that this program does not know; it is older than the gateway"),
        }
    }
}

impl std::error::Error for SubscriberError {}

impl Subscriber {
    /// A reader that opens with `keys`. `pinned`: the gateway's key, where it is known from elsewhere; else the one in the
    /// header counts, which TLS vouches for.
    pub fn new(keys: Vec<OpenKey>, pinned: Option<Did>) -> Self {
        Self { keys, releases: Vec::new(), pinned, header: None, views: HashMap::new(), handed_over: 0 }
    }

    /// Opens, too, what these released for one of the keys. What a release opens is held against the gateway's own announcement.
    pub fn with_releases(self, releases: Vec<Release>) -> Self {
        Self { releases, ..self }
    }

    /// The announced view of that number.
    pub fn view(&self, number: u32) -> Option<&v1::View> {
        self.views.get(&number).map(|seen| &seen.view)
    }

    /// Takes one message of the stream.
    pub fn take(&mut self, response: v1::SubscribeResponse) -> Result<Vec<Event>, SubscriberError> {
        match response.kind.ok_or(SubscriberError::Unknown)? {
            Kind::Header(header) => {
                let key = Did::parse(&header.gateway_key).map_err(|_| SubscriberError::OtherGateway)?;
                if let Some((known, _)) = &mut self.header {
                    // The schema may change under an open stream; nothing else of what it is may.
                    let same = v1::Header { schema_fingerprint: header.schema_fingerprint.clone(), ..known.clone() };
                    if same != header || known.schema_fingerprint == header.schema_fingerprint {
                        return Err(SubscriberError::Header);
                    }
                    *known = header;
                    return Ok(Vec::new());
                }
                if self.pinned.is_some_and(|pinned| pinned != key) {
                    return Err(SubscriberError::OtherGateway);
                }
                self.header = Some((header.clone(), key));
                Ok(vec![Event::Begins(header)])
            }
            Kind::View(view) => {
                let openers = self.openers(&view)?;
                self.views.insert(view.view, Seen { view: view.clone(), openers });
                Ok(vec![Event::View(view)])
            }
            Kind::Batch(batch) => self.batch(batch),
            Kind::Gap(gap) => Ok(vec![Event::Gap(gap.frames)]),
            Kind::End(end) => Ok(vec![Event::Ends(end)]),
        }
    }

    fn openers(&self, view: &v1::View) -> Result<Vec<Opener>, SubscriberError> {
        let (header, gateway) = self.header.as_ref().ok_or(SubscriberError::Header)?;
        let origin = Origin::new(header.origin.as_str());
        let mut openers = Vec::new();
        for envelope in &view.keys {
            let (epoch, announced) = announce::verify(envelope, gateway, &origin).map_err(SubscriberError::Announcement)?;
            if epoch.fingerprint.0 != header.schema_fingerprint[..] {
                return Err(SubscriberError::Announcement(AnnounceError::Malformed));
            }
            let own = self.keys.iter().find_map(|key| epoch.open(&announced, key));
            openers.extend(own.or_else(|| self.released(&epoch, &announced)));
        }
        Ok(openers)
    }

    fn released(&self, epoch: &Epoch, announced: &Announced) -> Option<Opener> {
        let of_epoch = |one: &&Released| (one.view, one.slot, one.epoch) == (epoch.view, epoch.slot, epoch.epoch);
        let mut released = self.releases.iter().filter(|release| release.gateway == epoch.origin).flat_map(|release| &release.epochs);
        let mut seeds = released.by_ref().filter(of_epoch).flat_map(|one| self.keys.iter().map(move |key| (one, key)));
        let seed = seeds.find_map(|(one, key)| epoch.released(announced, &one.wrap, key))?;
        epoch.open_with(announced, &seed)
    }

    fn batch(&mut self, batch: v1::Batch) -> Result<Vec<Event>, SubscriberError> {
        if batch.first_handover != self.handed_over + 1 {
            return Err(SubscriberError::Missing { expected: self.handed_over + 1, found: batch.first_handover });
        }
        let mut events = Vec::with_capacity(batch.frames.len());
        for frame in batch.frames {
            self.handed_over += 1;
            events.push(Event::Frame(self.frame(frame.view, &frame.message)?));
        }
        Ok(events)
    }

    fn frame(&mut self, view: u32, frame: &Bytes) -> Result<Received, SubscriberError> {
        let seen = self.views.get_mut(&view).filter(|seen| seen.view.open).ok_or(SubscriberError::UnknownView(view))?;
        let (clear, groups) = split(frame, SEALED_FIELD, ANNOUNCEMENT_FIELD).map_err(SubscriberError::Frame)?;
        let (mut fragments, mut opened) = (Vec::new(), 0);
        for group in &groups {
            let Some((kid, _, _)) = parse_header(group) else { return Err(SubscriberError::Group(OpenError::Malformed)) };
            if let Some(opener) = seen.openers.iter_mut().find(|opener| opener.kid() == kid) {
                fragments.extend(opener.open(group, &clear).map_err(SubscriberError::Group)?);
                opened += 1;
            }
        }
        if opened < seen.openers.len() {
            return Err(SubscriberError::GroupMissing);
        }
        let message = merge(&clear, &fragments).map_err(SubscriberError::Group)?;
        Ok(Received { view, handover: self.handed_over, message, clear, groups: groups.len(), opened })
    }
}
