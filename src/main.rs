//! Parse the command line, call one function in `cli/`, return its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    twinveil::cli::main()
}
