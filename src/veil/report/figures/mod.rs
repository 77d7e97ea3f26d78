//! Every table of a report, counted from the log and the cases that may be shown.

mod answers;
mod demands;
mod examined;
mod persons;

use std::collections::BTreeMap;

pub(crate) use self::answers::is_consented;
pub(crate) use self::persons::{PERSONS, untold};
use super::entries::Entries;
use super::evidence::{Evidence, Told};
use super::refusals;
use super::table::{Table, Tally};
use crate::veil::demand::{Outcome, Period};
use crate::veil::merkle::leaf::Act;
use crate::veil::name::RecordId;

/// How many persons each demand is about, as its desk says; whoever only reads the report does not have these.
pub type Persons = BTreeMap<RecordId, u64>;

const RECEIVED: (&str, &str) = ("received", "Received");
const OPEN: (&str, &str) = ("open", "Not decided yet");
/// The row of demands of which only the entry in the log may be shown.
pub(super) const FORBIDDEN: (&str, &str) = ("forbidden", "May not be disclosed");

/// Every table, in the order in which they are read.
pub fn tables(evidence: &Evidence, entries: &Entries, period: &Period, persons: Option<&Persons>) -> Vec<Table> {
    let told = &evidence.told;
    let forbidden = forbidden(told, entries, period);
    vec![
        demands::by_country(told, &forbidden),
        demands::months(told, entries, period, &forbidden),
        demands::asks(told, &forbidden),
        persons::persons(told, persons),
        demands::content(told),
        demands::sources(told, &forbidden),
        demands::processes(told),
        demands::reach(told),
        demands::emergencies(told),
        examined::stages(told),
        examined::determinations(told),
        examined::risks(told),
        examined::rights(told),
        answers::reasons(told),
        answers::redesign(told),
        answers::scope(told),
        answers::challenges(told),
        answers::notices(told),
        answers::releases(told),
        answers::times(told),
        demands::orders_to_provide_information(told),
        refusals::table(&evidence.refused, entries, period),
        acts(evidence, entries, period),
    ]
}

/// The entries of demands of the period that are not shown.
fn forbidden(told: &[Told], entries: &Entries, period: &Period) -> Vec<u64> {
    let within = entries.of(Act::Demand).filter(|entry| period.from <= entry.hour && entry.hour < period.until);
    within.map(|entry| entry.number).filter(|number| !told.iter().any(|told| told.entry == *number)).collect()
}

/// Received, and by answer.
fn by_outcome() -> Tally {
    let answers = Outcome::ALL.iter().map(|outcome| (outcome.word(), outcome_title(*outcome)));
    Tally::new([RECEIVED].into_iter().chain(answers).chain([OPEN]))
}

fn count_outcome(tally: &mut Tally, row: &str, told: &Told) {
    tally.count(row, RECEIVED.0, told.entry);
    let answer = told.decision.as_ref().map_or(OPEN.0, |decision| decision.of.get().outcome.word());
    tally.count(row, answer, told.entry);
}

/// An answer as people say it.
pub(crate) const fn outcome_title(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Comply => "Complied with",
        Outcome::ComplyInPart => "Complied with in part",
        Outcome::Refuse => "Refused",
        Outcome::NoData => "No such data",
        Outcome::Unable => "Could not be opened",
    }
}

/// A word as people write it.
fn spoken(word: &str) -> String {
    let text = word.replace(['-', '_'], " ");
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// What the log has of the period, by kind, and how much of it is shown.
fn acts(evidence: &Evidence, entries: &Entries, period: &Period) -> Table {
    let mut tally = Tally::new([("logged", "In the log"), ("shown", "Shown with this report")]);
    let within = |hour| period.from <= hour && hour < period.until;
    let shown = evidence.told.iter().flat_map(Told::all_entries).chain(evidence.stated.iter().map(|stated| stated.entry));
    let shown: std::collections::BTreeSet<u64> = shown.chain(evidence.published.keys().chain(evidence.refused.keys()).copied()).collect();
    for act in super::entries::ACTS {
        tally.row(act.word(), &spoken(act.word()));
        for entry in entries.of(act).filter(|entry| within(entry.hour)) {
            tally.count(act.word(), "logged", entry.number);
            if shown.contains(&entry.number) {
                tally.count(act.word(), "shown", entry.number);
            }
        }
    }
    tally.table(
        "acts",
        "What the log holds",
        "kind of entry",
        "Entries of the public log in the period. What is in the log and not shown is of a demand that may not be disclosed, or of one \
         that came before the period and was shown then. Refusals are what the gateway refused by itself, hour by hour.",
        &["RDR P11a 8"],
        true,
    )
}
