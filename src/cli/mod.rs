//! One file per command, same names as in `--help`. Only this room prints.

mod agreements;
pub mod bench;
pub mod certs;
mod child;
mod configured;
pub mod connect;
pub mod demand;
pub mod demo;
pub mod explain;
pub mod init;
pub mod input;
mod interrupted;
pub mod leak_test;
pub mod log;
pub mod open;
pub mod policy;
pub mod publish;
pub mod report;
pub mod risk;
pub mod schema;
pub mod serve;
pub mod simulate;
pub mod subscribe;
pub mod table;
mod terms;
pub mod wallet;
mod web;
mod words;

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::veil::merkle::note::VerifierKey;
use crate::veil::name::UnixMs;
use crate::world::Clock;

/// A privacy-preserving gateway for digital-twin data.
#[derive(Debug, Parser)]
#[command(
    name = "twinveil",
    version,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "\
Begin with:
  twinveil demo
  twinveil init demo
  twinveil serve --config demo/twinveil.toml
  twinveil wallet new patient.json

Exit codes: 0 done, 1 a check found something, 2 denied, 3 broken."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Demo(demo::Args),
    Init(init::Args),
    Certs(certs::Args),
    Serve(serve::Args),
    Wallet(wallet::Args),
    Demand(demand::Args),
    Explain(explain::Args),
    Log(log::Args),
    Schema(schema::Args),
    Policy(policy::Args),
    Risk(risk::Args),
    LeakTest(leak_test::Args),
    Bench(bench::Args),
    Publish(publish::Args),
    Subscribe(subscribe::Args),
    Open(open::Args),
    Report(report::Args),
    Simulate(simulate::Args),
}

/// Reads the command line, runs one command, says on standard error why it did not end well.
pub fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(asked) => return usage(&asked),
    };
    let ended = match command {
        Command::Demo(args) => demo::run(args),
        Command::Init(args) => init::run(args),
        Command::Certs(args) => certs::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Wallet(args) => wallet::run(args),
        Command::Demand(args) => demand::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Log(args) => log::run(args),
        Command::Schema(args) => schema::run(args),
        Command::Policy(args) => policy::run(args),
        Command::Risk(args) => risk::run(&args),
        Command::LeakTest(args) => leak_test::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Publish(args) => publish::run(args),
        Command::Subscribe(args) => subscribe::run(args),
        Command::Open(args) => open::run(&args),
        Command::Report(args) => report::run(args),
        Command::Simulate(args) => simulate::run(args),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("twinveil: {error}"));
            error.code()
        }
    }
}

/// Help and version go to standard output and are no failure; anything else is a command line that can't be done.
fn usage(asked: &clap::Error) -> ExitCode {
    let text = asked.render().to_string();
    if asked.use_stderr() {
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        complain(format_args!("twinveil: {}", text.trim_end()));
        return ExitCode::from(3);
    }
    match say(text.trim_end()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.code(),
    }
}

/// How facts are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[value(alias = "table")]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// `--output`, for every command that prints facts.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct OutputArgs {
    /// `text` for people, or `json`: one object a line with stable keys
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Output::Text, hide_possible_values = true)]
    pub output: Output,
}

impl OutputArgs {
    /// Whether programs read it.
    pub fn is_json(self) -> bool {
        self.output == Output::Json
    }
}

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
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(unwritten)
}

/// Standard output does not take it.
pub(crate) fn unwritten(error: std::io::Error) -> CliError {
    CliError::broken(format!("standard output: {}", error.kind()))
}

/// Says something beside the answer. Where nobody can read it there is nobody to tell.
pub(crate) fn complain(text: impl fmt::Display) {
    let _unread = writeln!(std::io::stderr().lock(), "{text}");
}

/// Text from elsewhere for a terminal: nothing in it may move the cursor or change colours.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Runs one client's work on this thread.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| CliError::broken(format!("no runtime: {}", error.kind())))?.block_on(work)
}

/// The time by this machine's clock.
pub(crate) fn now() -> Result<UnixMs, CliError> {
    Clock::new().now().map_err(CliError::broken)
}

/// Reads the public key of a log, as `twinveil init` writes it beside the configuration.
pub(crate) fn log_key(path: &std::path::Path) -> Result<VerifierKey, CliError> {
    let text = read_text(path)?;
    VerifierKey::parse(text.trim_end()).map_err(|doubt| CliError::broken(format!("`{}`: {doubt}", path.display())))
}

/// Reads a text file that somebody named.
pub(crate) fn read_text(path: &std::path::Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|error| CliError::broken(format!("`{}` can't be read: {}", path.display(), error.kind())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_every_command_hold_together() {
        use clap::{Args, Command, CommandFactory};
        Cli::command().debug_assert();
        certs::Args::augment_args(Command::new("certs")).debug_assert();
        init::Args::augment_args(Command::new("init")).debug_assert();
        simulate::Args::augment_args(Command::new("simulate")).debug_assert();
        input::MapArgs::augment_args(Command::new("csv")).debug_assert();
        let parsed = simulate::Args::augment_args(Command::new("simulate")).try_get_matches_from(["simulate", "turbines", "--count", "0"]);
        assert!(parsed.is_err());
    }

    #[test]
    fn nothing_from_elsewhere_moves_the_cursor() {
        assert_eq!(plain("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }

    #[test]
    fn each_kind_of_end_has_its_own_code() {
        let codes: Vec<_> = [CliError::found("x"), CliError::denied("x"), CliError::broken("x")].iter().map(|error| error.code).collect();
        assert_eq!(codes, [1, 2, 3]);
    }
}
