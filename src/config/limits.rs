//! Bounds and periods as written, and what they may be.

use serde::Deserialize;

use super::error::ConfigError;
use super::{Limits, Seal};
use crate::veil::crypto::seal::Suite;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsTable {
    frame_bytes_max: Option<u64>,
    batch_bytes_max: Option<u64>,
    queue_bytes_max: Option<u64>,
    lossless_stall_ms_max: Option<u64>,
    connections_max: Option<u64>,
    streams_max: Option<u64>,
    calls_max: Option<u64>,
    streams_per_connection_max: Option<u64>,
    drain_ms_max: Option<u64>,
    keepalive_ms: Option<u64>,
    keepalive_timeout_ms: Option<u64>,
    unfinished_bytes_max: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SealTable {
    suite: Option<String>,
    epoch_ms_max: Option<u64>,
}

pub(super) fn within<T: TryFrom<u64>>(key: &str, value: Option<u64>, default: T, low: u64, high: u64) -> Result<T, ConfigError> {
    match value {
        None => Ok(default),
        Some(value) => T::try_from(value)
            .ok()
            .filter(|_| (low..=high).contains(&value))
            .ok_or_else(|| ConfigError::value(key, value, format!("must be {low} to {high}"))),
    }
}

impl LimitsTable {
    pub(super) fn check(self) -> Result<Limits, ConfigError> {
        let by_default = Limits::default();
        let frame_bytes_max = within("limits.frame_bytes_max", self.frame_bytes_max, by_default.frame_bytes_max, 1 << 10, 64 << 20)?;
        // A frame must fit into a batch and into a queue, also where only the frame's limit was raised.
        let frame = frame_bytes_max as u64;
        let batch_bytes_max =
            within("limits.batch_bytes_max", self.batch_bytes_max, by_default.batch_bytes_max.max(frame_bytes_max), frame, 256 << 20)?;
        // Several of the largest messages find room at once.
        let few = 4 * batch_bytes_max;
        Ok(Limits {
            frame_bytes_max,
            batch_bytes_max,
            unfinished_bytes_max: within(
                "limits.unfinished_bytes_max",
                self.unfinished_bytes_max,
                by_default.unfinished_bytes_max.max(few),
                few as u64,
                1 << 40,
            )?,
            queue_bytes_max: within(
                "limits.queue_bytes_max",
                self.queue_bytes_max,
                by_default.queue_bytes_max.max(frame_bytes_max),
                frame,
                1 << 30,
            )?,
            lossless_stall_ms_max: within(
                "limits.lossless_stall_ms_max",
                self.lossless_stall_ms_max,
                by_default.lossless_stall_ms_max,
                0,
                600_000,
            )?,
            connections_max: within("limits.connections_max", self.connections_max, by_default.connections_max, 1, 65_536)?,
            streams_max: within("limits.streams_max", self.streams_max, by_default.streams_max, 1, 1_000_000)?,
            calls_max: within("limits.calls_max", self.calls_max, by_default.calls_max, 1, 1_000_000)?,
            streams_per_connection_max: within(
                "limits.streams_per_connection_max",
                self.streams_per_connection_max,
                by_default.streams_per_connection_max,
                1,
                65_536,
            )?,
            drain_ms_max: within("limits.drain_ms_max", self.drain_ms_max, by_default.drain_ms_max, 0, 600_000)?,
            keepalive_ms: within("limits.keepalive_ms", self.keepalive_ms, by_default.keepalive_ms, 1_000, 3_600_000)?,
            keepalive_timeout_ms: within(
                "limits.keepalive_timeout_ms",
                self.keepalive_timeout_ms,
                by_default.keepalive_timeout_ms,
                1_000,
                600_000,
            )?,
        })
    }
}

impl SealTable {
    pub(super) fn check(self) -> Result<Seal, ConfigError> {
        let by_default = Seal::default();
        let suite = match self.suite.as_deref() {
            None => by_default.suite,
            Some("CHACHA20_POLY1305") => Suite::ChaCha20Poly1305,
            Some("AES_256_GCM_SHA512_128") => Suite::Aes256Gcm,
            Some(other) => {
                return Err(ConfigError::value(
                    "seal.suite",
                    other.escape_debug(),
                    "must be `CHACHA20_POLY1305` or `AES_256_GCM_SHA512_128`",
                ));
            }
        };
        Ok(Seal { suite, epoch_ms_max: within("seal.epoch_ms_max", self.epoch_ms_max, by_default.epoch_ms_max, 1_000, 3_600_000)? })
    }
}
