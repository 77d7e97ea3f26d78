//! The gateway as an operator runs it: `twinveil serve` as a child process, with a [`World`] around it. What it takes up is read from
//! `/proc`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Folder, PATIENCE, World};

/// A gateway in a process of its own; it ends with the test.
pub(crate) struct Process {
    pub world: World,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Serves a folder.
    pub(crate) async fn start(folder: Folder) -> Self {
        Self::with(folder, Command::new(env!("CARGO_BIN_EXE_twinveil"))).await
    }

    /// The same on one processor, and this test on the others; where there is one only, as [`Self::start`].
    pub(crate) async fn pinned(folder: Folder) -> Self {
        let several = std::thread::available_parallelism().is_ok_and(|count| count.get() > 1);
        let pins = |args: &[&str]| Command::new("taskset").args(args).stdout(Stdio::null()).status().is_ok_and(|done| done.success());
        if !several || !pins(&["-a", "-c", "-p", "1-1023", &std::process::id().to_string()]) {
            return Self::start(folder).await;
        }
        let mut command = Command::new("taskset");
        command.args(["-c", "0", env!("CARGO_BIN_EXE_twinveil")]);
        Self::with(folder, command).await
    }

    async fn with(folder: Folder, mut command: Command) -> Self {
        let log = folder.join("gateway.log");
        command.args(["serve", "--config"]).arg(folder.join("twinveil.toml"));
        command.env("TWINVEIL_LISTEN", "127.0.0.1:0").env("TWINVEIL_HEALTH_LISTEN", "127.0.0.1:0").env("TWINVEIL_LOG", "info");
        command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let addresses = line.strip_prefix("listening on ").and_then(|rest| rest.trim_end().strip_suffix(')')?.split_once(" (health "));
        let Some((gate, health)) = addresses else {
            panic!("no addresses in `{line}`: {}", std::fs::read_to_string(&log).unwrap());
        };
        let (gate, health) = (gate.parse().unwrap(), health.parse().unwrap());
        Self { world: World::around(folder, gate, health).await, child, log }
    }

    /// Kills it, as a crash would: what it leaves behind.
    pub(crate) fn kill(mut self) -> Folder {
        let _already_gone = self.child.kill();
        let _already_waited = self.child.wait();
        std::mem::replace(&mut self.world.folder, Folder::new())
    }

    /// All it has logged.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Whether it lives, has not panicked, and has logged no error.
    #[track_caller]
    pub(crate) fn is_well(&mut self) {
        let said = self.said();
        assert!(self.child.try_wait().unwrap().is_none(), "it has ended: {said}");
        assert!(!said.contains("panicked") && !said.contains("ERROR"), "{said}");
    }

    fn status(&self, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Resident memory, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        self.status("VmRSS")
    }

    /// The most that was ever resident, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        self.status("VmHWM")
    }

    /// Watches what is resident until dropped.
    pub(crate) fn watch(&self) -> Watch {
        let (most, pid) = (Arc::new(AtomicU64::new(0)), self.child.id());
        let seen = Arc::clone(&most);
        let task = tokio::spawn(async move {
            while let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/status")) {
                let kib = text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
                seen.fetch_max(kib.unwrap_or(0), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        Watch { most, task }
    }
}

impl Process {
    /// Tells it to stop and waits until it has, for a while.
    #[expect(clippy::disallowed_methods, reason = "nothing else runs on this thread once its process is dropped")]
    fn end_well(&mut self) {
        let told = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).stderr(Stdio::null()).status();
        let patience = Instant::now() + PATIENCE;
        while told.as_ref().is_ok_and(|told| told.success()) && Instant::now() < patience && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Which regions of it were reached (`tests/coverage/run`) it writes down at its own end.
        if std::env::var_os("LLVM_PROFILE_FILE").is_some() {
            self.end_well();
        }
        let _already_gone = self.child.kill();
        let _already_waited = self.child.wait();
    }
}

/// What was resident at the most.
pub(crate) struct Watch {
    most: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Watch {
    pub(crate) fn most_kib(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
