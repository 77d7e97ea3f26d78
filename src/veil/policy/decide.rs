//! Schema floors, operator's floors and consents, joined into one treatment a site. Decided once per view, never per frame.
//!
//! *Who must agree.* Public: nobody. Operational: the operator's mandate, or the record of the asset's steward where that one
//! speaks about the field. Personal and above: the person. Nobody else's word counts, except that anybody may forbid.
//!
//! *What comes out* is the most protective of the schema's floor, the operator's floor and the agreement; on a tie the reason
//! names the agreement. A treatment that does not exist for the type is not replaced by a guess: the field is stripped.
//!
//! *Who holds keys.* A sealed value is the whole value to whoever holds its key. Where the schema or the operator demands
//! `generalize` or `pseudonymize` at the least, no consent can hand the whole value to the recipient by asking for `encrypt`,
//! which only looks stricter: the recipient gets no key, and the value is sealed to the vault alone. A key is given by the
//! record that decided and by no other. With no key at all, there is nobody to seal to: the field is stripped.
//!
//! *Several subjects.* Where elements of a message are about somebody each, a person's word reaches into their own elements and
//! no further, and nothing is sealed there (see `src/manual/several.md`).

use super::super::consent::deciding::Deciding;
use super::super::consent::rule::{Effect, Rule, Which};
use super::super::name::{PolicyId, RecordId};
use super::super::schema::{Content, NodeId, Schema, Site, SiteId, selector};
use super::super::terms::{Sensitivity, Treatment};
use super::{Decided, Decision, Floor, FloorTable, Holders, Reason};

/// Decides every site of a schema for one recipient and purpose.
///
/// `subject`: what the person's (or steward's) records say about this recipient and purpose; `mandate`: what the operator's do.
/// A floor table that is too short allows nothing for the sites it does not have.
pub fn decide(schema: &Schema, floors: &FloorTable, subject: Option<&Deciding<'_>>, mandate: Option<&Deciding<'_>>) -> Decision {
    let nothing = Floor { treatment: Treatment::Strip, policy: None };
    let floor_of = |index: usize| floors.0.get(index).unwrap_or(&nothing);
    let several = schema.is_about_several();
    let decided = |(index, site): (usize, &Site)| {
        let in_element = several && is_in_element(schema, index);
        let decided = decide_site(site, floor_of(index), subject.filter(|_| in_element || !several), mandate);
        if in_element && decided.treatment == Treatment::Encrypt { strip(Reason::InElement) } else { decided }
    };
    let mut decision = Decision { sites: schema.sites().iter().enumerate().map(decided).collect() };
    align_pairs(schema, &mut decision);
    drop_without_required(schema, &mut decision);
    decision
}

impl Decision {
    /// Whether anything at all is sent.
    pub fn visible(&self) -> bool {
        self.sites.iter().any(|site| site.treatment != Treatment::Strip)
    }

    /// What of it is about elements that have a subject of their own; all else is stripped.
    pub fn in_elements(&self, schema: &Schema) -> Self {
        let of = |(index, decided): (usize, &Decided)| match is_in_element(schema, index) {
            true => decided.clone(),
            false => strip(decided.reason.clone()),
        };
        Self { sites: self.sites.iter().enumerate().map(of).collect() }
    }

    /// Whether frames, or elements with a subject of their own, flow. That there are frames, and when, tells about the subject what the subject field tells: so they need
    /// what that field needs, also where other fields are public.
    pub fn delivers(&self, schema: &Schema, subject: Option<&Deciding<'_>>, mandate: Option<&Deciding<'_>>) -> bool {
        let permitted = |deciding: Option<&Deciding<'_>>| {
            deciding.is_some_and(|deciding| {
                let reveals = |rule: &Rule| rule.effect == Effect::Permit && rule.treatment != Treatment::Strip;
                deciding.rules.iter().any(|at| reveals(at.rule) && deciding.counts(at))
            })
        };
        let visible = match schema.is_about_several() {
            true => self.in_elements(schema).visible(),
            false => self.visible(),
        };
        visible
            && match schema.subject_sites().map(|site| site.facts.sensitivity).max() {
                None | Some(Sensitivity::Public) => true,
                Some(Sensitivity::Operational) => permitted(subject) || permitted(mandate),
                Some(Sensitivity::Personal | Sensitivity::Special | Sensitivity::Identifying) => permitted(subject),
            }
    }
}

fn is_in_element(schema: &Schema, index: usize) -> bool {
    u32::try_from(index).is_ok_and(|index| schema.is_in_element(SiteId(index)))
}

pub(super) fn strip(reason: Reason) -> Decided {
    Decided { treatment: Treatment::Strip, holders: Holders::Vault, reason }
}

/// What those who must agree have agreed to.
struct Agreed<'a> {
    treatment: Treatment,
    reason: Reason,
    /// The records that gave the agreement, for keys.
    by: Option<(&'a Deciding<'a>, Whose)>,
    recipient_holds_key: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Subject,
    Mandate,
}

impl Whose {
    fn reason(self, record: RecordId, rule: u32) -> Reason {
        match self {
            Self::Subject => Reason::Consent(record, rule),
            Self::Mandate => Reason::Mandate(record, rule),
        }
    }
}

pub(super) fn decide_site(site: &Site, floor: &Floor, subject: Option<&Deciding<'_>>, mandate: Option<&Deciding<'_>>) -> Decided {
    if !site.facts.classified() {
        return strip(Reason::Unclassified);
    }
    if let Some((record, rule)) = forbidden(site, subject).or_else(|| forbidden(site, mandate)) {
        return strip(Reason::Forbidden(record, rule));
    }
    let agreed = agreed(site, subject, mandate);
    let (treatment, reason) = most_protective(&agreed, site.facts.floor, floor.treatment, floor.policy.as_ref());
    if !site.allows(treatment) {
        return strip(Reason::Undefined(treatment));
    }
    if treatment != Treatment::Encrypt {
        return Decided { treatment, holders: Holders::Vault, reason };
    }
    let coarser = |floor: Treatment| matches!(floor, Treatment::Generalize | Treatment::Pseudonymize);
    let recipient = agreed.recipient_holds_key && !coarser(site.facts.floor) && !coarser(floor.treatment);
    match holders(&agreed, recipient) {
        Some(holders) => Decided { treatment, holders, reason },
        None => strip(Reason::NoKey),
    }
}

fn holders(agreed: &Agreed<'_>, recipient: bool) -> Option<Holders> {
    let (deciding, whose) = agreed.by?;
    let (vault, both) = match whose {
        Whose::Subject => (Holders::Vault, Holders::VaultAndRecipient),
        Whose::Mandate => (Holders::MandateVault, Holders::MandateVaultAndRecipient),
    };
    if recipient && deciding.recipient_key.is_some() { Some(both) } else { deciding.vault_key.map(|_| vault) }
}

/// The agreement stands first: on a tie its record is the reason.
fn most_protective(agreed: &Agreed<'_>, schema: Treatment, operator: Treatment, policy: Option<&PolicyId>) -> (Treatment, Reason) {
    let mut most = (agreed.treatment, agreed.reason.clone());
    if schema > most.0 {
        most = (schema, Reason::Floor);
    }
    if operator > most.0 {
        most = (operator, policy.map_or(Reason::NoPolicy, |policy| Reason::Policy(policy.clone())));
    }
    most
}

fn agreed<'a>(site: &Site, subject: Option<&'a Deciding<'a>>, mandate: Option<&'a Deciding<'a>>) -> Agreed<'a> {
    let nobody = |treatment, reason| Agreed { treatment, reason, by: None, recipient_holds_key: false };
    match site.facts.sensitivity {
        Sensitivity::Public => nobody(Treatment::Keep, Reason::Public),
        Sensitivity::Operational => {
            permitted(site, subject, Whose::Subject).or_else(|| permitted(site, mandate, Whose::Mandate)).unwrap_or_else(|| {
                let agreement = unsigned(site, subject).or_else(|| unsigned(site, mandate));
                nobody(Treatment::Strip, agreement.map_or(Reason::NoMandate, Reason::Unsigned))
            })
        }
        Sensitivity::Personal | Sensitivity::Special | Sensitivity::Identifying => permitted(site, subject, Whose::Subject)
            .unwrap_or_else(|| nobody(Treatment::Strip, unsigned(site, subject).map_or(Reason::NoConsent, Reason::Unsigned))),
    }
}

/// The most protective of the permits that match; sealed to the vault alone is more protective than sealed to the recipient too.
fn permitted<'a>(site: &Site, deciding: Option<&'a Deciding<'a>>, whose: Whose) -> Option<Agreed<'a>> {
    let deciding = deciding?;
    let strictness = |rule: &Rule| (rule.treatment, !(rule.treatment == Treatment::Encrypt && rule.recipient_holds_key));
    let mut most: Option<(&Rule, RecordId, u32)> = None;
    for at in deciding.rules.iter().filter(|at| at.rule.effect == Effect::Permit && matches(at.rule, site)) {
        if lacking(site, deciding, at.record).is_some() {
            continue;
        }
        // The first of equals is named.
        if most.is_none_or(|(so_far, ..)| strictness(at.rule) > strictness(so_far)) {
            most = Some((at.rule, at.record, at.index));
        }
    }
    most.map(|(rule, record, index)| Agreed {
        treatment: rule.treatment,
        reason: whose.reason(record, index),
        by: Some((deciding, whose)),
        recipient_holds_key: rule.treatment == Treatment::Encrypt && rule.recipient_holds_key,
    })
}

/// The agreement that asks for more signatures on a record's permits for the site.
fn lacking(site: &Site, deciding: &Deciding<'_>, record: RecordId) -> Option<RecordId> {
    let meant = |which: &Which| which.has(site.facts.category, site.facts.sensitivity, site.path.as_str());
    let mut of_record = deciding.lacking.iter().filter(|lacking| lacking.record == record);
    of_record.find(|lacking| lacking.which.is_none_or(meant)).map(|lacking| lacking.agreement)
}

/// The agreement for want of whose signatures no permit for the site counts.
fn unsigned(site: &Site, deciding: Option<&Deciding<'_>>) -> Option<RecordId> {
    let deciding = deciding?;
    let mut permits = deciding.rules.iter().filter(|at| at.rule.effect == Effect::Permit && matches(at.rule, site));
    permits.find_map(|at| lacking(site, deciding, at.record))
}

fn forbidden(site: &Site, deciding: Option<&Deciding<'_>>) -> Option<(RecordId, u32)> {
    deciding?.rules.iter().find(|at| at.rule.effect == Effect::Forbid && matches(at.rule, site)).map(|at| (at.record, at.index))
}

/// Whether all matchers that the rule has match. A rule without any says nothing: as a permit it matches no site, and as a
/// forbid every site.
pub(super) fn matches(rule: &Rule, site: &Site) -> bool {
    if rule.category.is_none() && rule.sensitivity.is_none() && rule.selector.is_none() {
        return rule.effect == Effect::Forbid;
    }
    rule.category.is_none_or(|category| site.facts.category == Some(category))
        && rule.sensitivity.is_none_or(|sensitivity| site.facts.sensitivity == sensitivity)
        && rule.selector.as_ref().is_none_or(|wanted| selector::covers(wanted.as_str(), site.path.as_str()))
}

/// A place is one thing: both coordinates get the more protective of their two treatments.
pub(super) fn align_pairs(schema: &Schema, decision: &mut Decision) {
    for (latitude, longitude) in schema.pairs() {
        let at = |id: SiteId| Some((schema.sites().get(id.0 as usize)?, decision.sites.get(id.0 as usize)?));
        let (Some((north, a)), Some((east, b))) = (at(latitude), at(longitude)) else { continue };
        let sealed = a.treatment == Treatment::Encrypt && b.treatment == Treatment::Encrypt;
        if a.treatment == b.treatment && (!sealed || a.holders == b.holders) {
            continue;
        }
        let common = if a.treatment == b.treatment {
            sealed_to_both(a.holders, b.holders)
        } else if a.treatment > b.treatment {
            Some((a.treatment, a.holders))
        } else {
            Some((b.treatment, b.holders))
        };
        let common = common.filter(|(treatment, _)| north.allows(*treatment) && east.allows(*treatment));
        let (treatment, holders) = common.unwrap_or((Treatment::Strip, Holders::Vault));
        for (id, other) in [(latitude, east), (longitude, north)] {
            let Some(decided) = decision.sites.get_mut(id.0 as usize) else { continue };
            if (decided.treatment, decided.holders) != (treatment, holders) {
                *decided = Decided { treatment, holders, reason: Reason::Pair(other.path.clone()) };
            }
        }
    }
}

/// Who may open both coordinates, where each is sealed to a set of its own; `None`: nobody.
fn sealed_to_both(a: Holders, b: Holders) -> Option<(Treatment, Holders)> {
    let holders = match (a, b) {
        (a, b) if a == b => a,
        (Holders::Vault | Holders::VaultAndRecipient, Holders::Vault | Holders::VaultAndRecipient) => Holders::Vault,
        (Holders::MandateVault | Holders::MandateVaultAndRecipient, Holders::MandateVault | Holders::MandateVaultAndRecipient) => {
            Holders::MandateVault
        }
        (Holders::Vault | Holders::VaultAndRecipient, _) | (Holders::MandateVault | Holders::MandateVaultAndRecipient, _) => return None,
    };
    Some((Treatment::Encrypt, holders))
}

/// Stock stubs refuse a proto2 message without its required fields: where one of them is stripped, the message is.
pub(super) fn drop_without_required(schema: &Schema, decision: &mut Decision) {
    for (index, node) in schema.nodes().iter().enumerate() {
        let missing = node.fields.iter().find_map(|field| match field.content {
            Content::Leaf(id) => {
                let site = schema.sites().get(id.0 as usize)?;
                (site.required && decision.sites.get(id.0 as usize)?.treatment == Treatment::Strip).then(|| site.path.clone())
            }
            Content::Message(_) | Content::Select(_) | Content::Discriminator => None,
        });
        let Some(missing) = missing else { continue };
        let mut below = vec![index];
        while let Some(index) = below.pop() {
            let Some(node) = schema.nodes().get(index) else { continue };
            // A node stands before everything below it; a smaller number is a link back to something above.
            let inside = |id: NodeId| Some(id.0 as usize).filter(|&inner| inner > index);
            for field in &node.fields {
                match &field.content {
                    Content::Leaf(id) => {
                        if let Some(decided) = decision.sites.get_mut(id.0 as usize).filter(|decided| decided.treatment != Treatment::Strip)
                        {
                            *decided = strip(Reason::Required(missing.clone()));
                        }
                    }
                    Content::Message(id) => below.extend(inside(*id)),
                    Content::Select(select) => below.extend(select.cases().filter_map(|&(_, id)| inside(id))),
                    Content::Discriminator => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
