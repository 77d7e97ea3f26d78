//! The OpenTelemetry SDK for Python in front of the gateway and a collector behind it that prints all it gets: with the side files
//! in the program nobody is named at any level, and every measurement is what it is without the gateway.

use std::net::SocketAddr;
use std::process::Command;

use super::{Ended, Running, free, packaged, run, script};
use crate::foreign::otlp::{LOGS, METRICS, TRACES};
use crate::foreign::published;
use crate::harness::{Folder, Given, World, made_folder};
use crate::proxy::{CARE, calling};

const SIGNALS: [(&str, &str, &str); 3] =
    [("trace.v1.TraceService", "traces", TRACES), ("metrics.v1.MetricsService", "metrics", METRICS), ("logs.v1.LogsService", "logs", LOGS)];

/// What classifies as whom it is about, and may go as a pseudonym at the most.
const STAND_INS: [&str; 3] = ["user.id", "enduser.id", "client.address"];

/// A collector that prints.
struct Rotel {
    at: SocketAddr,
    running: Running,
    _folder: Folder,
}

impl Rotel {
    async fn start() -> Option<Self> {
        let mut rotel = packaged("rotel", |environment| {
            let versions = std::fs::read_dir(environment.join("lib")).unwrap();
            let places = versions.map(|version| version.unwrap().path().join("site-packages/rotel/rotel-agent"));
            places.into_iter().find(|place| place.is_file()).unwrap_or_default()
        })?;
        let (folder, at) = (Folder::new(), free());
        rotel.args(["start", "--otlp-grpc-endpoint", &at.to_string(), "--otlp-http-endpoint", &free().to_string()]);
        rotel.args(["--exporter", "blackhole", "--debug-log-verbosity", "detailed"]);
        rotel.args(["--debug-log", "traces", "--debug-log", "metrics", "--debug-log", "logs"]);
        rotel.arg("--pid-file").arg(folder.join("pid")).arg("--log-file").arg(folder.join("log"));
        let mut running = Running::start(rotel);
        running.listens(at).await;
        Some(Self { at, running, _folder: folder })
    }

    /// What it printed of one run of the program, its last metrics included.
    async fn printed(&mut self, program: Command) -> String {
        let before = self.running.said().len();
        let Ended { code, out, err } = run(program);
        // The SDK reports nothing: no failed export, no retry, nothing dropped.
        assert_eq!((code, &*out, &*err), (Some(0), "trace True\nmetrics True\nlogs True\ndone\n", ""));
        let all = |said: &str| {
            let found = |what| said[before..].matches(what).count();
            (found("Value: 21.75") == 2 && found("LogRecord #0") == 1 && found("SpanLink #0") == 1).then(|| said[before..].to_owned())
        };
        self.running.heard("everything that was exported", all).await
    }
}

/// A gateway in front of it; programs call with the clinician's certificate, and are what their telemetry is about.
async fn gateway(rotel: SocketAddr) -> Option<World> {
    let set = published("opentelemetry/descriptor.binpb")?;
    let folder = made_folder();
    std::fs::write(folder.join("otlp.binpb"), &set).unwrap();
    let policy = folder.join("policy.cedar");
    let rule =
        "@id(\"telemetry\") permit (principal, action == Action::\"keep\", resource) when { resource.schema like \"opentelemetry.*\" };\n";
    std::fs::write(&policy, std::fs::read_to_string(&policy).unwrap() + rule).unwrap();
    let file = folder.join("twinveil.toml");
    let mut text = calling(&folder, &std::fs::read_to_string(&file).unwrap());
    text += &format!("\n[[upstream]]\nname = \"collector\"\naddresses = [\"{rotel}\"]\nparty = \"hospital\"\ninsecure = true\n");
    for (service, name, side) in SIGNALS {
        std::fs::write(folder.join(&format!("{name}.toml")), side).unwrap();
        text += &format!(
            "[[route]]\nmethods = \"opentelemetry.proto.collector.{service}\"\nupstream = \"collector\"\ndescriptor = \"otlp.binpb\"\n\
             side_file = \"{name}.toml\"\npurpose = \"{CARE}\"\nsubject = \"certificate\"\n"
        );
    }
    std::fs::write(&file, text).unwrap();
    Some(World::at(folder, Default::default()).await.unwrap_or_else(|error| panic!("{error}")))
}

/// Lines that are the same in every run: without numbers of time and chance.
fn lasting(printed: &str) -> Vec<String> {
    let mut inside = false;
    let mut kept = Vec::new();
    for line in printed.lines() {
        // A traceback has lines of its own.
        inside = (inside || line.contains("exception.stacktrace")) && line != ")";
        let word =
            |word: &str| if word.len() >= 15 && word.bytes().all(|b| b.is_ascii_hexdigit()) { "#".to_owned() } else { word.to_owned() };
        if !inside && line != ")" {
            kept.push(line.split(' ').map(word).collect::<Vec<_>>().join(" "));
        }
    }
    kept
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn telemetry_of_an_instrumented_program_names_nobody_and_measures_what_it_measured() {
    let Some(mut rotel) = Rotel::start().await else { return };
    let Some(world) = gateway(rotel.at).await else { return };
    world.mandate(&Given::to(&world, &["hospital", "clinician"], CARE)).await;
    let program = |args: &[&dyn AsRef<std::ffi::OsStr>]| script("otlp_client.py", args).expect("asked for before");
    let (direct, gate, certs) = (format!("http://{}", rotel.at), format!("localhost:{}", world.gate.port()), world.folder.join("certs"));
    let named = rotel.printed(program(&[&direct])).await;
    let nobody = rotel.printed(program(&[&gate, &certs])).await;
    assert!(named.matches("canary").count() > 100 && !nobody.contains("canary"), "{nobody}");
    // Text and who it is about are gone, and nothing else is.
    let personal = |line: &String| line.contains("canary") || line.contains("exception.escaped");
    let expected: Vec<_> = lasting(&named).into_iter().filter(|line| !personal(line)).collect();
    let found: Vec<_> =
        lasting(&nobody).into_iter().filter(|line| !["    Status message : ", "Body: Empty"].contains(&line.as_str())).collect();
    assert_eq!(found, expected, "{nobody}");
    // Whoever the certificate is of agrees: now the same person is the same everywhere, and still nobody.
    let person = world.wallet();
    world.enrol("clinician", world.spiffe("clinician").as_str(), &person).await;
    world.grant(&person, &Given::to(&world, &["hospital"], CARE)).await;
    let stand_ins = rotel.printed(program(&[&gate, &certs])).await;
    assert!(!stand_ins.contains("canary"), "{stand_ins}");
    for key in STAND_INS {
        let made: Vec<_> = stand_ins.lines().filter_map(|line| line.split_once(&format!("-> {key}: Str("))).map(|(_, made)| made).collect();
        assert!(made.len() == named.matches(&format!("-> {key}: ")).count() && made.iter().all(|made| made.len() == 27), "{key}: {made:?}");
    }
}
