//! What is treated differently: by both sides' own decisions, before any frame is looked at.

use std::collections::BTreeMap;

use super::side::Side;
use crate::cli::CliError;
use crate::cli::agreements::{Agreements, Assumed};
use crate::config::Party;
use crate::veil::name::{Did, Purpose, Spiffe};
use crate::veil::policy::{Holders, Reason};
use crate::veil::schema::SiteId;
use crate::veil::terms::Treatment;

/// What is done to a field.
#[derive(Clone, Debug)]
pub(super) struct Treated {
    pub(super) site: SiteId,
    pub(super) treatment: Treatment,
    pub(super) holders: Holders,
    /// How it is generalized.
    pub(super) how: Option<String>,
    pub(super) reason: Reason,
}

impl Treated {
    /// What a recipient can tell apart: nothing, or a treatment with what belongs to it.
    fn shown(&self) -> Option<(Treatment, Option<Holders>, Option<&str>)> {
        let holders = (self.treatment == Treatment::Encrypt).then_some(self.holders);
        (self.treatment != Treatment::Strip).then_some((self.treatment, holders, self.how.as_deref()))
    }

    /// How much it protects, for comparing.
    fn protects(&self) -> (Treatment, bool) {
        let by_vault_alone = matches!(self.holders, Holders::Vault | Holders::MandateVault);
        (self.treatment, self.treatment == Treatment::Encrypt && by_vault_alone)
    }
}

/// Which way it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tells {
    More,
    Less,
    /// The same treatment, done in another way.
    Otherwise,
}

impl Tells {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::More => "more",
            Self::Less => "less",
            Self::Otherwise => "otherwise",
        }
    }
}

/// A field that is treated differently. `None`: no frame reaches the recipient, or the schema has no such field.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) path: String,
    pub(super) sides: [Option<Treated>; 2],
}

impl Change {
    pub(super) fn tells(&self) -> Tells {
        let protects = |side: &Option<Treated>| side.as_ref().map_or((Treatment::Strip, false), Treated::protects);
        let [before, after] = self.sides.each_ref().map(protects);
        match after.cmp(&before) {
            std::cmp::Ordering::Less => Tells::More,
            std::cmp::Ordering::Greater => Tells::Less,
            std::cmp::Ordering::Equal => Tells::Otherwise,
        }
    }
}

/// Everything that changes for one recipient and purpose, and by whose consents.
#[derive(Clone, Debug)]
pub(super) struct ViewChange {
    pub(super) recipient: Spiffe,
    pub(super) purpose: Purpose,
    pub(super) subject: Option<Did>,
    /// Whether frames reach the recipient: before, after.
    pub(super) delivers: [bool; 2],
    pub(super) changes: Vec<Change>,
}

/// Everything that changes.
pub(super) struct Changes(pub(super) Vec<ViewChange>);

impl Changes {
    pub(super) fn find(sides: &[Side; 2], recipients: &[Party], purposes: &[Purpose], agreements: &Agreements) -> Result<Self, CliError> {
        let mut found = Vec::new();
        for party in recipients {
            for purpose in purposes {
                for subject in agreements.subjects() {
                    let agreed = agreements.decide(subject, party, purpose, Assumed::Kept);
                    let decide = |side: &Side| {
                        let decision = side.decide(&party.spiffe, purpose, &agreed.0, &agreed.1)?;
                        Ok::<_, CliError>(decision.map(|decision| by_path(side, &decision)))
                    };
                    let [before, after] = [decide(&sides[0])?, decide(&sides[1])?];
                    let delivers = [before.is_some(), after.is_some()];
                    let changes = differences(before.unwrap_or_default(), after.unwrap_or_default());
                    if !changes.is_empty() {
                        let (recipient, purpose) = (party.spiffe.clone(), purpose.clone());
                        found.push(ViewChange { recipient, purpose, subject, delivers, changes });
                    }
                }
            }
        }
        Ok(Self(found))
    }
}

type ByPath = BTreeMap<String, Treated>;

fn by_path(side: &Side, decision: &crate::veil::policy::Decision) -> ByPath {
    let sites = (0u32..).map(SiteId).zip(side.schema.sites()).zip(&decision.sites);
    let treated = sites.map(|((site, facts), decided)| {
        let how = (decided.treatment == Treatment::Generalize).then_some(facts.facts.generalize.as_ref()).flatten();
        let treated = Treated {
            site,
            treatment: decided.treatment,
            holders: decided.holders,
            how: how.map(ToString::to_string),
            reason: decided.reason.clone(),
        };
        (facts.path.to_string(), treated)
    });
    treated.collect()
}

fn differences(mut before: ByPath, mut after: ByPath) -> Vec<Change> {
    let mut paths: Vec<String> = before.keys().chain(after.keys()).cloned().collect();
    paths.sort();
    paths.dedup();
    let change = |path: String| Change { sides: [before.remove(&path), after.remove(&path)], path };
    let differs = |change: &Change| {
        let [before, after] = change.sides.each_ref().map(|side| side.as_ref().and_then(Treated::shown));
        before != after
    };
    paths.into_iter().map(change).filter(differs).collect()
}
