//! What of a frame the recipient would see at one field: by a view that shows nothing else, compiled and applied as the gateway does.

use std::sync::Arc;

use super::change::{Change, Changes, Treated};
use super::side::Side;
use crate::cli::CliError;
use crate::veil::crypto::secret::Secret;
use crate::veil::name::{Purpose, Spiffe, ViewId};
use crate::veil::policy::{Decided, Decision, Holders, Reason};
use crate::veil::schema::{Content, Schema, SiteId};
use crate::veil::terms::{Generalizer, Treatment};
use crate::veil::view::{Bindings, BindingsSource, Program, Raw, Space, View};
use crate::world;

/// What a recipient sees of a field in a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Image {
    /// Nothing, as if it were not in the frame.
    Nothing,
    /// A message in which nothing stands but this field.
    Clear(Vec<u8>),
    /// Something that whoever holds a key opens; in a message as above, the whole value.
    Sealed(Holders, Vec<u8>),
}

/// What is found in frames about one change.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// In how many frames the recipient sees something else.
    pub(super) frames: u64,
    /// The first of them: before, after.
    pub(super) example: Option<[Image; 2]>,
}

/// Whose eyes; pseudonyms are a recipient's and purpose's own.
type Eyes = Option<(Spiffe, Purpose)>;

/// What a view shows: the field, and how.
#[derive(Clone, Debug, PartialEq)]
struct Look {
    site: SiteId,
    treatment: Treatment,
    /// Who can open it, where it is sealed.
    sealed: Option<Holders>,
    eyes: Eyes,
}

struct Comparison {
    looks: [Option<Look>; 2],
    views: [Option<View>; 2],
    found: Found,
}

/// Every comparison that a change asks for, each made once however many recipients it is for.
pub(super) struct Comparisons {
    all: Vec<Comparison>,
    space: Space,
    frames: u64,
}

impl Comparisons {
    pub(super) fn new(sides: &[Side; 2], changes: &Changes) -> Result<Self, CliError> {
        let key = Secret::random(&mut world::entropy());
        let mut all: Vec<Comparison> = Vec::new();
        for of in &changes.0 {
            for change in &of.changes {
                let looks = looks(change, &of.recipient, &of.purpose);
                if all.iter().any(|known| known.looks == looks) {
                    continue;
                }
                let view = |at: usize| looks[at].as_ref().map(|look| view(&sides[at], look, &key)).transpose();
                all.push(Comparison { views: [view(0)?, view(1)?], looks, found: Found::default() });
            }
        }
        Ok(Self { all, space: Space::default(), frames: 0 })
    }

    /// How many frames were taken.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// Looks at a frame from both sides.
    pub(super) fn take(&mut self, frame: &[u8]) {
        self.frames += 1;
        for comparison in &mut self.all {
            let mut image = |at: usize| match (&mut comparison.views[at], &comparison.looks[at]) {
                (Some(view), Some(look)) => look.image(view, frame, &mut self.space),
                _ => Image::Nothing,
            };
            let images = [image(0), image(1)];
            if images[0] != images[1] {
                comparison.found.frames += 1;
                comparison.found.example.get_or_insert(images);
            }
        }
    }

    /// What came of a change.
    pub(super) fn found(&self, change: &Change, recipient: &Spiffe, purpose: &Purpose) -> Option<&Found> {
        let looks = looks(change, recipient, purpose);
        self.all.iter().find(|known| known.looks == looks).map(|known| &known.found)
    }
}

fn looks(change: &Change, recipient: &Spiffe, purpose: &Purpose) -> [Option<Look>; 2] {
    change.sides.each_ref().map(|side| {
        let Treated { site, treatment, holders, .. } = side.as_ref().filter(|treated| treated.treatment != Treatment::Strip)?;
        let eyes = (*treatment == Treatment::Pseudonymize).then(|| (recipient.clone(), purpose.clone()));
        Some(Look { site: *site, treatment: *treatment, sealed: (*treatment == Treatment::Encrypt).then_some(*holders), eyes })
    })
}

impl Look {
    fn image(&self, view: &mut View, frame: &[u8], space: &mut Space) -> Image {
        // What can't be judged is refused whole: nothing of it is sent.
        match (view.apply(Raw::new(frame), space).map(|veiled| veiled.bytes().to_vec()), self.sealed) {
            (Ok(bytes), _) if bytes.is_empty() => Image::Nothing,
            (Ok(bytes), None) => Image::Clear(bytes),
            (Ok(bytes), Some(holders)) => Image::Sealed(holders, bytes),
            (Err(_), _) => Image::Nothing,
        }
    }
}

/// A view of one field. Of what is sealed the whole value: whoever opens it has that.
fn view(side: &Side, look: &Look, key: &Secret<32>) -> Result<View, CliError> {
    let treatment = if look.sealed.is_some() { Treatment::Keep } else { look.treatment };
    let partner = partner(&side.schema, look.site).filter(|_| treatment == Treatment::Generalize);
    let shows = |site: SiteId| site == look.site || Some(site) == partner;
    let of = |site: SiteId| Decided {
        treatment: if shows(site) { treatment } else { Treatment::Strip },
        holders: Holders::Vault,
        reason: Reason::Public,
    };
    let decision = Decision { sites: (0u32..).map(SiteId).take(side.schema.sites().len()).map(of).collect() };
    let program = Arc::new(Program::compile(&side.schema, &decision));
    let anybody = crate::veil::terms::purpose("dpv:ServiceProvision").ok_or_else(|| CliError::broken("no purpose"))?;
    let (recipient, purpose) = look.eyes.as_ref().map_or(("", &anybody), |(recipient, purpose)| (recipient.as_str(), purpose));
    let source = BindingsSource {
        origin: &side.config.origin,
        recipient,
        purpose,
        subject_key: Some(key),
        pseudonym_epoch: 0,
        view: ViewId([0; 16]),
        epoch: 1,
        suite: side.config.seal.suite,
        holders: &|_| Vec::new(),
    };
    let bound = Bindings::new(&program, &source, &mut world::entropy());
    let (bindings, _) = bound.ok_or_else(|| CliError::broken("a view could not be bound"))?;
    Ok(View::new(program, bindings))
}

/// The other coordinate of a place: a cell is found from both.
fn partner(schema: &Schema, site: SiteId) -> Option<SiteId> {
    let is_place = |id: SiteId| {
        let facts = schema.sites().get(id.0 as usize).map(|site| &site.facts);
        facts.is_some_and(|facts| matches!(facts.generalize, Some(Generalizer::Place { .. })))
    };
    let leaves = |node: &crate::veil::schema::Node| -> Vec<SiteId> {
        let leaf = |content: &Content| if let Content::Leaf(id) = content { Some(*id) } else { None };
        node.fields.iter().filter_map(|field| leaf(&field.content)).filter(|id| is_place(*id)).collect()
    };
    let pair = schema.nodes().iter().map(leaves).find(|pair| pair.contains(&site))?;
    pair.into_iter().find(|id| *id != site)
}
