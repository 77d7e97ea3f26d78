//! A mapping from the command line.

use std::path::PathBuf;

use super::clock::Clock;
use super::mapping::{Mapping, Parts, Subject};
use super::shape::Shape;
use super::{InputError, Recording};
use crate::descriptors;

/// Examples, for the help of every command that takes [`MapArgs`].
pub const MAP_EXAMPLES: &str = "\
Examples:
  --schema twinveil.sample.PatientFrame --subject p-17 --time-column t_s --time-format seconds
      --time-base 2024-03-04T08:00:00Z --map hr_bpm=vitals.heart_rate_bpm --set modality=MONITOR
  --schema twinveil.sample.PatientFrame --subject-column user --time-column day --time-format %Y-%m-%d
      --map 'rr_s*1000=vitals.rr_ms[]'
  --schema twinveil.sample.PatientFrame --subject p-17 --time-column t_s --time-format seconds
      --time-base 2024-03-04T08:00:00Z --chunk 125 --map 'ecg_ii_mv=waveforms[channel=ecg_ii_mv].samples[]'
      --set 'waveforms[channel=ecg_ii_mv].rate_hz=500'";

/// How the columns of a CSV file become fields.
#[derive(Clone, Debug, clap::Args)]
pub struct MapArgs {
    /// Full name of the frames' message type
    #[arg(long = "schema", alias = "message", value_name = "MESSAGE")]
    pub message: String,
    /// Compiled descriptor set, or .proto, with the message; the samples in the program where absent
    #[arg(long, value_name = "FILE")]
    pub descriptor: Option<PathBuf>,
    /// Where its imports are, if it is a `.proto` of a configuration.
    #[arg(skip)]
    pub proto_paths: Vec<PathBuf>,
    /// Field that names the subject, where the schema does not say
    #[arg(long, value_name = "FIELD")]
    pub subject_field: Option<String>,
    /// Whom every frame is about
    #[arg(long, value_name = "VALUE", conflicts_with = "subject_column")]
    pub subject: Option<String>,
    /// Column that says whom a frame is about
    #[arg(long, value_name = "COLUMN")]
    pub subject_column: Option<String>,
    /// Column with the time of capture
    #[arg(long, value_name = "COLUMN")]
    pub time_column: Option<String>,
    /// rfc3339, seconds, milliseconds, gaps-ms, or a form such as '%m/%d/%Y %H:%M'
    #[arg(long, value_name = "FORMAT", default_value = "rfc3339")]
    pub time_format: String,
    /// Instant that seconds, milliseconds and gaps count from (RFC 3339)
    #[arg(long, value_name = "INSTANT")]
    pub time_base: Option<String>,
    /// What local times are ahead of UTC
    #[arg(long, value_name = "±HH:MM", allow_hyphen_values = true)]
    pub utc_offset: Option<String>,
    /// A column and the field it fills; may be repeated
    #[arg(long = "map", value_name = "COLUMN[*FACTOR]=FIELD")]
    pub maps: Vec<String>,
    /// A field and its value in every frame; may be repeated
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub sets: Vec<String>,
    /// Rows that become one frame
    #[arg(long, value_name = "ROWS", default_value_t = 1)]
    pub chunk: usize,
    /// Sort the rows by time before anything else
    #[arg(long)]
    pub sort: bool,
}

impl MapArgs {
    /// The message type of the frames.
    pub fn shape(&self) -> Result<Shape, InputError> {
        let shape = match &self.descriptor {
            None => Shape::builtin(&self.message)?,
            Some(file) => {
                let about = |error: InputError| error.in_file(file.display().to_string());
                let read = descriptors::read(file, &self.proto_paths).map_err(|error| InputError::new(error.to_string()))?;
                Shape::load(&read.set, &self.message).map_err(about)?
            }
        };
        match &self.subject_field {
            Some(field) => shape.with_subject(field),
            None => Ok(shape),
        }
    }

    /// Checks the options for the columns of a CSV file.
    pub fn mapping(&self) -> Result<Mapping, InputError> {
        let shape = self.shape()?;
        if self.maps.is_empty() {
            return Err(InputError::new("say what the columns are: `--map COLUMN=FIELD`"));
        }
        let time_column =
            self.time_column.clone().ok_or_else(|| InputError::new("name the column with the time: `--time-column COLUMN`"))?;
        let subject = match (&self.subject, &self.subject_column) {
            (Some(subject), None) => Subject::Is(subject.clone()),
            (None, Some(column)) => Subject::Column(column.clone()),
            _ => return Err(InputError::new("name the subject: one of `--subject` and `--subject-column`")),
        };
        let clock = Clock::parse(&self.time_format, self.time_base.as_deref(), self.utc_offset.as_deref())?;
        let parts = Parts { subject, clock, time_column: Some(time_column), chunk_rows: self.chunk, sort: self.sort };
        let mut mapping = Mapping::new(shape, parts)?;
        for map in &self.maps {
            let wrong = || InputError::new(format!("`--map {map}`: must be `COLUMN=FIELD` or `COLUMN*FACTOR=FIELD`"));
            let (column, path) = map.split_once('=').filter(|(column, _)| !column.is_empty()).ok_or_else(wrong)?;
            let (column, scale) = match column.rsplit_once('*') {
                Some((column, factor)) => (column, Some(factor.parse().map_err(|_| wrong())?)),
                None => (column, None),
            };
            mapping.column(path, vec![column.to_owned()], scale)?;
        }
        for set in &self.sets {
            let (path, value) = split_set(set).ok_or_else(|| InputError::new(format!("`--set {set}`: must be `FIELD=VALUE`")))?;
            mapping.set(path, value)?;
        }
        Ok(mapping)
    }

    /// The recording that the options make of a file.
    pub fn recording(&self, file: &std::path::Path) -> Result<Recording, InputError> {
        Ok(Recording::new(file, self.mapping()?))
    }
}

/// Splits at the first `=` outside of brackets.
fn split_set(set: &str) -> Option<(&str, &str)> {
    let mut depth = 0i32;
    for (i, b) in set.bytes().enumerate() {
        match b {
            b'[' => depth += 1,
            b']' => depth -= 1,
            b'=' if depth == 0 && i > 0 => return Some((set.get(..i)?, set.get(i + 1..)?)),
            _ => {}
        }
    }
    None
}
