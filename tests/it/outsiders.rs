//! Do other people's programs agree? Signers, verifiers, openers and subscribers in Python, over other libraries, written from the
//! manual and `proto/` alone. `tests/run` installs what they need and sets `TWINVEIL_PYTHON`.

mod dsse;
mod example;
mod fhir;
mod merkle;
mod places;
mod signer;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::Folder;
use crate::manual::{read, root};

/// The Python with the pinned packages; `None`, and said so, where there is none. On CI there must be one.
pub(crate) fn python(what: &str) -> Option<Command> {
    let Some(python) = std::env::var_os("TWINVEIL_PYTHON") else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{what}: TWINVEIL_PYTHON is not set, and this is CI");
        eprintln!("SKIPPED {what}: TWINVEIL_PYTHON is not set (tests/run sets it)");
        return None;
    };
    let mut command = Command::new(python);
    // No folder of byte code in the sources.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Some(command)
}

/// Runs to the end with this on standard input; what it printed.
pub(crate) fn ran(mut command: Command, input: &str) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A script of `tests/vectors`.
fn script(what: &str, name: &str) -> Option<Command> {
    let mut command = python(what)?;
    command.arg(root().join("tests/vectors").join(name));
    Some(command)
}

/// Stock stubs of the whole contract and the sample twins, made in a copy of `proto/` with the command of the manual's page.
fn stubs(what: &str) -> Option<Folder> {
    let python = python(what)?;
    let folder = Folder::new();
    for file in protos(Path::new("")) {
        let to = folder.join("proto").join(&file);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(root().join("proto").join(&file), to).unwrap();
    }
    let page = read("src/manual/subscriber.md");
    let line = page.lines().find(|line| line.contains("grpc_tools.protoc")).expect("a command that makes stubs");
    let mut shell = Command::new("sh");
    let program = Path::new(python.get_program()).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(program).chain(std::env::split_paths(&path))).unwrap();
    shell.current_dir(&folder.0).env("PATH", path).args(["-c", line]);
    ran(shell, "");
    Some(folder)
}

/// Every file of the contract, by the name that it is imported by.
fn protos(below: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join("proto").join(below)).unwrap() {
        let path = below.join(entry.unwrap().file_name());
        if root().join("proto").join(&path).is_dir() {
            found.extend(protos(&path));
        } else if path.extension().is_some_and(|ending| ending == "proto") {
            found.push(path.to_str().unwrap().to_owned());
        }
    }
    found.sort();
    found
}

#[test]
fn stock_stubs_in_python_are_made_from_the_contract_and_imported() {
    let Some(stubs) = stubs("stubs in Python") else { return };
    let mut python = python("stubs in Python").unwrap();
    let modules: Vec<_> = protos(Path::new("")).iter().map(|file| file.trim_end_matches(".proto").replace('/', ".")).collect();
    assert!(modules.contains(&"twinveil.v1.frames".to_owned()), "{modules:?}");
    let imports: String = modules.iter().map(|module| format!("import {module}_pb2, {module}_pb2_grpc\n")).collect();
    python.env("PYTHONPATH", stubs.join("stubs")).args(["-c", &imports]);
    ran(python, "");
}
