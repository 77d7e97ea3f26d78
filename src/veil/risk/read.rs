//! Rules as they are written: TOML, a table a rule. A word or member that is not known refuses the file.

use serde::Deserialize;

use super::error::{RiskError, RiskFault};
use super::face::Shown;
use super::rule::{Enough, Matcher, NEEDS_MAX, Need, Rule, Severity, pieces};
use crate::veil::schema::did_you_mean;
use crate::veil::schema::selector::Selector;
use crate::veil::terms::{Category, Role, Sensitivity, Treatment, parse_span_s};

/// The most bytes of a file of rules.
pub const RULES_BYTES_MAX: usize = 1 << 20;
/// The most rules, those in the program included.
pub const RULES_MAX: usize = 1_000;
/// The longest text of a rule.
const TEXT_BYTES_MAX: usize = 2_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    builtin: Option<bool>,
    #[serde(default)]
    rule: Vec<toml::Spanned<toml::Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    id: String,
    infers: String,
    severity: String,
    reason: String,
    #[serde(default)]
    sources: Vec<String>,
    #[serde(default)]
    needs: Vec<WrittenNeed>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenNeed {
    name: String,
    any: Vec<WrittenMatcher>,
    at: Option<String>,
    enough: Option<WrittenEnough>,
    floor: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenMatcher {
    #[serde(default)]
    category: Vec<String>,
    #[serde(default)]
    sensitivity: Vec<String>,
    #[serde(default)]
    role: Vec<String>,
    #[serde(default)]
    selector: Vec<String>,
    #[serde(default)]
    words: Vec<String>,
    #[serde(default)]
    schema: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEnough {
    time_bucket: Option<String>,
    h3_resolution: Option<u8>,
    decimals: Option<u8>,
    step: Option<f64>,
    buckets: Option<usize>,
    prefix_chars: Option<u32>,
}

/// The rules of a file, and whether those in the program stay beside them.
pub(super) fn read(text: &str) -> Result<(Vec<Rule>, bool), RiskError> {
    if text.len() > RULES_BYTES_MAX {
        return Err(RiskError::new(RiskFault::TooLarge, "", format!("{} bytes of rules, at most {RULES_BYTES_MAX} are read", text.len())));
    }
    let line_of = |at: usize| text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
    let syntax = |cause: &toml::de::Error, within: Option<usize>| {
        let line = within.or_else(|| cause.span().map(|span| line_of(span.start)));
        let place = line.map_or_else(String::new, |line| format!("line {line}"));
        RiskError::new(RiskFault::Syntax, place, cause.message())
    };
    let written: Written = toml::from_str(text).map_err(|cause| syntax(&cause, None))?;
    let mut rules: Vec<Rule> = Vec::new();
    for spanned in written.rule {
        let line = line_of(spanned.span().start);
        let value = spanned.into_inner();
        // Keys of a table are sorted: the order in which somebody wrote them is no part of a rule.
        let canonical = value.to_string();
        let rule = value.try_into::<WrittenRule>().map_err(|cause| syntax(&cause, Some(line)))?.check(canonical)?;
        if rules.iter().any(|known| known.id == rule.id) {
            return Err(RiskError::new(RiskFault::DuplicateId, format!("rule `{}`, line {line}", rule.id), "another rule has this id"));
        }
        rules.push(rule);
    }
    Ok((rules, written.builtin.unwrap_or(true)))
}

impl WrittenRule {
    fn check(self, written: String) -> Result<Rule, RiskError> {
        let place = format!("rule `{}`", self.id);
        let incomplete = |detail: String| Err(RiskError::new(RiskFault::Incomplete, place.clone(), detail));
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if self.id.is_empty() || self.id.len() > 64 || !self.id.bytes().all(letter) {
            return incomplete("an `id` has 1 to 64 lower-case letters, digits and dashes".to_owned());
        }
        let texts =
            [("infers", &self.infers), ("reason", &self.reason)].into_iter().chain(self.sources.iter().map(|text| ("sources", text)));
        for (member, text) in texts {
            if text.trim().is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
                return incomplete(format!("`{member}` is one line of 1 to {TEXT_BYTES_MAX} bytes"));
            }
        }
        let severity = word(&place, "severity", &self.severity, Severity::parse, Severity::ALL.iter().map(|severity| severity.word()))?;
        if self.needs.is_empty() || self.needs.len() > NEEDS_MAX {
            return incomplete(format!("a rule has 1 to {NEEDS_MAX} `needs`"));
        }
        let needs = self.needs.into_iter().map(|need| need.check(&place)).collect::<Result<Vec<_>, _>>()?;
        if needs.iter().all(|need| need.floor.is_none()) {
            return incomplete("none of its `needs` has a `floor`: say what would stop it".to_owned());
        }
        if let Some(twice) = needs.iter().enumerate().find_map(|(at, need)| needs.iter().take(at).find(|other| other.name == need.name)) {
            return incomplete(format!("two of its `needs` are called `{}`", twice.name));
        }
        Ok(Rule { id: self.id, infers: self.infers, severity, reason: self.reason, sources: self.sources, needs, written })
    }
}

impl WrittenNeed {
    fn check(self, rule: &str) -> Result<Need, RiskError> {
        let place = format!("{rule}, need `{}`", self.name);
        let incomplete = |detail: &str| Err(RiskError::new(RiskFault::Incomplete, place.clone(), detail));
        if self.name.trim().is_empty() || self.name.len() > 64 || self.name.chars().any(char::is_control) {
            return incomplete("a `name` is one line of 1 to 64 bytes");
        }
        if self.any.is_empty() {
            return incomplete("`any` lists no field");
        }
        let treatment = |member: &str, text: &str| {
            word(&place, member, text, Treatment::parse, Treatment::ALL.iter().map(|treatment| treatment.word()))
        };
        let at = match self.at.as_deref().map(|text| treatment("at", text)).transpose()? {
            Some(Treatment::Keep) => Shown::Whole,
            None | Some(Treatment::Generalize) => Shown::Coarse,
            Some(Treatment::Pseudonymize) => Shown::StandIn,
            Some(Treatment::Encrypt | Treatment::Strip) => {
                return incomplete("`at` is `keep`, `generalize` or `pseudonymize`: of what is sealed or left out nobody sees anything");
            }
        };
        let enough = self.enough.map_or_else(|| Ok(Vec::new()), |enough| enough.check(&place))?;
        // A stand-in tells less than a coarse value, but a coarse one that is enough would tell nothing: protecting more would tell more.
        if !enough.is_empty() && at != Shown::Coarse {
            return incomplete("`enough` is for what bites `at` `generalize`");
        }
        let floor = self.floor.as_deref().map(|text| treatment("floor", text)).transpose()?;
        match floor {
            Some(Treatment::Keep) => return incomplete("the `floor` `keep` stops nothing"),
            Some(Treatment::Encrypt) => {
                return incomplete("the `floor` `encrypt` stops nothing where whoever agrees may hand over the key; write `strip`");
            }
            Some(Treatment::Generalize) if at >= Shown::Coarse && enough.is_empty() => {
                return incomplete("the `floor` `generalize` does not stop what bites `at` that, unless it is `enough`");
            }
            Some(Treatment::Pseudonymize) if at >= Shown::StandIn => {
                return incomplete("the `floor` `pseudonymize` does not stop what bites `at` that");
            }
            None | Some(Treatment::Generalize | Treatment::Pseudonymize | Treatment::Strip) => {}
        }
        let any = self.any.into_iter().map(|matcher| matcher.check(&place)).collect::<Result<_, _>>()?;
        Ok(Need { name: self.name, any, at, enough, floor })
    }
}

impl WrittenMatcher {
    fn check(self, place: &str) -> Result<Matcher, RiskError> {
        fn each<T>(texts: &[String], read: impl Fn(&str) -> Result<T, RiskError>) -> Result<Vec<T>, RiskError> {
            texts.iter().map(|text| read(text)).collect()
        }
        let unreadable = |detail: String| RiskError::new(RiskFault::UnknownWord, place, detail);
        let matcher = Matcher {
            categories: each(&self.category, |text| {
                word(place, "category", text, Category::parse, Category::ALL.iter().map(|word| word.word()))
            })?,
            sensitivities: each(&self.sensitivity, |text| {
                word(place, "sensitivity", text, Sensitivity::parse, Sensitivity::ALL.iter().map(|word| word.word()))
            })?,
            roles: each(&self.role, |text| word(place, "role", text, Role::parse, Role::ALL.iter().map(|word| word.word())))?,
            selectors: each(&self.selector, |text| {
                Selector::parse(text).map(|_| text.to_owned()).map_err(|bad| unreadable(bad.to_string()))
            })?,
            words: each(&self.words, |text| match pieces(text) {
                words if words.is_empty() => Err(unreadable(format!("`words` has `{text}`, which has no letter"))),
                words => Ok(words),
            })?,
            schemas: each(&self.schema, |text| match text.split('.').all(|part| !part.is_empty()) {
                true => Ok(text.to_owned()),
                false => Err(unreadable(format!("`schema` has `{text}`, which is no full name of a message type"))),
            })?,
        };
        match matcher == Matcher::default() {
            true => Err(RiskError::new(RiskFault::Incomplete, place, "an entry of `any` says nothing: it would mean every field")),
            false => Ok(matcher),
        }
    }
}

impl WrittenEnough {
    fn check(self, place: &str) -> Result<Vec<Enough>, RiskError> {
        let incomplete = |detail: &str| RiskError::new(RiskFault::Incomplete, place, detail);
        let span = |text: &String| parse_span_s(text).ok_or_else(|| incomplete("`time_bucket` is such as `30s`, `15min`, `1h` or `1d`"));
        if self.step.is_some_and(|step| !step.is_finite() || step <= 0.0) {
            return Err(incomplete("`step` is a number above 0"));
        }
        let all = [
            self.time_bucket.as_ref().map(span).transpose()?.map(Enough::TimeBucket),
            self.h3_resolution.map(Enough::Resolution),
            self.decimals.map(Enough::Decimals),
            self.step.map(Enough::Step),
            self.buckets.map(Enough::Buckets),
            self.prefix_chars.map(Enough::PrefixChars),
        ];
        let enough: Vec<Enough> = all.into_iter().flatten().collect();
        if enough.is_empty() { Err(incomplete("`enough` says nothing")) } else { Ok(enough) }
    }
}

fn word<T>(
    place: &str,
    member: &str,
    text: &str,
    parse: impl Fn(&str) -> Option<T>,
    known: impl Iterator<Item = &'static str>,
) -> Result<T, RiskError> {
    parse(text).ok_or_else(|| {
        RiskError::new(RiskFault::UnknownWord, place, format!("`{member}` is `{text}`, which is unknown{}", did_you_mean(text, known)))
    })
}
