//! Descriptor sets, read or made: what ends in `.proto` is compiled, anything else is taken for a `FileDescriptorSet`. Custom
//! options are kept.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use protox::file::{ChainFileResolver, DescriptorSetFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};

/// A descriptor set and where it came from.
#[derive(Debug)]
pub struct Descriptors {
    /// A serialized `FileDescriptorSet` with all imports.
    pub set: Vec<u8>,
    /// The name under which the compiled file stands in it; none where the set was read as it is.
    pub name: Option<String>,
    /// Every file on disk that it was made from.
    pub files: Vec<PathBuf>,
}

/// Why there is no descriptor set. It is the move of whoever named the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorError(String);

impl fmt::Display for DescriptorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DescriptorError {}

/// Reads a file. `.proto` is compiled: its imports are looked for in `proto_paths`, in its own folder where there are none.
///
/// # Errors
/// The file can't be read, or is no good source; the text names file, line and column, on one line.
pub fn read(file: &Path, proto_paths: &[PathBuf]) -> Result<Descriptors, DescriptorError> {
    if file.extension().is_some_and(|ending| ending == "proto") {
        return compile(file, proto_paths);
    }
    let set = std::fs::read(file).map_err(|error| DescriptorError(format!("`{}` can't be read: {}", file.display(), error.kind())))?;
    Ok(Descriptors { set, name: None, files: vec![file.to_owned()] })
}

fn compile(file: &Path, proto_paths: &[PathBuf]) -> Result<Descriptors, DescriptorError> {
    let notes = Arc::<Mutex<Notes>>::default();
    let wrong = |error: protox::Error| {
        if let Some(name) = notes.lock().ok().and_then(|mut notes| notes.of_edition.take()) {
            return DescriptorError(format!(
                "`{name}` is written in an edition, which is read from a descriptor set only: \
                 `protoc --include_imports --descriptor_set_out=FILE.binpb {name}`, then name FILE.binpb here"
            ));
        }
        // The long form has line and column.
        let text = format!("{error:?}");
        DescriptorError(format!("`{}`: {}", file.display(), text.lines().next().unwrap_or_default()))
    };
    let mut resolver = ChainFileResolver::new();
    let own_folder = [file.parent().unwrap_or(Path::new("")).to_owned()];
    let folders = if proto_paths.is_empty() { &own_folder[..] } else { proto_paths };
    for folder in folders {
        resolver.add(Folder { folder: folder.clone(), files: IncludeFileResolver::new(folder.clone()), notes: Arc::clone(&notes) });
    }
    resolver.add(GoogleFileResolver::new());
    // Whoever annotates imports this; a copy of their own comes first.
    let contract = DescriptorSetFileResolver::decode(crate::proto::CONTRACT);
    resolver.add(contract.map_err(|_| DescriptorError("the contract in this program can't be read".to_owned()))?);
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    // Comments speak in `schema check --suggest`.
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file(file).map_err(wrong)?;
    let name = compiler.files().find(|file| !file.is_import()).map(|file| file.name().to_owned()).unwrap_or_default();
    let mut files = notes.lock().map(|mut notes| std::mem::take(&mut notes.opened)).unwrap_or_default();
    files.push(file.to_owned());
    files.sort();
    files.dedup();
    Ok(Descriptors { set: compiler.encode_file_descriptor_set(), name: Some(name), files })
}

/// What was seen on the way.
#[derive(Default)]
struct Notes {
    /// The first file that is written in an edition: the compiler reads proto2 and proto3.
    of_edition: Option<String>,
    opened: Vec<PathBuf>,
}

/// A folder of sources that notes what is opened in it.
struct Folder {
    folder: PathBuf,
    files: IncludeFileResolver,
    notes: Arc<Mutex<Notes>>,
}

impl FileResolver for Folder {
    fn resolve_path(&self, path: &Path) -> Option<String> {
        self.files.resolve_path(path)
    }

    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let path = self.folder.join(name);
        let source = std::fs::read(&path);
        if let Ok(mut notes) = self.notes.lock() {
            if source.is_ok() {
                notes.opened.push(path);
            }
            if begins_with_edition(&String::from_utf8_lossy(&source.unwrap_or_default())) {
                notes.of_edition.get_or_insert_with(|| name.to_owned());
                return Err(protox::Error::file_not_found(name));
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("twinveil-descriptors-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("sub")).expect("folder");
        path
    }

    #[test]
    fn imports_are_found_in_the_folder_or_where_it_is_said_and_every_file_is_named() {
        let dir = folder("imports");
        let file = dir.join("sub/a.proto");
        std::fs::write(&file, "syntax = \"proto3\"; import \"b.proto\"; message A { B b = 1; }").expect("file");
        std::fs::write(dir.join("b.proto"), "syntax = \"proto3\"; message B { int32 x = 1; }").expect("file");
        assert!(read(&file, &[]).expect_err("not there").to_string().contains("b.proto"));
        let read = read(&file, &[dir.join("sub"), dir.clone()]).expect("found");
        assert_eq!((read.name.as_deref(), read.files), (Some("a.proto"), vec![dir.join("b.proto"), file]));
        std::fs::remove_dir_all(&dir).expect("clean");
    }

    #[test]
    fn what_can_not_be_read_is_named_with_its_line() {
        let dir = folder("wrong");
        let file = dir.join("a.proto");
        std::fs::write(&file, "syntax = \"proto3\";\nmessage A { Missing m = 1; }").expect("file");
        let error = read(&file, &[]).expect_err("wrong").to_string();
        assert!(error.contains("a.proto:2:13") && !error.contains('\n'), "{error}");
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
}
