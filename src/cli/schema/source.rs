//! A `.proto` file or a descriptor set as the bytes of a descriptor set, custom options kept.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorSet};
use protox::file::{ChainFileResolver, DescriptorSetFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};

use super::super::{CliError, plain};

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
    if file.extension().is_some_and(|ending| ending == "proto") {
        let (set, name) = compile(file, proto_paths)?;
        let roots =
            roots(&set, |path| path == name).ok_or_else(|| CliError::broken(format!("`{shown}`: the compiled file can't be read")))?;
        return Ok(Source { set, roots, shown });
    }
    let set = std::fs::read(file).map_err(|error| CliError::broken(format!("`{shown}` can't be read: {}", error.kind())))?;
    let roots = roots(&set, |_| true).ok_or_else(|| {
        CliError::broken(format!(
            "`{shown}` is no descriptor set: build one with `protoc --include_imports --descriptor_set_out`, or name a .proto file"
        ))
    })?;
    Ok(Source { set, roots, shown })
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

/// The bytes, and the name under which the file stands in them.
fn compile(file: &Path, proto_paths: &[PathBuf]) -> Result<(Vec<u8>, String), CliError> {
    let of_edition: Arc<Mutex<Option<String>>> = Arc::default();
    let wrong = |error: protox::Error| {
        if let Some(name) = of_edition.lock().ok().and_then(|mut found| found.take()) {
            return CliError::broken(format!(
                "`{name}` is written in an edition, which is read from a descriptor set only: \
                 `protoc --include_imports --descriptor_set_out=FILE.binpb {name}`, then name FILE.binpb here"
            ));
        }
        // The long form has line and column.
        let text = format!("{error:?}");
        let first = text.lines().next().unwrap_or_default();
        CliError::broken(format!("`{}`: {}", file.display(), plain(first)))
    };
    let mut resolver = ChainFileResolver::new();
    let own_folder = [file.parent().unwrap_or(Path::new("")).to_owned()];
    let folders = if proto_paths.is_empty() { &own_folder[..] } else { proto_paths };
    for folder in folders {
        resolver.add(Folder {
            folder: folder.clone(),
            files: IncludeFileResolver::new(folder.clone()),
            of_edition: Arc::clone(&of_edition),
        });
    }
    resolver.add(GoogleFileResolver::new());
    // Whoever annotates imports this; a copy of their own comes first.
    let contract = DescriptorSetFileResolver::decode(crate::proto::CONTRACT);
    resolver.add(contract.map_err(|_| CliError::broken("the contract in this program can't be read"))?);
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    // Comments speak in `--suggest`.
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file(file).map_err(wrong)?;
    let name = compiler.files().find(|file| !file.is_import()).map(|file| file.name().to_owned()).unwrap_or_default();
    Ok((compiler.encode_file_descriptor_set(), name))
}

/// A folder of sources that notes which of its files is written in an edition: the compiler reads proto2 and proto3.
struct Folder {
    folder: PathBuf,
    files: IncludeFileResolver,
    of_edition: Arc<Mutex<Option<String>>>,
}

impl FileResolver for Folder {
    fn resolve_path(&self, path: &Path) -> Option<String> {
        self.files.resolve_path(path)
    }

    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let source = std::fs::read(self.folder.join(name)).unwrap_or_default();
        if begins_with_edition(&String::from_utf8_lossy(&source)) {
            if let Ok(mut found) = self.of_edition.lock() {
                found.get_or_insert_with(|| name.to_owned());
            }
            return Err(protox::Error::file_not_found(name));
        }
        self.files.open_file(name)
    }
}

/// Whether the first statement is `edition = …` (protobuf language specification, editions).
fn begins_with_edition(source: &str) -> bool {
    let mut rest = source.trim_start_matches('\u{feff}').trim_start();
    loop {
        rest = match (rest.strip_prefix("//"), rest.strip_prefix("/*")) {
            (Some(comment), _) => comment.split_once('\n').map_or("", |(_, after)| after),
            (_, Some(comment)) => comment.split_once("*/").map_or("", |(_, after)| after),
            (None, None) => break,
        }
        .trim_start();
    }
    rest.strip_prefix("edition").is_some_and(|after| after.trim_start().starts_with('='))
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
    fn imports_are_found_in_the_folder_or_where_it_is_said() {
        let dir = folder("imports");
        let file = dir.join("sub/a.proto");
        std::fs::write(&file, "syntax = \"proto3\"; import \"b.proto\"; message A { B b = 1; }").expect("file");
        std::fs::write(dir.join("b.proto"), "syntax = \"proto3\"; message B { int32 x = 1; }").expect("file");
        assert!(read(&file, &[]).expect_err("not there").to_string().contains("b.proto"));
        let source = read(&file, &[dir.clone(), dir.join("sub")]);
        let source = source.or_else(|_| read(&file, &[dir.join("sub"), dir.clone()])).expect("found");
        assert_eq!(source.only_root().expect("one"), "A");
        std::fs::remove_dir_all(&dir).expect("clean");
    }

    #[test]
    fn what_can_not_be_read_is_named_with_its_line() {
        let dir = folder("wrong");
        let file = dir.join("a.proto");
        std::fs::write(&file, "syntax = \"proto3\";\nmessage A { Missing m = 1; }").expect("file");
        let error = read(&file, &[]).expect_err("wrong").to_string();
        assert!(error.contains("a.proto:2:13") && !error.contains('\n'), "{error}");
        std::fs::write(dir.join("a.binpb"), "nothing").expect("file");
        assert!(read(&dir.join("a.binpb"), &[]).expect_err("no set").to_string().contains("is no descriptor set"));
        std::fs::write(dir.join("empty.binpb"), "").expect("file");
        assert!(read(&dir.join("empty.binpb"), &[]).is_err());
        assert!(read(&dir.join("none.binpb"), &[]).expect_err("missing").to_string().contains("can't be read"));
        std::fs::remove_dir_all(&dir).expect("clean");
    }

    #[test]
    fn sources_of_an_edition_are_named_with_what_to_do() {
        let dir = folder("edition");
        let file = dir.join("a.proto");
        let edition = "// Ours.\n/* edition? */ edition = \"2023\";\nmessage A { int32 x = 1; }";
        std::fs::write(&file, edition).expect("file");
        let expected = "`a.proto` is written in an edition, which is read from a descriptor set only: `protoc --include_imports";
        let refused = |file: &Path| read(file, &[]).expect_err("an edition").to_string();
        assert!(refused(&file).contains(expected), "{}", refused(&file));
        let importing = dir.join("b.proto");
        std::fs::write(&importing, "syntax = \"proto3\"; import \"a.proto\"; message B { A a = 1; }").expect("file");
        assert!(refused(&importing).contains(expected), "{}", refused(&importing));
        // A name that begins so is none.
        std::fs::write(&file, "syntax = \"proto3\"; message edition { int32 x = 1; }").expect("file");
        assert!(read(&file, &[]).is_ok() && !begins_with_edition("editions = 1") && !begins_with_edition("/* edition = 1"));
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
