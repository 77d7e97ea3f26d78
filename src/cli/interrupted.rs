//! Ctrl-C and SIGTERM, for commands that have something to clean up.

use super::CliError;

/// Tells when somebody wants a command to end.
#[derive(Debug)]
pub(super) struct Interrupted(tokio::sync::watch::Receiver<bool>);

impl Interrupted {
    /// Waits for it; what to say then.
    pub(super) async fn wait(&self) -> CliError {
        // An error would mean that nobody listens for signals any more; nothing ends the command then.
        if self.0.clone().wait_for(|told| *told).await.is_err() {
            std::future::pending::<()>().await;
        }
        CliError::broken("interrupted")
    }
}

/// Listens from here on.
pub(super) fn interrupted() -> Result<Interrupted, CliError> {
    let (told, reader) = tokio::sync::watch::channel(false);
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).map_err(|error| CliError::broken(format!("signals can't be heard: {}", error.kind())));
        let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            told.send_replace(true);
        });
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        told.send_replace(true);
    });
    Ok(Interrupted(reader))
}
