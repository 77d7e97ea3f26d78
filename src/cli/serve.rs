//! `twinveil serve`: the gateway, until it is told to stop.

use std::path::PathBuf;
use std::sync::Arc;

use super::{CliError, say};
use crate::config::Config;
use crate::hardening;
use crate::server::{Gateway, Reloader, Sockets};
use crate::stop::{Stopper, stop};
use crate::telemetry;
use crate::world::Clock;

/// Run the gateway.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  twinveil serve --config demo/twinveil.toml
  TWINVEIL_LISTEN=127.0.0.1:0 TWINVEIL_LOG=debug twinveil serve --config demo/twinveil.toml

When it listens it prints one line with the real addresses. SIGTERM and SIGINT end it: open calls get \
`limits.drain_ms_max`, five seconds by default. SIGHUP, and a change of the configuration or of a file that it names, reload it while streams go on; what is not good is refused, and \
what was stays. \
TWINVEIL_LISTEN, TWINVEIL_HEALTH_LISTEN and TWINVEIL_STORE_DIR override the configuration; TWINVEIL_LOG says how much is \
logged on standard error (error, warn, info, debug, trace); libraries stay at warn.")]
pub struct Args {
    /// The configuration, as `twinveil init` writes one
    #[arg(long, value_name = "FILE", default_value = "twinveil.toml")]
    pub config: PathBuf,
}

/// Serves until a signal comes.
pub fn run(args: Args) -> Result<(), CliError> {
    // Before a key is read.
    hardening::no_core_dumps().map_err(CliError::broken)?;
    telemetry::start_log();
    let config = Config::load(&args.config).map_err(CliError::broken)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| CliError::broken(format!("no runtime: {}", error.kind())))?.block_on(serve(config, args.config))
}

async fn serve(config: Config, file: PathBuf) -> Result<(), CliError> {
    let (stopper, stop) = stop();
    // Heard before anything is open, so that no signal is missed on the way.
    let signals = signals(stopper)?;
    let hangups = hangups()?;
    let sockets = Sockets::bind(&config).await.map_err(CliError::broken)?;
    let address = |listener: &tokio::net::TcpListener| {
        listener.local_addr().map_err(|error| CliError::broken(format!("a socket has no address: {}", error.kind())))
    };
    let (gate, health) = (address(&sockets.gate)?, address(&sockets.health)?);
    let gateway = Gateway::open(config, Arc::new(Clock::new())).map_err(CliError::broken)?;
    let path = file.clone();
    let reloader = Arc::new(gateway.reloader(move || Config::load(&path)));
    say(format_args!("listening on {gate} (health {health})"))?;
    let tasks = [tokio::spawn(Arc::clone(&reloader).watch(file, stop.clone())), tokio::spawn(hangups.ask(reloader))];
    gateway.serve(sockets, stop).await;
    for task in tasks.into_iter().chain([signals]) {
        task.abort();
    }
    Ok(())
}

/// SIGHUP, which asks for a reload.
#[cfg(unix)]
struct Hangups(tokio::signal::unix::Signal);

#[cfg(unix)]
fn hangups() -> Result<Hangups, CliError> {
    use tokio::signal::unix::{SignalKind, signal};
    let heard = signal(SignalKind::hangup()).map_err(|error| CliError::broken(format!("signals can't be heard: {}", error.kind())))?;
    Ok(Hangups(heard))
}

#[cfg(unix)]
impl Hangups {
    async fn ask(mut self, reloader: Arc<Reloader>) {
        while self.0.recv().await.is_some() {
            reloader.ask();
        }
    }
}

/// There is none here: files are looked at.
#[cfg(not(unix))]
struct Hangups;

#[cfg(not(unix))]
fn hangups() -> Result<Hangups, CliError> {
    Ok(Hangups)
}

#[cfg(not(unix))]
impl Hangups {
    async fn ask(self, _reloader: Arc<Reloader>) {}
}

/// Passes the first SIGTERM or SIGINT on.
#[cfg(unix)]
fn signals(stopper: Stopper) -> Result<tokio::task::JoinHandle<()>, CliError> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).map_err(|error| CliError::broken(format!("signals can't be heard: {}", error.kind())));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopper.stop();
    }))
}

/// Passes the first Ctrl-C on.
#[cfg(not(unix))]
fn signals(stopper: Stopper) -> Result<tokio::task::JoinHandle<()>, CliError> {
    Ok(tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        stopper.stop();
    }))
}
