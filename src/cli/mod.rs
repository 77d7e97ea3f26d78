//! One file per command, same names as in `--help`. Only this room prints.

pub mod certs;
pub mod init;
pub mod input;
pub mod simulate;

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

/// Why a command did not end well: one line for a person, one number for a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliError {
    message: String,
    code: u8,
}

impl CliError {
    /// A check found something: 1. The command itself worked.
    pub fn found(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 1 }
    }

    /// Somebody who may say so said no: 2.
    pub fn denied(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 2 }
    }

    /// It could not be done: 3.
    pub fn broken(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), code: 3 }
    }

    /// The exit code: 1, 2 or 3; a command without an error ends with 0.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}

impl From<crate::config::ConfigError> for CliError {
    fn from(error: crate::config::ConfigError) -> Self {
        Self::broken(error)
    }
}

impl From<crate::gate::tls::TlsError> for CliError {
    fn from(error: crate::gate::tls::TlsError) -> Self {
        Self::broken(error)
    }
}

/// Prints a line. A reader that has gone away ends the command instead of the process.
pub(crate) fn say(text: impl fmt::Display) -> Result<(), CliError> {
    writeln!(std::io::stdout().lock(), "{text}").map_err(|error| CliError::broken(format!("standard output: {}", error.kind())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_every_command_hold_together() {
        use clap::{Args, Command};
        certs::Args::augment_args(Command::new("certs")).debug_assert();
        init::Args::augment_args(Command::new("init")).debug_assert();
        simulate::Args::augment_args(Command::new("simulate")).debug_assert();
        input::MapArgs::augment_args(Command::new("csv")).debug_assert();
        let parsed = simulate::Args::augment_args(Command::new("simulate")).try_get_matches_from(["simulate", "turbines", "--count", "0"]);
        assert!(parsed.is_err());
    }

    #[test]
    fn each_kind_of_end_has_its_own_code() {
        let codes: Vec<_> = [CliError::found("x"), CliError::denied("x"), CliError::broken("x")].iter().map(|error| error.code).collect();
        assert_eq!(codes, [1, 2, 3]);
    }
}
/// placeholder
pub fn main() -> ExitCode { ExitCode::SUCCESS }
