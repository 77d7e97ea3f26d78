//! What may be seen from outside: counters and log lines. What holds payload has no telling form to print, and a test plants
//! values and looks for them in everything that is written.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::veil::outcome::Refusal;

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
    refused: [Counter; Refusal::ALL.len()],
}

impl Counters {
    /// Counts a frame that a view refused.
    pub fn refused(&self, refusal: Refusal) {
        if let Some(counter) = Refusal::ALL.iter().position(|one| *one == refusal).and_then(|at| self.refused.get(at)) {
            counter.add(1);
        }
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
        out.push_str(
            "# HELP twinveil_view_refusals_total Frames that a view could not judge.\n# TYPE twinveil_view_refusals_total counter\n",
        );
        for (refusal, counter) in Refusal::ALL.iter().zip(&self.refused) {
            out.push_str(&format!("twinveil_view_refusals_total{{code=\"{}\"}} {}\n", refusal.code(), counter.get()));
        }
        out
    }
}

/// Starts the log on standard error. The filter comes from `TWINVEIL_LOG` (`tracing` directives, `info` where unset). Libraries
/// below the gateway stay at `warn`: at lower levels they print what they carry.
pub fn start_log() {
    let wanted = std::env::var("TWINVEIL_LOG").unwrap_or_else(|_| "info".to_owned());
    let filter = tracing_subscriber::EnvFilter::builder().parse_lossy(format!("warn,twinveil={wanted}"));
    // A second start, as in tests, keeps the first.
    let _kept = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
