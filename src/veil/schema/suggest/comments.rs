//! What stands beside fields in the source, where the descriptor set has it (`--include_source_info`).

use std::collections::HashMap;

use prost::Message as _;

/// `FileDescriptorProto.message_type` and, in a message, `field` and `nested_type` (google/protobuf/descriptor.proto).
const FILE_MESSAGE: i32 = 4;
const MESSAGE_FIELD: i32 = 2;
const MESSAGE_NESTED: i32 = 3;

#[derive(Clone, PartialEq, prost::Message)]
struct Set {
    #[prost(message, repeated, tag = "1")]
    file: Vec<File>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct File {
    #[prost(string, optional, tag = "2")]
    package: Option<String>,
    #[prost(message, repeated, tag = "4")]
    message_type: Vec<Named>,
    #[prost(message, optional, tag = "9")]
    source_code_info: Option<Info>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Named {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(message, repeated, tag = "2")]
    field: Vec<NamedField>,
    #[prost(message, repeated, tag = "3")]
    nested_type: Vec<Named>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NamedField {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Info {
    #[prost(message, repeated, tag = "1")]
    location: Vec<Location>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Location {
    #[prost(int32, repeated, tag = "1")]
    path: Vec<i32>,
    #[prost(string, optional, tag = "3")]
    leading_comments: Option<String>,
    #[prost(string, optional, tag = "4")]
    trailing_comments: Option<String>,
}

/// Comments by `message.field`. A set that can't be read has none: whoever loads it says so.
pub(super) fn read(set: &[u8]) -> HashMap<String, String> {
    let mut comments = HashMap::new();
    for file in Set::decode(set).unwrap_or_default().file {
        let package = file.package.unwrap_or_default();
        for location in file.source_code_info.unwrap_or_default().location {
            let text = [location.leading_comments, location.trailing_comments].into_iter().flatten().collect::<Vec<_>>().join(" ");
            if !text.is_empty()
                && let Some(name) = field_name(&package, &file.message_type, &location.path)
            {
                comments.insert(name, text);
            }
        }
    }
    comments
}

/// The full name of the field that a path of source information leads to.
fn field_name(package: &str, messages: &[Named], path: &[i32]) -> Option<String> {
    let [FILE_MESSAGE, first, rest @ ..] = path else { return None };
    let at = |index: i32| usize::try_from(index).ok();
    let mut message = messages.get(at(*first)?)?;
    let mut name = if package.is_empty() { message.name.clone()? } else { format!("{package}.{}", message.name.as_ref()?) };
    let mut rest = rest;
    while let [MESSAGE_NESTED, index, more @ ..] = rest {
        message = message.nested_type.get(at(*index)?)?;
        name = format!("{name}.{}", message.name.as_ref()?);
        rest = more;
    }
    let [MESSAGE_FIELD, index] = rest else { return None };
    Some(format!("{name}.{}", message.field.get(at(*index)?)?.name.as_ref()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: Option<&str>, field: Option<&str>, nested_type: Vec<Named>) -> Named {
        Named { name: name.map(Into::into), field: vec![NamedField { name: field.map(Into::into) }], nested_type }
    }

    #[test]
    fn a_path_leads_to_a_field_or_nowhere() {
        let messages = [
            message(Some("M"), Some("a"), vec![message(Some("In"), Some("b"), vec![]), message(None, Some("c"), vec![])]),
            message(None, Some("d"), vec![]),
            message(Some("N"), None, vec![]),
        ];
        let at = |package: &str, path: &[i32]| field_name(package, &messages, path);
        assert_eq!(at("t", &[4, 0, 2, 0]).as_deref(), Some("t.M.a"));
        assert_eq!(at("", &[4, 0, 2, 0]).as_deref(), Some("M.a"));
        assert_eq!(at("t", &[4, 0, 3, 0, 2, 0]).as_deref(), Some("t.M.In.b"));
        let nowhere: [&[i32]; 15] = [
            &[],
            &[5, 0, 2, 0],
            &[4, 9, 2, 0],
            &[4, -1, 2, 0],
            &[4, 0],
            &[4, 0, 2, 0, 1],
            &[4, 0, 2, 9],
            &[4, 0, 2, -1],
            &[4, 0, 3, 9, 2, 0],
            &[4, 0, 3, -1, 2, 0],
            // Nameless: a message nested, a message, a field.
            &[4, 0, 3, 1, 2, 0],
            &[4, 1, 2, 0],
            &[4, 2, 2, 0],
            &[4, 0, 4, 0],
            &[4],
        ];
        for path in nowhere {
            assert_eq!((at("t", path), at("", path)), (None, None), "{path:?}");
        }
    }
}
