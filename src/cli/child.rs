//! A gateway of a command's own: `twinveil serve` as a process, in a folder that is filled for it and goes with it; and what that process
//! costs.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::interrupted::Interrupted;
use super::{CliError, plain};
use crate::veil::crypto::secret::Secret;
use crate::world::entropy;

/// A gateway starts within this time.
const START_MAX: Duration = Duration::from_secs(30);
/// A gateway ends within this time: it gives open calls five seconds.
const STOP_MAX: Duration = Duration::from_secs(15);
/// When a connection breaks because its gateway is gone, that is known within this time.
const DIE_MAX: Duration = Duration::from_millis(500);
/// What Linux has counted process time in for decades (`getconf CLK_TCK`).
const TICKS_PER_SECOND: u64 = 100;

/// The folder with the gateway's configuration, keys and store. It goes when this is dropped, unless it was asked for.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    /// Fills `keep`, or a folder that only we can look into and that does not stay.
    pub(super) fn make<T>(keep: Option<&Path>, fill: impl FnOnce(&Path) -> Result<T, CliError>) -> Result<(Self, T), CliError> {
        let folder = match keep {
            Some(path) => Self { path: path.to_owned(), keep: true },
            None => Self { path: private_folder()?, keep: false },
        };
        let filled = fill(&folder.path)?;
        Ok((folder, filled))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn log(&self) -> PathBuf {
        self.path.join("serve.log")
    }

    /// Where the gateway's log can still be read after the folder is gone.
    fn rescue_log(&self) -> PathBuf {
        if self.keep {
            return self.log();
        }
        let mut name = self.path.clone().into_os_string();
        name.push(".log");
        match std::fs::copy(self.log(), &name) {
            Ok(_) => name.into(),
            Err(_) => self.log(),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep && std::fs::remove_dir_all(&self.path).is_err() {
            super::complain(format_args!("twinveil: `{}` could not be removed; it holds keys: remove it", self.path.display()));
        }
    }
}

fn private_folder() -> Result<PathBuf, CliError> {
    let name = data_encoding::HEXLOWER.encode(Secret::<8>::random(&mut entropy()).expose());
    let path = std::env::temp_dir().join(format!("twinveil-{name}"));
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&path).map_err(|error| CliError::broken(format!("`{}` can't be made: {}", path.display(), error.kind())))?;
    Ok(path)
}

/// A gateway that listens.
#[derive(Debug)]
pub(super) struct Gateway {
    child: Child,
    address: String,
    folder: Folder,
}

impl Gateway {
    /// Starts it on a free port of this machine and waits until it listens. One that does not, or whose command is told to end before, is
    /// gone when this answers: its folder goes next.
    pub(super) async fn start(folder: Folder, interrupted: &Interrupted) -> Result<Self, CliError> {
        let program =
            std::env::current_exe().map_err(|error| CliError::broken(format!("this program does not find itself: {}", error.kind())))?;
        let log = folder.log();
        let file = std::fs::File::create(&log)
            .map_err(|error| CliError::broken(format!("`{}` can't be made: {}", log.display(), error.kind())))?;
        let mut command = Command::new(program);
        command
            .arg("serve")
            .arg("--config")
            .arg(folder.path.join("twinveil.toml"))
            .env("TWINVEIL_LISTEN", "127.0.0.1:0")
            .env("TWINVEIL_HEALTH_LISTEN", "127.0.0.1:0")
            .env_remove("TWINVEIL_STORE_DIR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true);
        // Ctrl-C is for the command, which tells the gateway.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| CliError::broken(format!("the gateway can't be started: {}", error.kind())))?;
        let Some(stdout) = child.stdout.take() else { return Err(CliError::broken("the gateway has no standard output")) };
        let mut lines = BufReader::new(stdout).lines();
        let said = tokio::select! {
            said = tokio::time::timeout(START_MAX, lines.next_line()) => Ok(said.ok().and_then(Result::ok).flatten()),
            ended = interrupted.wait() => Err(ended),
        };
        if let Ok(Some(address)) = said.as_ref().map(|line| line.as_deref().and_then(address)) {
            return Ok(Self { child, address: address.to_owned(), folder });
        }
        let _gone = child.kill().await;
        said?;
        Err(CliError::broken(format!("the gateway does not start{}", last_words(&folder))))
    }

    /// Where it listens.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Its folder.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process.
    pub(super) fn process(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it ends by itself, which it should not.
    pub(super) async fn died(&mut self) -> CliError {
        let how = match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.kind().to_string(),
        };
        CliError::broken(format!("the gateway ended by itself ({how}){}", last_words(&self.folder)))
    }

    /// Whether it ended by itself just now; why.
    pub(super) async fn died_meanwhile(&mut self) -> Option<CliError> {
        tokio::time::timeout(DIE_MAX, self.died()).await.ok()
    }

    /// Tells it to stop, as an operator would, and waits until it did.
    pub(super) async fn stop(mut self) -> Result<(), CliError> {
        if let Ok(None) = self.child.try_wait() {
            self.tell_to_stop().await;
        }
        match tokio::time::timeout(STOP_MAX, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(CliError::broken(format!("the gateway did not end well ({status}){}", last_words(&self.folder)))),
            Ok(Err(error)) => Err(CliError::broken(format!("nobody knows how the gateway ended: {}", error.kind()))),
            Err(_) => {
                // Killed when it is dropped, too; this waits until it is gone.
                let _gone = self.child.kill().await;
                Err(CliError::broken(format!(
                    "the gateway did not end in {} s and was killed{}",
                    STOP_MAX.as_secs(),
                    last_words(&self.folder)
                )))
            }
        }
    }

    #[cfg(unix)]
    async fn tell_to_stop(&mut self) {
        let Some(process) = self.child.id() else { return };
        let told = Command::new("kill").arg("-TERM").arg(process.to_string()).stderr(Stdio::null()).status().await;
        if !told.is_ok_and(|status| status.success()) {
            // Without `kill` there is no gentle way.
            let _gone = self.child.start_kill();
        }
    }

    #[cfg(not(unix))]
    async fn tell_to_stop(&mut self) {
        let _gone = self.child.start_kill();
    }
}

/// The address in `listening on ADDR (health ADDR)`.
fn address(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("listening on ")?;
    rest.split_once(' ').map(|(address, _)| address).filter(|address| address.contains(':'))
}

/// The end of the gateway's log, and where the rest of it is.
fn last_words(folder: &Folder) -> String {
    let log = folder.rescue_log();
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).map(|line| format!(": {}", plain(line)));
    format!("{}; its log is `{}`", last.unwrap_or_default(), log.display())
}

/// The processor time that a process has used, in microseconds: its own and the kernel's for it. `None` where there is no
/// `/proc` (proc_pid_stat(5)).
pub(super) fn cpu_us(process: u32) -> Option<u64> {
    stat_us(&std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

fn stat_us(stat: &str) -> Option<u64> {
    // The name in parentheses may hold anything, also parentheses and blanks.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    Some((user + system) * (1_000_000 / TICKS_PER_SECOND))
}

/// The memory of a process that is in use, in bytes (`VmRSS` of proc_pid_status(5)). `None` where there is no `/proc`.
pub(super) fn resident_bytes(process: u32) -> Option<u64> {
    status_bytes(&std::fs::read_to_string(format!("/proc/{process}/status")).ok()?)
}

fn status_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::init::fill_folder;

    fn made(keep: Option<&Path>) -> Result<Folder, CliError> {
        Folder::make(keep, fill_folder).map(|(folder, _)| folder)
    }

    #[test]
    fn memory_in_use_is_read_in_bytes() {
        assert_eq!(status_bytes("Name:\ttwinveil\nVmHWM:\t  900 kB\nVmRSS:\t     512 kB\n"), Some(524_288));
        assert_eq!(status_bytes("Name:\ttwinveil\n"), None);
        if cfg!(target_os = "linux") {
            assert!(resident_bytes(std::process::id()).is_some());
        }
    }

    #[test]
    fn the_line_of_a_gateway_names_its_address() {
        assert_eq!(address("listening on 127.0.0.1:39000 (health 127.0.0.1:39001)"), Some("127.0.0.1:39000"));
        assert_eq!(address("listening on somewhere (health x)"), None);
        assert_eq!(address("twinveil: TV-O01: can't listen"), None);
    }

    #[test]
    fn processor_time_is_the_process_and_the_kernel_together() {
        let stat = "4242 (twin) veil (x) S 1 4242 4242 0 -1 4194560 2030 0 0 0 150 50 7 9 20 0 9 0 123 456 789";
        assert_eq!(stat_us(stat), Some(2_000_000));
        assert_eq!(stat_us("4242 (twinveil) S 1"), None);
        assert_eq!(stat_us(""), None);
        if cfg!(target_os = "linux") {
            assert!(cpu_us(std::process::id()).is_some());
        }
    }

    #[test]
    fn a_folder_goes_unless_it_was_asked_for() {
        let folder = made(None).expect("made");
        let path = folder.path().to_owned();
        assert!(path.join("twinveil.toml").exists());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o700);
        }
        drop(folder);
        assert!(!path.exists());
        drop(made(Some(&path)).expect("made"));
        assert!(path.join("twinveil.toml").exists());
        assert!(made(Some(&path)).is_err(), "not empty");
        std::fs::remove_dir_all(&path).expect("own folder");
    }

    #[test]
    fn the_log_outlives_the_folder() {
        let folder = made(None).expect("made");
        std::fs::write(folder.log(), "first\nthe last word\n\n").expect("own folder");
        let words = last_words(&folder);
        drop(folder);
        let (_, path) = words.split_once("its log is `").expect("named");
        let path = path.trim_end_matches('`');
        assert!(words.starts_with(": the last word; "));
        assert!(std::fs::read_to_string(path).expect("rescued").contains("first"));
        std::fs::remove_file(path).expect("own file");
    }
}
