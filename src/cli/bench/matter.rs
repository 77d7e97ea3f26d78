//! What is measured: one recipient's view of one message type, and the frames that go through it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::agreed::Agreed;
use super::made::Maker;
use crate::cli::CliError;
use crate::config::{Config, Party};
use crate::veil::crypto::seal::Suite;
use crate::veil::name::{Origin, Purpose, Spiffe};
use crate::veil::policy::floor::Policy;
use crate::veil::policy::{Decision, FloorTable};
use crate::veil::schema::Schema;
use crate::veil::terms::Treatment;
use crate::veil::view::{Bindings, BindingsSource, Elements, Program, Raw, Space, SubjectValue, View, Whose};
use crate::world::entropy;

/// How many subjects made-up frames are about.
const SUBJECTS: usize = 8;
/// The most subjects of a recording whose frames are taken: each signs records of its own.
const SUBJECTS_MAX: usize = 100;
/// Frames of a recording are told apart by length where the longest third is this much longer than the shortest.
const SPREAD_MIN: f64 = 1.2;

/// One recipient's view of one message type.
#[derive(Debug)]
pub(super) struct Matter {
    pub(super) schema: Arc<Schema>,
    pub(super) floors: FloorTable,
    /// How long the policy took.
    pub(super) floors_us: f64,
    pub(super) agreed: Arc<Agreed>,
    pub(super) decision: Decision,
    pub(super) sizes: Vec<Size>,
    /// What the frames call their subjects.
    pub(super) subjects: Vec<String>,
    pub(super) origin: Origin,
    pub(super) recipient: Spiffe,
    pub(super) purpose: Purpose,
    pub(super) suite: Suite,
}

/// Frames of about one length.
#[derive(Clone, Debug)]
pub(super) struct Size {
    pub(super) frames: Vec<Bytes>,
}

impl Size {
    /// How long they are, on average.
    pub(super) fn bytes(&self) -> f64 {
        self.frames.iter().map(|frame| frame.len() as f64).sum::<f64>() / self.frames.len().max(1) as f64
    }
}

/// Where frames come from.
#[derive(Clone, Debug)]
pub(super) enum Frames {
    /// Made from the schema, of these lengths.
    Made(Vec<usize>),
    /// Somebody's recording.
    Recorded(Vec<Vec<u8>>),
}

impl Matter {
    /// Decides as a gateway would; denied, where nothing would flow.
    pub(super) fn make(
        (config, policy): (&Config, &Policy),
        schema: Arc<Schema>,
        party: &Party,
        agreed: Arc<Agreed>,
        purpose: &Purpose,
        frames: &Frames,
    ) -> Result<Self, CliError> {
        let began = Instant::now();
        let floors = policy
            .floors(&schema, &party.spiffe, purpose, &config.policy.jurisdiction)
            .map_err(|error| CliError::broken(format!("`{}`: {error}", config.policy.file.display())))?;
        let floors_us = began.elapsed().as_secs_f64() * 1e6;
        let decision = agreed.decide(&schema, &floors).ok_or_else(|| {
            let (name, message) = (&party.name, schema.name());
            CliError::denied(format!(
                "nothing of `{message}` flows to `{name}` for {purpose}: {}; `twinveil explain` says why, field by field",
                agreed.words
            ))
        })?;
        let mut matter = Self {
            schema,
            floors,
            floors_us,
            agreed,
            decision,
            sizes: Vec::new(),
            subjects: Vec::new(),
            origin: config.origin.clone(),
            recipient: party.spiffe.clone(),
            purpose: purpose.clone(),
            suite: config.seal.suite,
        };
        let most = config.limits.frame_bytes_max;
        let fits = |bytes: usize| match bytes <= most {
            true => Ok(()),
            false => Err(CliError::broken(format!(
                "a frame of {bytes} bytes is more than `limits.frame_bytes_max` = {most} lets in: name less with `--bytes`, or raise the limit"
            ))),
        };
        match frames {
            Frames::Made(lengths) => {
                lengths.iter().try_for_each(|length| fits(*length))?;
                matter.make_frames(lengths);
            }
            Frames::Recorded(frames) => matter.take_frames(frames)?,
        }
        matter.sizes.iter().flat_map(|size| &size.frames).try_for_each(|frame| fits(frame.len()))?;
        Ok(matter)
    }

    fn make_frames(&mut self, lengths: &[usize]) {
        let maker = Maker::new(&self.schema);
        let size = |length: &usize| Size { frames: maker.frames(SUBJECTS, *length).into_iter().map(Bytes::from).collect() };
        self.sizes = lengths.iter().map(size).collect();
        // What a message holds at the least may be more than was asked for.
        self.sizes.dedup_by(|one, other| (one.bytes() - other.bytes()).abs() < 1.0);
        if self.schema.subject_sites().next().is_some() {
            self.subjects = (0..SUBJECTS).map(|subject| maker.name(subject)).collect();
        }
    }

    fn take_frames(&mut self, recorded: &[Vec<u8>]) -> Result<(), CliError> {
        let mut subjects = BTreeSet::new();
        let mut frames: Vec<Bytes> = Vec::new();
        for frame in recorded {
            let named = self.named(frame)?;
            if subjects.len() + named.difference(&subjects).count() <= SUBJECTS_MAX {
                subjects.extend(named);
                frames.push(frame.clone().into());
            }
        }
        frames.sort_by_key(Bytes::len);
        self.subjects = subjects.into_iter().collect();
        let third = frames.len() / 3;
        let (shortest, longest) = (frames.get(..third).unwrap_or_default(), frames.get(frames.len() - third..).unwrap_or_default());
        let size = |frames: &[Bytes]| Size { frames: frames.to_vec() };
        self.sizes = match size(longest).bytes() > size(shortest).bytes() * SPREAD_MIN {
            true => vec![size(shortest), size(frames.get(third..frames.len() - third).unwrap_or_default()), size(longest)],
            false => vec![size(&frames)],
        };
        Ok(())
    }

    /// Whom a frame names.
    fn named(&self, frame: &[u8]) -> Result<BTreeSet<String>, CliError> {
        let wrong = |refusal| CliError::broken(format!("a recorded frame can't be judged: {refusal}"));
        let mut named = Named::default();
        if let Some(path) = self.schema.subject() {
            named.whose(Some(Raw::new(frame).subject(path).map_err(wrong)?));
        } else if self.schema.is_about_several() {
            let program = Arc::new(Program::compile(&self.schema, &self.decision));
            let source = BindingsSource {
                origin: &self.origin,
                recipient: self.recipient.as_str(),
                purpose: &self.purpose,
                subject_key: None,
                pseudonym_epoch: 0,
                view: crate::veil::name::ViewId([0; 16]),
                epoch: 1,
                suite: self.suite,
                holders: &|_| Vec::new(),
            };
            let bound = Bindings::new(&program, &source, &mut entropy());
            let (bindings, _) = bound.ok_or_else(|| CliError::broken("a view could not be bound"))?;
            View::new(program, bindings).apply_each(Raw::new(frame), &mut Space::default(), &mut named, true).map_err(wrong)?;
        }
        Ok(named.0)
    }

    /// How many fields get which treatment, most revealing first.
    pub(super) fn treated(&self) -> impl Iterator<Item = (Treatment, usize)> {
        let count = |treatment: Treatment| self.decision.sites.iter().filter(|site| site.treatment == treatment).count();
        Treatment::ALL.iter().map(move |treatment| (*treatment, count(*treatment)))
    }
}

/// Everybody who is named in a message.
#[derive(Default)]
struct Named(BTreeSet<String>);

impl Elements for Named {
    fn whose(&mut self, subject: Option<SubjectValue>) -> Whose<'_> {
        self.0.extend(subject.and_then(|value| String::from_utf8(value.as_bytes().to_vec()).ok()));
        Whose::Hidden
    }
}
