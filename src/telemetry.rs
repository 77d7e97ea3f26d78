//! What may be seen from outside: counters and log lines. What holds payload has no telling form to print, and a test plants
//! values and looks for them in everything that is written.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::{Filter, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::veil::outcome::Refusal;

/// The crate that our own events name as their target.
const OURS: &str = env!("CARGO_CRATE_NAME");

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Reads.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a gateway counts; no label names a person, a recipient or a value.
#[derive(Debug, Default)]
pub struct Counters {
    /// Frames taken from sources.
    pub frames_in: Counter,
    /// Frames refused when they came in.
    pub frames_refused: Counter,
    /// Frames handed over to recipients.
    pub frames_out: Counter,
    /// Proxied calls begun.
    pub calls: Counter,
    /// Proxied calls refused or ended by the gateway.
    pub calls_refused: Counter,
    /// Proxied messages handed over, both ways.
    pub messages_out: Counter,
    /// Proxied messages of streams left out: nobody consented, or they could not be judged.
    pub messages_withheld: Counter,
    /// Streams of recipients opened.
    pub streams_opened: Counter,
    /// Streams of recipients closed.
    pub streams_closed: Counter,
    /// Streams reset because consent ended while a frame was half-way out.
    pub streams_cut_off: Counter,
    /// Connections accepted.
    pub connections: Counter,
    /// Connections refused: no handshake, or nobody that the gateway knows.
    pub connections_refused: Counter,
    /// Connections cut off: floods of control frames, nothing said, or nothing taken.
    pub connections_cut: Counter,
    /// Configurations that took the place of the one before.
    pub reloads: Counter,
    /// Configurations that were refused while the one before stayed.
    pub reloads_refused: Counter,
    /// Spans of traces that no collector took.
    pub spans_lost: Counter,
    refused: [Counter; Refusal::ALL.len()],
    /// By code: whatever was refused before a view saw it.
    by_code: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counters {
    /// Counts a frame that a view refused.
    pub fn refused(&self, refusal: Refusal) {
        if let Some(counter) = Refusal::ALL.iter().position(|one| *one == refusal).and_then(|at| self.refused.get(at)) {
            counter.add(1);
        }
    }

    /// Counts something else that was refused, by its code, for the log.
    pub fn refused_for(&self, code: &'static str) {
        *self.by_code.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_default() += 1;
    }

    /// What was refused since the start, by code.
    pub fn refusals(&self) -> Vec<(&'static str, u64)> {
        let mut counts = self.by_code.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (refusal, counter) in Refusal::ALL.iter().zip(&self.refused).filter(|(_, counter)| counter.get() > 0) {
            *counts.entry(refusal.code()).or_default() += counter.get();
        }
        counts.into_iter().collect()
    }

    /// The Prometheus text format, version 0.0.4.
    pub fn prometheus(&self) -> String {
        let mut out = String::new();
        let mut line = |name: &'static str, help: &'static str, counter: &Counter| {
            out.push_str(&format!("# HELP {name} {help}\n# TYPE {name} counter\n{name} {}\n", counter.get()));
        };
        line("twinveil_frames_in_total", "Frames taken from sources.", &self.frames_in);
        line("twinveil_frames_refused_total", "Frames refused when they came in.", &self.frames_refused);
        line("twinveil_frames_out_total", "Frames handed over to recipients.", &self.frames_out);
        line("twinveil_calls_total", "Proxied calls begun.", &self.calls);
        line("twinveil_calls_refused_total", "Proxied calls refused or ended by the gateway.", &self.calls_refused);
        line("twinveil_messages_out_total", "Proxied messages handed over, both ways.", &self.messages_out);
        line("twinveil_messages_withheld_total", "Proxied messages of streams left out.", &self.messages_withheld);
        line("twinveil_streams_opened_total", "Streams of recipients opened.", &self.streams_opened);
        line("twinveil_streams_closed_total", "Streams of recipients closed.", &self.streams_closed);
        line("twinveil_streams_cut_off_total", "Streams reset because consent ended half-way through a frame.", &self.streams_cut_off);
        line("twinveil_connections_total", "Connections accepted.", &self.connections);
        line("twinveil_connections_refused_total", "Connections refused.", &self.connections_refused);
        line("twinveil_connections_cut_total", "Connections cut off: floods, silence, nothing taken.", &self.connections_cut);
        line("twinveil_reloads_total", "Configurations that took the place of the one before.", &self.reloads);
        line("twinveil_spans_lost_total", "Spans of traces that no collector took.", &self.spans_lost);
        line("twinveil_reloads_refused_total", "Configurations refused while the one before stayed.", &self.reloads_refused);
        out.push_str(
            "# HELP twinveil_view_refusals_total Frames that a view could not judge.\n# TYPE twinveil_view_refusals_total counter\n",
        );
        for (refusal, counter) in Refusal::ALL.iter().zip(&self.refused) {
            out.push_str(&format!("twinveil_view_refusals_total{{code=\"{}\"}} {}\n", refusal.code(), counter.get()));
        }
        out
    }
}

/// What of the log is written. `directives` (`tracing` syntax) say how much the gateway says; a bare level is the gateway's.
///
/// Libraries below the gateway never say more than `warn`, whatever the directives ask for: what they print at lower levels of the
/// bytes that they carry is theirs to change with any version. HTTP/2 says no more than `error`: its warnings are about what the other
/// end does, which could fill the log with them, and quote it.
pub fn log_filter<S>(directives: &str) -> impl Filter<S> + Send + Sync + 'static
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let wanted = EnvFilter::builder().parse_lossy(format!("warn,twinveil={directives}"));
    wanted.and(filter_fn(|event| match event.target().split("::").next() {
        Some(OURS) => true,
        Some("h2") => *event.level() <= Level::ERROR,
        _ => *event.level() <= Level::WARN,
    }))
}

/// Starts the log on standard error. The directives come from `TWINVEIL_LOG` (`info` where unset).
pub fn start_log() {
    let wanted = std::env::var("TWINVEIL_LOG").unwrap_or_else(|_| "info".to_owned());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(log_filter(&wanted));
    // A second start, as in tests, keeps the first.
    let _kept = tracing_subscriber::registry().with(lines).try_init();
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is written of six events when an operator asks for this.
    fn written(directives: &str) -> Vec<String> {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer.with_filter(log_filter(directives))), || {
            tracing::trace!(target: "twinveil::gate", "ours in full");
            tracing::info!(target: "twinveil", "ours");
            tracing::trace!(target: "h2::codec", "a header list");
            tracing::info!(target: "twinveil_lookalike", "not ours");
            let _span = tracing::trace_span!(target: "hyper", "conn").entered();
            tracing::warn!(target: "hyper", "a library's warning");
            tracing::warn!(target: "h2::proto::ping_pong", "what somebody sent");
        });
        let text = lines.0.lock().expect("not poisoned").clone();
        let last = |line: &str| line.rsplit_once(": ").map_or(line, |(_, last)| last).to_owned();
        String::from_utf8(text).expect("text").lines().map(last).collect()
    }

    #[test]
    fn libraries_stay_at_warn_whatever_is_asked_for() {
        for asked in ["trace", "trace,trace", "trace,h2=trace,hyper=trace,twinveil_lookalike=trace", "trace,[conn]=trace", "trace,h2"] {
            assert_eq!(written(asked), ["ours in full", "ours", "a library's warning"], "{asked}");
        }
        assert_eq!(written("info"), ["ours", "a library's warning"]);
        assert_eq!(written("error,h2=trace"), ["a library's warning"]);
        assert_eq!(written("no such level"), ["a library's warning"], "what is no directive asks for nothing");
    }
}
