//! The gateway that is measured, from outside: who connects to it, and what its process uses.

use std::path::PathBuf;
use std::time::Duration;

use tonic::transport::Channel;

use super::sizing::each_bytes;
use crate::cli::connect::Connection;
use crate::cli::{CliError, child};

/// Idle connections: few, which fill what was allocated and is free, and many, which show what one takes.
pub(super) const CONNECTIONS: [usize; 2] = [16, 80];
/// Open streams, likewise.
pub(super) const STREAMS: [usize; 2] = [64, 320];
/// What was freed and allocated a moment ago shows in the process after this time.
const SETTLES: Duration = Duration::from_millis(300);

/// A gateway of a measurement's own.
#[derive(Clone, Debug)]
pub(super) struct Rig {
    pub(super) address: String,
    pub(super) folder: PathBuf,
    pub(super) process: u32,
    /// The most streams on a connection.
    pub(super) streams_per_connection: usize,
}

/// What frames of one size cost the gateway.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Run {
    pub(super) bytes: f64,
    pub(super) frames: u64,
    pub(super) seconds: f64,
    pub(super) cpu_us: u64,
}

impl Run {
    /// What a frame costs, in microseconds of processor time.
    pub(super) fn cpu_us_per_frame(&self) -> f64 {
        self.cpu_us as f64 / self.frames.max(1) as f64
    }

    /// How many frames came through in a second.
    pub(super) fn frames_per_s(&self) -> f64 {
        self.frames as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }
}

impl Rig {
    /// As whom to connect: the name of a certificate in the folder.
    pub(super) fn connection(&self, name: &str) -> Connection {
        Connection {
            dir: self.folder.clone(),
            party: Some(name.to_owned()),
            gateway: Some(self.address.clone()),
            certs: None,
            origin: None,
            insecure: false,
        }
    }

    /// A connection of its own.
    pub(super) async fn connect(&self, name: &str) -> Result<Channel, CliError> {
        self.connection(name).connect(None).await
    }

    /// So many connections that all open streams fit on.
    pub(super) async fn connect_for_streams(&self, name: &str) -> Result<Vec<Channel>, CliError> {
        let mut channels = Vec::new();
        let [_, many] = STREAMS;
        for _ in 0..many.div_ceil(self.streams_per_connection.max(1)) {
            channels.push(self.connect(name).await?);
        }
        Ok(channels)
    }

    /// What an idle connection takes in memory.
    pub(super) async fn connection_bytes(&self, name: &str) -> Result<u64, CliError> {
        let mut held = Vec::new();
        let mut resident = [0; 2];
        for (resident, count) in resident.iter_mut().zip(CONNECTIONS) {
            while held.len() < count {
                held.push(self.connect(name).await?);
            }
            *resident = self.resident_bytes().await?;
        }
        Ok(each_bytes(CONNECTIONS, resident))
    }

    /// The processor time that the gateway has used, its own and the kernel's for it.
    pub(super) fn cpu_us(&self) -> Result<u64, CliError> {
        child::cpu_us(self.process).ok_or_else(unseen)
    }

    /// The memory that it has in use once it has settled.
    pub(super) async fn resident_bytes(&self) -> Result<u64, CliError> {
        tokio::time::sleep(SETTLES).await;
        child::resident_bytes(self.process).ok_or_else(unseen)
    }
}

fn unseen() -> CliError {
    CliError::broken("what the gateway's process uses can't be read: this needs Linux and its `/proc`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_shared_out_among_its_frames() {
        let run = Run { bytes: 200.0, frames: 4_000, seconds: 0.5, cpu_us: 10_000 };
        assert_eq!((run.cpu_us_per_frame(), run.frames_per_s()), (2.5, 8_000.0));
    }
}
