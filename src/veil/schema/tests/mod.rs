//! Schemas as people write them: what is read, what is refused, and the schemas of others.

#[cfg(feature = "gateway")]
mod changed;
mod foreign;
#[cfg(feature = "gateway")]
mod read;
#[cfg(feature = "gateway")]
mod refused;
#[cfg(feature = "gateway")]
mod several;
mod suggested;

use super::*;

/// The facts of the site with this path.
fn site<'a>(schema: &'a Schema, path: &str) -> &'a Site {
    schema.sites().iter().find(|site| site.path.as_str() == path).unwrap_or_else(|| panic!("no site {path} in {:#?}", paths(schema)))
}

fn paths(schema: &Schema) -> Vec<&str> {
    schema.sites().iter().map(|site| site.path.as_str()).collect()
}

fn unclassified(schema: &Schema) -> Vec<&str> {
    check::unclassified(schema).map(crate::veil::name::FieldPath::as_str).collect()
}

/// The field at this path of names from the root; messages and first cases are walked through.
fn field<'a>(schema: &'a Schema, names: &[&str]) -> &'a Field {
    let mut node = schema.nodes().first().expect("a root");
    let mut names = names.iter().peekable();
    loop {
        let name = names.next().expect("a name");
        let field = node.fields.iter().find(|field| *field.name == **name).unwrap_or_else(|| panic!("no field {name}"));
        if names.peek().is_none() {
            return field;
        }
        let inner = match &field.content {
            Content::Message(inner) => *inner,
            Content::Select(select) => select.cases().next().expect("a case").1,
            Content::Leaf(_) | Content::Discriminator => panic!("{name} has nothing inside"),
        };
        node = &schema.nodes()[inner.0 as usize];
    }
}

/// A descriptor set, options kept, of one file that may import our annotations and Google's well-known types.
#[cfg(feature = "gateway")]
pub(in crate::veil) fn compile(source: &str) -> Vec<u8> {
    use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
    struct Sources(String);
    impl FileResolver for Sources {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            match name {
                "t.proto" => File::from_source(name, &self.0),
                "twinveil/v1/sensitivity.proto" => File::from_source(name, include_str!("../../../../proto/twinveil/v1/sensitivity.proto")),
                _ => Err(protox::Error::file_not_found(name)),
            }
        }
    }
    let mut files = ChainFileResolver::new();
    files.add(Sources(source.to_owned()));
    files.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(files);
    compiler.include_imports(true).open_file("t.proto").unwrap_or_else(|cause| panic!("{cause:?}\n{source}"));
    compiler.encode_file_descriptor_set()
}

/// proto3, package `t`, our annotations imported.
#[cfg(feature = "gateway")]
fn proto3(body: &str) -> Vec<u8> {
    compile(&format!(
        "syntax = \"proto3\"; package t; import \"twinveil/v1/sensitivity.proto\"; import \"google/protobuf/timestamp.proto\"; \
         import \"google/protobuf/any.proto\";\n{body}"
    ))
}

/// proto2, package `t`, our annotations imported.
#[cfg(feature = "gateway")]
fn proto2(body: &str) -> Vec<u8> {
    compile(&format!("syntax = \"proto2\"; package t; import \"twinveil/v1/sensitivity.proto\";\n{body}"))
}
