//! A `.proto` file or a descriptor set, and which of its messages frames could have.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorSet};

use super::super::{CliError, plain};
use crate::descriptors;

/// Packages whose messages are never frames.
const FOREIGN: [&str; 3] = ["google.protobuf", "twinveil.v1", "io.intoto"];

/// What was read.
#[derive(Debug)]
pub(super) struct Source {
    /// A serialized `FileDescriptorSet` with all imports.
    pub(super) set: Vec<u8>,
    /// The messages that frames could have.
    roots: Vec<String>,
    shown: String,
}

/// Reads a file. `.proto` is compiled; anything else is taken for a descriptor set.
pub(super) fn read(file: &Path, proto_paths: &[PathBuf]) -> Result<Source, CliError> {
    let shown = file.display().to_string();
    let read = descriptors::read(file, proto_paths).map_err(|error| CliError::broken(plain(&error.to_string())))?;
    let roots = match &read.name {
        Some(name) => {
            roots(&read.set, |path| path == name).ok_or_else(|| CliError::broken(format!("`{shown}`: the compiled file can't be read")))?
        }
        None => roots(&read.set, |_| true).ok_or_else(|| {
            CliError::broken(format!(
                "`{shown}` is no descriptor set: build one with `protoc --include_imports --descriptor_set_out`, or name a .proto file"
            ))
        })?,
    };
    Ok(Source { set: read.set, roots, shown })
}

impl Source {
    /// The one message that frames can have; where there are several somebody has to say.
    pub(super) fn only_root(&self) -> Result<String, CliError> {
        match &self.roots[..] {
            [only] => Ok(only.clone()),
            [] => Err(CliError::broken(format!("`{}` has no message type", self.shown))),
            several => Err(CliError::broken(format!(
                "`{}` has several message types: say `--message` with one of {}",
                self.shown,
                several.join(", ")
            ))),
        }
    }
}

/// Top-level messages of the files that count which no field holds; where every one is held, all of them.
fn roots(set: &[u8], counts: impl Fn(&str) -> bool) -> Option<Vec<String>> {
    let set = FileDescriptorSet::decode(set).ok()?;
    if set.file.is_empty() {
        return None;
    }
    let mut held = HashSet::new();
    let mut all = Vec::new();
    for file in &set.file {
        for message in &file.message_type {
            let name = match file.package() {
                "" => message.name().to_owned(),
                package => format!("{package}.{}", message.name()),
            };
            hold(message, &name, &mut held);
            if counts(file.name()) && !FOREIGN.contains(&file.package()) {
                all.push(name);
            }
        }
    }
    let free: Vec<String> = all.iter().filter(|name| !held.contains(*name)).cloned().collect();
    Some(if free.is_empty() { all } else { free })
}

/// Notes what the fields of a message hold; a message inside itself is not held by that.
fn hold(message: &DescriptorProto, root: &str, held: &mut HashSet<String>) {
    for field in &message.field {
        let holds = field.type_name().trim_start_matches('.');
        if holds != root {
            held.insert(holds.to_owned());
        }
    }
    for nested in &message.nested_type {
        hold(nested, root, held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("twinveil-source-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("sub")).expect("folder");
        path
    }

    #[test]
    fn the_root_is_the_message_that_nothing_holds() {
        let dir = folder("roots");
        let file = dir.join("a.proto");
        std::fs::write(&file, "syntax = \"proto3\"; message A { B b = 1; map<string, C> c = 2; A again = 3; } message B {} message C {}")
            .expect("file");
        assert_eq!(read(&file, &[]).expect("read").only_root().expect("one"), "A");
        std::fs::write(&file, "syntax = \"proto3\"; package p; message A {} message B {}").expect("file");
        let several = read(&file, &[]).expect("read").only_root().expect_err("two").to_string();
        assert!(several.ends_with("has several message types: say `--message` with one of p.A, p.B"), "{several}");
        std::fs::write(&file, "syntax = \"proto3\";").expect("file");
        assert!(read(&file, &[]).expect("read").only_root().expect_err("none").to_string().ends_with("has no message type"));
        std::fs::remove_dir_all(&dir).expect("clean");
    }

    #[test]
    fn what_is_no_descriptor_set_is_told_so() {
        let dir = folder("wrong");
        std::fs::write(dir.join("a.binpb"), "nothing").expect("file");
        assert!(read(&dir.join("a.binpb"), &[]).expect_err("no set").to_string().contains("is no descriptor set"));
        std::fs::write(dir.join("empty.binpb"), "").expect("file");
        assert!(read(&dir.join("empty.binpb"), &[]).is_err());
        assert!(read(&dir.join("none.binpb"), &[]).expect_err("missing").to_string().contains("can't be read"));
        std::fs::remove_dir_all(&dir).expect("clean");
    }

    #[test]
    fn a_descriptor_set_is_taken_as_it_is() {
        let dir = folder("set");
        let file = dir.join("samples.binpb");
        std::fs::write(&file, crate::proto::SAMPLES).expect("file");
        let source = read(&file, &[]).expect("read");
        assert_eq!(source.set, crate::proto::SAMPLES);
        assert_eq!(source.roots, ["twinveil.sample.PatientFrame", "twinveil.sample.TurbineFrame"]);
        std::fs::remove_dir_all(&dir).expect("clean");
    }
}
