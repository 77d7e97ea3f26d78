//! The end of a gateway, as an argument: whoever starts one holds the other end.

use tokio::sync::watch;

/// Tells when to stop. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// Says when to stop; dropping it says so, too.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Both ends.
pub fn stop() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Says it.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Whether it was said.
    pub fn is_told(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits for it.
    pub async fn wait(&mut self) {
        // An error means that the other end is gone: a stop as well.
        drop(self.0.wait_for(|stop| *stop).await);
    }
}
