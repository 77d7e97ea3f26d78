//! What would stop a rule: floors that leave one of its needs unmet.

use super::assess::{Assessment, Bite};
use super::face::{Face, Shown};
use super::rule::Need;
use crate::veil::schema::{Site, SiteId};
use crate::veil::terms::Treatment;

/// A field of a view, and the least that should be done to it.
pub(super) type Raised = (usize, SiteId, Treatment);

impl Assessment<'_> {
    /// The ways to stop a rule that bites: for each need that names a floor, which fields to raise to what. Any one of them is
    /// enough; the first is what the rule suggests.
    pub(super) fn stops(&self, bite: &Bite) -> Vec<(usize, Vec<Raised>)> {
        let Some(rule) = self.rules().0.get(bite.rule) else { return Vec::new() };
        let stop = |(need, wants): (usize, &Need)| {
            let floor = wants.floor?;
            let hits = bite.hits.get(need)?.iter();
            let raise = |hit: &super::assess::Hit| {
                let face = &self.views().get(hit.view)?.face;
                let site = face.schema().sites().get(hit.site.0 as usize)?;
                Some((hit.view, hit.site, least(site, face.treatment(hit.site), wants, floor)))
            };
            Some((need, hits.filter_map(raise).collect()))
        };
        rule.needs.iter().enumerate().filter_map(stop).collect()
    }

    /// Floors after which no rule bites, each field of a view once. What stops a rule in one view may leave it to two together, so
    /// it is looked at again until there is nothing left.
    pub fn remedies(&self) -> Vec<(usize, SiteId, Treatment)> {
        let mut raised: Vec<Raised> = Vec::new();
        let mut after = self.clone();
        loop {
            let bites = after.bites();
            let first = |bite: &Bite| after.stops(bite).into_iter().next().map(|(_, fields)| fields);
            let fields: Vec<Raised> = bites.iter().filter_map(first).flatten().collect();
            // INVARIANT: each round raises a field that was shown, so that the rounds come to an end.
            if fields.is_empty() {
                break;
            }
            for (view, site, treatment) in fields {
                if let Some(view) = after.views.get_mut(view) {
                    view.face.raise(site, treatment);
                }
                match raised.iter_mut().find(|known| (known.0, known.1) == (view, site)) {
                    Some(known) => known.2 = known.2.max(treatment),
                    None => raised.push((view, site, treatment)),
                }
            }
        }
        raised.sort_unstable();
        raised
    }
}

/// The least protective floor, from the one that the rule suggests on, that leaves the need unmet by this field.
fn least(site: &Site, now: Treatment, need: &Need, floor: Treatment) -> Treatment {
    // Sealed, and there may be a key for it: a lower floor would show more, and a higher one is only this.
    if now == Treatment::Encrypt {
        return Treatment::Strip;
    }
    let stops = |treatment: &Treatment| {
        let shown = match treatment {
            Treatment::Keep => Shown::Whole,
            Treatment::Generalize => Shown::Coarse,
            Treatment::Pseudonymize => Shown::StandIn,
            // What is sealed can be opened by whoever gets the key.
            Treatment::Encrypt => return false,
            Treatment::Strip => Shown::Nothing,
        };
        *treatment > now && *treatment >= floor && site.allows(*treatment) && !need.is_met(site, shown)
    };
    Treatment::ALL.iter().copied().find(stops).unwrap_or(Treatment::Strip)
}

impl Face {
    /// As it would be with this floor.
    fn raise(&mut self, site: SiteId, floor: Treatment) {
        self.cover(
            site,
            floor,
            match floor {
                Treatment::Keep => Shown::Whole,
                Treatment::Generalize => Shown::Coarse,
                Treatment::Pseudonymize => Shown::StandIn,
                Treatment::Encrypt | Treatment::Strip => Shown::Nothing,
            },
        );
    }
}
