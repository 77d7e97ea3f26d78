//! Rules held against views: each alone, and each two that can be joined.

use std::collections::HashMap;
use std::sync::Arc;

use super::error::{RiskError, RiskFault};
use super::face::{Face, Shown};
use super::rule::{Rule, Rules, pieces};
use crate::veil::name::{Did, Fingerprint, Purpose, SchemaName, Spiffe};
use crate::veil::schema::{Schema, SiteId};

/// The most views that differ: two at a time are looked at.
pub const VIEWS_MAX: usize = 512;

/// Who gets a view, and what for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Audience {
    /// What the operator calls them.
    pub name: Arc<str>,
    /// By their certificate.
    pub recipient: Spiffe,
    /// Their groups.
    pub groups: Vec<Arc<str>>,
    /// What for; none: anything that neither policy nor records name.
    pub purpose: Option<Purpose>,
    /// How it reaches them.
    pub way: Way,
}

/// How messages reach a recipient.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// As a stream of frames.
    Subscribe,
    /// As requests of calls of this method: the recipient is behind the gateway.
    Requests(Arc<str>),
    /// As answers to calls of this method: the recipient calls.
    Answers(Arc<str>),
}

/// What somebody gets, and everybody who gets the same.
#[derive(Clone, Debug)]
pub struct View {
    /// What is shown.
    pub face: Face,
    /// Whose records decided; none: it is the same for all subjects.
    pub about: Option<Did>,
    /// To whom.
    pub to: Vec<Audience>,
}

/// A rule that bites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bite {
    /// The position of the rule.
    pub rule: usize,
    /// The position of the view, or of the two that are pooled.
    pub views: Vec<usize>,
    /// Whether it bites only where keys are handed over.
    pub with_keys: bool,
    /// For each need of the rule, what meets it.
    pub hits: Vec<Vec<Hit>>,
}

/// A field that meets a need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// The position of the view.
    pub view: usize,
    /// The field.
    pub site: SiteId,
    /// How much of it is shown.
    pub shown: Shown,
}

/// For each rule, for each need: the fields of a message type that it means.
type Meant = Vec<Vec<Vec<SiteId>>>;

/// Views, and the rules that they are held against.
#[derive(Clone, Debug)]
pub struct Assessment<'r> {
    rules: &'r Rules,
    pub(super) views: Vec<View>,
    meant: HashMap<(SchemaName, Fingerprint), Meant>,
}

impl<'r> Assessment<'r> {
    /// No views yet.
    pub fn new(rules: &'r Rules) -> Self {
        Self { rules, views: Vec::new(), meant: HashMap::new() }
    }

    /// Adds what somebody gets.
    ///
    /// # Errors
    /// There are too many views that differ.
    pub fn add(&mut self, face: Face, about: Option<Did>, to: Audience) -> Result<(), RiskError> {
        if let Some(view) = self.views.iter_mut().find(|view| view.about == about && view.face.is_like(&face)) {
            if !view.to.contains(&to) {
                view.to.push(to);
            }
            return Ok(());
        }
        if self.views.len() >= VIEWS_MAX {
            return Err(RiskError::new(RiskFault::TooLarge, "", format!("more than {VIEWS_MAX} views that differ")));
        }
        self.look_at(face.schema());
        self.views.push(View { face, about, to: vec![to] });
        Ok(())
    }

    /// Finds which fields of a message type rules are about, also where nobody gets any.
    pub fn look_at(&mut self, schema: &Schema) {
        let key = (schema.name().clone(), schema.fingerprint());
        if self.meant.contains_key(&key) {
            return;
        }
        let paths: Vec<Vec<String>> = schema.sites().iter().map(|site| pieces(site.path.as_str())).collect();
        let sites = || (0u32..).map(SiteId).zip(schema.sites()).zip(&paths);
        let meant = self.rules.iter().map(|rule| {
            let of_need = |need: &super::rule::Need| {
                sites().filter(|((_, site), pieces)| need.means(schema, site, pieces)).map(|((id, _), _)| id).collect()
            };
            rule.needs.iter().map(of_need).collect()
        });
        self.meant.insert(key, meant.collect());
    }

    /// The rules.
    pub fn rules(&self) -> &'r Rules {
        self.rules
    }

    /// What is got, each once.
    pub fn views(&self) -> &[View] {
        &self.views
    }

    /// Rules that can never bite: no message type has fields for all of their needs, nor have two together.
    pub fn idle(&self) -> impl Iterator<Item = &'r Rule> {
        self.rules.iter().enumerate().filter(move |(index, rule)| !self.has_fields_for(*index, rule)).map(|(_, rule)| rule)
    }

    fn has_fields_for(&self, index: usize, rule: &Rule) -> bool {
        let has = |need: usize| {
            let sites = |meant: &Meant| meant.get(index).and_then(|needs| needs.get(need)).is_some_and(|sites| !sites.is_empty());
            self.meant.values().any(sites)
        };
        (0..rule.needs.len()).all(has)
    }

    /// Every rule that bites: in a view, or in two together where it does in neither alone.
    pub fn bites(&self) -> Vec<Bite> {
        let met: Vec<Met> = (0..self.views.len()).map(|view| self.met(view)).collect();
        let mut bites = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let alone = |view: usize, with_keys: bool| met.get(view).is_some_and(|met| met.of(index, with_keys) == full(rule));
            for view in 0..self.views.len() {
                if let Some(with_keys) = [false, true].into_iter().find(|with_keys| alone(view, *with_keys)) {
                    bites.push(self.bite(index, vec![view], with_keys));
                }
            }
        }
        self.pooled(&met, &mut bites);
        bites
    }

    fn pooled(&self, met: &[Met], bites: &mut Vec<Bite>) {
        for (one, first) in self.views.iter().enumerate() {
            for (other, second) in self.views.iter().enumerate().skip(one + 1).filter(|(_, second)| second.about == first.about) {
                let (Some(a), Some(b)) = (met.get(one), met.get(other)) else { continue };
                let joined = [false, true].map(|with_keys| !first.face.joined_by(&second.face, with_keys).is_empty());
                for (index, rule) in self.rules.iter().enumerate() {
                    let together = |with_keys: bool| {
                        let (a, b) = (a.of(index, with_keys), b.of(index, with_keys));
                        joined[usize::from(with_keys)] && (a | b) == full(rule) && a != full(rule) && b != full(rule)
                    };
                    if let Some(with_keys) = [false, true].into_iter().find(|with_keys| together(*with_keys)) {
                        bites.push(self.bite(index, vec![one, other], with_keys));
                    }
                }
            }
        }
    }

    fn bite(&self, rule: usize, views: Vec<usize>, with_keys: bool) -> Bite {
        let needs = self.rules.0.get(rule).map_or(0, |rule| rule.needs.len());
        let hits = (0..needs).map(|need| views.iter().flat_map(|view| self.hits(*view, rule, need, with_keys)).collect()).collect();
        Bite { rule, views, with_keys, hits }
    }

    /// What of a view meets a need.
    fn hits(&self, view: usize, rule: usize, need: usize, with_keys: bool) -> Vec<Hit> {
        let Some(View { face, .. }) = self.views.get(view) else { return Vec::new() };
        let Some(wants) = self.rules.0.get(rule).and_then(|rule| rule.needs.get(need)) else { return Vec::new() };
        let meant = self.meant.get(&(face.schema().name().clone(), face.schema().fingerprint()));
        let sites = meant.and_then(|meant| meant.get(rule)).and_then(|needs| needs.get(need)).into_iter().flatten();
        let hits = sites.filter_map(|&site| {
            let shown = face.shown(site, with_keys);
            let met = face.schema().sites().get(site.0 as usize).is_some_and(|site| wants.is_met(site, shown));
            met.then_some(Hit { view, site, shown })
        });
        hits.collect()
    }

    fn met(&self, view: usize) -> Met {
        let of = |with_keys: bool| {
            let mask = |(index, rule): (usize, &Rule)| {
                let needs = (0..rule.needs.len()).filter(|need| !self.hits(view, index, *need, with_keys).is_empty());
                needs.fold(0u8, |mask, need| mask | 1 << need)
            };
            self.rules.iter().enumerate().map(mask).collect()
        };
        Met([of(false), of(true)])
    }
}

/// Which needs of each rule a view meets: one bit each, without and with keys.
struct Met([Vec<u8>; 2]);

impl Met {
    fn of(&self, rule: usize, with_keys: bool) -> u8 {
        self.0[usize::from(with_keys)].get(rule).copied().unwrap_or_default()
    }
}

/// All needs; a rule has at most eight.
fn full(rule: &Rule) -> u8 {
    rule.needs.iter().fold(0, |mask, _| mask << 1 | 1)
}
