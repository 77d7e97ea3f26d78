//! What reflection shows of the services behind the gateway: methods that have a route and the types that they need. Comments
//! and custom options, which classify fields, are left out.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

/// The files of `sets` that the methods with routes need; of two with one name the first counts.
pub(super) fn shown(sets: &[Vec<u8>], has_route: impl Fn(&str) -> bool) -> FileDescriptorSet {
    let mut files: BTreeMap<String, FileDescriptorProto> = BTreeMap::new();
    // Unknown fields, as custom options are here, do not come through the decoder. The sets were read before.
    for file in sets.iter().filter_map(|set| FileDescriptorSet::decode(&set[..]).ok()).flat_map(|set| set.file) {
        files.entry(file.name().to_owned()).or_insert(file);
    }
    let mut wanted: Vec<String> = Vec::new();
    for file in files.values_mut() {
        file.source_code_info = None;
        let package = file.package().to_owned();
        for service in &mut file.service {
            let name = if package.is_empty() { service.name().to_owned() } else { format!("{package}.{}", service.name()) };
            service.method.retain(|method| has_route(&format!("/{name}/{}", method.name())));
        }
        file.service.retain(|service| !service.method.is_empty());
        if !file.service.is_empty() {
            wanted.push(file.name().to_owned());
        }
    }
    let mut shown = FileDescriptorSet::default();
    while let Some(name) = wanted.pop() {
        if let Some(file) = files.remove(&name) {
            wanted.extend(file.dependency.iter().cloned());
            shown.file.push(file);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::source_code_info::Location;
    use prost_types::{DescriptorProto, MethodDescriptorProto, ServiceDescriptorProto, SourceCodeInfo};

    fn file(name: &str, package: &str, dependency: &[&str], services: &[(&str, &[&str])]) -> FileDescriptorProto {
        let method = |name: &&str| MethodDescriptorProto { name: Some((*name).into()), ..MethodDescriptorProto::default() };
        let service = |(name, methods): &(&str, &[&str])| ServiceDescriptorProto {
            name: Some((*name).into()),
            method: methods.iter().map(method).collect(),
            ..ServiceDescriptorProto::default()
        };
        FileDescriptorProto {
            name: Some(name.into()),
            package: Some(package.into()),
            dependency: dependency.iter().map(|name| (*name).into()).collect(),
            message_type: vec![DescriptorProto { name: Some("M".into()), ..DescriptorProto::default() }],
            service: services.iter().map(service).collect(),
            source_code_info: Some(SourceCodeInfo {
                location: vec![Location { leading_comments: Some("internal".into()), ..Location::default() }],
            }),
            ..FileDescriptorProto::default()
        }
    }

    #[test]
    fn only_methods_with_routes_are_shown_and_what_they_need() {
        let one = FileDescriptorSet {
            file: vec![
                file("types.proto", "w", &[], &[]),
                file("unused.proto", "w", &[], &[]),
                file("w.proto", "w", &["types.proto"], &[("Ward", &["Look", "Erase"]), ("Staff", &["List"])]),
            ],
        };
        let other = FileDescriptorSet { file: vec![file("types.proto", "x", &[], &[]), file("n.proto", "", &[], &[("N", &["Do"])])] };
        let shown = shown(&[one.encode_to_vec(), other.encode_to_vec()], |path| ["/w.Ward/Look", "/N/Do"].contains(&path));
        let mut names: Vec<_> = shown.file.iter().map(|file| (file.name(), file.package())).collect();
        names.sort_unstable();
        assert_eq!(names, [("n.proto", ""), ("types.proto", "w"), ("w.proto", "w")]);
        let services: Vec<_> = shown.file.iter().flat_map(|file| &file.service).collect();
        let methods: Vec<_> = services.iter().flat_map(|service| service.method.iter().map(|method| method.name())).collect();
        assert_eq!((services.len(), methods.len()), (2, 2));
        assert!(methods.contains(&"Look") && methods.contains(&"Do"));
        assert!(shown.file.iter().all(|file| file.source_code_info.is_none()));
    }
}
