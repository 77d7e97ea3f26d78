//! An assessment, written down.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::assess::{Assessment, Audience, Bite, View as Seen, Way};
use super::document::{
    Asked, Assumed, Category, Counts, Document, Field, Finding, Opens, Stop, StopField, Summary, Through, To, VERSION, View,
};
use super::face::Shown;
use super::rule::Severity;
use crate::veil::name::{Origin, Purpose};
use crate::veil::schema::SiteId;
use crate::veil::terms::Treatment;

/// Under which circumstances an assessment was made.
#[derive(Clone, Debug)]
pub struct Circumstances<'c> {
    /// The gateway.
    pub gateway: &'c Origin,
    /// Where it is run.
    pub jurisdiction: &'c str,
    /// What is taken to be agreed.
    pub assumed: Assumed,
    /// What was asked for.
    pub asked: Asked,
    /// The purposes that were looked at.
    pub purposes: &'c [Purpose],
}

impl Document {
    /// Writes an assessment down.
    pub fn of(assessment: &Assessment<'_>, under: Circumstances<'_>) -> Self {
        let mut bites = assessment.bites();
        let severity = |bite: &Bite| assessment.rules().0.get(bite.rule).map(|rule| rule.severity);
        bites.sort_by_key(|bite| (bite.with_keys, bite.views.len(), Reverse(severity(bite)), bite.rule, bite.views.clone()));
        let findings: Vec<Finding> = bites.iter().filter_map(|bite| finding(assessment, bite)).collect();
        let views: Vec<View> = assessment.views().iter().map(view).collect();
        Self {
            kind: "risk".to_owned(),
            version: VERSION,
            gateway: under.gateway.to_string(),
            jurisdiction: under.jurisdiction.to_owned(),
            assumed: under.assumed,
            asked: under.asked,
            purposes: under.purposes.iter().map(ToString::to_string).collect(),
            rules: assessment.rules().iter().map(|rule| (rule.id.clone(), rule.written.clone())).collect(),
            summary: Summary::of(assessment.rules().0.len(), &views, &findings),
            views,
            findings,
        }
    }
}

fn view(seen: &Seen) -> View {
    let face = &seen.face;
    let mut categories: BTreeMap<&str, BTreeMap<(Treatment, &str), usize>> = BTreeMap::new();
    let mut fields = Vec::new();
    for (id, site) in face.visible() {
        let treatment = face.treatment(id);
        let category = site.facts.category.map_or("", |category| category.word());
        let how = site.facts.generalize.as_ref().filter(|_| treatment == Treatment::Generalize);
        let opens = match (treatment, face.shown(id, false), face.shown(id, true)) {
            (Treatment::Encrypt, Shown::Whole, _) => Opens::Yes,
            (_, now, with_keys) if with_keys < now => Opens::May,
            _ => Opens::No,
        };
        *categories.entry(category).or_default().entry((treatment, treatment.word())).or_default() += 1;
        fields.push(Field {
            path: site.path.to_string(),
            category: category.to_owned(),
            sensitivity: site.facts.sensitivity.word().to_owned(),
            treatment: treatment.word().to_owned(),
            how: how.map(ToString::to_string),
            opens,
        });
    }
    let counted = |(category, treated): (&str, BTreeMap<(Treatment, &str), usize>)| Category {
        category: category.to_owned(),
        fields: treated.into_iter().map(|((_, word), many)| (word.to_owned(), many)).collect(),
    };
    let mut to: Vec<To> = seen.to.iter().map(To::from).collect();
    to.sort_unstable();
    View {
        schema: face.schema().name().to_string(),
        subject: seen.about.map(|did| did.to_string()),
        to,
        categories: categories.into_iter().map(counted).collect(),
        fields,
    }
}

impl From<&Audience> for To {
    fn from(audience: &Audience) -> Self {
        let (way, method) = match &audience.way {
            Way::Subscribe => ("subscribe", None),
            Way::Requests(method) => ("requests", Some(method)),
            Way::Answers(method) => ("answers", Some(method)),
        };
        Self {
            recipient: audience.recipient.to_string(),
            name: audience.name.to_string(),
            groups: audience.groups.iter().map(ToString::to_string).collect(),
            purpose: audience.purpose.as_ref().map_or("*", |purpose| purpose.as_str()).to_owned(),
            way: way.to_owned(),
            method: method.map(ToString::to_string),
        }
    }
}

fn finding(assessment: &Assessment<'_>, bite: &Bite) -> Option<Finding> {
    let rule = assessment.rules().0.get(bite.rule)?;
    let path = |view: usize, site: SiteId| {
        let schema = assessment.views().get(view)?.face.schema();
        Some(schema.sites().get(site.0 as usize)?.path.to_string())
    };
    let through = rule.needs.iter().zip(&bite.hits).map(|(need, hits)| Through {
        need: need.name.clone(),
        fields: hits.iter().filter_map(|hit| Some((hit.view, path(hit.view, hit.site)?))).collect(),
    });
    let stops = assessment.stops(bite).into_iter().filter_map(|(need, raised)| {
        let field = |&(view, site, floor): &(usize, SiteId, Treatment)| {
            Some(StopField { view, path: path(view, site)?, floor: floor.word().to_owned() })
        };
        Some(Stop { need: rule.needs.get(need)?.name.clone(), fields: raised.iter().filter_map(field).collect() })
    });
    Some(Finding {
        rule: rule.id.clone(),
        severity: rule.severity.word().to_owned(),
        infers: rule.infers.clone(),
        reason: rule.reason.clone(),
        sources: rule.sources.clone(),
        views: bite.views.clone(),
        pooled: bite.views.len() > 1,
        joined_by: joined_by(assessment, bite),
        with_keys: bite.with_keys,
        through: through.collect(),
        stops: stops.collect(),
    })
}

fn joined_by(assessment: &Assessment<'_>, bite: &Bite) -> Vec<String> {
    let [one, other] = bite.views.as_slice() else { return Vec::new() };
    let (Some(one), Some(other)) = (assessment.views().get(*one), assessment.views().get(*other)) else { return Vec::new() };
    let joined = one.face.joined_by(&other.face, bite.with_keys);
    joined.iter().filter_map(|(id, _)| Some(one.face.schema().sites().get(id.0 as usize)?.path.to_string())).collect()
}

impl Counts {
    pub(super) fn of(&mut self, severity: Severity) -> &mut usize {
        match severity {
            Severity::Low => &mut self.low,
            Severity::Medium => &mut self.medium,
            Severity::High => &mut self.high,
            Severity::Critical => &mut self.critical,
        }
    }
}
