//! Can the maker of a turbine recompute from what it gets what the operator holds back: how much it delivers, when people work at its
//! controls, where it stands? Recordings of a real turbine are replayed under two mandates, and somebody outside guesses.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use prost::Message;
use serde_json::Value;
use twinveil::cli::input::Replay;
use twinveil::proto::sample::{Action, Demand, TurbineFrame};
use twinveil::proto::v1::subscribe_response::Kind;
use twinveil::veil::consent::document::RuleDocument;
use twinveil::veil::consent::record::SignerRole;

use crate::harness::{Ask, Given, Sub, TURBINE, World, permit_category};

const MAINTENANCE: &str = "dpv:TechnicalServiceProvision";
const TURBINE_NAME: &str = "turbine-R80711";

/// What the README grants: the machine and its weather as they are, all else sealed.
fn weather_too() -> Vec<RuleDocument> {
    let kept = ["operation", "device", "environment"].map(|category| permit_category(category, "keep"));
    let sealed = ["site", "demand"].map(|category| permit_category(category, "encrypt"));
    [&kept[..], &[permit_category("time", "generalize")], &sealed].concat()
}

/// What `src/manual/assets.md` grants: the machine, coarse, and no weather.
fn machine_only() -> Vec<RuleDocument> {
    let coarse = ["operation", "time"].map(|category| permit_category(category, "generalize"));
    let sealed = ["site", "demand"].map(|category| permit_category(category, "encrypt"));
    [coarse, sealed].concat()
}

/// A month and more of one turbine, where there is one on this machine; `acts`: with what people at its controls might have done.
fn recorded(acts: bool) -> Option<Vec<TurbineFrame>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/assets");
    if !folder.exists() {
        eprintln!("SKIPPED: no recordings in `{}`", folder.display());
        return None;
    }
    let recordings = Replay::open(&folder).expect("mappings cover it").0;
    let recording = recordings.into_iter().find(|recording| recording.name().starts_with(TURBINE_NAME)).expect("a turbine");
    let frames = recording.frames().unwrap().map(|frame| TurbineFrame::decode(&frame.unwrap().bytes[..]).unwrap());
    Some(frames.map(|frame| if acts { at_work(frame) } else { frame }).collect())
}

/// Three shifts, with a crew of its own each, and a customer who orders by day.
fn at_work(mut frame: TurbineFrame) -> TurbineFrame {
    let hour = hour(&frame);
    let (crew, many) = match hour {
        6..14 => ("early", 3),
        14..22 => ("late", 2),
        _ => ("night", 0),
    };
    let act = |n: i64| Action {
        operator_id: format!("badge-{crew}-{n}"),
        command: "acknowledge".into(),
        at_ms: frame.captured_at_ms + n * 60_000,
    };
    frame.actions = (0..many).map(act).collect();
    let setpoint_kw = if (7..20).contains(&hour) { 1_500.0 } else { 500.0 };
    frame.demand = Some(Demand { customer: "mill".into(), setpoint_kw });
    frame
}

/// Of the day, where the turbine stands: one ahead of UTC in winter.
fn hour(frame: &TurbineFrame) -> i64 {
    (frame.captured_at_ms.div_euclid(3_600_000) + 1).rem_euclid(24)
}

/// What arrives at the vendor: the message that it can read, and how long the whole is on the wire.
struct Arrived {
    clear: Vec<u8>,
    bytes: usize,
}

impl Arrived {
    fn message(&self) -> TurbineFrame {
        TurbineFrame::decode(&self.clear[..]).unwrap()
    }
}

/// Replays under a mandate; what arrives, and what `twinveil risk` says of that mandate.
async fn replay(frames: &[TurbineFrame], mandate: Vec<RuleDocument>) -> (Vec<Arrived>, Vec<String>) {
    let world = World::start().await;
    let steward = world.wallet();
    world.enrol("windfarm", &frames[0].asset_id, &steward).await;
    let given = Given::to(&world, &["vendor"], MAINTENANCE).rules(mandate);
    let signed = world.signed(&world.holder_of("operator"), SignerRole::Operator, &given).await;
    let assessed = assessed(&world, &signed.to_json());
    world.submit(&signed).await.expect("a mandate is taken");
    let mut vendor: Sub = world.subscribe("vendor", Ask::of(TURBINE, MAINTENANCE)).await.keeping();
    let mut source = world.source("windfarm", TURBINE).await;
    let mut clear = Vec::new();
    for batch in frames.chunks(200) {
        let ack = source.send(batch).await;
        assert_eq!((ack.accepted as usize, ack.refused.len()), (clear.len() + batch.len(), 0));
        clear.extend(vendor.frames(batch.len()).await.into_iter().map(|frame| frame.clear));
    }
    let kept = vendor.kept.take().unwrap_or_default();
    let batches = kept.into_iter().filter_map(|message| if let Some(Kind::Batch(batch)) = message.kind { Some(batch) } else { None });
    let bytes: Vec<usize> = batches.flat_map(|batch| batch.frames).map(|frame| frame.message.len()).collect();
    assert_eq!(bytes.len(), clear.len());
    (clear.into_iter().zip(bytes).map(|(clear, bytes)| Arrived { clear, bytes }).collect(), assessed)
}

/// The rules that bite under a mandate.
fn assessed(world: &World, mandate: &str) -> Vec<String> {
    std::fs::write(world.folder.join("mandate.json"), mandate).unwrap();
    let words = [
        "risk",
        "--consent",
        "mandate.json",
        "--nothing-else",
        "--schema",
        TURBINE,
        "--to",
        "vendor",
        "--purpose",
        MAINTENANCE,
        "--output",
        "json",
    ];
    let ran = Command::new(env!("CARGO_BIN_EXE_twinveil")).args(words).current_dir(&world.folder.0).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let document: Value = serde_json::from_slice(&ran.stdout).unwrap();
    document["findings"].as_array().unwrap().iter().map(|finding| finding["rule"].as_str().unwrap().to_owned()).collect()
}

/// Everything that a received message says in numbers.
fn features(frame: &TurbineFrame) -> [f64; 8] {
    let condition = frame.condition.clone().unwrap_or_default();
    let production = frame.production.unwrap_or_default();
    let numbers = [
        condition.pitch_deg,
        condition.nacelle_deg,
        condition.vane_deg,
        production.active_power_kw,
        production.wind_speed_m_s,
        production.wind_direction_deg,
        production.outdoor_c,
    ];
    let [pitch, nacelle, vane, power, wind, direction, outdoor] = numbers.map(f64::from);
    [pitch, nacelle, vane, power, wind, direction, outdoor, hour(frame) as f64]
}

/// How much of what is hidden somebody explains who knows it for every other week, from the rest of what arrives in the weeks between:
/// the best guess by any one number or two, at three widths. 1: all of it; 0 or less: no better than the mean.
fn explained(arrived: &[TurbineFrame], times: &[i64], hidden: &[f64]) -> f64 {
    let rows: Vec<[f64; 8]> = arrived.iter().map(features).collect();
    let is_odd = |at: usize| times[at].div_euclid(7 * 86_400_000) % 2 == 1;
    let mut best = f64::MIN;
    for one in 0..8 {
        for other in one..8 {
            for width in [0.5, 2.0, 10.0] {
                let cell = |row: &[f64; 8]| [one, other].map(|at| (row[at] / width).floor() as i64);
                // Both ways round: a lucky half is no knowledge.
                let halves = [false, true].map(|learned| by_cells(&rows, hidden, cell, |at| is_odd(at) == learned));
                best = best.max(halves[0].min(halves[1]));
            }
        }
    }
    best
}

/// What is explained where `learned` is not so, by the means of cells where it is.
fn by_cells(rows: &[[f64; 8]], hidden: &[f64], cell: impl Fn(&[f64; 8]) -> [i64; 2], learned: impl Fn(usize) -> bool) -> f64 {
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    let mut cells: HashMap<[i64; 2], Vec<f64>> = HashMap::new();
    let (mut known, mut asked) = (Vec::new(), Vec::new());
    for (at, row) in rows.iter().enumerate() {
        match learned(at) {
            true => {
                cells.entry(cell(row)).or_default().push(hidden[at]);
                known.push(hidden[at]);
            }
            false => asked.push(at),
        }
    }
    let overall = mean(&known);
    let cells: HashMap<[i64; 2], f64> = cells.into_iter().map(|(cell, values)| (cell, mean(&values))).collect();
    let truth: Vec<f64> = asked.iter().map(|at| hidden[*at]).collect();
    let centre = mean(&truth);
    let off: f64 = asked.iter().map(|at| (hidden[*at] - cells.get(&cell(&rows[*at])).unwrap_or(&overall)).powi(2)).sum();
    1.0 - off / truth.iter().map(|value| (value - centre).powi(2)).sum::<f64>()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_load_nor_shifts_nor_the_site_come_out_of_what_a_vendor_gets() {
    let (Some(frames), Some(at_work)) = (recorded(false), recorded(true)) else { return };
    let times: Vec<i64> = frames.iter().map(|frame| frame.captured_at_ms).collect();
    let load: Vec<f64> = frames.iter().map(|frame| f64::from(frame.production.unwrap_or_default().active_power_kw)).collect();
    let messages = |arrived: &[Arrived]| arrived.iter().map(Arrived::message).collect::<Vec<_>>();

    // Load. Hidden under both mandates; with the wind in what arrives it can be computed all the same, and the assessment says so.
    let (weather, said) = replay(&frames, weather_too()).await;
    assert!(messages(&weather).iter().all(|frame| frame.production.is_none_or(|production| production.active_power_kw == 0.0)));
    let with_wind = explained(&messages(&weather), &times, &load);
    assert!(with_wind > 0.9, "the guess is good where there is something to go by: {with_wind}");
    assert!(said.contains(&"load-from-wind".to_owned()) && said.contains(&"weather-is-the-site".to_owned()), "{said:?}");
    let (machine, said) = replay(&frames, machine_only()).await;
    let without = explained(&messages(&machine), &times, &load);
    println!("of the load, what arrives explains {with_wind:.2} with the weather and {without:.2} without");
    // Pitch by the degree says when it stands still, and little more.
    assert!(without < 0.4, "{without} of the load is explained");
    assert_eq!(said, Vec::<String>::new());

    // Shifts. Whatever people do at the controls, and whatever is ordered: byte for byte the same arrives, in as many bytes.
    let (busy, _) = replay(&at_work, machine_only()).await;
    let crew: Vec<f64> = at_work.iter().map(|frame| frame.actions.len() as f64).collect();
    assert!(crew.contains(&0.0) && crew.contains(&3.0));
    for ((quiet, busy), sent) in machine.iter().zip(&busy).zip(&at_work) {
        assert_eq!(quiet.clear, busy.clear, "at {} ms", sent.captured_at_ms);
    }
    assert!(messages(&busy).iter().all(|frame| frame.actions.is_empty() && frame.demand.is_none()));
    // An order is sealed, and as long as any other: what grows is the counter of frames in front of it, and no hour is in that.
    let lengths: Vec<usize> = busy.iter().map(|frame| frame.bytes - frame.clear.len()).collect();
    assert!(lengths.is_sorted() && lengths.last() <= lengths.first().map(|first| first + 2).as_ref(), "{lengths:?}");

    // The site. Neither where nor which.
    for arrived in machine.iter().chain(&busy) {
        let message = arrived.message();
        assert!(message.site.is_none() && message.asset_id.is_empty());
    }
    let site = frames[0].site.clone().expect("recorded");
    let traces = [site.name.as_bytes().to_vec(), site.latitude.to_le_bytes().to_vec(), site.longitude.to_le_bytes().to_vec()];
    for trace in &traces {
        assert!(frames[0].encode_to_vec().windows(trace.len()).any(|window| window == trace), "looked for in the wrong form");
        assert!(!machine.iter().chain(&busy).any(|arrived| arrived.clear.windows(trace.len()).any(|window| window == trace)));
    }
}
