//! The vocabulary that schema, consent, policy and view share.

use std::fmt;

use super::name::Purpose;

/// An enum whose values are words: the same in files, on the wire and on screen.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it, the same in files, on the wire and on screen.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Reads the word; an unknown word is `None`, never a default.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.word())
            }
        }

        impl $crate::veil::logsafe::LogSafe for $name {}
    };
}
pub(in crate::veil) use words;

words! {
    /// How harmful a field is in the wrong hands, least first.
    Sensitivity {
        /// Free for everyone.
        Public = "public",
        /// Restricted but not about a person (DPV `SensitiveNonPersonalData`): needs the operator's mandate.
        Operational = "operational",
        /// About a person (GDPR art. 4): needs the subject's consent.
        Personal = "personal",
        /// A special category (GDPR art. 9).
        Special = "special",
        /// Names a person or asset directly.
        Identifying = "identifying",
    }
}

words! {
    /// What kind of data a field holds.
    Category {
        /// Who somebody is.
        Identity = "identity",
        /// How to reach somebody.
        Contact = "contact",
        /// Where somebody is.
        Location = "location",
        /// How somebody is.
        Health = "health",
        /// What bodies do, finely enough to recognise them.
        Biometric = "biometric",
        /// What somebody does.
        Behaviour = "behaviour",
        /// With whom.
        Social = "social",
        /// Money.
        Financial = "financial",
        /// Things and their serial numbers.
        Device = "device",
        /// How an asset runs.
        Operation = "operation",
        /// What people at an asset's controls do.
        OperatorConduct = "operator_conduct",
        /// What customers draw or order.
        Demand = "demand",
        /// Where an asset stands.
        Site = "site",
        /// When.
        Time = "time",
        /// Weather and surroundings.
        Environment = "environment",
    }
}

words! {
    /// What is done to a field, most revealing first: the greater one of two is the more protective.
    Treatment {
        /// Sent as it is.
        Keep = "keep",
        /// Made coarser.
        Generalize = "generalize",
        /// Replaced by a keyed, pairwise, rotating stand-in.
        Pseudonymize = "pseudonymize",
        /// Sealed to key holders that the subject names.
        Encrypt = "encrypt",
        /// Left out.
        Strip = "strip",
    }
}

words! {
    /// What the gateway itself uses a field for.
    Role {
        /// Whom or what the frame is about.
        Subject = "subject",
        /// When it was captured.
        CapturedAt = "captured_at",
        /// The source's counter.
        Sequence = "sequence",
    }
}

/// The unit of an integer time since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeUnit {
    /// 1 s.
    Seconds,
    /// 10⁻³ s.
    Milliseconds,
    /// 10⁻⁶ s.
    Microseconds,
    /// 10⁻⁹ s.
    Nanoseconds,
}

impl TimeUnit {
    /// How many of the unit make a second.
    pub const fn per_second(self) -> i64 {
        match self {
            Self::Seconds => 1,
            Self::Milliseconds => 1_000,
            Self::Microseconds => 1_000_000,
            Self::Nanoseconds => 1_000_000_000,
        }
    }
}

/// Which coordinate of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Axis {
    /// Degrees north, WGS 84.
    Latitude,
    /// Degrees east, WGS 84.
    Longitude,
}

/// How a value is made coarser.
#[derive(Clone, Debug, PartialEq)]
pub enum Generalizer {
    /// Numbers: round down to a multiple of the step (finite, > 0).
    Step(f64),
    /// Floating-point numbers: keep 0 to 15 decimals, half away from zero.
    Decimals(u8),
    /// Numbers: the greatest edge that is not above the value; below the first edge, the first. Ascending, not empty.
    Buckets(Vec<f64>),
    /// Times: round down to a multiple of the span.
    TimeBucket {
        /// The span in seconds, > 0.
        span_s: i64,
        /// The unit of an integer field; a `google.protobuf.Timestamp` and floating-point seconds need none.
        unit: TimeUnit,
    },
    /// Text: keep this many characters (Unicode scalar values).
    PrefixChars(u32),
    /// Place: the centre of the H3 cell of a latitude and a longitude in the same message.
    Place {
        /// H3 resolution, 0 to 15.
        resolution: u8,
        /// Which coordinate this field is.
        axis: Axis,
    },
}

impl fmt::Display for Generalizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(step) => write!(f, "in steps of {step}"),
            Self::Decimals(decimals) => write!(f, "to {decimals} decimals"),
            Self::Buckets(edges) => {
                f.write_str("to the buckets from ")?;
                for (i, edge) in edges.iter().enumerate() {
                    write!(f, "{}{edge}", if i == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Self::TimeBucket { span_s, .. } => match *span_s {
                s if s % 86_400 == 0 => write!(f, "to {} d", s / 86_400),
                s if s % 3_600 == 0 => write!(f, "to {} h", s / 3_600),
                s if s % 60 == 0 => write!(f, "to {} min", s / 60),
                s => write!(f, "to {s} s"),
            },
            Self::PrefixChars(1) => f.write_str("to its first character"),
            Self::PrefixChars(chars) => write!(f, "to its first {chars} characters"),
            Self::Place { resolution, .. } => write!(f, "to the H3 cell of resolution {resolution}"),
        }
    }
}

/// The type of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 64-bit IEEE 754.
    Double,
    /// 32-bit IEEE 754.
    Float,
    /// Varint, two's complement.
    Int32,
    /// Varint, two's complement.
    Int64,
    /// Varint.
    Uint32,
    /// Varint.
    Uint64,
    /// Varint, zig-zag.
    Sint32,
    /// Varint, zig-zag.
    Sint64,
    /// Four bytes, little-endian.
    Fixed32,
    /// Eight bytes, little-endian.
    Fixed64,
    /// Four bytes, two's complement.
    Sfixed32,
    /// Eight bytes, two's complement.
    Sfixed64,
    /// Varint.
    Bool,
    /// UTF-8.
    String,
    /// Anything.
    Bytes,
    /// Varint.
    Enum,
    /// A `google.protobuf.Timestamp`, judged as one.
    Timestamp,
    /// Any other message, judged as one.
    Message,
    /// A whole map, judged as one.
    Map,
    /// A group, judged as one; it can only be kept or stripped.
    Group,
}

impl Kind {
    /// The wire type of one value (protobuf encoding, "Message Structure"): 0 varint, 1 64-bit, 2 length-delimited, 3 group, 5 32-bit.
    pub const fn wire_type(self) -> u8 {
        match self {
            Self::Int32 | Self::Int64 | Self::Uint32 | Self::Uint64 | Self::Sint32 | Self::Sint64 | Self::Bool | Self::Enum => 0,
            Self::Double | Self::Fixed64 | Self::Sfixed64 => 1,
            Self::String | Self::Bytes | Self::Timestamp | Self::Message | Self::Map => 2,
            Self::Group => 3,
            Self::Float | Self::Fixed32 | Self::Sfixed32 => 5,
        }
    }

    /// Whether repeated values may share one length-delimited run.
    pub const fn packable(self) -> bool {
        matches!(self.wire_type(), 0 | 1 | 5)
    }

    /// Whether the kind is a number, text, bytes, bool or enum.
    pub const fn is_scalar(self) -> bool {
        !matches!(self, Self::Timestamp | Self::Message | Self::Map | Self::Group)
    }

    /// Whether the kind is a varint that is written with zig-zag.
    pub const fn zigzag(self) -> bool {
        matches!(self, Self::Sint32 | Self::Sint64)
    }

    /// The name in `.proto` files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Double => "double",
            Self::Float => "float",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Uint32 => "uint32",
            Self::Uint64 => "uint64",
            Self::Sint32 => "sint32",
            Self::Sint64 => "sint64",
            Self::Fixed32 => "fixed32",
            Self::Fixed64 => "fixed64",
            Self::Sfixed32 => "sfixed32",
            Self::Sfixed64 => "sfixed64",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Enum => "enum",
            Self::Timestamp => "timestamp",
            Self::Message => "message",
            Self::Map => "map",
            Self::Group => "group",
        }
    }
}

/// Reads a span of whole seconds, minutes, hours or days: `30s`, `15min`, `1h`, `1d`. `None` where it is none or not above 0.
pub fn parse_span_s(text: &str) -> Option<i64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "s" => 1,
        "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(seconds).filter(|span| (1..=366 * 86_400).contains(span))
}

/// Reads a purpose: a term of the DPV 2.3 purpose taxonomy with `dpv:` in front. Unknown terms are `None`.
pub fn purpose(text: &str) -> Option<Purpose> {
    let term = text.strip_prefix("dpv:")?;
    super::dpv::PURPOSES.binary_search(&term).ok().map(|_| Purpose::new(text))
}

/// Whether a rule's selector covers the site with this path: it is the path, or the path of something around it.
pub fn covers(selector: &str, path: &str) -> bool {
    let Some(rest) = path.strip_prefix(selector) else { return false };
    if selector.is_empty() {
        return false;
    }
    // A dot or bracket inside a quoted key is no boundary.
    (rest.is_empty() || rest.starts_with('.') || rest.starts_with('[')) && !inside_brackets(selector)
}

/// Whether the text ends inside `[…]`.
fn inside_brackets(text: &str) -> bool {
    let (mut bracket, mut quote, mut escaped) = (false, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote => escaped = true,
            '"' if bracket => quote = !quote,
            '[' if !quote => bracket = true,
            ']' if !quote => bracket = false,
            _ => {}
        }
    }
    bracket
}
