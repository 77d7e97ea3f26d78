//! How the columns of a recording become fields of a message. As a file: TOML with a `[[recording]]` per kind of file.

use prost_reflect::Value;
use serde::Deserialize;

use super::InputError;
use super::clock::{Clock, instant};
use super::shape::Shape;
use super::target::Target;

/// The most rows that become one frame.
pub const CHUNK_ROWS_MAX: usize = 65_536;

/// One checked mapping.
#[derive(Clone, Debug)]
pub struct Mapping {
    pub(super) shape: Shape,
    pub(super) subject: Subject,
    pub(super) clock: Clock,
    pub(super) time_column: Option<String>,
    pub(super) chunk_rows: usize,
    pub(super) sort: bool,
    pub(super) columns: Vec<Column>,
    pub(super) sets: Vec<(Target, Value)>,
    pub(super) sidecar: Option<Sidecar>,
}

/// Where the subject's value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The name of the folder that the file is in.
    Folder,
    /// The file's name without its ending.
    Stem,
    /// A column.
    Column(String),
    /// Given.
    Is(String),
}

/// A column and the field it fills.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) target: Target,
    /// Names in the header; the first whose cell says something counts.
    pub(super) names: Vec<String>,
    pub(super) scale: Option<f64>,
    /// What separates several values in one cell.
    pub(super) split: Option<char>,
    /// The number 0 means that nothing was measured.
    pub(super) zero_is_absent: bool,
}

/// A JSON file beside the recording whose values go into every frame.
#[derive(Clone, Debug)]
pub(super) struct Sidecar {
    /// Its name; `{stem}` is the recording's.
    pub(super) file: String,
    /// A field, and the JSON pointer (RFC 6901) to its value.
    pub(super) sets: Vec<(Target, String)>,
}

/// A mapping and the files it is for.
#[derive(Clone, Debug)]
pub struct Family {
    pub(super) files: glob::Pattern,
    pub(super) mapping: Mapping,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MappingFile {
    recording: Vec<RecordingTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordingTable {
    files: String,
    message: String,
    subject: String,
    time: TimeTable,
    #[serde(default = "one")]
    chunk_rows: usize,
    #[serde(default)]
    sort: bool,
    #[serde(default)]
    fields: Vec<FieldTable>,
    #[serde(default)]
    sets: Vec<SetTable>,
    sidecar: Option<SidecarTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeTable {
    column: Option<String>,
    format: Option<String>,
    base: Option<String>,
    utc_offset: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldTable {
    path: String,
    column: String,
    or: Option<String>,
    scale: Option<f64>,
    split: Option<char>,
    #[serde(default)]
    zero_is_absent: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetTable {
    path: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SidecarTable {
    file: String,
    sets: Vec<PointerTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PointerTable {
    path: String,
    pointer: String,
}

fn one() -> usize {
    1
}

/// What a mapping is made of before it is checked.
pub(super) struct Parts {
    pub(super) subject: Subject,
    pub(super) clock: Clock,
    pub(super) time_column: Option<String>,
    pub(super) chunk_rows: usize,
    pub(super) sort: bool,
}

impl Mapping {
    pub(super) fn new(shape: Shape, parts: Parts) -> Result<Self, InputError> {
        let Parts { subject, clock, time_column, chunk_rows, sort } = parts;
        if !(1..=CHUNK_ROWS_MAX).contains(&chunk_rows) {
            return Err(InputError::new(format!("`{chunk_rows}` rows for a frame: must be 1 to {CHUNK_ROWS_MAX}")));
        }
        if sort && chunk_rows > 1 {
            return Err(InputError::new("rows are sorted or taken in chunks, not both"));
        }
        Ok(Self { shape, subject, clock, time_column, chunk_rows, sort, columns: Vec::new(), sets: Vec::new(), sidecar: None })
    }

    /// Adds a column.
    pub(super) fn column(&mut self, path: &str, names: Vec<String>, scale: Option<f64>) -> Result<&mut Column, InputError> {
        if let Some(bad) = scale.filter(|scale| !scale.is_finite() || *scale == 0.0) {
            return Err(InputError::new(format!("field `{path}`: the factor `{bad}` is not a finite number other than 0")));
        }
        let target = Target::resolve(self.shape.message(), path)?;
        let column = Column { target, names, scale, split: None, zero_is_absent: false };
        // One more than was there, so the last is there.
        self.columns.push(column);
        self.columns.last_mut().ok_or_else(|| InputError::new("no column"))
    }

    /// Adds a value for every frame.
    pub(super) fn set(&mut self, path: &str, value: &str) -> Result<(), InputError> {
        let target = Target::resolve(self.shape.message(), path)?;
        let value = target.parse(value, None).map_err(|why| InputError::new(format!("field `{path}` is set to `{value}`: {why}")))?;
        self.sets.push((target, value));
        Ok(())
    }
}

/// Reads a mapping file; messages are looked up with `shape`.
pub fn parse(text: &str, shape: impl Fn(&str) -> Result<Shape, InputError>) -> Result<Vec<Family>, InputError> {
    let file: MappingFile = toml::from_str(text).map_err(|error| {
        let line = error.span().and_then(|span| text.get(..span.start)).map_or(1, |before| before.matches('\n').count() + 1);
        InputError::new(error.message().replace('\n', " ")).at_line(line as u64)
    })?;
    file.recording.into_iter().map(|table| table.check(&shape)).collect()
}

impl RecordingTable {
    fn check(self, shape: &impl Fn(&str) -> Result<Shape, InputError>) -> Result<Family, InputError> {
        let about = |error: InputError| InputError::new(format!("recording `{}`: {error}", self.files));
        let files = glob::Pattern::new(&self.files).map_err(|error| about(InputError::new(format!("not a pattern: {error}"))))?;
        let subject = match self.subject.as_str() {
            "{folder}" => Subject::Folder,
            "{stem}" => Subject::Stem,
            other => match other.strip_prefix("column:") {
                Some(column) => Subject::Column(column.to_owned()),
                None => return Err(about(InputError::new(format!("subject `{other}` is not `{{folder}}`, `{{stem}}` or `column:NAME`")))),
            },
        };
        let time = &self.time;
        let clock = match (&time.column, &time.format, &time.base) {
            (Some(_), Some(format), base) => Clock::parse(format, base.as_deref(), time.utc_offset.as_deref()).map_err(about)?,
            (None, None, Some(base)) => Clock::Fixed { at_ms: instant(base).map_err(about)? },
            _ => return Err(about(InputError::new("`time` needs `column` and `format`, or `base` alone"))),
        };
        let parts = Parts { subject, clock, time_column: time.column.clone(), chunk_rows: self.chunk_rows, sort: self.sort };
        let mut mapping = Mapping::new(shape(&self.message).map_err(about)?, parts).map_err(about)?;
        for field in &self.fields {
            let names = [Some(&field.column), field.or.as_ref()].into_iter().flatten().cloned().collect();
            let column = mapping.column(&field.path, names, field.scale).map_err(about)?;
            if field.split.is_some() && !column.target.appends() {
                return Err(about(InputError::new(format!("field `{}`: `split` needs a list", field.path))));
            }
            column.split = field.split;
            column.zero_is_absent = field.zero_is_absent;
        }
        for set in &self.sets {
            mapping.set(&set.path, &set.value).map_err(about)?;
        }
        if let Some(sidecar) = &self.sidecar {
            let sets = sidecar.sets.iter().map(|set| Ok((Target::resolve(mapping.shape.message(), &set.path)?, set.pointer.clone())));
            mapping.sidecar = Some(Sidecar { file: sidecar.file.clone(), sets: sets.collect::<Result<_, _>>().map_err(about)? });
        }
        Ok(Family { files, mapping })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[[recording]]
files = "patients/*/vitals.csv"
message = "twinveil.sample.PatientFrame"
subject = "{folder}"
time = { column = "t_s", format = "seconds", base = "2024-03-04T08:00:00Z" }
fields = [{ path = "vitals.heart_rate_bpm", column = "hr_bpm" }]
sets = [{ path = "modality", value = "MONITOR" }]
"#;

    #[test]
    fn a_written_mapping_is_read() {
        let families = parse(GOOD, Shape::builtin).expect("good");
        assert_eq!((families.len(), families[0].mapping.columns.len(), families[0].mapping.chunk_rows), (1, 1, 1));
    }

    #[test]
    fn every_refusal_says_what_is_wrong() {
        for (from, to, says) in [
            ("subject =", "subjekt =", "line 5: unknown field `subjekt`"),
            ("patients/*/", "patients/***/", "recording `patients/***/vitals.csv`: not a pattern"),
            ("PatientFrame", "PatientFrm", "did you mean `twinveil.sample.PatientFrame`?"),
            ("{folder}", "{dir}", "subject `{dir}` is not"),
            (
                "column = \"t_s\", format = \"seconds\", base",
                "column = \"t_s\", base",
                "`time` needs `column` and `format`, or `base` alone",
            ),
            ("\"seconds\"", "\"hours\"", "unknown time format `hours`"),
            ("sets =", "chunk_rows = 0\nsets =", "`0` rows for a frame: must be 1 to 65536"),
            ("sets =", "chunk_rows = 65537\nsets =", "`65537` rows for a frame"),
            ("sets =", "chunk_rows = 2\nsort = true\nsets =", "rows are sorted or taken in chunks, not both"),
            ("heart_rate_bpm\"", "heart_rat_bpm\"", "did you mean `heart_rate_bpm`?"),
            ("column = \"hr_bpm\"", "column = \"hr_bpm\", scale = 0", "the factor `0` is not a finite number other than 0"),
            ("column = \"hr_bpm\"", "column = \"hr_bpm\", split = \",\"", "`split` needs a list"),
            ("MONITOR", "MONITR", "field `modality` is set to `MONITR`: not a word of"),
            (
                "sets =",
                "sidecar = { file = \"x.json\", sets = [{ path = \"nothing\", pointer = \"/a\" }] }\nsets =",
                "has no field `nothing`",
            ),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let error = parse(&GOOD.replacen(from, to, 1), Shape::builtin).expect_err(to).to_string();
            assert!(error.contains(says), "{to}: {error}");
        }
    }
}
