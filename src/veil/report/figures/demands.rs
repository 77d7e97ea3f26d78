//! Which demands came, from where, for what, by which process.

use std::collections::BTreeSet;

use super::{FORBIDDEN, RECEIVED, by_outcome, count_outcome};
use crate::veil::demand::{Asks, Period, SourceKind};
use crate::veil::merkle::leaf::Act;
use crate::veil::name::UnixMs;
use crate::veil::report::countries;
use crate::veil::report::entries::Entries;
use crate::veil::report::evidence::Told;
use crate::veil::report::table::{Figure, Table, Tally, Value};

pub(super) fn by_country(told: &[Told], forbidden: &[u64]) -> Table {
    let mut tally = by_outcome();
    for told in told {
        let code = &told.case.demand().source.jurisdiction;
        tally.row(code, &countries::title(code));
        count_outcome(&mut tally, code, told);
    }
    tally.sort();
    add_forbidden(&mut tally, forbidden);
    tally.table(
        "countries",
        "Demands by country",
        "country",
        "Demands that were received in the period, by the country whose law they invoke (ISO 3166), and how they were answered. Those \
         that may not be disclosed are counted, and nothing else may be said of them.",
        &["RDR P11a 1", "RDR P11a 7"],
        true,
    )
}

fn add_forbidden(tally: &mut Tally, forbidden: &[u64]) {
    if !forbidden.is_empty() {
        tally.row(FORBIDDEN.0, FORBIDDEN.1);
        forbidden.iter().for_each(|entry| tally.count(FORBIDDEN.0, RECEIVED.0, *entry));
    }
}

/// `2026-01`.
fn month(at: UnixMs) -> String {
    at.to_string().chars().take(7).collect()
}

/// Every month of a period, a few centuries at most.
fn months_of(period: &Period) -> BTreeSet<String> {
    const DAY: i64 = 86_400_000;
    let days = (period.until.0.saturating_sub(period.from.0)).div_euclid(DAY).clamp(0, 100_000);
    (0..=days).map(|day| period.from.0 + day * DAY).filter(|at| *at < period.until.0).map(|at| month(UnixMs(at))).collect()
}

pub(super) fn months(told: &[Told], entries: &Entries, period: &Period, forbidden: &[u64]) -> Table {
    let mut tally = Tally::new([RECEIVED, ("disclosed", "Disclosed here"), FORBIDDEN]);
    months_of(period).iter().for_each(|month| tally.row(month, month));
    for told in told {
        tally.count(&month(told.hour), RECEIVED.0, told.entry);
        tally.count(&month(told.hour), "disclosed", told.entry);
    }
    for entry in entries.of(Act::Demand).filter(|entry| forbidden.contains(&entry.number)) {
        tally.count(&month(entry.hour), RECEIVED.0, entry.number);
        tally.count(&month(entry.hour), FORBIDDEN.0, entry.number);
    }
    tally.table(
        "months",
        "Demands by month",
        "month",
        "Every demand has an entry in the public log from the hour in which it was taken, also where nobody may be told of it. No more \
         than this hour is known of those that may not be disclosed.",
        &["RDR P11a 8", "RDR P11a 9"],
        true,
    )
}

pub(super) const fn asks_title(asks: Asks) -> &'static str {
    match asks {
        Asks::StoredData => "Stored data",
        Asks::LiveData => "Live data",
        Asks::RedesignInstance => "An instance of its own for a jurisdiction",
        Asks::RedesignBackdoor => "A way around encryption or consent",
        Asks::RedesignIdentity => "Another system of identification",
        Asks::ContentRemoval => "Removal of content",
        Asks::Other => "Something else",
    }
}

pub(super) fn asks(told: &[Told], forbidden: &[u64]) -> Table {
    let mut tally = by_outcome();
    Asks::ALL.iter().for_each(|asks| tally.row(asks.word(), asks_title(*asks)));
    told.iter().for_each(|told| count_outcome(&mut tally, told.case.demand().asks.word(), told));
    add_forbidden(&mut tally, forbidden);
    tally.table(
        "asks",
        "What was demanded",
        "demand for",
        "Demands by what they ask for. What rests at the gateway is sealed, and the gateway has no key: such demands are answered \
         truthfully as what cannot be opened. A demand that the gateway be built otherwise changes nothing in it, whatever its answer.",
        &["RDR P11a 2", "RDR P11a 7"],
        true,
    )
}

pub(super) fn content(told: &[Told]) -> Table {
    let mut tally = by_outcome();
    tally.row("content", "Content");
    tally.row("metadata", "Not content");
    for told in told.iter().filter(|told| told.case.demand().asks.is_data()) {
        count_outcome(&mut tally, if told.case.demand().content { "content" } else { "metadata" }, told);
    }
    tally.table(
        "content",
        "Content or not",
        "demand for",
        "Demands for data of somebody: whether they ask for content, or only for data about it.",
        &["RDR P11a 4"],
        true,
    )
}

const fn source_title(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Court => "Courts",
        SourceKind::Police => "Police and prosecutors",
        SourceKind::Intelligence => "Intelligence and security agencies",
        SourceKind::InternationalOrganisation => "International organisations",
        SourceKind::OtherGovernment => "Other authorities",
        SourceKind::Civil => "Parties of civil cases",
    }
}

pub(super) fn sources(told: &[Told], forbidden: &[u64]) -> Table {
    let mut tally = by_outcome();
    SourceKind::ALL.iter().for_each(|kind| tally.row(kind.word(), source_title(*kind)));
    told.iter().for_each(|told| count_outcome(&mut tally, told.case.demand().source.kind.word(), told));
    add_forbidden(&mut tally, forbidden);
    tally.table(
        "sources",
        "Who demanded",
        "authority",
        "Demands by the kind of authority. Orders of courts are included, those of civil cases too.",
        &["RDR P11a 5", "RDR P11a 6"],
        true,
    )
}

pub(super) fn processes(told: &[Told]) -> Table {
    let mut tally = by_outcome();
    for told in told {
        let source = &told.case.demand().source;
        let row = format!("{} · {} · {}", source.jurisdiction, source.process, source.statute);
        tally.row(&row, &format!("{}: {}, {}", countries::title(&source.jurisdiction), source.process, source.statute));
        count_outcome(&mut tally, &row, told);
    }
    tally.sort();
    tally.table(
        "processes",
        "By which legal process",
        "legal process",
        "Country, legal process and statute, as the demands themselves name them.",
        &["RDR P11a 5"],
        true,
    )
}

pub(super) fn reach(told: &[Told]) -> Table {
    let mut tally = by_outcome();
    let titles = [("named", "Named persons or assets"), ("everybody", "Everybody"), ("nobody", "Nobody in particular")];
    titles.into_iter().for_each(|(id, title)| tally.row(id, title));
    for told in told {
        let demand = told.case.demand();
        let row = match (demand.everybody, demand.about) {
            (true, _) => "everybody",
            (false, Some(_)) => "named",
            (false, None) => "nobody",
        };
        count_outcome(&mut tally, row, told);
    }
    tally.table(
        "reach",
        "Whom demands are about",
        "about",
        "A demand names persons or assets, or is about everybody: then nothing is ever released. How many persons a demand names \
         stands in no record.",
        &[],
        true,
    )
}

pub(super) fn emergencies(told: &[Told]) -> Table {
    let mut tally = by_outcome();
    tally.row("emergency", "Says that it cannot wait");
    tally.row("ordinary", "Does not");
    for told in told {
        count_outcome(&mut tally, if told.case.demand().emergency { "emergency" } else { "ordinary" }, told);
    }
    tally.table(
        "emergencies",
        "Emergencies",
        "demand",
        "Whether a demand says that it cannot wait. It is examined like every other.",
        &["RDR P11a 7"],
        true,
    )
}

/// Member States of the European Union.
const MEMBER_STATES: [&str; 27] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL",
    "PT", "RO", "SE", "SI", "SK",
];

pub(super) fn orders_to_provide_information(told: &[Told]) -> Table {
    let mut tally = Tally::new([
        ("number_of_orders_to_provide_information", "Number of orders to provide information"),
        ("median_time_to_give_effect", "Median time to give effect to the order"),
    ]);
    let country = |told: &Told| told.case.demand().source.jurisdiction.chars().take(2).collect::<String>();
    let within: Vec<&Told> =
        told.iter().filter(|told| told.case.demand().asks.is_data() && MEMBER_STATES.contains(&country(told).as_str())).collect();
    for told in &within {
        tally.row(&country(told), &countries::title(&country(told)));
        tally.count(&country(told), "number_of_orders_to_provide_information", told.entry);
    }
    tally.sort();
    let mut table = tally.table(
        "orders-to-provide-information",
        "Orders of Member States of the European Union to provide information",
        "Member State",
        "Demands for data by Member States, in columns named after Article 15(1)(a) of the Digital Services Act: from receipt to the first \
         release of data. Made for comparison; no conformity with any template is claimed.",
        &[],
        false,
    );
    for row in &mut table.rows {
        let of_row = within.iter().filter(|told| country(told) == row.id);
        let effect = of_row.filter_map(|told| {
            let first = told.releases.first()?;
            Some((first.entry, first.of.get().period.from.0 - told.case.demand().received.0))
        });
        if let Some(figure) = row.figures.last_mut() {
            *figure = median(effect.collect());
        }
    }
    table
}

/// The median of times in milliseconds, of the two in the middle the longer, in hours, rounded up.
pub(super) fn median(mut times: Vec<(u64, i64)>) -> Figure {
    times.sort_by_key(|(_, time)| *time);
    let value = match times.get(times.len() / 2) {
        Some((_, time)) => Value::MedianHours(u64::try_from(*time).unwrap_or_default().div_ceil(3_600_000)),
        None => Value::None,
    };
    let mut leaves: Vec<u64> = times.into_iter().map(|(entry, _)| entry).collect();
    leaves.sort_unstable();
    Figure { value, leaves }
}
