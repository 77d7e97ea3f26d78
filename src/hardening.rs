//! What the operating system may do with a process that has keys and frames in the clear in its memory: not write it to a file,
//! not show it to another process of the same user. Swap is the operator's: encrypt it, or have none.

use std::fmt;

use crate::veil::logsafe::LogSafe;

/// The operating system refused to close the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HardeningError {
    what: &'static str,
}

impl HardeningError {
    /// The stable code; the manual has an entry for it.
    pub const CODE: &'static str = "TV-O05";
}

impl fmt::Display for HardeningError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} is refused by the operating system: let the service's sandbox allow it", Self::CODE, self.what)
    }
}

impl std::error::Error for HardeningError {}
impl LogSafe for HardeningError {}

/// No core dumps: not of any size (`RLIMIT_CORE`, soft and hard), and on Linux none that a pipe collects either
/// (`PR_SET_DUMPABLE`), which also keeps debuggers and `/proc/<pid>/mem` away from other processes of the same user.
///
/// # Errors
/// Where the operating system refuses one of them. A gateway does not start then.
#[cfg(unix)]
pub fn no_core_dumps() -> Result<(), HardeningError> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(|_| HardeningError { what: "setting RLIMIT_CORE" })?;
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|_| HardeningError { what: "clearing PR_SET_DUMPABLE" })?;
    }
    Ok(())
}

/// Elsewhere there is nothing to switch off.
#[cfg(not(unix))]
pub fn no_core_dumps() -> Result<(), HardeningError> {
    Ok(())
}
