//! The live table. On a terminal it is drawn again in place, and what happens is said above it; elsewhere lines follow each
//! other; for programs everything but the report goes to standard error.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::report::{LEGEND, short};
use super::seat::Snapshot;
use super::stage::Stage;
use crate::cli::{CliError, Output, complain, say, unwritten};
use crate::veil::report::table::grouped;
use crate::veil::schema::SiteId;
use crate::veil::terms::{Category, Treatment};

/// How often the table is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(250);
/// A rate is taken over this time.
const RATE_OVER: Duration = Duration::from_secs(1);
/// Width of the first column and of the others.
const WIDE: (usize, usize) = (16, 12);

/// Where the demo shows itself.
#[derive(Debug)]
pub(super) struct Screen {
    how: How,
    begun: Instant,
    /// Lines of the table that stand on the terminal.
    standing: usize,
    /// Frames by recipient at an instant, and the rates at that instant.
    before: (Instant, Vec<u64>),
    rates: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Terminal,
    /// A line a recipient, this often.
    Lines(Duration),
    Program,
}

impl Screen {
    /// For a demo of that length.
    pub(super) fn new(output: Output, seconds: u64) -> Self {
        let how = match output {
            Output::Json => How::Program,
            Output::Text if std::io::stdout().is_terminal() => How::Terminal,
            Output::Text => How::Lines(Duration::from_secs((seconds / 4).max(1))),
        };
        Self { how, begun: Instant::now(), standing: 0, before: (Instant::now(), Vec::new()), rates: Vec::new() }
    }

    /// The streams begin: time counts from here.
    pub(super) fn begin(&mut self) {
        self.begun = Instant::now();
        self.before = (self.begun, Vec::new());
    }

    /// How long to wait before the next [`Self::draw`].
    pub(super) fn pause(&self) -> Duration {
        match self.how {
            How::Terminal => DRAW_EVERY,
            How::Lines(every) => every,
            How::Program => Duration::from_secs(1),
        }
    }

    /// Says what happens.
    pub(super) fn event(&mut self, text: &str) -> Result<(), CliError> {
        match self.how {
            How::Terminal => {
                self.wipe()?;
                say(text)
            }
            How::Lines(_) => say(text),
            How::Program => {
                complain(text);
                Ok(())
            }
        }
    }

    /// Says what happens, and when.
    pub(super) fn event_now(&mut self, text: &str) -> Result<(), CliError> {
        self.event(&format!("{:4.1} s  {text}", self.begun.elapsed().as_secs_f64()))
    }

    /// Puts the table back after something was said above it.
    pub(super) fn redraw(&mut self, stage: &Stage) -> Result<(), CliError> {
        match self.how {
            How::Terminal => self.draw(stage),
            How::Lines(_) | How::Program => Ok(()),
        }
    }

    /// Shows how things stand.
    pub(super) fn draw(&mut self, stage: &Stage) -> Result<(), CliError> {
        if self.how == How::Program {
            return Ok(());
        }
        let snapshots: Vec<Snapshot> = stage.seats.iter().map(|seat| seat.snapshot()).collect();
        self.take_rates(&snapshots);
        match self.how {
            How::Program => Ok(()),
            How::Terminal => {
                let lines = table(stage, &snapshots, &self.rates);
                self.wipe()?;
                // Longer lines are cut, not wrapped, so that their number is known.
                let text = format!("\x1b[?7l{}\n\x1b[?7h", lines.join("\n"));
                self.standing = lines.len();
                print(&text)
            }
            How::Lines(_) => {
                let seconds = self.begun.elapsed().as_secs_f64();
                for ((seat, snapshot), rate) in stage.seats.iter().zip(&snapshots).zip(&self.rates) {
                    let [p50, p99] = latencies(snapshot);
                    let (name, frames) = (seat.recipient.name, grouped(snapshot.tally.frames));
                    say(format_args!(
                        "{seconds:4.1} s  {name:<10}  {frames:>9} frames  {rate:>7.0} frames/s  latency p50 {p50} µs, p99 {p99} µs"
                    ))?;
                }
                Ok(())
            }
        }
    }

    /// Shows the table once more, to stay.
    pub(super) fn end(&mut self, stage: &Stage) -> Result<(), CliError> {
        if self.how == How::Program {
            return Ok(());
        }
        self.wipe()?;
        let snapshots: Vec<Snapshot> = stage.seats.iter().map(|seat| seat.snapshot()).collect();
        let seconds = self.begun.elapsed().as_secs_f64();
        let rates: Vec<f64> = snapshots.iter().map(|snapshot| snapshot.tally.frames as f64 / seconds.max(0.001)).collect();
        say(format_args!("\n{}\n\n{LEGEND}\n", table(stage, &snapshots, &rates).join("\n")))
    }

    /// Takes the table off the terminal.
    fn wipe(&mut self) -> Result<(), CliError> {
        match std::mem::take(&mut self.standing) {
            0 => Ok(()),
            lines => print(&format!("\x1b[{lines}A\x1b[J")),
        }
    }

    fn take_rates(&mut self, snapshots: &[Snapshot]) {
        let (at, frames) = &self.before;
        let passed = at.elapsed();
        let of = |at: usize| frames.get(at).copied().unwrap_or_default();
        if passed >= RATE_OVER || frames.is_empty() {
            let now = snapshots.iter().map(|snapshot| snapshot.tally.frames);
            self.rates =
                now.clone().enumerate().map(|(at, now)| now.saturating_sub(of(at)) as f64 / passed.as_secs_f64().max(0.001)).collect();
            self.before = (Instant::now(), now.collect());
        }
    }
}

fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(unwritten)
}

/// Median and 99th percentile of the latency, in microseconds.
fn latencies(snapshot: &Snapshot) -> [String; 2] {
    [0.5, 0.99].map(|share| snapshot.tally.latency.quantile_us(share).map_or("·".to_owned(), grouped))
}

/// A column a recipient; a row a number, then a row a category: what is done to fields of it in the views that are open.
fn table(stage: &Stage, snapshots: &[Snapshot], rates: &[f64]) -> Vec<String> {
    let row = |title: &str, cells: Vec<String>| {
        let mut line = format!("{title:<wide$}", wide = WIDE.0);
        cells.iter().for_each(|cell| line.push_str(&format!(" {cell:<wide$}", wide = WIDE.1)));
        line.trim_end().to_owned()
    };
    let of = |cell: &dyn Fn(&Snapshot) -> String| snapshots.iter().map(cell).collect::<Vec<_>>();
    let mut lines = vec![
        row("", stage.seats.iter().map(|seat| seat.recipient.name.to_owned()).collect()),
        row("frames", of(&|snapshot| grouped(snapshot.tally.frames))),
        row("frames/s", rates.iter().map(|rate| format!("{rate:.0}")).collect()),
        row("latency µs p50", of(&|snapshot| latencies(snapshot)[0].clone())),
        row("latency µs p99", of(&|snapshot| latencies(snapshot)[1].clone())),
        row("sealed, opened", of(&opened)),
    ];
    for category in Category::ALL {
        let cells: Vec<String> = stage.seats.iter().zip(snapshots).map(|(seat, snapshot)| treated(seat, snapshot, *category)).collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            lines.push(row(category.word(), cells));
        }
    }
    lines
}

/// How much of what was sealed the recipient could open.
fn opened(snapshot: &Snapshot) -> String {
    match (snapshot.tally.groups, snapshot.tally.opened) {
        (0, _) => "·".to_owned(),
        (groups, opened) => format!("{} %", opened * 100 / groups),
    }
}

/// The treatments of a category's fields; nothing where the schema has none.
fn treated(seat: &Arc<super::seat::Seat>, snapshot: &Snapshot, category: Category) -> String {
    let sites = (0u32..).map(SiteId).zip(seat.schema.sites()).filter(|(_, site)| site.facts.category == Some(category));
    let sites: Vec<SiteId> = sites.map(|(site, _)| site).collect();
    if sites.is_empty() {
        return String::new();
    }
    let treatments: BTreeSet<Treatment> = snapshot.views.iter().flat_map(|view| sites.iter().map(|site| view.of(Some(*site)))).collect();
    short(treatments.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::{self, FieldView, View};

    #[test]
    fn the_table_has_a_column_a_recipient_and_a_row_a_category() {
        let stage = Stage::new(Vec::new()).expect("samples");
        let field = |path: &str, treatment: v1::Treatment| FieldView { path: path.into(), treatment: treatment.into(), how: String::new() };
        let fields = vec![field("identity.city", v1::Treatment::Keep), field("position.latitude", v1::Treatment::Generalize)];
        stage.seats[0].view(&View { view: 1, open: true, fields, ..View::default() }, 0);
        let snapshots: Vec<Snapshot> = stage.seats.iter().map(|seat| seat.snapshot()).collect();
        let lines = table(&stage, &snapshots, &[0.0, 12.4, 0.0, 0.0, 0.0]);
        assert_eq!(lines[0], "                 clinician    researcher   renderer     vendor       advertiser");
        assert_eq!(lines[2], "frames/s         0            12           0            0            0");
        let of = |title: &str| lines.iter().find(|line| line.starts_with(title)).cloned().unwrap_or_default();
        assert_eq!(of("location"), "location         K G S        ·            ·                         ·");
        assert_eq!(of("health"), "health           strip        ·            ·                         ·");
        assert_eq!(of("site"), "site                                                    ·");
        assert!(lines.iter().all(|line| !line.starts_with("financial")));
    }

    #[test]
    fn a_rate_is_what_came_since() {
        let stage = Stage::new(Vec::new()).expect("samples");
        let mut snapshots: Vec<Snapshot> = stage.seats.iter().map(|seat| seat.snapshot()).collect();
        let mut screen = Screen { how: How::Program, ..Screen::new(Output::Json, 1) };
        screen.take_rates(&snapshots);
        let Some(earlier) = Instant::now().checked_sub(Duration::from_secs(2)) else { return };
        screen.before.0 = earlier;
        snapshots[1].tally.frames = 400;
        screen.take_rates(&snapshots);
        // As long ago as it was then.
        let least = 400.0 / earlier.elapsed().as_secs_f64();
        assert!((least..=200.0).contains(&screen.rates[1]) && screen.rates[0] == 0.0, "{:?}", screen.rates);
    }
}
