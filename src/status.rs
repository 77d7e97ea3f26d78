//! Refusal → gRPC status (gRPC core, "Status codes and their use"): the only maker of [`tonic::Status`]. Outside goes a code
//! and one short line that says whose move it is; the full story stays in the log.

use std::fmt;

use http::{HeaderMap, HeaderValue};

use crate::veil::logsafe::LogSafe;

/// Why the gate refuses a call or ends a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refuse {
    /// A frame's subject is not enrolled.
    NotEnrolled,
    /// The gateway has no such schema.
    UnknownSchema,
    /// The party may not do this.
    NotAllowed,
    /// The message is not one of the contract.
    Malformed,
    /// The recipient stopped reading for longer than sources wait.
    TooSlow,
    /// The gateway stops.
    Shutdown,
    /// The system's clock is behind what was recorded.
    ClockBehind,
    /// The purpose is no DPV term.
    UnknownPurpose,
    /// The statement that brings a key does not hold.
    BadKeyStatement,
    /// The message is compressed.
    Compressed,
    /// The message is larger than the gateway takes.
    TooLarge,
    /// The operator's policy could not be evaluated.
    PolicyFailed,
    /// No such method, and no route.
    UnknownMethod,
    /// The certificate names nobody that the gateway knows.
    UnknownParty,
    /// Consent ended while a frame was half-way out.
    CutOff,
    /// The gateway has as many streams as it takes.
    TooMany,
    /// The store can't be written or read.
    StoreDown,
    /// There is no such announcement for the caller.
    NotAnnounced,
    /// No address of the upstream can be reached.
    NoUpstream,
    /// The upstream broke off.
    UpstreamBroke,
    /// The upstream's answer is not gRPC.
    NotGrpc,
    /// A message can't be judged.
    Undecidable,
    /// The caller's deadline has passed.
    Deadline,
    /// What a stream was opened under is no longer so.
    Reloaded,
    /// There is no such service for the caller.
    UnknownService,
    /// A page of that origin may not call.
    OtherOrigin,
    /// The gateway holds as much of large messages as it takes.
    NoRoom,
    /// Nothing is released to the caller under the legal demand.
    NoRelease,
    /// What was released under a legal demand is over.
    ReleaseOver,
}

impl Refuse {
    /// Every refusal.
    pub const ALL: &'static [Self] = &[
        Self::NotEnrolled,
        Self::UnknownSchema,
        Self::NotAllowed,
        Self::Malformed,
        Self::TooSlow,
        Self::Shutdown,
        Self::ClockBehind,
        Self::UnknownPurpose,
        Self::BadKeyStatement,
        Self::Compressed,
        Self::TooLarge,
        Self::PolicyFailed,
        Self::UnknownMethod,
        Self::UnknownParty,
        Self::CutOff,
        Self::TooMany,
        Self::StoreDown,
        Self::NotAnnounced,
        Self::NoUpstream,
        Self::UpstreamBroke,
        Self::NotGrpc,
        Self::Undecidable,
        Self::Deadline,
        Self::Reloaded,
        Self::UnknownService,
        Self::OtherOrigin,
        Self::NoRoom,
        Self::NoRelease,
        Self::ReleaseOver,
    ];

    /// The stable code; the manual has an entry for each.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotEnrolled => "TV-G01",
            Self::UnknownSchema => "TV-G02",
            Self::NotAllowed => "TV-G03",
            Self::Malformed => "TV-G04",
            Self::TooSlow => "TV-G05",
            Self::Shutdown => "TV-G06",
            Self::ClockBehind => "TV-G07",
            Self::UnknownPurpose => "TV-G08",
            Self::BadKeyStatement => "TV-G09",
            Self::Compressed => "TV-G10",
            Self::TooLarge => "TV-G11",
            Self::PolicyFailed => "TV-G12",
            Self::UnknownMethod => "TV-G13",
            Self::UnknownParty => "TV-G14",
            Self::CutOff => "TV-G15",
            Self::TooMany => "TV-G16",
            Self::StoreDown => "TV-G17",
            Self::NotAnnounced => "TV-G18",
            Self::NoUpstream => "TV-G19",
            Self::UpstreamBroke => "TV-G20",
            Self::NotGrpc => "TV-G21",
            Self::Undecidable => "TV-G22",
            Self::Deadline => "TV-G23",
            Self::Reloaded => "TV-G24",
            Self::UnknownService => "TV-G25",
            Self::OtherOrigin => "TV-G26",
            Self::NoRoom => "TV-G27",
            Self::NoRelease => "TV-G28",
            Self::ReleaseOver => "TV-G29",
        }
    }

    /// The gRPC status.
    pub const fn status(self) -> tonic::Code {
        match self {
            Self::NotEnrolled | Self::ReleaseOver => tonic::Code::FailedPrecondition,
            Self::UnknownSchema | Self::NotAnnounced | Self::UnknownService => tonic::Code::NotFound,
            Self::NotAllowed | Self::UnknownParty | Self::OtherOrigin | Self::NoRelease => tonic::Code::PermissionDenied,
            Self::Malformed | Self::UnknownPurpose => tonic::Code::InvalidArgument,
            Self::BadKeyStatement => tonic::Code::Unauthenticated,
            Self::TooSlow | Self::TooLarge | Self::TooMany | Self::NoRoom => tonic::Code::ResourceExhausted,
            Self::Shutdown | Self::ClockBehind | Self::StoreDown | Self::NoUpstream | Self::UpstreamBroke => tonic::Code::Unavailable,
            Self::Compressed | Self::UnknownMethod => tonic::Code::Unimplemented,
            Self::PolicyFailed | Self::NotGrpc => tonic::Code::Internal,
            Self::Undecidable => tonic::Code::InvalidArgument,
            Self::Deadline => tonic::Code::DeadlineExceeded,
            Self::CutOff | Self::Reloaded => tonic::Code::Aborted,
        }
    }

    /// One line for whoever is outside.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NotEnrolled => "the source and the subject have not enrolled the subject of this frame",
            Self::UnknownSchema => "the gateway has no such schema; the operator adds it to the configuration",
            Self::NotAllowed => "your party may not do this; the operator grants it in the configuration",
            Self::Malformed => "the message is not what the contract says; mend the client",
            Self::TooSlow => "you stopped reading for longer than sources wait; read faster, or ask for the newest frames only",
            Self::Shutdown => "the gateway stops; come back",
            Self::ClockBehind => "the gateway's clock is behind what it has recorded; its operator has to set it",
            Self::UnknownPurpose => "the purpose is no DPV term, such as `dpv:ServiceProvision`",
            Self::BadKeyStatement => "the statement that brings your key does not verify for you and this gateway; sign a new one",
            Self::Compressed => "compressed messages are not taken here; switch compression off",
            Self::TooLarge => "the message is larger than the gateway takes; send smaller batches",
            Self::PolicyFailed => "the operator's policy could not be evaluated; its operator has to mend it",
            Self::UnknownMethod => "no such method here",
            Self::UnknownParty => "the certificate names no party that this gateway knows",
            Self::CutOff => "consent ended while a frame was half-way out; subscribe again",
            Self::TooMany => "the gateway has as many streams as it takes; close one or come back",
            Self::StoreDown => "the gateway can't reach its store; nothing was changed; come back",
            Self::NotAnnounced => "no such announcement was made to you",
            Self::NoUpstream => "the service behind the gateway can't be reached; come back",
            Self::UpstreamBroke => "the service behind the gateway broke off; try again",
            Self::NotGrpc => "what the service behind the gateway answers is not gRPC; its operator has to mend it",
            Self::Undecidable => {
                "a message is not what its schema says and can't be judged; nothing of it was passed on; whoever sent it has to mend it"
            }
            Self::Deadline => "your deadline has passed",
            Self::Reloaded => "the operator has changed the schema or the route so that open streams can't go on; open it again",
            Self::UnknownService => "no such service that you may call",
            Self::OtherOrigin => "pages of that origin may not call; the operator allows origins in the configuration",
            Self::NoRoom => "the gateway holds as much of large messages as it takes; come back",
            Self::NoRelease => "nothing is released to you under that legal demand; the desk of the gateway's operator answers demands",
            Self::ReleaseOver => "what was released to you under the legal demand is over, or was stopped",
        }
    }

    /// Code and line.
    pub fn message(self) -> String {
        format!("{}: {}", self.code(), self.text())
    }
}

impl fmt::Display for Refuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.text())
    }
}

impl std::error::Error for Refuse {}
impl LogSafe for Refuse {}

impl From<Refuse> for tonic::Status {
    fn from(refuse: Refuse) -> Self {
        Self::new(refuse.status(), refuse.message())
    }
}

/// A status with a code and a line that are safe to show to the caller.
pub fn status(grpc: tonic::Code, code: &'static str, line: &dyn fmt::Display) -> tonic::Status {
    tonic::Status::new(grpc, format!("{code}: {line}"))
}

/// The trailers that end a call.
pub fn trailers(refuse: Option<Refuse>) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let number = refuse.map_or(0, |refuse| refuse.status() as i32);
    trailers.insert("grpc-status", HeaderValue::from(number));
    if let Some(refuse) = refuse
        && let Ok(message) = HeaderValue::try_from(percent_encoded(&refuse.message()))
    {
        trailers.insert("grpc-message", message);
    }
    trailers
}

/// The trailers of an upstream: its code as it is; its words only where they `pass`, as nobody has judged them.
pub fn upstream_trailers(from: &HeaderMap, pass: bool) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let status = from.get("grpc-status").and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<i32>().ok());
    // A code that gRPC does not have is none.
    let code = status.map_or(tonic::Code::Unknown, tonic::Code::from);
    trailers.insert("grpc-status", HeaderValue::from(code as i32));
    if pass {
        for key in ["grpc-message", "grpc-status-details-bin"] {
            if let Some(value) = from.get(key) {
                trailers.insert(key, value.clone());
            }
        }
    } else if code != tonic::Code::Ok {
        let text = "the service behind the gateway ended the call; its words are not passed on";
        trailers.insert("grpc-message", HeaderValue::from_static(text));
    }
    trailers
}

/// Status messages are percent-encoded (gRPC over HTTP/2, "Status-Message").
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'$' | b'&'..=b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
