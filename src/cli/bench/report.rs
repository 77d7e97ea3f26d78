//! What is printed: what was measured, where the time goes, and what a load needs.

use serde_json::{Value, json};

use super::in_process::ViewCost;
use super::rig::Run;
use super::sizing::{Cost, Point, Shares};
use crate::cli::table::Table;
use crate::cli::{CliError, OutputArgs, plain, say};
use crate::veil::report::table::grouped;
use crate::veil::terms::Treatment;

/// Loads that the table is for, in frames a second.
const RATES: [f64; 4] = [100.0, 1_000.0, 10_000.0, 100_000.0];

/// Everything that was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) schema: String,
    pub(super) recipient: String,
    pub(super) purpose: String,
    pub(super) consent: String,
    pub(super) frames: String,
    pub(super) subjects: usize,
    pub(super) batch: u16,
    pub(super) headroom: f64,
    /// The load that was asked about, in frames a second.
    pub(super) asked: Option<f64>,
    pub(super) idle_bytes: u64,
    pub(super) connection_bytes: u64,
    pub(super) ways: Vec<Way>,
}

/// One way to the recipient.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// `package.Service/Method`; none where frames are published.
    pub(super) method: Option<String>,
    /// Whether a call carries many frames.
    pub(super) streams: bool,
    /// Who each get every frame.
    pub(super) recipients: usize,
    pub(super) fields: Vec<(Treatment, usize)>,
    pub(super) view: ViewCost,
    pub(super) runs: Vec<Run>,
    pub(super) stream_bytes: Option<u64>,
}

impl Way {
    fn name(&self) -> &'static str {
        if self.method.is_some() { "proxied" } else { "native" }
    }

    fn cost(&self) -> Option<Cost> {
        let points: Vec<Point> = self.runs.iter().map(|run| Point { bytes: run.bytes, cpu_us: run.cpu_us_per_frame() }).collect();
        Cost::fit(&points)
    }

    /// Each run, with what its frames cost in process and where their time goes.
    fn sizes(&self) -> impl Iterator<Item = (&Run, f64, f64, Shares)> {
        self.runs.iter().zip(&self.view.applied).map(|(run, applied)| {
            let shares = Shares::of(run.cpu_us_per_frame(), self.recipients as f64, applied.apply_us, applied.seal_us);
            (run, applied.apply_us, applied.seal_us, shares)
        })
    }
}

impl Found {
    pub(super) fn tell(&self, output: OutputArgs) -> Result<(), CliError> {
        if output.is_json() { say(self.json()) } else { say(self.text()) }
    }

    /// The loads that are answered: way, frames a second, their length, cores.
    fn cores(&self) -> Vec<(&'static str, f64, f64, f64)> {
        let mut all = Vec::new();
        for (way, cost) in self.ways.iter().filter_map(|way| Some((way, way.cost()?))) {
            for rate in RATES.into_iter().chain(self.asked) {
                all.extend(way.runs.iter().map(|run| (way.name(), rate, run.bytes, cost.cores(rate, run.bytes, self.headroom))));
            }
        }
        all
    }

    fn json(&self) -> Value {
        let way = |way: &Way| {
            let size = |(run, apply_us, seal_us, shares): (&Run, f64, f64, Shares)| {
                json!({
                    "frame_bytes": rounded(run.bytes, 1), "frames": run.frames, "seconds": rounded(run.seconds, 3),
                    "frames_per_s": rounded(run.frames_per_s(), 1), "cpu_us_per_frame": rounded(run.cpu_us_per_frame(), 4),
                    "apply_us": rounded(apply_us, 4), "seal_us": rounded(seal_us, 4), "share_apply": rounded(shares.apply, 4),
                    "share_seal": rounded(shares.seal, 4), "share_transport": rounded(shares.transport, 4),
                })
            };
            let cost = way.cost();
            let fields: serde_json::Map<String, Value> =
                way.fields.iter().map(|(treatment, count)| (treatment.word().to_owned(), (*count).into())).collect();
            json!({
                "way": way.name(), "method": way.method, "recipients": way.recipients, "fields": fields,
                "view": {
                    "policy_us": rounded(way.view.floors_us, 2), "decide_us": rounded(way.view.decide_us, 2),
                    "compile_us": rounded(way.view.compile_us, 2), "keys_us": rounded(way.view.keys_us, 2),
                },
                "sizes": way.sizes().map(size).collect::<Vec<_>>(),
                "fixed_us": cost.map(|cost| rounded(cost.fixed_us, 6)), "per_byte_us": cost.map(|cost| rounded(cost.per_byte_us, 9)),
                "stream_bytes": way.stream_bytes,
            })
        };
        let cores = self.cores().into_iter().map(|(way, rate, bytes, cores)| {
            json!({"way": way, "frames_per_s": rate, "frame_bytes": rounded(bytes, 1), "cores": rounded(cores, 6)})
        });
        json!({
            "schema": self.schema, "recipient": self.recipient, "purpose": self.purpose, "consent": self.consent,
            "frames": self.frames, "subjects": self.subjects, "headroom": self.headroom, "idle_bytes": self.idle_bytes,
            "connection_bytes": self.connection_bytes, "ways": self.ways.iter().map(way).collect::<Vec<_>>(),
            "cores": cores.collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let mut lines = vec![
            format!("schema      {}", self.schema),
            format!("recipient   {} for {}", self.recipient, self.purpose),
            format!("consent     {}", self.consent),
            format!("frames      {}, about {} subjects", plain(&self.frames), self.subjects),
        ];
        for way in &self.ways {
            let name = way.name();
            let fields: Vec<String> = way.fields.iter().map(|(treatment, count)| format!("{treatment} {count}")).collect();
            let what = match &way.method {
                None => format!(
                    "published in messages of at most {} frames, to {} that each get all of them",
                    self.batch,
                    counted(way.recipients, "recipient")
                ),
                Some(method) if !way.streams => {
                    format!("calls of `{method}`, a frame each, {} at a time: both directions are in the cost", super::proxied::CALLS)
                }
                Some(method) => format!("calls of `{method}`, one message in a DATA frame, {} at a time", super::proxied::CALLS),
            };
            let ViewCost { floors_us, decide_us, compile_us, keys_us, .. } = &way.view;
            lines.push(String::new());
            lines.push(format!("{name:<12}{what}"));
            lines.push(format!("  fields    {}", fields.join(", ")));
            lines.push(format!(
                "  a view    {decide_us:.1} µs to decide, {compile_us:.1} µs to compile, {keys_us:.1} µs for keys; the policy {floors_us:.0} µs, once"
            ));
            if let Some(cost) = way.cost() {
                lines.push(format!(
                    "  a frame   {} µs of processor time, and {} µs for every 1,000 bytes",
                    significant(cost.fixed_us),
                    significant(cost.per_byte_us * 1_000.0)
                ));
            }
            if let Some(bytes) = way.stream_bytes {
                let subjects =
                    if way.method.is_none() { format!(", with views of {}", counted(self.subjects, "subject")) } else { String::new() };
                lines.push(format!("  a stream  {} of memory{subjects}", size(bytes)));
            }
        }
        lines.push(String::new());
        lines.push(format!("memory      {} at rest, and {} for an idle connection", size(self.idle_bytes), size(self.connection_bytes)));
        lines.push(format!("cores       frames a second × processor time × headroom {}, by way and size:", self.headroom));
        lines.push(String::new());
        lines.push(self.table().to_string());
        for (way, rate, bytes, cores) in self.cores().iter().filter(|(_, rate, ..)| Some(*rate) == self.asked) {
            let [rate, bytes] = [*rate, *bytes].map(|number| grouped(number.round() as u64));
            lines.push(format!("{} cores for {rate} frames/s of {bytes} bytes, {way}", significant(*cores)));
        }
        lines.join("\n")
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&[
            "way",
            "bytes",
            "frames/s here",
            "µs a frame",
            "apply",
            "seal",
            "transport",
            "100/s",
            "1,000/s",
            "10,000/s",
            "100,000/s",
        ]);
        for (way, cost) in self.ways.iter().filter_map(|way| Some((way, way.cost()?))) {
            for (run, _, _, shares) in way.sizes() {
                let [a, b, c, d] = RATES.map(|rate| significant(cost.cores(rate, run.bytes, self.headroom)));
                let percent = |share: f64| format!("{:.0} %", share * 100.0);
                table.push([
                    &way.name(),
                    &grouped(run.bytes.round() as u64),
                    &grouped(run.frames_per_s().round() as u64),
                    &significant(run.cpu_us_per_frame()),
                    &percent(shares.apply),
                    &percent(shares.seal),
                    &percent(shares.transport),
                    &a,
                    &b,
                    &c,
                    &d,
                ]);
            }
        }
        table
    }
}

fn counted(many: usize, what: &str) -> String {
    format!("{many} {what}{}", if many == 1 { "" } else { "s" })
}

/// Two digits that say something, as nobody has measured more.
fn significant(number: f64) -> String {
    match number {
        number if number >= 10.0 => grouped(number.round() as u64),
        number if number >= 1.0 => format!("{number:.1}"),
        number if number >= 0.1 => format!("{number:.2}"),
        number if number >= 0.01 => format!("{number:.3}"),
        number => format!("{number:.4}"),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} KiB", grouped(bytes / 1_024)),
        _ => format!("{} MiB", grouped(bytes / 1_048_576)),
    }
}

fn rounded(number: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (number * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::super::in_process::Applied;
    use super::*;

    fn found(asked: Option<f64>) -> Found {
        let applied = [200.0, 1_000.0].map(|bytes| Applied { bytes, apply_us: 0.5, seal_us: 0.25 });
        let view = ViewCost { floors_us: 550.0, decide_us: 1.7, compile_us: 1.3, keys_us: 64.0, applied: applied.to_vec() };
        let run = |bytes, cpu_us| Run { bytes, frames: 1_000, seconds: 0.5, cpu_us };
        let way = Way {
            method: None,
            streams: true,
            recipients: 2,
            fields: vec![(Treatment::Keep, 3), (Treatment::Strip, 1)],
            view,
            runs: vec![run(200.0, 1_200), run(1_000.0, 2_000)],
            stream_bytes: Some(40_000),
        };
        Found {
            schema: "t.Frame".into(),
            recipient: "spiffe://a/b".into(),
            purpose: "dpv:ServiceProvision".into(),
            consent: "all".into(),
            frames: "made".into(),
            subjects: 8,
            batch: 64,
            headroom: 2.0,
            asked,
            idle_bytes: 40 << 20,
            connection_bytes: 20_000,
            ways: vec![way],
        }
    }

    #[test]
    fn the_table_of_loads_follows_from_the_line_through_the_costs() {
        let found = found(Some(50_000.0));
        let json = found.json();
        assert_eq!((&json["ways"][0]["fixed_us"], &json["ways"][0]["per_byte_us"]), (&json!(1.0), &json!(0.001)));
        let cores = json["cores"].as_array().expect("a list");
        assert_eq!(cores.len(), 5 * 2);
        for row in cores {
            let number = |key: &str| row[key].as_f64().expect(key);
            let expected = number("frames_per_s") * (1.0 + 0.001 * number("frame_bytes")) / 1e6 * 2.0;
            assert!((number("cores") - expected).abs() < 1e-5, "{row}");
        }
        assert!(
            found
                .text()
                .ends_with("0.12 cores for 50,000 frames/s of 200 bytes, native\n0.20 cores for 50,000 frames/s of 1,000 bytes, native"),
            "{}",
            found.text()
        );
    }

    #[test]
    fn shares_count_every_recipient() {
        let json = found(None).json();
        let sizes = &json["ways"][0]["sizes"];
        assert_eq!(
            (&sizes[1]["share_apply"], &sizes[1]["share_seal"], &sizes[1]["share_transport"]),
            (&json!(0.25), &json!(0.25), &json!(0.5))
        );
        assert_eq!((&sizes[0]["cpu_us_per_frame"], &sizes[0]["frames_per_s"]), (&json!(1.2), &json!(2_000.0)));
    }

    #[test]
    fn numbers_are_shown_with_two_digits_that_say_something() {
        assert_eq!([1_234.5, 12.3, 1.23, 0.123, 0.0123, 0.00012].map(significant), ["1,235", "12", "1.2", "0.12", "0.012", "0.0001"]);
        assert_eq!([9_000, 20_480, 52_428_800].map(size), ["9000 bytes", "20 KiB", "50 MiB"]);
    }
}
