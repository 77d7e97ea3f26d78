//! Facts about schemas that somebody else wrote: TOML, a table a message, an entry a selector. Where the side file speaks
//! about a field, the schema's own annotation of that field is not asked.
//!
//! ```toml
//! ["opentelemetry.proto.metrics.v1.NumberDataPoint"]
//! time_unix_nano = { sensitivity = "operational", category = "time", generalize = { time_bucket = "1h", unit = "ns" } }
//! 'attributes[key="user.id"].value' = { sensitivity = "identifying", category = "identity" }
//! ```
//!
//! Members of an entry: `sensitivity`, `category` (both needed), `role`, `floor`, `generalize` with one of `step`, `decimals`,
//! `buckets`, `time_bucket` (and `unit`: `s`, `ms`, `us` or `ns`), `prefix_chars`, `place = { h3_resolution, axis }`. A word or
//! member that is not known refuses the file. Where two entries speak about one place, the one that begins further out wins.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::descriptor::shown;
use super::error::{LoadError, LoadFault, did_you_mean};
use super::facts::{Spec, Stated, time_bucket, word};
use super::selector::Selector;
use crate::veil::terms::{Axis, Category, Generalizer, Role, Sensitivity, TimeUnit, Treatment};

/// The most bytes of a side file.
pub const SIDE_FILE_BYTES_MAX: usize = 4 << 20;

/// A side file, read and not yet held against the schema.
pub(super) struct SideFile {
    /// By message, in the order of the file.
    pub(super) tables: Vec<(String, Vec<Entry>)>,
}

/// One line.
pub(super) struct Entry {
    pub(super) selector: Selector,
    pub(super) spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    sensitivity: Option<String>,
    category: Option<String>,
    role: Option<String>,
    floor: Option<String>,
    generalize: Option<WrittenHow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHow {
    step: Option<f64>,
    decimals: Option<u8>,
    buckets: Option<Vec<f64>>,
    time_bucket: Option<String>,
    unit: Option<String>,
    prefix_chars: Option<u32>,
    place: Option<WrittenPlace>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPlace {
    h3_resolution: u8,
    axis: String,
}

impl SideFile {
    /// Reads the text; nothing in it is skipped.
    pub(super) fn parse(text: &str) -> Result<Self, LoadError> {
        if text.len() > SIDE_FILE_BYTES_MAX {
            let detail = format!("{} bytes, the gateway reads {SIDE_FILE_BYTES_MAX}", text.len());
            return Err(LoadError::new(LoadFault::SideFile, "side file", detail));
        }
        let written: BTreeMap<Spanned<String>, BTreeMap<Spanned<String>, Written>> = toml::from_str(text).map_err(|cause| {
            let line = cause.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
            let place = line.map_or_else(|| "side file".to_owned(), |line| format!("side file, line {line}"));
            let hint =
                if cause.message().starts_with("unknown field") { "; a selector with dots or brackets stands in quotes" } else { "" };
            LoadError::new(LoadFault::SideFile, place, format!("{}{hint}", shown(cause.message())))
        })?;
        let tables = in_order(written).map(|(message, entries)| {
            let entries = in_order(entries).map(|(selector, entry)| read(&message, &selector, entry)).collect::<Result<_, _>>()?;
            Ok((message, entries))
        });
        Ok(Self { tables: tables.collect::<Result<_, _>>()? })
    }
}

/// As they stand in the file: which key of an element is named first decides.
fn in_order<V>(table: BTreeMap<Spanned<String>, V>) -> impl Iterator<Item = (String, V)> {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries.into_iter().map(|(key, value)| (key.into_inner(), value))
}

fn read(message: &str, text: &str, written: Written) -> Result<Entry, LoadError> {
    let place = format!("side file, `{}`, `{}`", shown(message), shown(text));
    let selector = Selector::parse(text)
        .map_err(|cause| LoadError::new(LoadFault::Selector, format!("side file, `{}`", shown(message)), cause.to_string()))?;

    let mut stated = Stated::default();
    if let Some(text) = written.sensitivity {
        stated.sensitivity = Some(word(&place, "sensitivity", &text, Sensitivity::parse, Sensitivity::ALL.iter().map(|word| word.word()))?);
    }
    if let Some(text) = written.category {
        stated.category = Some(word(&place, "category", &text, Category::parse, Category::ALL.iter().map(|word| word.word()))?);
    }
    if let Some(text) = written.role {
        stated.role = Some(word(&place, "role", &text, Role::parse, Role::ALL.iter().map(|word| word.word()))?);
    }
    if let Some(text) = written.floor {
        stated.floor = Some(word(&place, "floor", &text, Treatment::parse, Treatment::ALL.iter().map(|word| word.word()))?);
    }
    if let Some(how) = written.generalize {
        (stated.generalize, stated.unit) = read_how(&place, how)?;
    }
    Ok(Entry { selector, spec: Spec::join(place, stated)? })
}

fn read_how(place: &str, how: WrittenHow) -> Result<(Option<Generalizer>, Option<TimeUnit>), LoadError> {
    let fault = |detail: String| LoadError::new(LoadFault::Generalize, place, detail);
    let unit = match how.unit.as_deref() {
        None => None,
        Some("s") => Some(TimeUnit::Seconds),
        Some("ms") => Some(TimeUnit::Milliseconds),
        Some("us") => Some(TimeUnit::Microseconds),
        Some("ns") => Some(TimeUnit::Nanoseconds),
        Some(other) => return Err(fault(format!("unknown unit `{}`, there are `s`, `ms`, `us` and `ns`", shown(other)))),
    };
    let span = how.time_bucket.as_deref().map(|span| time_bucket(place, span)).transpose()?;
    let point = match how.place {
        None => None,
        Some(point) => {
            let axis = match point.axis.as_str() {
                "latitude" => Axis::Latitude,
                "longitude" => Axis::Longitude,
                other => {
                    let hint = did_you_mean(other, ["latitude", "longitude"]);
                    return Err(fault(format!("unknown axis `{}`{hint}", shown(other))));
                }
            };
            Some(Generalizer::Place { resolution: point.h3_resolution, axis })
        }
    };
    let mut ways = [
        how.step.map(Generalizer::Step),
        how.decimals.map(Generalizer::Decimals),
        how.buckets.map(Generalizer::Buckets),
        span,
        how.prefix_chars.map(Generalizer::PrefixChars),
        point,
    ]
    .into_iter()
    .flatten();
    match (ways.next(), ways.next()) {
        (Some(way), None) => Ok((Some(way), unit)),
        (None, _) => Err(fault("`generalize` does not say how".to_owned())),
        (Some(_), Some(_)) => Err(fault("`generalize` says how in two ways".to_owned())),
    }
}
