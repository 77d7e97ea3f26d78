//! What somebody says about a field, from an annotation or a side file, before it is known to fit the field's type.

use super::error::{LoadError, LoadFault, did_you_mean};
use super::table::{Method, is_float, is_integer};
use super::{Facts, Kind};
use crate::proto::v1;
use crate::veil::terms::{Axis, Category, Generalizer, Role, Sensitivity, TimeUnit, Treatment, parse_span_s};

/// The most edges of a bucket list.
const EDGES_MAX: usize = 1_024;
/// The longest text prefix.
const PREFIX_CHARS_MAX: u32 = 1_024;
/// Integers up to here are exact as floating-point numbers (IEEE 754, 53 bits).
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Facts as somebody stated them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spec {
    /// Where they are stated, for errors.
    pub(super) place: String,
    facts: Facts,
    /// The unit of a time bucket, where one is stated.
    unit: Option<TimeUnit>,
}

/// Facts as words, where both sources meet. Empty members were not stated.
#[derive(Default)]
pub(super) struct Stated {
    pub(super) sensitivity: Option<Sensitivity>,
    pub(super) category: Option<Category>,
    pub(super) role: Option<Role>,
    pub(super) floor: Option<Treatment>,
    pub(super) generalize: Option<Generalizer>,
    pub(super) unit: Option<TimeUnit>,
}

impl Spec {
    /// Joins what was stated. Facts are whole: a sensitivity and a category, or nothing.
    pub(super) fn join(place: String, stated: Stated) -> Result<Self, LoadError> {
        let fault = |detail: &str| Err(LoadError::new(LoadFault::Facts, place.clone(), detail));
        let (sensitivity, category) = match (stated.sensitivity, stated.category) {
            (Some(sensitivity), Some(category)) => (sensitivity, category),
            (Some(_), None) => return fault("a sensitivity without a category"),
            (None, Some(_)) => return fault("a category without a sensitivity"),
            (None, None) => return fault("neither a sensitivity nor a category"),
        };
        let facts = Facts {
            sensitivity,
            category: Some(category),
            role: stated.role,
            floor: stated.floor.unwrap_or(Treatment::Keep),
            generalize: stated.generalize,
        };
        Ok(Self { place, facts, unit: stated.unit })
    }

    /// Reads an annotation that holds facts (not cases).
    pub(super) fn from_annotation(place: String, annotation: &v1::FieldSensitivity) -> Result<Self, LoadError> {
        let unknown = |what: &str| LoadError::new(LoadFault::Facts, place.clone(), format!("a {what} that this gateway does not know"));
        let sensitivity = match v1::Sensitivity::try_from(annotation.sensitivity).map_err(|_| unknown("sensitivity"))? {
            v1::Sensitivity::Unspecified => None,
            v1::Sensitivity::Public => Some(Sensitivity::Public),
            v1::Sensitivity::Operational => Some(Sensitivity::Operational),
            v1::Sensitivity::Personal => Some(Sensitivity::Personal),
            v1::Sensitivity::Special => Some(Sensitivity::Special),
            v1::Sensitivity::Identifying => Some(Sensitivity::Identifying),
        };
        let category = match v1::Category::try_from(annotation.category).map_err(|_| unknown("category"))? {
            v1::Category::Unspecified => None,
            v1::Category::Identity => Some(Category::Identity),
            v1::Category::Contact => Some(Category::Contact),
            v1::Category::Location => Some(Category::Location),
            v1::Category::Health => Some(Category::Health),
            v1::Category::Biometric => Some(Category::Biometric),
            v1::Category::Behaviour => Some(Category::Behaviour),
            v1::Category::Social => Some(Category::Social),
            v1::Category::Financial => Some(Category::Financial),
            v1::Category::Device => Some(Category::Device),
            v1::Category::Operation => Some(Category::Operation),
            v1::Category::OperatorConduct => Some(Category::OperatorConduct),
            v1::Category::Demand => Some(Category::Demand),
            v1::Category::Site => Some(Category::Site),
            v1::Category::Time => Some(Category::Time),
            v1::Category::Environment => Some(Category::Environment),
        };
        let role = match v1::Role::try_from(annotation.role).map_err(|_| unknown("role"))? {
            v1::Role::Unspecified => None,
            v1::Role::Subject => Some(Role::Subject),
            v1::Role::CapturedAt => Some(Role::CapturedAt),
            v1::Role::Sequence => Some(Role::Sequence),
        };
        let floor = match v1::Treatment::try_from(annotation.floor).map_err(|_| unknown("floor"))? {
            v1::Treatment::Unspecified => None,
            v1::Treatment::Keep => Some(Treatment::Keep),
            v1::Treatment::Generalize => Some(Treatment::Generalize),
            v1::Treatment::Pseudonymize => Some(Treatment::Pseudonymize),
            v1::Treatment::Encrypt => Some(Treatment::Encrypt),
            v1::Treatment::Strip => Some(Treatment::Strip),
        };
        let (generalize, unit) = match &annotation.generalize {
            None => (None, None),
            Some(how) => generalizer_of(&place, how)?,
        };
        Self::join(place, Stated { sensitivity, category, role, floor, generalize, unit })
    }

    /// The facts, once the type of the field is known to take them.
    pub(super) fn fit(&self, kind: Kind, repeated: bool) -> Result<Facts, LoadError> {
        let fault = |detail: String| LoadError::new(LoadFault::Generalize, self.place.clone(), detail);
        let mut facts = self.facts.clone();
        let Some(generalizer) = &mut facts.generalize else { return Ok(facts) };
        let method = Method::of(generalizer);
        if !method.fits(kind, repeated) {
            let many = if repeated { "repeated " } else { "" };
            return Err(fault(format!("`{}` does not fit {many}{}", method.word(), kind.word())));
        }
        match generalizer {
            Generalizer::TimeBucket { unit, .. } => {
                *unit = match (is_integer(kind), self.unit) {
                    (true, stated) => stated.unwrap_or(TimeUnit::Milliseconds),
                    (false, None | Some(TimeUnit::Seconds)) => TimeUnit::Seconds,
                    (false, Some(_)) => return Err(fault(format!("a unit is for integers, not for {}", kind.word()))),
                };
            }
            _ if self.unit.is_some() => return Err(fault(format!("`{}` has no unit", method.word()))),
            Generalizer::Step(step) => {
                if !(step.is_finite() && *step > 0.0) {
                    return Err(fault("a step is a number above 0".to_owned()));
                }
                if is_integer(kind) && (step.fract() != 0.0 || *step > EXACT_MAX) {
                    return Err(fault(format!("a step for {} is a whole number up to 2^53", kind.word())));
                }
            }
            Generalizer::Decimals(decimals) => {
                if *decimals > 15 {
                    return Err(fault("`decimals` is 0 to 15".to_owned()));
                }
            }
            Generalizer::Buckets(edges) => {
                let ascending = edges.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
                if edges.is_empty() || edges.len() > EDGES_MAX || !ascending || !edges.iter().all(|edge| edge.is_finite()) {
                    return Err(fault(format!("buckets are 1 to {EDGES_MAX} numbers, ascending")));
                }
                if let Some((least, most)) = integer_range(kind)
                    && !edges.iter().all(|edge| edge.fract() == 0.0 && (least..=most).contains(edge))
                {
                    return Err(fault(format!("the edges for {} are whole numbers from {least} to {most}", kind.word())));
                }
            }
            Generalizer::PrefixChars(chars) => {
                if !(1..=PREFIX_CHARS_MAX).contains(chars) {
                    return Err(fault(format!("`prefix_chars` is 1 to {PREFIX_CHARS_MAX}")));
                }
            }
            Generalizer::Place { resolution, .. } => {
                if *resolution > 15 {
                    return Err(fault("an H3 resolution is 0 to 15".to_owned()));
                }
            }
        }
        debug_assert!(is_integer(kind) || is_float(kind) || matches!(kind, Kind::String | Kind::Timestamp));
        Ok(facts)
    }
}

/// The values of an integer type that are exact as floating-point numbers; `None` for other types.
fn integer_range(kind: Kind) -> Option<(f64, f64)> {
    match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Some((f64::from(i32::MIN), f64::from(i32::MAX))),
        Kind::Uint32 | Kind::Fixed32 => Some((0.0, f64::from(u32::MAX))),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Some((-EXACT_MAX, EXACT_MAX)),
        Kind::Uint64 | Kind::Fixed64 => Some((0.0, EXACT_MAX)),
        Kind::Double
        | Kind::Float
        | Kind::Bool
        | Kind::String
        | Kind::Bytes
        | Kind::Enum
        | Kind::Timestamp
        | Kind::Message
        | Kind::Map
        | Kind::Group => None,
    }
}

fn generalizer_of(place: &str, how: &v1::Generalize) -> Result<(Option<Generalizer>, Option<TimeUnit>), LoadError> {
    let fault = |detail: &str| LoadError::new(LoadFault::Generalize, place, detail);
    let unit = match v1::TimeUnit::try_from(how.unit).map_err(|_| fault("a unit that this gateway does not know"))? {
        v1::TimeUnit::Unspecified => None,
        v1::TimeUnit::Milliseconds => Some(TimeUnit::Milliseconds),
        v1::TimeUnit::Seconds => Some(TimeUnit::Seconds),
        v1::TimeUnit::Microseconds => Some(TimeUnit::Microseconds),
        v1::TimeUnit::Nanoseconds => Some(TimeUnit::Nanoseconds),
    };
    use v1::generalize::How;
    let generalizer = match &how.how {
        None => return Err(fault("`generalize` does not say how")),
        Some(How::Step(step)) => Generalizer::Step(*step),
        Some(How::Decimals(decimals)) => Generalizer::Decimals(u8::try_from(*decimals).unwrap_or(u8::MAX)),
        Some(How::Buckets(buckets)) => Generalizer::Buckets(buckets.edges.clone()),
        Some(How::TimeBucket(span)) => time_bucket(place, span)?,
        Some(How::PrefixChars(chars)) => Generalizer::PrefixChars(*chars),
        Some(How::Place(point)) => Generalizer::Place {
            resolution: u8::try_from(point.h3_resolution).unwrap_or(u8::MAX),
            axis: match v1::Axis::try_from(point.axis) {
                Ok(v1::Axis::Latitude) => Axis::Latitude,
                Ok(v1::Axis::Longitude) => Axis::Longitude,
                Ok(v1::Axis::Unspecified) | Err(_) => return Err(fault("`place` has the axis LATITUDE or LONGITUDE")),
            },
        },
    };
    Ok((Some(generalizer), unit))
}

/// Reads a span. The unit is settled when the type of the field is known.
pub(super) fn time_bucket(place: &str, span: &str) -> Result<Generalizer, LoadError> {
    match parse_span_s(span) {
        Some(span_s) => Ok(Generalizer::TimeBucket { span_s, unit: TimeUnit::Milliseconds }),
        None => {
            Err(LoadError::new(LoadFault::Generalize, place, "a time bucket is a span such as `30s`, `15min`, `1h` or `1d`, up to 366 d"))
        }
    }
}

/// Reads one of our words, with the nearest known one in the error.
pub(super) fn word<T>(
    place: &str,
    what: &str,
    text: &str,
    parse: fn(&str) -> Option<T>,
    all: impl IntoIterator<Item = &'static str>,
) -> Result<T, LoadError> {
    parse(text).ok_or_else(|| {
        let shown = super::descriptor::shown(text);
        LoadError::new(LoadFault::Facts, place, format!("unknown {what} `{shown}`{}", did_you_mean(text, all)))
    })
}
