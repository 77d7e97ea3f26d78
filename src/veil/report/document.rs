//! A report: what `report.json` holds, and what the other files are written from.

use serde::{Deserialize, Serialize};

use super::doubt::ReportDoubt;
use super::evidence::{Evidence, Ground, Told};
use super::figures::{self, Persons, is_consented};
use super::operator::{Objective, Operator, Process, Words};
use super::statement::{self, StatementLine};
use super::table::{Table, Value};
use crate::veil::demand::{Period, Question};
use crate::veil::merkle::checkpoint::Head;
use crate::veil::merkle::leaf::is_exact;
use crate::veil::merkle::note::VerifierKey;
use crate::veil::merkle::tree::Hash;
use crate::veil::name::UnixMs;
use crate::veil::risk::Published;

/// The form of reports, and its version.
pub const FORMAT: &str = "twinveil-report/v1";
/// The largest `report.json`, in bytes.
pub const REPORT_BYTES_MAX: usize = 64 << 20;
/// The most assessments in a report.
pub const ASSESSMENTS_MAX: usize = 64;
/// A year, a leap day included: for longer, somebody waited for figures.
const YEAR_MS: i64 = 366 * 86_400_000;

/// A transparency report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`FORMAT`].
    pub format: String,
    /// The gateway, as its records name it.
    pub gateway: String,
    /// Of when it is: demands whose entry in the log is from these hours.
    pub period: Hours,
    /// When it was made, RFC 3339 UTC.
    pub made: String,
    /// The log that it was counted from.
    pub log: LogHead,
    /// Who operates the gateway.
    pub operator: Operator,
    /// How demands are handled.
    pub process: Process,
    /// What the operator wanted to achieve, and what came of it.
    pub objectives: Vec<Objective>,
    /// Which elements of published standards are answered, and where.
    pub elements: Vec<Element>,
    /// The figures.
    pub tables: Vec<Table>,
    /// Every demand that may be shown, in the order of the log.
    pub demands: Vec<DemandLine>,
    /// What the operator states of itself.
    pub statements: Vec<StatementLine>,
    /// What recipients could infer, as the operator assessed it.
    pub risk: Vec<Published>,
}

/// From the beginning of an hour until the beginning of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// The first instant, RFC 3339 UTC.
    pub from: String,
    /// The first one after.
    pub until: String,
}

/// A log, up to a size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogHead {
    /// The key that it is signed with, `name+hash+key`.
    pub key: String,
    /// How many entries it had.
    pub size: u64,
    /// The root over them, base64.
    pub root: String,
}

/// An element of a published standard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Element {
    /// Which standard, such as `RDR P11a`.
    pub standard: String,
    /// Which of its elements.
    pub number: u8,
    /// What it asks.
    pub asks: String,
    /// Whether the report answers it.
    pub answered: bool,
    /// Where: ids of tables, or members of the report.
    #[serde(rename = "where")]
    pub places: Vec<String>,
}

/// A demand in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemandLine {
    /// The SHA-256 of its payload, which names the case.
    pub demand: String,
    /// Its entry in the log.
    pub entry: u64,
    /// The hour of that entry.
    pub hour: String,
    /// Whose law.
    pub jurisdiction: String,
    /// What kind of authority.
    pub source: String,
    /// Its name.
    pub authority: String,
    /// Which legal process.
    pub process: String,
    /// Under which law.
    pub statute: String,
    /// What is demanded.
    pub asks: String,
    /// Whether content is.
    pub content: bool,
    /// `named`, `everybody` or `nobody`.
    pub about: String,
    /// Whether it says that it cannot wait.
    pub emergency: bool,
    /// The order not to tell that was in force once: its basis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gag_basis: Option<String>,
    /// How the three stages were answered: met, not met, or not at all.
    pub stages: Vec<Option<bool>>,
    /// How it was answered; absent: not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Why not, or not all.
    pub reasons: Vec<String>,
    /// Whether what was released rests on the person's own consent to this demand.
    pub by_consent: bool,
    /// How challenges stand.
    pub challenges: Vec<String>,
    /// The hour of the entry that says that they were told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
    /// How many releases there were.
    pub releases: u64,
    /// The entries of all of its records.
    pub leaves: Vec<u64>,
}

/// What a report is made from, beside the records.
#[derive(Clone, Debug)]
pub struct Making<'a> {
    /// Gateway, register, log, period.
    pub ground: Ground<'a>,
    /// The key of the log.
    pub log: &'a VerifierKey,
    /// What the operator says.
    pub words: &'a Words,
    /// How many persons each demand names.
    pub persons: Option<&'a Persons>,
    /// What the operator assessed.
    pub risk: &'a [Published],
}

impl Report {
    /// Counts.
    pub fn count(making: &Making<'_>, evidence: &Evidence) -> Self {
        let Making { ground, log, words, persons, risk } = making;
        let Head { size, root } = ground.entries.head();
        let tables = figures::tables(evidence, ground.entries, &ground.period, *persons);
        Self {
            format: FORMAT.into(),
            gateway: ground.gateway.to_string(),
            period: Hours { from: ground.period.from.to_string(), until: ground.period.until.to_string() },
            made: ground.made.to_string(),
            log: LogHead { key: log.to_string(), size, root: root.to_string() },
            operator: words.operator.clone(),
            process: words.process.clone(),
            objectives: words.objectives.clone(),
            elements: elements(&tables, &words.process, &ground.period),
            tables,
            demands: evidence.told.iter().map(DemandLine::new).collect(),
            statements: statement::standing(&evidence.stated, ground.made),
            risk: risk.to_vec(),
        }
    }

    /// Reads `report.json`.
    pub fn parse(json: &[u8]) -> Result<Self, ReportDoubt> {
        let bad = |why: &str| ReportDoubt::NoReport(why.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect());
        if json.len() > REPORT_BYTES_MAX {
            return Err(bad("it is larger than 64 MiB"));
        }
        let report: Self = serde_json::from_slice(json).map_err(|error| bad(&error.to_string()))?;
        match () {
            () if report.format != FORMAT => Err(bad("it is of another form")),
            () if !report.tables.iter().all(Table::is_whole) => Err(bad("a table has a row that is too long or too short")),
            () => Ok(report),
        }
    }

    /// What `report.json` holds.
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).unwrap_or_default();
        json.push('\n');
        json
    }

    /// Of when it is; none where the instants are none, or no hours.
    pub fn period(&self) -> Option<Period> {
        let hour = |text: &str| instant(text).filter(|at| is_exact(*at));
        let period = Period { from: hour(&self.period.from)?, until: hour(&self.period.until)? };
        (period.from < period.until).then_some(period)
    }

    /// When it was made.
    pub fn made(&self) -> Option<UnixMs> {
        instant(&self.made)
    }

    /// What the log had signed.
    pub fn head(&self) -> Option<Head> {
        Some(Head { size: self.log.size, root: Hash::parse(&self.log.root)? })
    }

    /// What the operator says.
    pub fn words(&self) -> Words {
        Words { operator: self.operator.clone(), process: self.process.clone(), objectives: self.objectives.clone() }
    }

    /// Whether what the operator assessed is what an assessment comes to, and names nobody.
    pub fn check_risk(&self) -> Result<(), ReportDoubt> {
        if self.risk.len() > ASSESSMENTS_MAX {
            return Err(ReportDoubt::Risk { number: ASSESSMENTS_MAX + 1, why: format!("there are more than {ASSESSMENTS_MAX}") });
        }
        (1..).zip(&self.risk).try_for_each(|(number, one)| one.check().map_err(|why| ReportDoubt::Risk { number, why }))
    }

    /// A table by its id.
    pub fn table(&self, id: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.id == id)
    }
}

fn instant(text: &str) -> Option<UnixMs> {
    crate::veil::consent::text::instant("", text).ok()
}

impl DemandLine {
    fn new(told: &Told) -> Self {
        let demand = told.case.demand();
        let decision = told.decision.as_ref().map(|decision| decision.of.get());
        Self {
            demand: told.case.id().to_string(),
            entry: told.entry,
            hour: told.hour.to_string(),
            jurisdiction: demand.source.jurisdiction.clone(),
            source: demand.source.kind.to_string(),
            authority: demand.source.authority.clone(),
            process: demand.source.process.clone(),
            statute: demand.source.statute.clone(),
            asks: demand.asks.to_string(),
            content: demand.content,
            about: match (demand.everybody, demand.about) {
                (true, _) => "everybody".into(),
                (false, Some(_)) => "named".into(),
                (false, None) => "nobody".into(),
            },
            emergency: demand.emergency,
            gag_basis: demand.gag.as_ref().map(|gag| gag.basis.clone()),
            stages: Question::ALL.iter().map(|question| told.case.answer(*question).map(|stage| stage.get().met)).collect(),
            outcome: decision.map(|decision| decision.outcome.to_string()),
            reasons: decision.map(|decision| decision.reasons.iter().map(ToString::to_string).collect()).unwrap_or_default(),
            by_consent: is_consented(told),
            challenges: told.case.challenges().iter().filter(|one| !one.replaced).map(|one| one.get().result.to_string()).collect(),
            told: told.case.notices().first().and_then(|notice| told.hour_of(&notice.id())).map(|hour| hour.to_string()),
            releases: told.releases.len() as u64,
            leaves: told.all_entries(),
        }
    }
}

/// The ten elements of Ranking Digital Rights P11a and the seven of P10a.
fn elements(tables: &[Table], process: &Process, period: &Period) -> Vec<Element> {
    let persons = tables.iter().any(|table| table.id == figures::PERSONS && says_something(table));
    let yearly = period.until.0 - period.from.0 <= YEAR_MS;
    let p11a: [(&str, &[&str], bool); 10] = [
        ("Demands by country", &["countries"], true),
        ("Demands for stored information, and for access in real time", &["asks"], true),
        ("Accounts affected", &["persons"], persons),
        ("Whether content was demanded", &["content"], true),
        ("The legal authority or process", &["sources", "processes"], true),
        ("Orders of courts are included", &["sources"], true),
        ("Demands complied with, by category", &["asks", "countries", "releases"], true),
        ("Kinds of demands that may not be disclosed", &["months", "acts", "process.forbidden"], process.forbidden.is_some()),
        ("Reported at least once a year", &["period"], yearly),
        ("Exported as structured data", &["report.json", "report.csv"], true),
    ];
    let element = |standard: &str, number: u8, asks: &str, places: &[&str], answered: bool| Element {
        standard: standard.into(),
        number,
        asks: asks.into(),
        answered,
        places: places.iter().map(|place| (*place).to_owned()).collect(),
    };
    let about_data =
        p11a.into_iter().zip(1..).map(|((asks, places, answered), number)| element("RDR P11a", number, asks, places, answered));
    let about_process = process.elements().map(|(number, asks, said)| element("RDR P10a", number, asks, &["process"], said.is_some()));
    about_data.chain(about_process).collect()
}

fn says_something(table: &Table) -> bool {
    table.total.iter().flatten().any(|figure| figure.value != Value::None)
}
