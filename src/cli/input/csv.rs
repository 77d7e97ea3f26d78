//! Rows of CSV → frames, one file at a time.

use std::fs::File;
use std::path::Path;

use ::csv::{ByteRecord, Reader, ReaderBuilder};
use prost::Message;
use prost_reflect::{DynamicMessage, Kind, Value};

use super::mapping::{Column, Mapping, Subject};
use super::target::Target;
use super::{Frame, InputError};
use crate::config::nearest;

/// The most rows of a recording that has to be sorted, and so is held in memory.
pub(super) const SORTED_ROWS_MAX: usize = 1_000_000;
/// The longest row.
const ROW_BYTES_MAX: usize = 16 << 20;
/// The largest sidecar.
const SIDECAR_BYTES_MAX: u64 = 1 << 20;

/// A file that is being read.
pub(super) struct Rows {
    mapping: Mapping,
    name: String,
    reader: Reader<File>,
    /// For every column of the mapping, where its names stand in the header.
    at: Vec<Vec<usize>>,
    time_at: Option<usize>,
    subject: Who,
    sidecar: Vec<(Target, Value)>,
    /// Rows in time order, last first, where they had to be sorted.
    sorted: Option<Vec<(i64, ByteRecord)>>,
    before_ms: Option<i64>,
    sequence: u64,
    chunk: Option<Chunk>,
    ended: bool,
}

enum Who {
    Is(String),
    Column(usize),
}

/// Rows on their way to be a frame.
struct Chunk {
    subject: String,
    at_ms: i64,
    first_line: u64,
    rows: usize,
    cells: Vec<Vec<Option<Value>>>,
}

impl Rows {
    /// Opens a file; `name` is what errors call it.
    pub(super) fn open(path: &Path, name: &str, mapping: &Mapping) -> Result<Self, InputError> {
        let about = |error: InputError| error.in_file(name);
        let mut reader = reader(path).map_err(about)?;
        let header = header(&mut reader).map_err(about)?;
        let index = |column: &str| find(&header, column).map_err(about);
        let at = mapping.columns.iter().map(|column| column.names.iter().map(|name| index(name)).collect()).collect::<Result<_, _>>()?;
        let time_at = mapping.time_column.as_deref().map(index).transpose()?;
        let subject = match &mapping.subject {
            Subject::Column(column) => Who::Column(index(column)?),
            given => Who::Is(subject_of(path, given).map_err(about)?),
        };
        let sidecar = sidecar(path, mapping)?;
        let mut rows = Self {
            mapping: mapping.clone(),
            name: name.to_owned(),
            reader,
            at,
            time_at,
            subject,
            sidecar,
            sorted: None,
            before_ms: None,
            sequence: 0,
            chunk: None,
            ended: false,
        };
        if rows.mapping.sort {
            rows.sort().map_err(about)?;
        }
        Ok(rows)
    }

    fn sort(&mut self) -> Result<(), InputError> {
        let mut all = Vec::new();
        let mut before_ms = None;
        let mut row = ByteRecord::new();
        while self.read(&mut row)? {
            if all.len() == SORTED_ROWS_MAX {
                return Err(InputError::new(format!("more than {SORTED_ROWS_MAX} rows to sort; sort the file by time beforehand")));
            }
            let at_ms = self.time(&row, before_ms)?;
            before_ms = Some(at_ms);
            all.push((at_ms, row.clone()));
        }
        // Stable, so that rows of one instant keep their order; taken from the end afterwards.
        all.sort_by_key(|(at_ms, _)| *at_ms);
        all.reverse();
        self.sorted = Some(all);
        Ok(())
    }

    fn read(&mut self, row: &mut ByteRecord) -> Result<bool, InputError> {
        let more = self.reader.read_byte_record(row).map_err(unreadable)?;
        if row.as_slice().len() > ROW_BYTES_MAX {
            return Err(InputError::new(format!("a row of more than {ROW_BYTES_MAX} bytes")).at_line(line(row)));
        }
        Ok(more)
    }

    fn time(&self, row: &ByteRecord, before_ms: Option<i64>) -> Result<i64, InputError> {
        let place = |why: &str| {
            let error = InputError::new(why).at_line(line(row));
            self.mapping.time_column.iter().fold(error, |error, column| error.in_column(column))
        };
        let cell = match self.time_at {
            Some(at) => cell(row, at).map_err(place)?,
            None => "",
        };
        self.mapping.clock.read(cell, before_ms).map_err(place)
    }

    /// The next row with its instant; never back in time.
    fn next_row(&mut self) -> Result<Option<(i64, ByteRecord)>, InputError> {
        if let Some(sorted) = &mut self.sorted {
            return Ok(sorted.pop());
        }
        let mut row = ByteRecord::new();
        if !self.read(&mut row)? {
            return Ok(None);
        }
        let at_ms = self.time(&row, self.before_ms)?;
        if self.before_ms.is_some_and(|before| at_ms < before) {
            return Err(InputError::new("time goes backwards; sort the rows, or ask for them to be sorted").at_line(line(&row)));
        }
        self.before_ms = Some(at_ms);
        Ok(Some((at_ms, row)))
    }

    /// Adds a row; what was complete before it comes back.
    fn take(&mut self, at_ms: i64, row: &ByteRecord) -> Result<Option<Chunk>, InputError> {
        let subject = match &self.subject {
            Who::Is(subject) => subject.clone(),
            Who::Column(at) => {
                let subject = cell(row, *at).ok().filter(|subject| !subject.is_empty());
                subject.ok_or_else(|| InputError::new("no subject in its column").at_line(line(row)))?.to_owned()
            }
        };
        let full = |chunk: &mut Chunk| chunk.rows >= self.mapping.chunk_rows || chunk.subject != subject;
        let complete = self.chunk.take_if(full);
        let columns = self.mapping.columns.len();
        let chunk =
            self.chunk.get_or_insert_with(|| Chunk { subject, at_ms, first_line: line(row), rows: 0, cells: vec![Vec::new(); columns] });
        chunk.rows += 1;
        for ((column, at), cells) in self.mapping.columns.iter().zip(&self.at).zip(&mut chunk.cells) {
            read_cells(column, at, row, cells)?;
        }
        Ok(complete)
    }

    fn frame(&mut self, chunk: Chunk) -> Result<Frame, InputError> {
        let shape = &self.mapping.shape;
        let mut message = DynamicMessage::new(shape.message().clone());
        let (inside, outside): (Vec<_>, Vec<_>) =
            self.mapping.sets.iter().chain(&self.sidecar).partition(|(target, _)| target.in_element());
        for (target, value) in outside {
            target.write(&mut message, value.clone());
        }
        for (column, cells) in self.mapping.columns.iter().zip(chunk.cells) {
            fill(column, cells, &mut message)
                .map_err(|why| InputError::new(why).at_line(chunk.first_line).in_column(column.names.join("` or `")))?;
        }
        for (target, value) in inside {
            target.write_under_existing(&mut message, value.clone());
        }
        shape.set_subject(&mut message, &chunk.subject).map_err(|error| error.at_line(chunk.first_line))?;
        shape.set_captured_at(&mut message, chunk.at_ms);
        self.sequence += 1;
        shape.set_sequence(&mut message, self.sequence);
        Ok(Frame { bytes: message.encode_to_vec(), subject: chunk.subject, at_ms: chunk.at_ms })
    }

    fn advance(&mut self) -> Result<Option<Frame>, InputError> {
        while let Some((at_ms, row)) = self.next_row()? {
            if let Some(complete) = self.take(at_ms, &row)? {
                return self.frame(complete).map(Some);
            }
        }
        self.chunk.take().map(|last| self.frame(last)).transpose()
    }
}

impl Iterator for Rows {
    type Item = Result<Frame, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.advance().map_err(|error| error.in_file(&self.name)).transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Every value of the subject in a file, in order of appearance, without mapping anything else.
pub(super) fn subjects(path: &Path, mapping: &Mapping) -> Result<Vec<String>, InputError> {
    let Subject::Column(column) = &mapping.subject else { return Ok(vec![subject_of(path, &mapping.subject)?]) };
    let mut reader = reader(path)?;
    let at = find(&header(&mut reader)?, column)?;
    let (mut seen, mut subjects) = (std::collections::HashSet::new(), Vec::new());
    let mut row = ByteRecord::new();
    while reader.read_byte_record(&mut row).map_err(unreadable)? {
        let subject = cell(&row, at).map_err(|why| InputError::new(why).at_line(line(&row)).in_column(column))?;
        if !subject.is_empty() && seen.insert(subject.to_owned()) {
            subjects.push(subject.to_owned());
        }
    }
    Ok(subjects)
}

fn subject_of(path: &Path, subject: &Subject) -> Result<String, InputError> {
    let name = match subject {
        Subject::Folder => path.parent().and_then(Path::file_name),
        Subject::Stem => path.file_stem(),
        Subject::Is(subject) => return Ok(subject.clone()),
        Subject::Column(_) => None,
    };
    name.and_then(|name| name.to_str()).map(str::to_owned).ok_or_else(|| InputError::new("its path has no name for the subject"))
}

fn reader(path: &Path) -> Result<Reader<File>, InputError> {
    let file = File::open(path).map_err(|error| InputError::new(format!("can't be opened: {}", error.kind())))?;
    Ok(ReaderBuilder::new().from_reader(file))
}

fn header(reader: &mut Reader<File>) -> Result<Vec<String>, InputError> {
    let header = reader.headers().map_err(unreadable)?;
    Ok(header.iter().map(str::to_owned).collect())
}

fn find(header: &[String], column: &str) -> Result<usize, InputError> {
    let mut places = header.iter().enumerate().filter(|(_, name)| *name == column).map(|(at, _)| at);
    match (places.next(), places.next()) {
        (Some(at), None) => Ok(at),
        (Some(_), Some(_)) => Err(InputError::new(format!("two columns are called `{column}`")).at_line(1)),
        (None, _) => {
            let hint = nearest(column, header.iter().map(String::as_str)).map(|near| format!("; did you mean `{near}`?"));
            Err(InputError::new(format!("no column `{column}`{}", hint.unwrap_or_default())).at_line(1))
        }
    }
}

fn line(row: &ByteRecord) -> u64 {
    row.position().map_or(0, ::csv::Position::line)
}

fn cell(row: &ByteRecord, at: usize) -> Result<&str, &'static str> {
    std::str::from_utf8(row.get(at).unwrap_or_default()).map_err(|_| "not UTF-8")
}

/// The crate's own message may quote the row.
fn unreadable(error: ::csv::Error) -> InputError {
    let at = error.position().map(::csv::Position::line);
    let why = match error.kind() {
        ::csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!("{len} cells where the header has {expected_len}"),
        ::csv::ErrorKind::Utf8 { .. } => "not UTF-8".to_owned(),
        ::csv::ErrorKind::Io(error) => format!("can't be read: {}", error.kind()),
        _ => "not CSV".to_owned(),
    };
    at.into_iter().fold(InputError::new(why), InputError::at_line)
}

/// Reads what a row says for a column: `None` for not measured.
fn read_cells(column: &Column, at: &[usize], row: &ByteRecord, cells: &mut Vec<Option<Value>>) -> Result<(), InputError> {
    for (name, at) in column.names.iter().zip(at) {
        let place = |why: &str| InputError::new(why).at_line(line(row)).in_column(name);
        let text = cell(row, *at).map_err(place)?;
        if text.trim().is_empty() || (column.zero_is_absent && text.trim().parse() == Ok(0.0)) {
            continue;
        }
        let parse = |text: &str| column.target.parse(text, column.scale).map_err(|why| place(&why));
        match column.split {
            Some(separator) => {
                for part in text.split(separator).filter(|part| !part.trim().is_empty()) {
                    cells.push(Some(parse(part)?));
                }
            }
            None => cells.push(Some(parse(text)?)),
        }
        return Ok(());
    }
    cells.push(None);
    Ok(())
}

/// Writes the cells of a chunk. A single field takes the first that was measured. A list takes all; a gap among them is
/// NaN, because leaving it out would move every later sample in time.
fn fill(column: &Column, cells: Vec<Option<Value>>, message: &mut DynamicMessage) -> Result<(), &'static str> {
    if !column.target.appends() {
        if let Some(value) = cells.into_iter().flatten().next() {
            column.target.write(message, value);
        }
        return Ok(());
    }
    if cells.iter().all(Option::is_none) {
        return Ok(());
    }
    let gap = match column.target.kind() {
        Kind::Float => Some(Value::F32(f32::NAN)),
        Kind::Double => Some(Value::F64(f64::NAN)),
        _ => None,
    };
    let values: Option<Vec<Value>> = cells.into_iter().map(|cell| cell.or_else(|| gap.clone())).collect();
    let values = values.ok_or("an empty cell inside a chunk; only floating-point lists can hold a gap")?;
    column.target.write_all(message, values);
    Ok(())
}

/// The values of the file beside a recording; none where there is no such file or value.
fn sidecar(path: &Path, mapping: &Mapping) -> Result<Vec<(Target, Value)>, InputError> {
    let Some(sidecar) = &mapping.sidecar else { return Ok(Vec::new()) };
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let beside = path.with_file_name(sidecar.file.replace("{stem}", stem));
    let about = |why: String| InputError::new(why).in_file(beside.display().to_string());
    match std::fs::metadata(&beside) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Ok(meta) if meta.len() > SIDECAR_BYTES_MAX => return Err(about(format!("larger than {SIDECAR_BYTES_MAX} bytes"))),
        _ => {}
    }
    let text = std::fs::read(&beside).map_err(|error| about(format!("can't be read: {}", error.kind())))?;
    let json: serde_json::Value = serde_json::from_slice(&text).map_err(|error| about("not JSON".into()).at_line(error.line() as u64))?;
    let mut sets = Vec::new();
    for (target, pointer) in &sidecar.sets {
        let text = match json.pointer(pointer) {
            None | Some(serde_json::Value::Null) => continue,
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let value = target.parse(&text, None).map_err(|why| about(format!("`{pointer}` for field `{}`: {why}", target.path())))?;
        sets.push((target.clone(), value));
    }
    Ok(sets)
}
