//! The recordings of the shared data folder, judged by values that the test takes from the files itself.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use prost::Message;

use super::*;
use crate::proto::sample::{Modality, PatientFrame, TurbineFrame};

/// 2024-03-04T08:00:00Z.
const BASE_MS: i64 = 1_709_539_200_000;

/// The folder, or a loud word that the test did nothing.
fn data() -> Option<&'static Path> {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data"));
    let other = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
    let found = [dir, other].into_iter().find(|dir| dir.is_dir());
    if found.is_none() {
        // Past the harness, which would swallow it.
        let _ = writeln!(std::io::stderr(), "SKIPPED {}: no folder `{}`", std::thread::current().name().unwrap_or("?"), dir.display());
    }
    found
}

/// The rows of a plain file, by column. None of the files that use it has quotes.
fn rows(file: &Path) -> Vec<HashMap<String, String>> {
    let text = std::fs::read_to_string(file).expect("file");
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().expect("header").split(',').collect();
    lines.map(|line| header.iter().zip(line.split(',')).map(|(name, cell)| ((*name).to_owned(), cell.to_owned())).collect()).collect()
}

fn frames(dir: &Path, name: &str) -> Vec<Frame> {
    let (recordings, _) = Replay::open(dir).expect("opens");
    let recording = recordings.iter().find(|recording| recording.name() == name).unwrap_or_else(|| panic!("{name} is not mapped"));
    let frames: Vec<Frame> = recording.frames().expect("opens").collect::<Result<_, _>>().expect("reads");
    assert!(frames.windows(2).all(|pair| pair[0].at_ms <= pair[1].at_ms), "{name}: time order");
    let listed = recording.subjects().expect("subjects");
    let mut seen: Vec<String> = frames.iter().map(|frame| frame.subject.clone()).collect();
    seen.sort();
    seen.dedup();
    let mut sorted = listed;
    sorted.sort();
    assert_eq!(sorted, seen, "{name}: subjects");
    frames
}

fn patients(dir: &Path, name: &str) -> Vec<PatientFrame> {
    let frames = frames(dir, name);
    let typed: Vec<PatientFrame> = frames.iter().map(|frame| PatientFrame::decode(&frame.bytes[..]).expect("typed")).collect();
    for (i, (frame, typed)) in frames.iter().zip(&typed).enumerate() {
        assert_eq!((&frame.subject, frame.at_ms, i as u64 + 1), (&typed.patient_id, typed.captured_at_ms, typed.sequence));
    }
    typed
}

fn f32_of(row: &HashMap<String, String>, column: &str) -> f32 {
    row[column].parse().expect("number")
}

#[test]
fn every_recording_is_mapped_or_named() {
    let Some(dir) = data() else { return };
    let (recordings, unmapped) = Replay::open(dir).expect("opens");
    assert_eq!(unmapped, ["omh/datapoints.ndjson"]);
    assert_eq!(recordings.len(), 26);
    // A folder inside opens alone.
    let (alone, unmapped) = Replay::open(&dir.join("patients/mimic2-s00001")).expect("opens");
    assert_eq!((alone.len(), unmapped.len()), (3, 0));
    assert_eq!(alone[0].message(), "twinveil.sample.PatientFrame");
}

#[test]
fn waveforms_come_in_chunks_with_every_sample() {
    let Some(dir) = data() else { return };
    for (name, chunk, rate, channels) in [
        ("patients/cinc2015-a103l/ecg_ppg_250hz.csv", 63, 250.0, &["ecg_ii_mv", "ecg_v_mv", "pleth_nu"][..]),
        ("patients/heartpy-1/ppg_100hz.csv", 25, 100.0, &["ppg_adc"]),
        ("patients/mimic2-s00001/ecg_abp_125hz_13.csv", 32, 125.0, &["ecg_ii_mv", "ecg_v_mv", "abp_mmhg"]),
        ("patients/mimic2-s00001/ecg_abp_125hz_15.csv", 32, 125.0, &["ecg_ii_mv", "ecg_v_mv", "abp_mmhg"]),
        ("patients/mimicdb-037/wave_125hz.csv", 32, 125.0, &["abp_mmhg", "resp_mv"]),
        ("patients/mimicdb-037/wave_500hz.csv", 125, 500.0, &["ecg_mcl1_mv"]),
        ("patients/mitdb-100/ecg_360hz.csv", 90, 360.0, &["ecg_mlii_mv", "ecg_v5_mv"]),
        ("patients/welltory-ppg-01/ppg_camera.csv", 8, 0.0, &["ppg_red_level", "ppg_green_level", "ppg_blue_level"]),
        ("patients/welltory-ppg-05/ppg_camera.csv", 8, 0.0, &["ppg_red_level", "ppg_green_level", "ppg_blue_level"]),
        ("patients/welltory-ppg-09/ppg_camera.csv", 8, 0.0, &["ppg_red_level", "ppg_green_level", "ppg_blue_level"]),
    ] {
        let rows = rows(&dir.join(name));
        let frames = patients(dir, name);
        assert_eq!(frames.len(), rows.len().div_ceil(chunk), "{name}");
        for (frame, rows) in frames.iter().zip(rows.chunks(chunk)) {
            assert_eq!((frame.patient_id.as_str(), frame.modality()), (name.split('/').nth(1).expect("folder"), Modality::Waveform));
            assert_eq!(frame.waveforms.len(), channels.len(), "{name}");
            for (wave, channel) in frame.waveforms.iter().zip(channels) {
                assert_eq!((wave.channel.as_str(), wave.rate_hz), (*channel, rate));
                let want: Vec<f32> = rows.iter().map(|row| f32_of(row, channel)).collect();
                assert_eq!(wave.samples, want, "{name} {channel}");
            }
        }
        let ms = |row: &HashMap<String, String>| match row.get("t_s") {
            Some(seconds) => (seconds.parse::<f64>().expect("number") * 1e3).round() as i64,
            None => row["t_ms"].parse().expect("number"),
        };
        assert_eq!(frames[0].captured_at_ms, BASE_MS + ms(&rows[0]), "{name}");
        let last = rows.chunks(chunk).next_back().expect("rows");
        assert_eq!(frames[frames.len() - 1].captured_at_ms, BASE_MS + ms(&last[0]), "{name}");
    }
}

#[test]
fn vital_signs_of_a_monitor_lose_the_zeros_of_loose_sensors() {
    let Some(dir) = data() else { return };
    let rows = rows(&dir.join("patients/mimic2-s00001/vitals.csv"));
    let frames = patients(dir, "patients/mimic2-s00001/vitals.csv");
    assert_eq!(frames.len(), rows.len());
    for (frame, row) in frames.iter().zip(&rows) {
        let measured = |column: &str| row[column].parse::<f32>().ok().filter(|number| *number != 0.0);
        let vitals = frame.vitals.clone().unwrap_or_default();
        assert_eq!(vitals.heart_rate_bpm, measured("hr_bpm"));
        assert_eq!(vitals.spo2_pct, measured("spo2_pct"));
        assert_eq!(vitals.respiration_per_min, measured("resp_rate_per_min"));
        assert_eq!(vitals.systolic_mmhg, measured("abp_sys_mmhg").or(measured("nbp_sys_mmhg")));
        assert_eq!(vitals.mean_mmhg, measured("abp_mean_mmhg").or(measured("nbp_mean_mmhg")));
        assert_eq!((frame.modality(), frame.identity.as_ref().map(|identity| identity.sex.as_str())), (Modality::Monitor, Some("F")));
    }
    let last = &frames[frames.len() - 1];
    assert_eq!((last.vitals.is_none(), last.captured_at_ms), (true, BASE_MS + 116_100_000));
}

#[test]
fn beats_carry_their_intervals() {
    let Some(dir) = data() else { return };
    let name = "patients/mitdb-100/vitals_beats.csv";
    let (beats, frames) = (rows(&dir.join(name)), patients(dir, name));
    assert_eq!(frames.len(), beats.len());
    for (frame, row) in frames.iter().zip(&beats) {
        let vitals = frame.vitals.clone().unwrap_or_default();
        assert_eq!(vitals.heart_rate_bpm, row["hr_bpm"].parse().ok());
        assert_eq!(vitals.rr_ms, row["rr_s"].parse::<f64>().map(|seconds| (seconds * 1e3).round() as u32).into_iter().collect::<Vec<_>>());
    }
    for name in
        ["patients/welltory-ppg-01/vitals_rr.csv", "patients/welltory-ppg-05/vitals_rr.csv", "patients/welltory-ppg-09/vitals_rr.csv"]
    {
        let (beats, frames) = (rows(&dir.join(name)), patients(dir, name));
        assert_eq!(frames.len(), beats.len());
        let mut at_ms = BASE_MS;
        for (frame, row) in frames.iter().zip(&beats) {
            at_ms += row["rr_ms"].parse::<i64>().expect("number");
            let vitals = frame.vitals.clone().expect("vitals");
            assert_eq!(
                (frame.captured_at_ms, vitals.heart_rate_bpm, vitals.rr_ms),
                (at_ms, Some(f32_of(row, "hr_bpm")), vec![row["rr_ms"].parse().expect("number")])
            );
        }
    }
}

#[test]
fn tracks_carry_positions_and_the_device() {
    let Some(dir) = data() else { return };
    for (name, altitude, device) in [
        ("tracks/around-visnjan-with-car.csv", "ele_m", ""),
        ("tracks/cerknicko-jezero.csv", "ele_m", ""),
        ("tracks/sample-activity.csv", "alt_m", "3820987521"),
    ] {
        let (rows, frames) = (rows(&dir.join(name)), patients(dir, name));
        assert_eq!(frames.len(), rows.len());
        for (frame, row) in frames.iter().zip(&rows) {
            assert_eq!((frame.device_id.as_str(), format!("tracks/{}.csv", frame.patient_id)), (device, name.to_owned()));
            assert_eq!(frame.captured_at_ms, row["time_utc"].parse::<jiff::Timestamp>().expect("time").as_millisecond());
            let position = frame.position.unwrap_or_default();
            let number = |column: &str| row.get(column).and_then(|cell| cell.parse::<f64>().ok()).unwrap_or(0.0);
            assert_eq!((position.latitude, position.longitude), (number("lat_deg"), number("lon_deg")));
            assert_eq!(
                (position.altitude_m, position.speed_m_s),
                (f32_of(row, altitude), row.get("speed_m_s").map_or(0.0, |cell| cell.parse().expect("number")))
            );
            assert_eq!(
                frame.vitals.clone().and_then(|vitals| vitals.heart_rate_bpm),
                row.get("hr_bpm").map(|cell| cell.parse().expect("number"))
            );
            assert_eq!(
                frame.activity.and_then(|activity| activity.cadence_per_min),
                row.get("cadence_rpm").and_then(|cell| cell.parse().ok())
            );
        }
    }
}

#[test]
fn wearables_come_in_time_order_with_every_person() {
    let Some(dir) = data() else { return };
    let by_key = |name: &str, time: &str| {
        let mut rows = rows(&dir.join(name));
        rows.sort_by(|a, b| a[time].cmp(&b[time]));
        rows
    };
    let (days, frames) = (by_key("wearables/wearables.csv", "day"), patients(dir, "wearables/wearables.csv"));
    assert_eq!(frames.len(), days.len());
    for (frame, row) in frames.iter().zip(&days) {
        let activity = frame.activity.unwrap_or_default();
        assert_eq!(
            (&frame.patient_id, activity.steps, activity.distance_m),
            (&row["user_code"], row["steps_count"].parse().ok(), row["distance_m"].parse().ok())
        );
        assert_eq!(frame.captured_at_ms, format!("{}T00:00:00Z", row["day"]).parse::<jiff::Timestamp>().expect("day").as_millisecond());
    }
    let (measured, frames) =
        (by_key("wearables/blood_pressure.csv", "measurement_datetime"), patients(dir, "wearables/blood_pressure.csv"));
    assert_eq!(frames.len(), measured.len());
    for (frame, row) in frames.iter().zip(&measured) {
        let vitals = frame.vitals.clone().expect("vitals");
        assert_eq!(
            (&frame.patient_id, vitals.systolic_mmhg, vitals.diastolic_mmhg),
            (&row["user_code"], row["sys_mmhg"].parse().ok(), row["dia_mmhg"].parse().ok())
        );
        let at = format!("{}Z", row["measurement_datetime"].replace("  ", "T"));
        assert_eq!(frame.captured_at_ms, at.parse::<jiff::Timestamp>().expect("time").as_millisecond());
    }
    let (nights, frames) = (by_key("wearables/sleep.csv", "sleep_end"), patients(dir, "wearables/sleep.csv"));
    assert_eq!(frames.len(), nights.len());
    for (frame, row) in frames.iter().zip(&nights) {
        let slept = row["sleep_duration_s"].parse::<f64>().expect("number") as u32;
        assert_eq!((&frame.patient_id, frame.activity.and_then(|activity| activity.sleep_s)), (&row["user_code"], Some(slept)));
    }
    let frames = patients(dir, "wearables/hrv_measurements.csv");
    assert_eq!(frames.len(), 587);
    let first = frames[0].vitals.clone().expect("vitals");
    assert_eq!(&first.rr_ms[..4], [741, 740, 734, 737]);
    assert_eq!((first.rr_ms.len(), frames[0].patient_id.as_str(), first.heart_rate_bpm), (100, "01bad5a519", Some(78.0)));
}

#[test]
fn admissions_carry_who_somebody_is() {
    let Some(dir) = data() else { return };
    let (persons, frames) = (rows(&dir.join("identity/persons.csv")), patients(dir, "identity/persons.csv"));
    assert_eq!((frames.len(), persons.len()), (40, 40));
    for (frame, row) in frames.iter().zip(&persons) {
        let identity = frame.identity.clone().expect("identity");
        assert_eq!((&frame.patient_id, frame.captured_at_ms), (&row["id"], BASE_MS));
        assert_eq!((&identity.given_name, &identity.family_name, &identity.national_id), (&row["first"], &row["last"], &row["ssn"]));
        assert_eq!((&identity.passport, &identity.postcode, &identity.birth_date), (&row["passport"], &row["zip"], &row["birthdate"]));
        let position = frame.position.expect("position");
        assert_eq!((position.latitude.to_string(), position.longitude), (row["lat_deg"].clone(), row["lon_deg"].parse().expect("number")));
    }
}

#[test]
fn machines_carry_their_nameplate_and_their_rows() {
    let Some(dir) = data() else { return };
    for (asset, latitude) in [("turbine-R80711", 48.4569), ("turbine-R80721", 48.4497)] {
        let name = format!("assets/{asset}/telemetry.csv");
        let (rows, frames) = (rows(&dir.join(&name)), frames(dir, &name));
        assert_eq!(frames.len(), rows.len());
        for (frame, row) in frames.iter().zip(&rows) {
            let typed = TurbineFrame::decode(&frame.bytes[..]).expect("typed");
            assert_eq!(
                (typed.asset_id.as_str(), typed.captured_at_ms),
                (asset, row["time_local_iso"].parse::<jiff::Timestamp>().expect("time").as_millisecond())
            );
            let (condition, production) = (typed.condition.expect("condition"), typed.production.expect("production"));
            assert_eq!((condition.pitch_deg, condition.vane_deg), (f32_of(row, "pitch_angle_deg"), f32_of(row, "vane_position_deg")));
            assert_eq!(
                (production.active_power_kw, production.outdoor_c),
                (f32_of(row, "active_power_kw"), f32_of(row, "outdoor_temp_degc"))
            );
            let (nameplate, site) = (typed.nameplate.expect("nameplate"), typed.site.expect("site"));
            assert_eq!((nameplate.model.as_str(), nameplate.rated_power_kw, site.latitude), ("MM82", 2050.0, latitude));
        }
    }
    let name = "assets/pv-nrel-rsf2/telemetry.csv";
    let (rows, frames) = (rows(&dir.join(name)), frames(dir, name));
    assert_eq!(frames.len(), rows.len());
    let last = TurbineFrame::decode(&frames[frames.len() - 1].bytes[..]).expect("typed");
    assert_eq!(frames[0].at_ms, "2022-01-02T00:00:00-07:00".parse::<jiff::Timestamp>().expect("time").as_millisecond());
    assert_eq!(last.captured_at_ms, "2022-01-06T23:45:00-07:00".parse::<jiff::Timestamp>().expect("time").as_millisecond());
    let production = last.production.expect("production");
    assert_eq!(
        (production.wind_speed_m_s, production.outdoor_c),
        (f32_of(&rows[479], "wind_speed_m_s"), f32_of(&rows[479], "ambient_temp_degc"))
    );
}

/// A file of its own for one test.
fn recording(name: &str, text: &str, change: impl FnOnce(&mut MapArgs)) -> Result<Vec<Frame>, String> {
    let file = std::env::temp_dir().join(format!("twinveil-csv-{}-{name}.csv", std::process::id()));
    std::fs::write(&file, text).expect("file");
    let mut args = MapArgs {
        message: "twinveil.sample.PatientFrame".into(),
        descriptor: None,
        proto_paths: Vec::new(),
        subject_field: None,
        subject: Some("p".into()),
        subject_column: None,
        time_column: Some("t".into()),
        time_format: "seconds".into(),
        time_base: Some("1970-01-01T00:00:00Z".into()),
        utc_offset: None,
        maps: vec!["hr=vitals.heart_rate_bpm".into()],
        sets: Vec::new(),
        chunk: 1,
        sort: false,
    };
    change(&mut args);
    let read = args.recording(&file).and_then(|recording| recording.frames()?.collect());
    std::fs::remove_file(&file).expect("clean");
    read.map_err(|error| error.to_string().replace(&file.display().to_string(), "?"))
}

#[test]
fn options_map_columns_scale_them_and_set_fields() {
    let frames = recording("options", "t,who,hr,ecg\n0,a,60,1\n1,a,,2\n2,a,62,3\n3,b,63,4\n", |args| {
        args.subject = None;
        args.subject_column = Some("who".into());
        args.maps = vec!["hr*0.5=vitals.heart_rate_bpm".into(), "ecg=waveforms[channel=x].samples[]".into()];
        args.sets = vec!["waveforms[channel=x].rate_hz=2".into(), "note=a=b".into()];
        args.chunk = 2;
    })
    .expect("reads");
    let typed: Vec<PatientFrame> = frames.iter().map(|frame| PatientFrame::decode(&frame.bytes[..]).expect("typed")).collect();
    let seen: Vec<_> = typed
        .iter()
        .map(|frame| {
            (
                frame.patient_id.as_str(),
                frame.captured_at_ms,
                frame.vitals.clone().and_then(|vitals| vitals.heart_rate_bpm),
                frame.waveforms[0].samples.clone(),
            )
        })
        .collect();
    // A chunk never holds two persons.
    assert_eq!(seen, [("a", 0, Some(30.0), vec![1.0, 2.0]), ("a", 2_000, Some(31.0), vec![3.0]), ("b", 3_000, Some(31.5), vec![4.0])]);
    assert!(typed.iter().all(|frame| frame.note == "a=b" && frame.waveforms[0].rate_hz == 2.0));
}

#[test]
fn a_gap_in_a_waveform_keeps_its_place() {
    let text = "t,hr,ecg\n0,60,1\n1,60,\n2,60,3\n3,60,\n4,60,\n5,60,\n";
    let wave = |args: &mut MapArgs| {
        args.maps = vec!["ecg=waveforms[channel=x].samples[]".into()];
        args.chunk = 3;
    };
    let frames = recording("gap", text, wave).expect("reads");
    let [one, two] = &frames[..] else { panic!("two frames") };
    let samples = &PatientFrame::decode(&one.bytes[..]).expect("typed").waveforms[0].samples;
    assert!(samples[0] == 1.0 && samples[1].is_nan() && samples[2] == 3.0);
    assert!(PatientFrame::decode(&two.bytes[..]).expect("typed").waveforms.is_empty());
    let error = recording("gap-whole", text, |args| {
        args.maps = vec!["ecg=vitals.rr_ms[]".into()];
        args.chunk = 3;
    });
    assert_eq!(error, Err("`?`, line 2, column `ecg`: an empty cell inside a chunk; only floating-point lists can hold a gap".into()));
}

#[test]
fn a_bad_file_is_refused_where_it_is_bad_and_not_quoted() {
    for (name, text, says) in [
        ("number", "t,hr\n0,60\n1,secret\n", "`?`, line 3, column `hr`: not a finite number"),
        ("time", "t,hr\n0,60\nsecret,60\n", "`?`, line 3, column `t`: not a finite number"),
        ("order", "t,hr\n5,60\n4,60\n", "`?`, line 3: time goes backwards; sort the rows, or ask for them to be sorted"),
        ("cells", "t,hr\n0,60\n1,2,secret\n", "`?`, line 3: 3 cells where the header has 2"),
        ("column", "t,hrt\n0,60\n", "`?`, line 1: no column `hr`; did you mean `hrt`?"),
        ("twice", "t,hr,hr\n0,60,61\n", "`?`, line 1: two columns are called `hr`"),
        ("empty", "", "`?`, line 1: no column `hr`"),
    ] {
        assert_eq!(recording(name, text, |_| ()), Err(says.to_owned()));
    }
    let bytes = recording("utf8", "t,hr,note\n0,60,x\n", |args| args.maps.push("note=nothing".into())).expect_err("no field");
    assert!(bytes.contains("has no field `nothing`"), "{bytes}");
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let text = "t,hr\n0,60\n";
    for (change, says) in [
        ((|args| args.subject = None) as fn(&mut MapArgs), "name the subject"),
        (|args| args.time_column = None, "name the column with the time"),
        (|args| args.maps = Vec::new(), "say what the columns are"),
        (|args| args.maps = vec!["hr".into()], "`--map hr`: must be `COLUMN=FIELD`"),
        (|args| args.maps = vec!["hr*x=note".into()], "`--map hr*x=note`: must be"),
        (|args| args.sets = vec!["note".into()], "`--set note`: must be `FIELD=VALUE`"),
        (|args| args.sets = vec!["sequence=x".into()], "field `sequence` is set to `x`: not a finite number"),
        (|args| args.time_base = None, "needs the instant that it counts from"),
        (|args| args.descriptor = Some("/nonexistent".into()), "`/nonexistent` can't be read"),
        (|args| args.subject_field = Some("vitals".into()), "`vitals` is a message"),
        (|args| args.chunk = 0, "must be 1 to 65536"),
    ] {
        let error = recording("fit", text, change).expect_err(says);
        assert!(error.contains(says), "{error}");
    }
    assert_eq!(
        recording("sorted", "t,hr\n5,60\n4,61\n", |args| args.sort = true)
            .expect("sorted")
            .iter()
            .map(|frame| frame.at_ms)
            .collect::<Vec<_>>(),
        [4_000, 5_000]
    );
}
