//! What one recipient got: which treatment was applied to how many instances of which field.

use std::time::Duration;

use super::instances::Shape;
use super::latency::Latency;
use crate::proto::v1;
use crate::veil::schema::{Schema, SiteId};
use crate::veil::terms::Treatment;

/// A treatment for every site of a schema, as a view announces them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Treatments(Vec<Treatment>);

impl Treatments {
    /// Reads an announced view. What it does not list is stripped.
    pub(super) fn announced(schema: &Schema, fields: &[v1::FieldView]) -> Self {
        let listed = fields.iter().map(|field| (field.path.as_str(), read(field.treatment())));
        let listed: std::collections::HashMap<&str, Treatment> = listed.collect();
        let of = |path: &str| listed.get(path).copied().unwrap_or(Treatment::Strip);
        Self(schema.sites().iter().map(|site| of(site.path.as_str())).collect())
    }

    /// The treatment of a site; what has none is stripped.
    pub(super) fn of(&self, site: Option<SiteId>) -> Treatment {
        site.and_then(|site| self.0.get(site.0 as usize)).copied().unwrap_or(Treatment::Strip)
    }

    /// Where `self` and the treatments that follow it differ: site, before, after.
    pub(super) fn changes(&self, after: &Self) -> Vec<(SiteId, Treatment, Treatment)> {
        let both = (0u32..).zip(self.0.iter().zip(&after.0));
        both.filter(|(_, (before, after))| before != after).map(|(site, (before, after))| (SiteId(site), *before, *after)).collect()
    }
}

fn read(treatment: v1::Treatment) -> Treatment {
    match treatment {
        v1::Treatment::Keep => Treatment::Keep,
        v1::Treatment::Generalize => Treatment::Generalize,
        v1::Treatment::Pseudonymize => Treatment::Pseudonymize,
        v1::Treatment::Encrypt => Treatment::Encrypt,
        v1::Treatment::Strip | v1::Treatment::Unspecified => Treatment::Strip,
    }
}

/// Instances by treatment, in the order of [`Treatment::ALL`].
pub(super) type ByTreatment = [u64; Treatment::ALL.len()];

/// What one recipient got so far.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// Frames.
    pub(super) frames: u64,
    /// Sealed groups in them.
    pub(super) groups: u64,
    /// How many of those the recipient could open.
    pub(super) opened: u64,
    /// From handing a frame to the source's stream until this recipient had read it.
    pub(super) latency: Latency,
    /// By site; the last one stands for what has no site.
    fields: Vec<ByTreatment>,
}

impl Tally {
    /// Nothing yet.
    pub(super) fn new(sites: usize) -> Self {
        Self { frames: 0, groups: 0, opened: 0, latency: Latency::default(), fields: vec![[0; Treatment::ALL.len()]; sites + 1] }
    }

    /// Counts a frame.
    pub(super) fn add(&mut self, shape: &Shape, treatments: &Treatments, took: Duration) {
        self.frames += 1;
        self.latency.add(took);
        let nowhere = self.fields.len() - 1;
        for (site, count) in shape.iter() {
            let at = site.map_or(nowhere, |site| site.0 as usize);
            if let Some(cell) = self.fields.get_mut(at).and_then(|field| field.get_mut(treatments.of(site) as usize)) {
                *cell += count;
            }
        }
    }

    /// Instances of one site, by treatment.
    pub(super) fn of(&self, site: SiteId) -> ByTreatment {
        self.fields.get(site.0 as usize).copied().unwrap_or_default()
    }

    /// Instances of all, by treatment.
    pub(super) fn totals(&self) -> ByTreatment {
        let mut totals = ByTreatment::default();
        for field in &self.fields {
            totals.iter_mut().zip(field).for_each(|(total, count)| *total += count);
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::super::instances::Counting;
    use super::*;
    use crate::proto::sample::{PatientFrame, Vitals};
    use crate::veil::schema::load;

    fn field(path: &str, treatment: v1::Treatment) -> v1::FieldView {
        v1::FieldView { path: path.into(), treatment: treatment.into(), how: String::new() }
    }

    #[test]
    fn every_instance_is_counted_under_the_treatment_of_its_field() {
        let schema = std::sync::Arc::new(load(crate::proto::SAMPLES, "twinveil.sample.PatientFrame", None).expect("a sample"));
        let frame = PatientFrame {
            patient_id: "p".into(),
            note: "n".into(),
            vitals: Some(Vitals { heart_rate_bpm: Some(60.0), spo2_pct: Some(97.0), ..Vitals::default() }),
            labels: [("unknown".to_owned(), "x".to_owned())].into(),
            ..PatientFrame::default()
        };
        let shape = Counting::new(schema.clone()).count(&frame.encode_to_vec()).expect("good");
        let before = Treatments::announced(
            &schema,
            &[
                field("patient_id", v1::Treatment::Pseudonymize),
                field("vitals.heart_rate_bpm", v1::Treatment::Encrypt),
                field("vitals.spo2_pct", v1::Treatment::Generalize),
            ],
        );
        let mut tally = Tally::new(schema.sites().len());
        tally.add(&shape, &before, Duration::from_micros(7));
        tally.add(&shape, &before, Duration::from_micros(9));
        // Keep, generalize, pseudonymize, encrypt, strip: the note is not listed, the label is of no case.
        assert_eq!((tally.frames, tally.totals(), tally.latency.quantile_us(1.0)), (2, [0, 2, 2, 2, 4], Some(9)));
        let heart = schema.sites().iter().position(|site| site.path.as_str() == "vitals.heart_rate_bpm").expect("there");
        let heart = SiteId(heart as u32);
        assert_eq!(tally.of(heart), [0, 0, 0, 2, 0]);
        let after = Treatments::announced(
            &schema,
            &[
                field("patient_id", v1::Treatment::Pseudonymize),
                field("vitals.heart_rate_bpm", v1::Treatment::Keep),
                field("vitals.spo2_pct", v1::Treatment::Generalize),
            ],
        );
        assert_eq!(before.changes(&after), [(heart, Treatment::Encrypt, Treatment::Keep)]);
        assert!(before.changes(&before).is_empty());
    }
}
