//! A rule: which fields, seen together and how finely, tell what; and what would stop it.

use super::error::{RiskError, RiskFault};
use super::face::Shown;
use super::read;
use crate::veil::schema::{Schema, Site};
use crate::veil::terms::{self, Category, Generalizer, Role, Sensitivity, Treatment};

/// The most needs of one rule.
pub const NEEDS_MAX: usize = 8;

/// How bad it is when a rule bites, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Tells something that few would mind.
    Low,
    /// Tells something that was not meant to be told.
    Medium,
    /// Tells who or where somebody is, or what an asset or its people do.
    High,
    /// Tells who somebody is together with what nobody may know of them.
    Critical,
}

impl Severity {
    /// Every severity, worst last.
    pub const ALL: &'static [Self] = &[Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|severity| severity.word() == word)
    }
}

/// Rules, no two with one id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules(pub(super) Vec<Rule>);

/// Fields that tell something together.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Short and stable: letters, digits and dashes.
    pub id: String,
    /// What a recipient could infer, in words.
    pub infers: String,
    /// How bad that is.
    pub severity: Severity,
    /// Why the fields tell it.
    pub reason: String,
    /// Publications that show it; may be none.
    pub sources: Vec<String>,
    /// Each must be met by some field; not empty.
    pub needs: Vec<Need>,
    /// The rule as it was written, in one form: two rules are the same if these are.
    pub(super) written: String,
}

/// Something that a recipient must see for a rule to bite.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// What it is, in a word or two.
    pub name: String,
    /// The fields: all that any of these means.
    pub any: Vec<Matcher>,
    /// The least that must be shown of one: [`Shown::Whole`], [`Shown::Coarse`] or [`Shown::StandIn`].
    pub at: Shown,
    /// Generalized at least so far a field tells too little; may be none.
    pub enough: Vec<Enough>,
    /// What should be done to the fields at the least to stop the rule; none where it is to be stopped elsewhere.
    pub floor: Option<Treatment>,
}

/// Which fields: all that is set must agree, and in each list one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matcher {
    /// Of one of these categories; empty: of any.
    pub categories: Vec<Category>,
    /// Of one of these sensitivities; empty: of any.
    pub sensitivities: Vec<Sensitivity>,
    /// With one of these roles; empty: with any or none.
    pub roles: Vec<Role>,
    /// With one of these paths, or below one; empty: anywhere.
    pub selectors: Vec<String>,
    /// With one of these words in the path; empty: with any. Each is in pieces: `heart_rate` is `heart`, `rate`.
    pub words: Vec<Vec<String>>,
    /// In messages with one of these full names; empty: in any.
    pub schemas: Vec<String>,
}

/// A generalization that is coarse enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Enough {
    /// Times: this span, in seconds, or a longer one.
    TimeBucket(i64),
    /// Places: this H3 resolution, or a lower one.
    Resolution(u8),
    /// Numbers: so many decimals, or fewer.
    Decimals(u8),
    /// Numbers: steps of this size, or larger.
    Step(f64),
    /// Numbers: so many buckets, or fewer.
    Buckets(usize),
    /// Text: so many characters, or fewer.
    PrefixChars(u32),
}

impl Enough {
    fn holds(self, generalizer: &Generalizer) -> bool {
        match (self, generalizer) {
            (Self::TimeBucket(least), Generalizer::TimeBucket { span_s, .. }) => *span_s >= least,
            (Self::Resolution(most), Generalizer::Place { resolution, .. }) => *resolution <= most,
            (Self::Decimals(most), Generalizer::Decimals(decimals)) => *decimals <= most,
            (Self::Step(least), Generalizer::Step(step)) => *step >= least,
            (Self::Buckets(most), Generalizer::Buckets(edges)) => edges.len() <= most,
            (Self::PrefixChars(most), Generalizer::PrefixChars(chars)) => *chars <= most,
            // Another way to generalize than the one that the rule knows about: nothing says that it is enough.
            (
                Self::TimeBucket(_) | Self::Resolution(_) | Self::Decimals(_) | Self::Step(_) | Self::Buckets(_) | Self::PrefixChars(_),
                _,
            ) => false,
        }
    }
}

impl Need {
    /// Whether a field that is shown like this meets it. The field is one that the need means.
    pub fn is_met(&self, site: &Site, shown: Shown) -> bool {
        let too_coarse = || site.facts.generalize.as_ref().is_some_and(|how| self.enough.iter().any(|enough| enough.holds(how)));
        shown <= self.at && !(shown == Shown::Coarse && too_coarse())
    }

    /// Whether it means the field.
    pub fn means(&self, schema: &Schema, site: &Site, pieces: &[String]) -> bool {
        self.any.iter().any(|matcher| matcher.means(schema, site, pieces))
    }
}

impl Matcher {
    /// Whether it means the field, whose path has these `pieces`.
    pub fn means(&self, schema: &Schema, site: &Site, pieces: &[String]) -> bool {
        fn one_of<T: PartialEq>(list: &[T], is: Option<&T>) -> bool {
            list.is_empty() || is.is_some_and(|is| list.contains(is))
        }
        let has = |word: &Vec<String>| pieces.windows(word.len()).any(|window| window == word);
        one_of(&self.categories, site.facts.category.as_ref())
            && one_of(&self.sensitivities, Some(&site.facts.sensitivity))
            && one_of(&self.roles, site.facts.role.as_ref())
            && (self.selectors.is_empty() || self.selectors.iter().any(|selector| terms::covers(selector, site.path.as_str())))
            && (self.words.is_empty() || self.words.iter().any(has))
            && (self.schemas.is_empty() || self.schemas.iter().any(|name| name == schema.name().as_str()))
    }
}

/// The words of a path, in lower case: `attributes[key="http.routeName"]` is `attributes`, `key`, `http`, `route`, `name`.
pub(super) fn pieces(path: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut before = ' ';
    for c in path.chars() {
        // `heartRate`, as other languages write it.
        if !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase()) {
            pieces.push(String::new());
        }
        if let (true, Some(last)) = (c.is_alphanumeric(), pieces.last_mut()) {
            last.extend(c.to_lowercase());
        }
        before = c;
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

impl Rules {
    /// Reads a file of rules; nothing in it is skipped. `builtin`: the rules in the program, which the file adds to, unless it says
    /// `builtin = false`; a rule with the id of one of theirs stands in its place.
    ///
    /// # Errors
    /// [`RiskError`] names the rule or line.
    pub fn parse(text: &str, builtin: Option<&Self>) -> Result<Self, RiskError> {
        let (own, keeps_builtin) = read::read(text)?;
        let mut rules = builtin.filter(|_| keeps_builtin).cloned().unwrap_or_default();
        rules.0.retain(|rule| !own.iter().any(|own| own.id == rule.id));
        rules.0.extend(own);
        if rules.0.len() > read::RULES_MAX {
            return Err(RiskError::new(RiskFault::TooLarge, "", format!("{} rules, at most {} are read", rules.0.len(), read::RULES_MAX)));
        }
        Ok(rules)
    }

    /// In the order in which they stand.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }

    /// By its id.
    pub fn get(&self, id: &str) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_falls_into_its_words() {
        for (path, words) in [
            ("vitals.heart_rate_bpm", "vitals heart rate bpm"),
            ("attributes[key=\"http.route\"].value.stringValue", "attributes key http route value string value"),
            ("labels[\"Ward\"]", "labels ward"),
            ("spo2", "spo2"),
            ("", ""),
        ] {
            assert_eq!(pieces(path).join(" "), words, "{path}");
        }
    }

    #[test]
    fn only_the_way_of_generalizing_that_a_rule_knows_is_enough() {
        let hour = Generalizer::TimeBucket { span_s: 3_600, unit: terms::TimeUnit::Milliseconds };
        for (enough, how, holds) in [
            (Enough::TimeBucket(3_600), &hour, true),
            (Enough::TimeBucket(3_601), &hour, false),
            (Enough::Step(5.0), &Generalizer::Step(5.0), true),
            (Enough::Step(5.0), &Generalizer::Step(4.9), false),
            (Enough::Step(5.0), &Generalizer::Decimals(0), false),
            (Enough::Decimals(1), &Generalizer::Decimals(1), true),
            (Enough::Decimals(1), &Generalizer::Decimals(2), false),
            (Enough::Buckets(2), &Generalizer::Buckets(vec![0.0, 1.0]), true),
            (Enough::Buckets(1), &Generalizer::Buckets(vec![0.0, 1.0]), false),
            (Enough::PrefixChars(3), &Generalizer::PrefixChars(4), false),
            (Enough::Resolution(4), &Generalizer::Place { resolution: 4, axis: terms::Axis::Latitude }, true),
            (Enough::Resolution(4), &Generalizer::Place { resolution: 5, axis: terms::Axis::Latitude }, false),
        ] {
            assert_eq!(enough.holds(how), holds, "{enough:?} {how:?}");
        }
    }
}
