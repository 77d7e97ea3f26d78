//! Does `twinveil demo` do what it says: stream, withdraw, count, and leave nothing behind?

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A folder of this test's own that stands in for the system's temporary one.
fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("twinveil-demo-test-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn demo(temporary: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twinveil"));
    command.arg("demo").args(words).env("TMPDIR", temporary).env_remove("TWINVEIL_LOG").stdin(Stdio::null());
    command
}

/// What the last line of standard output says, and that nothing was left behind.
fn report(output: Output, temporary: PathBuf) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {errors}", output.status);
    let left: Vec<_> = std::fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
    std::fs::remove_dir_all(temporary).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

fn of<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["recipients"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap()
}

fn number(row: &Value, key: &str) -> u64 {
    row[key].as_u64().unwrap_or_else(|| panic!("`{key}` of {row}"))
}

#[test]
fn everybody_gets_what_was_allowed_and_nothing_after_a_withdrawal() {
    let temporary = folder("all");
    let report = report(demo(&temporary, &["--seconds", "4", "--output", "json"]).output().unwrap(), temporary);
    let names: Vec<&str> = report["recipients"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["clinician", "researcher", "renderer", "vendor", "advertiser"]);
    for row in report["recipients"].as_array().unwrap() {
        assert_eq!(row.as_object().unwrap().len(), 8, "{row}");
        assert!(number(row, "frames") > 0, "{row}");
        assert_eq!(number(row, "frames_after_withdrawal"), 0, "{row}");
    }
    let frames_in = report["frames_in"].as_u64().unwrap();
    let (clinician, vendor) = (of(&report, "clinician"), of(&report, "vendor"));
    assert!(number(clinician, "frames") + number(vendor, "frames") < frames_in, "what was withdrawn is not delivered");
    assert!(number(of(&report, "advertiser"), "frames") < number(clinician, "frames"), "not everybody allows the advertiser something");
    assert!(number(of(&report, "researcher"), "encrypted") > 0 && number(vendor, "encrypted") > 0);
    assert!(number(of(&report, "advertiser"), "stripped") > 0 && number(of(&report, "advertiser"), "kept") == 0);
    assert_eq!((number(clinician, "stripped"), number(clinician, "encrypted"), number(clinician, "generalized")), (0, 0, 0));
    // Every frame of the renderer has a number of the patient and a time, and no more of it is pseudonymized or kept.
    let renderer = of(&report, "renderer");
    assert_eq!((number(renderer, "pseudonymized"), number(renderer, "kept")), (number(renderer, "frames"), number(renderer, "frames")));
    // The same frames, so the same instances.
    let all =
        |row: &Value| ["kept", "generalized", "pseudonymized", "encrypted", "stripped"].map(|key| number(row, key)).iter().sum::<u64>();
    if number(clinician, "frames") == number(renderer, "frames") {
        assert_eq!(all(clinician), all(renderer));
    }
    if cfg!(target_os = "linux") {
        assert!(report["cpu_us_per_frame"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn recordings_play_again_and_again() {
    let (temporary, data) = (folder("played"), folder("data"));
    std::fs::create_dir_all(data.join("tracks")).unwrap();
    let rows = "time_utc,lat_deg,lon_deg,ele_m\n2024-03-04T08:00:00Z,48.2,16.3,200\n2024-03-04T08:00:01Z,48.3,16.4,201\n";
    for file in ["tracks/ann.csv", "tracks/bob.csv", "tracks/eve.csv", "unknown.csv"] {
        std::fs::write(data.join(file), rows).unwrap();
    }
    let output = demo(&temporary, &["--seconds", "2", "--rate", "50", "--output", "json", "--data"]).arg(&data).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("`unknown.csv`: no mapping") && errors.contains("TurbineFrame`; made-up ones"), "{errors}");
    let report = report(output, temporary);
    let clinician = of(&report, "clinician");
    let frames = number(clinician, "frames");
    assert!(frames > 6, "more than the files have");
    // A row of a track is a name, a number, a time, a modality, and a place with a height. All but the name are kept.
    assert_eq!((number(clinician, "pseudonymized"), number(clinician, "kept"), number(clinician, "stripped")), (frames, 6 * frames, 0));
    std::fs::remove_dir_all(data).unwrap();
}

#[cfg(unix)]
#[test]
fn an_interrupted_demo_cleans_up() {
    let temporary = folder("interrupted");
    let mut child = demo(&temporary, &["--seconds", "60"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Streams run once the first recipient is told of.
    assert!(lines.any(|line| line.is_ok_and(|line| line.contains("are listening"))));
    assert!(Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap().success());
    drop(lines);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).trim()), (Some(3), "twinveil: interrupted"));
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    std::fs::remove_dir_all(temporary).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_gateway_that_dies_is_told_and_its_log_stays() {
    let temporary = folder("died");
    let mut child =
        demo(&temporary, &["--seconds", "60", "--output", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    // For programs, what happens is said on standard error.
    assert!(lines.any(|line| line.is_ok_and(|line| line.contains("are listening"))));
    let gateways = children_of(child.id());
    assert_eq!(gateways.len(), 1);
    assert!(Command::new("kill").arg("-KILL").args(gateways).status().unwrap().success());
    let errors: Vec<String> = lines.map(Result::unwrap).collect();
    let errors = errors.join("\n");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(output.stdout.is_empty());
    assert!(errors.contains("twinveil: the gateway ended by itself (signal: 9 (SIGKILL))"), "{errors}");
    let log = errors.rsplit_once("its log is `").and_then(|(_, rest)| rest.split_once('`')).expect("named").0;
    assert!(Path::new(log).is_file());
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 1, "keys are gone");
    std::fs::remove_dir_all(temporary).unwrap();
}

/// The processes that a process has started, whichever of its threads did.
#[cfg(target_os = "linux")]
fn children_of(process: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    children.flat_map(|children| children.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}
