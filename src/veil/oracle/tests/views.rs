//! Decisions, and real views of them.

use std::sync::Arc;

use super::super::{Class, Dice, Plain};
use crate::veil::consent::deciding::{Deciding, DecidingRule};
use crate::veil::consent::rule::{Effect, Rule};
use crate::veil::crypto::pseudonym::{Domain, number, pseudonym, text};
use crate::veil::crypto::seal::Suite;
use crate::veil::crypto::secret::Secret;
use crate::veil::name::{Origin, Purpose, RecordId, SealKey, ViewId};
use crate::veil::outcome::Refusal;
use crate::veil::policy::{Decided, Decision, Floor, FloorTable, Holders, Reason, decide};
use crate::veil::schema::{Schema, SiteId};
use crate::veil::terms::{Category, Kind, Sensitivity, Treatment, purpose};
use crate::veil::view::{Bindings, BindingsSource, Program, Raw, Space, View};
use crate::veil::wire::zigzag;

const RECIPIENT: &str = "spiffe://example.org/recipient/lab";

/// Entropy for keys that seal nothing of anybody's.
struct Steps(Dice);

impl rand_core::TryRng for Steps {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.0.word() as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.0.word())
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.iter_mut().for_each(|byte| *byte = self.0.word() as u8);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Steps {}

fn key() -> Secret<32> {
    Secret::take(&mut [7; 32])
}

fn what_for() -> Purpose {
    purpose("dpv:ScientificResearch").expect("a term")
}

/// A real view.
pub(super) struct Real {
    view: View,
    space: Space,
}

impl Real {
    pub(super) fn new(schema: &Schema, decision: &Decision) -> Self {
        let program = Arc::new(Program::compile(schema, decision));
        let source = BindingsSource {
            origin: &Origin::new("gateway.example.org/twins"),
            recipient: RECIPIENT,
            purpose: &what_for(),
            subject_key: Some(&key()),
            pseudonym_epoch: 3,
            view: ViewId([1; 16]),
            epoch: 1,
            suite: Suite::ChaCha20Poly1305,
            // Groups are as long without anybody who can open them.
            holders: &|_| Vec::new(),
        };
        let (bindings, _) = Bindings::new(&program, &source, &mut Steps(Dice::new(5))).expect("no holder");
        Self { view: View::new(program, bindings), space: Space::default() }
    }

    pub(super) fn apply(&mut self, frame: &[u8]) -> Result<Vec<u8>, Refusal> {
        self.view.apply(Raw::new(frame), &mut self.space).map(|veiled| veiled.bytes().to_vec())
    }
}

/// Pseudonyms from their definition (manual, "Pseudonyms").
pub(super) fn stand_in(schema: &Schema, site: SiteId, class: &Class) -> Plain {
    let (key, what_for, site) = (key(), what_for(), &schema.sites()[site.0 as usize]);
    let of = |value: &[u8]| {
        pseudonym(&key, Domain { recipient: RECIPIENT, purpose: what_for.as_str(), field: site.path.as_str(), epoch: 3 }, value)
    };
    let bits = match site.kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => 31,
        Kind::Uint32 | Kind::Fixed32 => 32,
        Kind::Uint64 | Kind::Fixed64 => 64,
        _ => 63,
    };
    let cut = |value: u64| (u128::from(value) & ((1u128 << bits) - 1)) as u64;
    let made = match class {
        Class::Bytes(value) if site.kind == Kind::String => return Plain::Bytes(text(&of(value)).into_bytes()),
        Class::Bytes(value) => return Plain::Bytes(of(value)[..16].to_vec()),
        Class::Number(value) => cut(number(&of(&value.to_be_bytes()))),
        Class::Counter(value) => cut(value.wrapping_add(cut(number(&of(b"origin"))) / 16)),
    };
    match site.kind.wire_type() {
        0 if site.kind.zigzag() => Plain::Varint(zigzag(made as i64)),
        0 => Plain::Varint(made),
        1 => Plain::Fixed64(made),
        _ => Plain::Fixed32(made as u32),
    }
}

/// A decision among the treatments that exist for each site.
pub(super) fn drawn(schema: &Schema, dice: &mut Dice, among: &[Treatment]) -> Decision {
    let sites = schema.sites().iter().map(|site| {
        let allowed: Vec<Treatment> = among.iter().copied().filter(|treatment| site.allows(*treatment)).collect();
        let treatment = *dice.pick(&allowed).unwrap_or(&Treatment::Strip);
        Decided { treatment, holders: *dice.pick(Holders::ALL).expect("one"), reason: Reason::Floor }
    });
    let mut decision = Decision { sites: sites.collect() };
    // Most decisions treat a place as one thing; that others would not leak either is no excuse not to try.
    if !dice.one_in(4) {
        for (latitude, longitude) in schema.pairs() {
            decision.sites[longitude.0 as usize] = decision.sites[latitude.0 as usize].clone();
        }
    }
    // Now and then a whole message is hidden.
    if let Some(hidden) = dice.pick(schema.nodes()).filter(|node| !node.path.as_str().is_empty()) {
        for (site, decided) in schema.sites().iter().zip(&mut decision.sites) {
            if crate::veil::schema::selector::covers(hidden.path.as_str(), site.path.as_str()) {
                decided.treatment = Treatment::Strip;
            }
        }
    }
    decision
}

/// A decision as the gateway makes them: from rules of consents and mandates, and floors of a policy.
pub(super) fn decided(schema: &Schema, dice: &mut Dice) -> Decision {
    let floors = schema.sites().iter().map(|_| Floor {
        treatment: if dice.one_in(3) { *dice.pick(Treatment::ALL).expect("one") } else { Treatment::Keep },
        policy: None,
    });
    let floors = FloorTable(floors.collect());
    let (rules, mandates) = (rules(schema, dice), rules(schema, dice));
    let (subject, mandate) = (deciding(&rules, dice), deciding(&mandates, dice));
    decide(schema, &floors, Some(&subject).filter(|_| !dice.one_in(8)), Some(&mandate).filter(|_| !dice.one_in(4)))
}

fn rules(schema: &Schema, dice: &mut Dice) -> Vec<Rule> {
    let rule = |dice: &mut Dice| {
        let forbid = dice.one_in(6);
        let path = dice.pick(schema.sites()).map(|site| site.path.clone());
        Rule {
            effect: if forbid { Effect::Forbid } else { Effect::Permit },
            category: dice.one_in(2).then(|| *dice.pick(Category::ALL).expect("one")),
            sensitivity: dice.one_in(2).then(|| *dice.pick(Sensitivity::ALL).expect("one")),
            selector: path.filter(|_| dice.one_in(4)),
            treatment: if forbid { Treatment::Strip } else { *dice.pick(Treatment::ALL).expect("one") },
            recipient_holds_key: dice.one_in(2),
        }
    };
    let mut rules: Vec<Rule> = (0..1 + dice.below(5)).map(|_| rule(dice)).collect();
    // Without a broad permit most decisions strip everything.
    for sensitivity in Sensitivity::ALL {
        let treatment = *dice.pick(Treatment::ALL).expect("one");
        rules.push(Rule {
            effect: Effect::Permit,
            category: None,
            sensitivity: Some(*sensitivity),
            selector: None,
            treatment,
            recipient_holds_key: treatment == Treatment::Encrypt && dice.one_in(2),
        });
    }
    rules
}

fn deciding<'r>(rules: &'r [Rule], dice: &mut Dice) -> Deciding<'r> {
    let rules = (0..).zip(rules).map(|(index, rule)| DecidingRule { record: RecordId([1; 32]), index, rule }).collect();
    let key = |dice: &mut Dice| (!dice.one_in(3)).then_some(SealKey([9; 32]));
    Deciding { rules, recipient_key: key(dice), vault_key: key(dice), ..Deciding::default() }
}
