//! `twinveil schema`: what a gateway makes of a message type. `check` is the gate that keeps unclassified fields out.

mod example;
mod source;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::json;

use super::table::Table;
use super::{CliError, OutputArgs, read_text, say};
use crate::veil::schema::changes::changes;
use crate::veil::schema::check::{rows, unclassified};
use crate::veil::schema::suggest::suggest;
use crate::veil::schema::{self, LoadFault, Schema};

/// How many unclassified fields are named in the error; all of them are in the table.
const NAMED_MAX: usize = 20;

/// Look at schemas.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(CheckArgs),
    Example(example::Args),
}

/// Show every field with what is known about it; fail where a field is unclassified.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  twinveil schema check --builtin patient
  twinveil schema check proto/ward.proto --message ward.v1.Frame
  twinveil schema check ward.binpb --message ward.v1.Frame --side-file ward.fields.toml
  twinveil schema check proto/ward.proto --against released.binpb
  twinveil schema check ward.binpb --message ward.v1.Frame --suggest > ward.fields.toml

`twinveil/v1/sensitivity.proto`, which annotations import, is in the program. Exit code 1: a field is unclassified, which a \
gateway would always strip. Files in protobuf editions are read from descriptor sets.")]
struct CheckArgs {
    /// A .proto file, or a compiled descriptor set with all imports
    #[arg(value_name = "FILE", required_unless_present = "builtin")]
    file: Option<PathBuf>,
    /// A sample in the program: `patient` or `turbine`
    #[arg(long, value_enum, value_name = "SAMPLE", hide_possible_values = true, conflicts_with_all = ["file", "message", "proto_paths"])]
    builtin: Option<Builtin>,
    /// Full name of the frames' message type; needed where the file has several that could be
    #[arg(long, value_name = "MESSAGE")]
    message: Option<String>,
    /// Facts about fields that the .proto does not carry (TOML)
    #[arg(long, value_name = "FILE")]
    side_file: Option<PathBuf>,
    /// Where imports are looked for; may be repeated. The folder of FILE where absent
    #[arg(long = "proto-path", value_name = "DIR")]
    proto_paths: Vec<PathBuf>,
    /// An older version, to show what changed, what became reachable, and what is protected less
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// The older version's own facts, where --side-file is not about both
    #[arg(long, value_name = "FILE", requires = "against")]
    against_side_file: Option<PathBuf>,
    /// Print a side file to begin with, each line for a person to review
    #[arg(long, conflicts_with_all = ["side_file", "against", "output"])]
    suggest: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// The samples.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Builtin {
    /// twinveil.sample.PatientFrame
    Patient,
    /// twinveil.sample.TurbineFrame
    Turbine,
}

impl Builtin {
    const fn message(self) -> &'static str {
        match self {
            Self::Patient => "twinveil.sample.PatientFrame",
            Self::Turbine => "twinveil.sample.TurbineFrame",
        }
    }
}

/// Runs one of them.
pub fn run(args: Args) -> Result<(), CliError> {
    match args.command {
        Command::Check(args) if args.suggest => args.suggest(),
        Command::Check(args) => check(&args),
        Command::Example(args) => example::run(&args),
    }
}

fn check(args: &CheckArgs) -> Result<(), CliError> {
    let schema = args.load()?;
    let against = args.against.as_deref().map(|file| args.load_old(file, &schema)).transpose()?;
    if args.output.is_json() {
        say_json(&schema, against.as_ref())?;
    } else {
        say(text(&schema, against.as_ref()))?;
    }
    let missing: Vec<_> = unclassified(&schema).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut names: Vec<String> = missing.iter().take(NAMED_MAX).map(|path| format!("`{path}`")).collect();
    if missing.len() > NAMED_MAX {
        names.push(format!("and {} more", missing.len() - NAMED_MAX));
    }
    let (fields, are) = if missing.len() == 1 { ("field is", "it is") } else { ("fields are", "they are") };
    let (count, names) = (missing.len(), names.join(", "));
    Err(CliError::found(format!("{count} {fields} unclassified: {names}: annotate, or add to a side file; until then {are} stripped")))
}

impl CheckArgs {
    fn load(&self) -> Result<Schema, CliError> {
        let side = self.side_file.as_deref().map(read_text).transpose()?;
        let (set, message, about) = self.source()?;
        schema::load_for_calls(&set, &message, side.as_deref())
            .map_err(|error| CliError::broken(format!("`{about}`: {}: {error}", error.code())))
    }

    /// What is not settled is told beside the file, which is all of standard output.
    fn suggest(&self) -> Result<(), CliError> {
        let (set, message, about) = self.source()?;
        let made = suggest(&set, &message).map_err(|error| CliError::broken(format!("`{about}`: {}: {error}", error.code())))?;
        say(made.text.trim_end())?;
        match made.refused {
            None => Ok(()),
            Some(error) => Err(CliError::found(format!("not loadable before that is decided: {}: {error}", error.code()))),
        }
    }

    /// The descriptor set, the message type, and what errors call them.
    fn source(&self) -> Result<(Vec<u8>, String, String), CliError> {
        match (self.builtin, &self.file) {
            (Some(builtin), _) => Ok((crate::proto::SAMPLES.to_vec(), builtin.message().to_owned(), builtin.message().to_owned())),
            (None, Some(file)) => {
                let source = source::read(file, &self.proto_paths)?;
                let message = match &self.message {
                    Some(message) => message.clone(),
                    None => source.only_root()?,
                };
                Ok((source.set, message, file.display().to_string()))
            }
            (None, None) => Err(CliError::broken("name a file, or a sample with `--builtin`")),
        }
    }

    fn load_old(&self, file: &Path, new: &Schema) -> Result<Schema, CliError> {
        let side = self.against_side_file.as_deref().or(self.side_file.as_deref()).map(read_text).transpose()?;
        let source = source::read(file, &self.proto_paths)?;
        let load = schema::load_for_calls(&source.set, new.name().as_str(), side.as_deref());
        load.map_err(|error| {
            // What the old version does not have yet can't be classified in it.
            let own = self.side_file.is_some() && self.against_side_file.is_none() && error.fault == LoadFault::UnknownName;
            let hint = if own { "; `--against-side-file` gives the older version a side file of its own" } else { "" };
            CliError::broken(format!("`{}`: {}: {error}{hint}", file.display(), error.code()))
        })
    }
}

fn kind(row: &schema::check::Row<'_>) -> String {
    if row.repeated { format!("repeated {}", row.kind.word()) } else { row.kind.word().to_owned() }
}

fn subject(schema: &Schema) -> Option<&str> {
    let subject = schema.subject()?;
    schema.sites().get(subject.site.0 as usize).map(|site| site.path.as_str())
}

/// What is repeated and about somebody of its own each, and where that is said.
fn elements(schema: &Schema) -> Vec<(&str, &str)> {
    let path_of = |bearer: &schema::Bearer| {
        let site = schema.sites().get(bearer.subject.site.0 as usize)?;
        Some((schema.nodes().get(bearer.node.0 as usize)?.path.as_str(), site.path.as_str()))
    };
    schema.bearers().iter().filter_map(path_of).collect()
}

fn text(schema: &Schema, against: Option<&Schema>) -> String {
    let mut table = Table::new(&["field", "type", "sensitivity", "category", "role", "floor", "generalize"]);
    for row in rows(schema) {
        let word = |word: Option<&'static str>| word.unwrap_or_default();
        let sensitivity = match (row.classified, row.redact) {
            (true, _) => row.sensitivity.word(),
            (false, false) => "UNCLASSIFIED",
            (false, true) => "UNCLASSIFIED, debug_redact",
        };
        let how = row.generalize.map(ToString::to_string).unwrap_or_default();
        let (category, role) = (row.category.map(|category| category.word()), row.role.map(|role| role.word()));
        table.push([&row.path, &kind(&row), &sensitivity, &word(category), &word(role), &row.floor, &how]);
    }
    let about = match (subject(schema), &elements(schema)[..]) {
        (Some(subject), _) => subject.to_owned(),
        (None, []) => "none: nothing in its frames can be about a person".to_owned(),
        (None, elements) => {
            let each: Vec<_> = elements.iter().map(|(elements, subject)| format!("{subject}, for each of `{elements}`")).collect();
            format!(
                "{}\n             several in one message: for calls on a route with `subject = \"field\"`, not for frames",
                each.join("; ")
            )
        }
    };
    let mut text = format!(
        "message      {}\nfingerprint  {}\nsubject      {about}\n\n{table}\n\n{} fields, {} unclassified",
        schema.name(),
        schema.fingerprint(),
        schema.sites().len(),
        unclassified(schema).count(),
    );
    if let Some(old) = against {
        let changes = changes(old, schema);
        let weaker = changes.iter().filter(|change| !change.weaker().is_empty()).count();
        text.push_str(&match (changes.len(), weaker) {
            (0, _) => "\n\nnothing changed".to_owned(),
            (_, 0) => "\n\nchanged:".to_owned(),
            (_, weaker) => format!("\n\nchanged, {weaker} of it to less protection (!):"),
        });
        for change in changes {
            text.push_str(&format!("\n{}", super::plain(&change.to_string())));
        }
    }
    text
}

/// The schema first, then a line a field, then a line a change.
fn say_json(schema: &Schema, against: Option<&Schema>) -> Result<(), CliError> {
    say(json!({
        "kind": "schema", "message": schema.name().as_str(), "fingerprint": schema.fingerprint().to_string(),
        "subject": subject(schema),
        "elements": elements(schema).iter().map(|(elements, subject)| json!({ "path": elements, "subject": subject })).collect::<Vec<_>>(),
        "fields": schema.sites().len(), "unclassified": unclassified(schema).count(),
    }))?;
    for row in rows(schema) {
        say(json!({
            "kind": "field", "path": row.path.as_str(), "type": row.kind.word(), "repeated": row.repeated, "classified": row.classified,
            "debug_redact": row.redact,
            "sensitivity": row.classified.then(|| row.sensitivity.word()), "category": row.category.map(|category| category.word()),
            "role": row.role.map(|role| role.word()), "floor": row.floor.word(), "generalize": row.generalize.map(ToString::to_string),
        }))?;
    }
    for change in against.map(|old| changes(old, schema)).unwrap_or_default() {
        say(json!({
            "kind": "change", "change": change.word(), "place": change.place(), "weaker": change.weaker(), "text": change.to_string(),
        }))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("twinveil-schema-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("folder");
        path
    }

    fn args(file: &Path) -> CheckArgs {
        let output = OutputArgs { output: super::super::Output::Text };
        CheckArgs {
            file: Some(file.to_owned()),
            builtin: None,
            message: None,
            side_file: None,
            proto_paths: Vec::new(),
            against: None,
            against_side_file: None,
            suggest: false,
            output,
        }
    }

    const ANNOTATED: &str = "syntax = \"proto3\"; package w; import \"twinveil/v1/sensitivity.proto\";
message Frame {
  string id = 1 [(twinveil.v1.field) = { sensitivity: IDENTIFYING category: IDENTITY role: SUBJECT }];
  Part part = 2;
}
message Part { float x = 1 [(twinveil.v1.field) = { sensitivity: SPECIAL category: HEALTH generalize: { step: 5 } }]; }
";

    #[test]
    fn a_proto_file_is_compiled_with_the_annotations_of_the_program() {
        let dir = folder("proto");
        std::fs::write(dir.join("ward.proto"), ANNOTATED).expect("file");
        let schema = args(&dir.join("ward.proto")).load().expect("loads");
        assert_eq!((schema.name().as_str(), subject(&schema)), ("w.Frame", Some("id")));
        let text = text(&schema, None);
        assert!(text.contains("part.x  float   special      health    -        keep   in steps of 5"), "{text}");
        assert!(text.ends_with("2 fields, 0 unclassified"), "{text}");
        check(&args(&dir.join("ward.proto"))).expect("nothing found");
        std::fs::remove_dir_all(&dir).expect("clean");
    }

    #[test]
    fn an_unclassified_field_is_found_and_a_side_file_mends_it() {
        let dir = folder("unclassified");
        let file = dir.join("ward.proto");
        std::fs::write(&file, ANNOTATED.replace("Part part = 2;", "Part part = 2; string ward = 3; bytes more = 4;")).expect("file");
        let error = check(&args(&file)).expect_err("found");
        let expected = "2 fields are unclassified: `ward`, `more`: annotate, or add to a side file; until then they are stripped";
        assert_eq!(error, CliError::found(expected));
        std::fs::write(dir.join("side.toml"), "[\"w.Frame\"]\nward = { sensitivity = \"personal\", category = \"location\" }\n")
            .expect("file");
        let mended = CheckArgs { side_file: Some(dir.join("side.toml")), ..args(&file) };
        assert!(check(&mended).expect_err("one left").to_string().starts_with("1 field is unclassified: `more`"));
        std::fs::remove_dir_all(&dir).expect("clean");
    }

    #[test]
    fn changes_against_an_older_version_are_listed() {
        let dir = folder("against");
        std::fs::write(dir.join("old.proto"), ANNOTATED).expect("file");
        std::fs::write(dir.join("new.proto"), ANNOTATED.replace("step: 5", "step: 10")).expect("file");
        let new = args(&dir.join("new.proto"));
        let schema = new.load().expect("loads");
        let old = new.load_old(&dir.join("old.proto"), &schema).expect("loads");
        let shown = text(&schema, Some(&old));
        assert!(shown.contains("changed:\n~ part.x: ") && shown.contains("in steps of 10") && shown.contains("(was "), "{shown}");
        assert!(text(&schema, Some(&schema)).ends_with("nothing changed"));
        std::fs::remove_dir_all(&dir).expect("clean");
    }

    #[test]
    fn the_older_version_may_have_a_side_file_of_its_own() {
        let dir = folder("sides");
        let plain = ANNOTATED.replace(" [(twinveil.v1.field) = { sensitivity: SPECIAL category: HEALTH generalize: { step: 5 } }]", "");
        std::fs::write(dir.join("old.proto"), &plain).expect("file");
        std::fs::write(dir.join("new.proto"), plain.replace("float x = 1;", "float x = 1; float y = 2;")).expect("file");
        let line = |field: &str, sensitivity: &str| format!("{field} = {{ sensitivity = \"{sensitivity}\", category = \"health\" }}\n");
        std::fs::write(dir.join("old.toml"), format!("[\"w.Part\"]\n{}", line("x", "special"))).expect("file");
        std::fs::write(dir.join("new.toml"), format!("[\"w.Part\"]\n{}{}", line("x", "personal"), line("y", "special"))).expect("file");
        let both = CheckArgs { side_file: Some(dir.join("new.toml")), ..args(&dir.join("new.proto")) };
        let schema = both.load().expect("loads");
        let error = both.load_old(&dir.join("old.proto"), &schema).expect_err("`y` is new").to_string();
        assert!(error.contains("TV-S09") && error.contains("`--against-side-file`"), "{error}");
        let apart = CheckArgs { against_side_file: Some(dir.join("old.toml")), ..both };
        let old = apart.load_old(&dir.join("old.proto"), &schema).expect("loads");
        let shown = text(&schema, Some(&old));
        assert!(shown.contains("changed, 1 of it to less protection (!):\n! part.x: "), "{shown}");
        assert!(shown.contains("; WEAKER: sensitivity\n+ part.y: float = 2, special health, floor keep, new in `w.Part`"), "{shown}");
        std::fs::remove_dir_all(&dir).expect("clean");
    }

    #[test]
    fn the_samples_have_no_unclassified_field() {
        for builtin in [Builtin::Patient, Builtin::Turbine] {
            check(&CheckArgs { file: None, builtin: Some(builtin), ..args(Path::new("")) }).expect("nothing found");
        }
    }
}
