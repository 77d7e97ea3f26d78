//! How connections are run: windows, and what may be held.

use std::time::Duration;

use crate::config::Limits;
use crate::http2::Settings;

/// What a stream may hold that nobody has read, in bytes: larger windows fall out of the cache.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// What a peer may have on its way on all streams of a connection, in bytes.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// What a caller's streams may hold together, in bytes: who does not read some of them stops the others of their own.
const CALLER_BYTES_MAX: u32 = 4 * 1024 * 1024;
/// What answers on one connection to an upstream may hold together, in bytes: they are of many callers, and those who don't read
/// theirs must not stop the others soon.
const UPSTREAM_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// The header list of a request, in bytes.
const HEADER_BYTES_MAX: u32 = 16 * 1024;

/// How connections of callers are run.
pub(super) fn of_callers(limits: &Limits) -> Settings {
    Settings {
        stream_window_bytes: STREAM_WINDOW_BYTES,
        window_bytes: CONNECTION_WINDOW_BYTES,
        held_bytes_max: CALLER_BYTES_MAX,
        streams_max: limits.streams_per_connection_max,
        header_bytes_max: HEADER_BYTES_MAX,
        silence: Duration::from_millis(limits.keepalive_ms),
        answer_within: Duration::from_millis(limits.keepalive_timeout_ms),
    }
}

/// How connections to upstreams are run.
pub(super) fn to_upstreams(limits: &Limits) -> Settings {
    Settings { held_bytes_max: UPSTREAM_BYTES_MAX, streams_max: 0, ..of_callers(limits) }
}
