//! How demands were answered, why, how soon, and who was told.

use super::demands::{asks_title, median};
use super::{OPEN, RECEIVED, by_outcome, count_outcome};
use crate::veil::demand::decision::NoticeDue;
use crate::veil::demand::words::Ruling;
use crate::veil::demand::{Asks, Outcome, Reason, SourceKind};
use crate::veil::report::evidence::Told;
use crate::veil::report::table::{Table, Tally};

const fn reason_title(reason: Reason) -> &'static str {
    match reason {
        Reason::ChallengeableLaw => "The law can be challenged",
        Reason::ChallengeableJurisdiction => "The jurisdiction can be challenged",
        Reason::NoIdentifiableRisk => "No identifiable risk in refusing",
        Reason::HumanRights => "Complying would violate human rights",
        Reason::Overbroad => "It asks for more than it needs",
        Reason::InsufficientProcess => "The legal process does not suffice",
        Reason::IdentityUnverified => "Nobody could tell who demands",
        Reason::NotHeld => "The data is not there",
        Reason::NoKey => "The data is sealed, and there is no key",
        Reason::RedesignOutOfScope => "It asks that the gateway be built otherwise",
        Reason::NoInstanceConsent => "The person has not consented to this one demand",
    }
}

pub(super) fn reasons(told: &[Told]) -> Table {
    let columns = [
        (Outcome::Refuse, "Refused"),
        (Outcome::ComplyInPart, "Complied with in part"),
        (Outcome::NoData, "No such data"),
        (Outcome::Unable, "Could not be opened"),
    ];
    let mut tally = Tally::new(columns.map(|(outcome, title)| (outcome.word(), title)));
    Reason::ALL.iter().for_each(|reason| tally.row(reason.word(), reason_title(*reason)));
    for decision in told.iter().filter_map(|told| told.decision.as_ref()) {
        let said = decision.of.get();
        said.reasons.iter().for_each(|reason| tally.count(reason.word(), said.outcome.word(), decision.entry));
    }
    tally.table(
        "reasons",
        "Why demands were refused",
        "reason",
        "Reasons that decisions give for releasing nothing, or less than what was demanded. A decision may give several.",
        &["RDR P11a 7"],
        false,
    )
}

pub(super) fn redesign(told: &[Told]) -> Table {
    let mut tally = by_outcome();
    Asks::ALL.iter().filter(|asks| asks.is_redesign()).for_each(|asks| tally.row(asks.word(), asks_title(*asks)));
    told.iter()
        .filter(|told| told.case.demand().asks.is_redesign())
        .for_each(|told| count_outcome(&mut tally, told.case.demand().asks.word(), told));
    tally.table(
        "redesign",
        "Demands that the gateway be built otherwise",
        "demand for",
        "No answer to such a demand changes anything in the gateway: there is no way from the desk to its code, its keys or its parties.",
        &["ITU scope"],
        true,
    )
}

pub(super) fn scope(told: &[Told]) -> Table {
    let mut tally = Tally::new([RECEIVED, ("released", "Something released"), ("not-released", "Nothing released"), OPEN]);
    type Is = fn(&Told) -> bool;
    let rows: [(&str, &str, Is); 6] = [
        ("instance", "An instance of its own for a jurisdiction", |told| told.case.demand().asks == Asks::RedesignInstance),
        ("backdoor", "A way around encryption", |told| told.case.demand().asks == Asks::RedesignBackdoor),
        ("identity", "Making or changing a system of identification", |told| told.case.demand().asks == Asks::RedesignIdentity),
        ("intelligence", "Demands of intelligence and security agencies", |told| {
            told.case.demand().source.kind == SourceKind::Intelligence
        }),
        ("international", "Demands of international organisations", |told| {
            told.case.demand().source.kind == SourceKind::InternationalOrganisation
        }),
        ("without-consent", "Data of people, without their own consent to this one demand", |told| {
            told.case.demand().asks.is_data() && !is_consented(told)
        }),
    ];
    for (id, title, is) in rows {
        tally.row(id, title);
        for told in told.iter().filter(|told| is(told)) {
            tally.count(id, RECEIVED.0, told.entry);
            let column = match told.decision.as_ref().map(|decision| decision.of.get().outcome.releases()) {
                Some(true) => "released",
                Some(false) => "not-released",
                None => OPEN.0,
            };
            tally.count(id, column, told.entry);
        }
    }
    tally.table(
        "scope",
        "What the three-stage test covers",
        "demand",
        "Demands by the reasons for which they fall under the test. One demand can be in several rows.",
        &["ITU scope"],
        false,
    )
}

pub(crate) fn is_consented(told: &Told) -> bool {
    let terms = told.decision.as_ref().and_then(|decision| decision.of.get().release.as_ref());
    terms.is_some_and(|terms| terms.consent.is_some())
}

pub(super) fn challenges(told: &[Told]) -> Table {
    let mut tally = Tally::new([("challenges", "Challenges")]);
    for (ruling, title) in
        [(Ruling::Pending, "Pending"), (Ruling::Upheld, "Upheld: the demand does not stand"), (Ruling::Dismissed, "Dismissed")]
    {
        tally.row(ruling.word(), title);
    }
    for told in told {
        for challenge in told.case.challenges().iter().filter(|challenge| !challenge.replaced) {
            tally.count(challenge.get().result.word(), "challenges", told.entry_of(&challenge.id()));
        }
    }
    tally.table(
        "challenges",
        "Demands that were challenged",
        "ruling",
        "Challenges before a court or another body. While one is pending, and where it was upheld, nothing is released.",
        &["RDR P10a 6"],
        true,
    )
}

pub(super) fn notices(told: &[Told]) -> Table {
    let mut tally = Tally::new([("demands", "Demands")]);
    let titles = [
        ("told-before", "Told before anything was released"),
        ("told-after-gag", "Told when an order not to tell had ended"),
        ("told", "Told; nothing was released"),
        ("deferred", "To be told when an order not to tell ends"),
        ("not-yet", "Not told yet"),
    ];
    titles.into_iter().for_each(|(id, title)| tally.row(id, title));
    for told in told.iter().filter(|told| told.case.demand().about.is_some()) {
        let terms = told.decision.as_ref().and_then(|decision| decision.of.get().release.as_ref());
        let deferred = terms.is_some_and(|terms| matches!(terms.notice, NoticeDue::Deferred { .. }));
        let notice = told.case.notices().first().map(|notice| told.entry_of(&notice.id()));
        match (notice, deferred, terms) {
            (Some(entry), true, _) => tally.count("told-after-gag", "demands", entry),
            (Some(entry), false, Some(_)) => tally.count("told-before", "demands", entry),
            (Some(entry), false, None) => tally.count("told", "demands", entry),
            (None, true, _) => tally.count("deferred", "demands", told.entry),
            (None, false, _) => tally.count("not-yet", "demands", told.entry),
        }
    }
    tally.table(
        "notices",
        "Whether people were told",
        "notice",
        "Demands that name somebody. Nothing is released before they were told, unless an order with a legal basis and an end forbids it.",
        &["RDR P12"],
        true,
    )
}

pub(super) fn releases(told: &[Told]) -> Table {
    let mut tally = Tally::new([("releases", "Releases"), ("demands", "Demands")]);
    let titles =
        [("by-test", "After the three stages, signed by two persons"), ("by-consent", "With the person's own consent to this one demand")];
    titles.into_iter().for_each(|(id, title)| tally.row(id, title));
    for told in told {
        let row = if is_consented(told) { "by-consent" } else { "by-test" };
        for release in &told.releases {
            tally.count(row, "releases", release.entry);
            tally.count(row, "demands", told.entry);
        }
    }
    tally.table(
        "releases",
        "What was released",
        "released",
        "Releases of frames as the gateway itself wrote them down, interval by interval, and under how many demands. Each came out of a \
         view, with the fields of the decision and none besides.",
        &["RDR P11a 7"],
        true,
    )
}

pub(super) fn times(told: &[Told]) -> Table {
    let mut tally = Tally::new([("demands", "Demands"), ("median", "Median time")]);
    let titles =
        [("decision", "From receipt to decision"), ("notice", "From receipt to notice"), ("release", "From receipt to first release")];
    titles.into_iter().for_each(|(id, title)| tally.row(id, title));
    let mut spans: [Vec<(u64, i64)>; 3] = Default::default();
    for told in told {
        let received = told.case.demand().received.0;
        let decision = told.decision.as_ref().map(|decision| (decision.entry, decision.of.get().head.at.0));
        let notice = told.case.notices().first().map(|notice| (told.entry_of(&notice.id()), notice.get().head.at.0));
        let release = told.releases.first().map(|release| (release.entry, release.of.get().period.from.0));
        for ((id, _), (spans, at)) in titles.into_iter().zip(spans.iter_mut().zip([decision, notice, release])) {
            if let Some((entry, at)) = at {
                tally.count(id, "demands", entry);
                spans.push((entry, at - received));
            }
        }
    }
    let mut table = tally.table(
        "times",
        "How long it took",
        "time",
        "Median times from when a demand arrived, by the dates in the records, in hours rounded up; from 72 hours on in days.",
        &[],
        false,
    );
    for (row, spans) in table.rows.iter_mut().zip(spans) {
        if let Some(figure) = row.figures.last_mut() {
            *figure = median(spans);
        }
    }
    table
}
