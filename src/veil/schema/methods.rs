//! The services of a descriptor set: which message types a method takes and gives.

use std::sync::Arc;

use prost::Message;
use prost_types::FileDescriptorSet;

use super::error::{LoadError, LoadFault};

/// A method of a gRPC service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// The full name of the service.
    pub service: Arc<str>,
    /// The name of the method in it.
    pub name: Arc<str>,
    /// The full name of the type of its requests.
    pub input: Arc<str>,
    /// The full name of the type of its responses.
    pub output: Arc<str>,
    /// Whether a call may have more than one request.
    pub client_streaming: bool,
    /// Whether a call may have more than one response.
    pub server_streaming: bool,
}

/// Every method of every service in a serialized `FileDescriptorSet`.
///
/// # Errors
/// [`LoadError`] where the bytes are no descriptor set.
pub fn methods(set: &[u8]) -> Result<Vec<Method>, LoadError> {
    let set =
        FileDescriptorSet::decode(set).map_err(|_| LoadError::new(LoadFault::Unreadable, "", "the bytes are no `FileDescriptorSet`"))?;
    let mut found = Vec::new();
    for file in &set.file {
        for service in &file.service {
            let full: Arc<str> = match file.package() {
                "" => service.name().into(),
                package => format!("{package}.{}", service.name()).into(),
            };
            found.extend(service.method.iter().map(|method| Method {
                service: Arc::clone(&full),
                name: method.name().into(),
                input: method.input_type().trim_start_matches('.').into(),
                output: method.output_type().trim_start_matches('.').into(),
                client_streaming: method.client_streaming(),
                server_streaming: method.server_streaming(),
            }));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::{FileDescriptorProto, MethodDescriptorProto, ServiceDescriptorProto};

    #[test]
    fn methods_have_full_names_and_say_what_they_stream() {
        let method = MethodDescriptorProto {
            name: Some("Watch".into()),
            input_type: Some(".ward.v1.Ask".into()),
            output_type: Some(".ward.v1.Frame".into()),
            server_streaming: Some(true),
            ..MethodDescriptorProto::default()
        };
        let service = ServiceDescriptorProto { name: Some("Ward".into()), method: vec![method], options: None };
        let file = |package: Option<&str>| FileDescriptorProto {
            package: package.map(Into::into),
            service: vec![service.clone()],
            ..FileDescriptorProto::default()
        };
        let set = FileDescriptorSet { file: vec![file(Some("ward.v1")), file(None)] };
        let found = methods(&set.encode_to_vec()).expect("a set");
        let names: Vec<_> = found.iter().map(|method| format!("{}/{}", method.service, method.name)).collect();
        assert_eq!(names, ["ward.v1.Ward/Watch", "Ward/Watch"]);
        assert_eq!((&*found[0].input, &*found[0].output), ("ward.v1.Ask", "ward.v1.Frame"));
        assert!(found[0].server_streaming && !found[0].client_streaming);
    }

    #[test]
    fn bytes_that_are_no_set_are_refused() {
        assert_eq!(methods(&[0x0a, 0x05, 1]).map_err(|error| error.fault), Err(LoadFault::Unreadable));
    }
}
