//! What recipients get of a message type: how much of every field is shown, and how much could be where keys are handed over.

use std::sync::Arc;

use crate::veil::consent::rule::{Effect, Rule};
use crate::veil::policy::{Decided, Decision, Holders};
use crate::veil::schema::table::{is_float, is_identifier, is_identifier_kind, is_integer};
use crate::veil::schema::{Kind, Schema, Site, SiteId};
use crate::veil::terms::{Category, Role, Sensitivity, Treatment};

/// How much of a field somebody sees, most first. This is the order of protection: what is sealed is all of it to whoever has the
/// key, and nothing to everybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shown {
    /// The value.
    Whole,
    /// A coarser value.
    Coarse,
    /// A stand-in: the same for the same value, to this recipient and purpose, for as long as it lasts.
    StandIn,
    /// Nothing.
    Nothing,
}

impl Shown {
    /// What a recipient sees under a decision.
    pub const fn of(decided: &Decided) -> Self {
        match (decided.treatment, decided.holders) {
            (Treatment::Keep, _) => Self::Whole,
            (Treatment::Generalize, _) => Self::Coarse,
            (Treatment::Pseudonymize, _) => Self::StandIn,
            (Treatment::Encrypt, Holders::VaultAndRecipient | Holders::MandateVaultAndRecipient) => Self::Whole,
            (Treatment::Encrypt, Holders::Vault | Holders::MandateVault) | (Treatment::Strip, _) => Self::Nothing,
        }
    }
}

/// What recipients get of one message type.
#[derive(Clone, Debug)]
pub struct Face {
    schema: Arc<Schema>,
    sites: Vec<Seen>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    treatment: Treatment,
    now: Shown,
    with_keys: Shown,
}

impl Face {
    /// Under a decision, and under another one that stands for the same agreement with keys handed over; the same twice where
    /// nothing is left open.
    pub fn new(schema: &Arc<Schema>, now: &Decision, with_keys: &Decision) -> Self {
        let seen = |(one, other): (&Decided, &Decided)| {
            let now = Shown::of(one);
            // Who hands over keys also shows what is shown without.
            Seen { treatment: one.treatment, now, with_keys: Shown::of(other).min(now) }
        };
        Self { schema: Arc::clone(schema), sites: now.sites.iter().zip(&with_keys.sites).map(seen).collect() }
    }

    /// The message type.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// How much of a field is shown.
    pub fn shown(&self, site: SiteId, with_keys: bool) -> Shown {
        let seen = self.sites.get(site.0 as usize);
        seen.map_or(Shown::Nothing, |seen| if with_keys { seen.with_keys } else { seen.now })
    }

    /// What is done to it, by the decision without further keys.
    pub fn treatment(&self, site: SiteId) -> Treatment {
        self.sites.get(site.0 as usize).map_or(Treatment::Strip, |seen| seen.treatment)
    }

    /// Shows at the most this much of a field, with or without keys.
    pub(super) fn cover(&mut self, site: SiteId, floor: Treatment, most: Shown) {
        if let Some(seen) = self.sites.get_mut(site.0 as usize) {
            seen.treatment = seen.treatment.max(floor);
            (seen.now, seen.with_keys) = (seen.now.max(most), seen.with_keys.max(most));
        }
    }

    /// The fields of which something is shown, or could be.
    pub fn visible(&self) -> impl Iterator<Item = (SiteId, &Site)> {
        (0u32..).map(SiteId).zip(self.schema.sites()).filter(move |(id, _)| self.shown(*id, true) != Shown::Nothing)
    }

    /// Whether both are the same for whoever looks.
    pub fn is_like(&self, other: &Self) -> bool {
        self.schema.name() == other.schema.name() && self.schema.fingerprint() == other.schema.fingerprint() && self.sites == other.sites
    }

    /// By which fields whoever has both can tell which frames of one belong to which of the other: those of which both have the same
    /// value. Stand-ins are others for every recipient and purpose, so they join nothing.
    pub fn joined_by(&self, other: &Self, with_keys: bool) -> Vec<(SiteId, SiteId)> {
        let whole = |face: &Self, id: SiteId| face.shown(id, with_keys) == Shown::Whole;
        if self.schema.fingerprint() == other.schema.fingerprint() {
            let sites = self.visible().filter(|(id, site)| whole(self, *id) && whole(other, *id) && joins(site));
            return sites.map(|(id, _)| (id, id)).collect();
        }
        let mut joined = Vec::new();
        for (one, site) in self.visible().filter(|(id, site)| whole(self, *id) && names(site)) {
            let same = |(id, theirs): &(SiteId, &Site)| whole(other, *id) && names(theirs) && is_same_name(site, theirs);
            joined.extend(other.visible().find(same).map(|(id, _)| (one, id)));
        }
        joined
    }
}

/// Whether equal values tell that two frames are one: times, identifiers and measurements are seldom equal by chance, at least not
/// for long. Texts, flags and words of a list often are.
fn joins(site: &Site) -> bool {
    let when = site.facts.category == Some(Category::Time) || site.facts.role == Some(Role::CapturedAt);
    let measured = is_integer(site.kind) || is_float(site.kind) || site.kind == Kind::Timestamp;
    site.facts.sensitivity > Sensitivity::Public && (when || measured || identifies(site))
}

/// Whether the value names somebody or something also in messages of another type.
fn names(site: &Site) -> bool {
    site.facts.sensitivity > Sensitivity::Public && identifies(site) && site.facts.role != Some(Role::Sequence)
}

/// A flag or a word of a list is no identifier, whatever its category.
fn identifies(site: &Site) -> bool {
    is_identifier_kind(site.kind) && is_identifier(&site.facts)
}

fn is_same_name(one: &Site, other: &Site) -> bool {
    fn last(site: &Site) -> Option<&str> {
        site.path.as_str().rsplit('.').next()
    }
    let both_subjects = one.facts.role == Some(Role::Subject) && other.facts.role == Some(Role::Subject);
    both_subjects || (one.facts.category == other.facts.category && last(one) == last(other))
}

/// Rules that permit every field at this treatment, and give the recipient the key where it is `encrypt`: with `keep` and with
/// `encrypt` together the widest agreement that there can be.
pub fn everything(treatment: Treatment) -> Vec<Rule> {
    let permit = |sensitivity: &Sensitivity| Rule {
        effect: Effect::Permit,
        category: None,
        sensitivity: Some(*sensitivity),
        selector: None,
        treatment,
        recipient_holds_key: treatment == Treatment::Encrypt,
    };
    Sensitivity::ALL.iter().map(permit).collect()
}
