//! How far it is, on standard error: one line that is written over on a terminal, one line at the end elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::Sent;

/// Faster than this nobody reads.
const EVERY: Duration = Duration::from_millis(200);

/// The line.
#[derive(Debug)]
pub(super) struct Progress {
    begin: Instant,
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    pub(super) fn start() -> Self {
        Self { begin: Instant::now(), shown: None, terminal: std::io::stderr().is_terminal() }
    }

    /// Shows where it stands, on a terminal and not too often.
    pub(super) fn show(&mut self, sent: &Sent) {
        if self.terminal && self.shown.is_none_or(|at| at.elapsed() >= EVERY) {
            self.shown = Some(Instant::now());
            write(&format!("\r{}\x1b[K", line(sent, self.begin.elapsed())));
        }
    }

    /// The last word.
    pub(super) fn end(self, sent: &Sent) {
        let from = if self.terminal { "\r" } else { "" };
        let to = if self.terminal { "\x1b[K" } else { "" };
        write(&format!("{from}{}{to}\n", line(sent, self.begin.elapsed())));
    }
}

fn write(text: &str) {
    let mut err = std::io::stderr().lock();
    // Where nobody can read it there is nobody to tell.
    let _unread = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

fn line(sent: &Sent, took: Duration) -> String {
    let rate = sent.through as f64 / took.as_secs_f64().max(0.001);
    let refused = match sent.refused.len() {
        0 => String::new(),
        count => format!(", {count} refused"),
    };
    format!("{} frames in {:.1} s, {rate:.0} frames/s{refused}", sent.through, took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_frames_time_and_rate() {
        let mut sent = Sent { through: 500, ..Sent::default() };
        assert_eq!(line(&sent, Duration::from_secs(2)), "500 frames in 2.0 s, 250 frames/s");
        sent.refused.push((7, "TV-W01".into()));
        assert_eq!(line(&sent, Duration::from_secs(2)), "500 frames in 2.0 s, 250 frames/s, 1 refused");
        assert!(line(&sent, Duration::ZERO).starts_with("500 frames in 0.0 s"));
    }
}
