//! What the demo found: one JSON object for programs, tables and sentences for people.

use std::fmt::Write as _;

use serde::Serialize;

use super::seat::Snapshot;
use super::stage::Stage;
use super::tally::ByTreatment;
use crate::cli::simulate::What;
use crate::veil::report::table::grouped;
use crate::veil::schema::SiteId;
use crate::veil::terms::Treatment;

/// Everything in numbers. Instances of fields are counted over all frames that were delivered to a recipient.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Report {
    recipients: Vec<Row>,
    /// Frames that the gateway took from the sources.
    frames_in: u64,
    /// Processor time of the gateway for each of them, in microseconds; absent where the system does not tell.
    cpu_us_per_frame: Option<f64>,
}

/// One recipient.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Row {
    name: &'static str,
    frames: u64,
    kept: u64,
    generalized: u64,
    pseudonymized: u64,
    encrypted: u64,
    stripped: u64,
    frames_after_withdrawal: u64,
}

impl Report {
    /// Adds everything up.
    pub(super) fn new(stage: &Stage, cpu_us: Option<u64>) -> Self {
        let recipients = stage.seats.iter().map(|seat| {
            let Snapshot { tally, frames_after_withdrawal, .. } = seat.snapshot();
            let [kept, generalized, pseudonymized, encrypted, stripped] = tally.totals();
            Row {
                name: seat.recipient.name,
                frames: tally.frames,
                kept,
                generalized,
                pseudonymized,
                encrypted,
                stripped,
                frames_after_withdrawal,
            }
        });
        let frames_in = stage.frames_in();
        let each = |cpu_us: u64| (cpu_us as f64 / frames_in.max(1) as f64 * 10.0).round() / 10.0;
        Self { recipients: recipients.collect(), frames_in, cpu_us_per_frame: cpu_us.map(each) }
    }

    /// Frames that came after a withdrawal and should not have.
    pub(super) fn frames_after_withdrawal(&self) -> u64 {
        self.recipients.iter().map(|row| row.frames_after_withdrawal).sum()
    }

    /// The same facts in words, under a table of fields.
    pub(super) fn words(&self, stage: &Stage, withdrew: &str) -> String {
        let mut text = fields(stage);
        for row in &self.recipients {
            let Row { name, frames, kept, generalized, pseudonymized, encrypted, stripped, frames_after_withdrawal } = row;
            let got = [*frames, *kept, *generalized, *pseudonymized, *encrypted, *stripped].map(grouped);
            let [frames, kept, generalized, pseudonymized, encrypted, stripped] = got;
            // Writing to a text can't fail.
            let _ = writeln!(
                text,
                "{name}: {frames} frames; fields: {kept} kept, {generalized} generalized, {pseudonymized} pseudonymized, {encrypted} encrypted, {stripped} stripped; \
                 {frames_after_withdrawal} frames of {withdrew} after its withdrawal",
            );
        }
        let _ = match self.cpu_us_per_frame {
            Some(us) => write!(text, "{} frames came in; the gateway used {us} µs of processor time for each", grouped(self.frames_in)),
            None => write!(text, "{} frames came in", grouped(self.frames_in)),
        };
        text
    }
}

/// What happened to every field, a table for each schema: the treatments of all its instances.
fn fields(stage: &Stage) -> String {
    let mut text = String::new();
    for what in [What::Patients, What::Turbines] {
        let seats: Vec<_> = stage.seats.iter().filter(|seat| seat.recipient.what == what).collect();
        let Some(schema) = seats.first().map(|seat| &seat.schema) else { continue };
        let tallies: Vec<_> = seats.iter().map(|seat| seat.snapshot().tally).collect();
        let sites: Vec<(SiteId, &str)> = (0u32..).map(SiteId).zip(schema.sites().iter().map(|site| site.path.as_str())).collect();
        let wide = sites.iter().map(|(_, path)| path.len()).chain([what.message().len()]).max().unwrap_or_default();
        let mut line = |first: &str, cells: Vec<String>| {
            let mut line = format!("{first:<wide$}");
            cells.iter().for_each(|cell| line.push_str(&format!("  {cell:<12}")));
            text.push_str(line.trim_end());
            text.push('\n');
        };
        line(what.message(), seats.iter().map(|seat| seat.recipient.name.to_owned()).collect());
        for (site, path) in sites {
            line(path, tallies.iter().map(|tally| happened(tally.of(site))).collect());
        }
        text.push('\n');
    }
    text
}

/// The treatments of some instances, as short as it goes.
fn happened(counts: ByTreatment) -> String {
    short(Treatment::ALL.iter().zip(counts).filter(|(_, count)| *count > 0).map(|(treatment, _)| *treatment))
}

/// One treatment by its word, several by their initials, none as `·`. They come most revealing first.
pub(super) fn short(treatments: impl Iterator<Item = Treatment>) -> String {
    let all: Vec<Treatment> = treatments.collect();
    match &all[..] {
        [] => "·".to_owned(),
        [one] => one.word().to_owned(),
        several => several.iter().map(|treatment| initial(*treatment)).collect::<Vec<_>>().join(" "),
    }
}

/// What the initials mean.
pub(super) const LEGEND: &str = "K keep  G generalize  P pseudonymize  E encrypt  S strip  · nothing";

fn initial(treatment: Treatment) -> &'static str {
    match treatment {
        Treatment::Keep => "K",
        Treatment::Generalize => "G",
        Treatment::Pseudonymize => "P",
        Treatment::Encrypt => "E",
        Treatment::Strip => "S",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_says_what_was_done() {
        assert_eq!([happened([0; 5]), happened([0, 7, 0, 0, 0]), happened([0, 7, 0, 0, 1])], ["·", "generalize", "G S"]);
        for treatment in Treatment::ALL {
            assert!(LEGEND.contains(&format!("{} {treatment}", initial(*treatment))));
        }
    }

    #[test]
    fn programs_find_stable_keys() {
        let row = Row {
            name: "vendor",
            frames: 1,
            kept: 2,
            generalized: 3,
            pseudonymized: 4,
            encrypted: 5,
            stripped: 6,
            frames_after_withdrawal: 0,
        };
        let report = Report { recipients: vec![row], frames_in: 9, cpu_us_per_frame: Some(1.5) };
        assert_eq!(
            serde_json::to_string(&report).expect("JSON"),
            r#"{"recipients":[{"name":"vendor","frames":1,"kept":2,"generalized":3,"pseudonymized":4,"encrypted":5,"stripped":6,"frames_after_withdrawal":0}],"frames_in":9,"cpu_us_per_frame":1.5}"#
        );
    }

    #[test]
    fn a_demo_without_a_frame_is_still_told() {
        let stage = Stage::new(Vec::new()).expect("samples");
        let report = Report::new(&stage, Some(10));
        assert_eq!((report.frames_after_withdrawal(), report.cpu_us_per_frame), (0, Some(10.0)));
        let words = report.words(&stage, "nobody");
        assert!(words.contains("\nvitals.heart_rate_bpm") && words.contains("\nproduction.active_power_kw"));
        assert!(words.contains("vendor: 0 frames; fields: 0 kept"));
    }
}
