use super::*;

/// A descriptor set that somebody else wrote; `None` where the collection is not at hand.
pub(super) fn foreign(name: &str) -> Option<Vec<u8>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/protos").join(name).join("descriptor.binpb");
    match std::fs::read(&path) {
        Ok(set) => Some(set),
        Err(cause) => {
            eprintln!("SKIPPED: no descriptor set of {name} at hand ({cause})");
            None
        }
    }
}

#[test]
fn every_foreign_message_loads_unclassified_or_is_refused_by_name() {
    for name in ["opentelemetry", "sparkplug-b", "gtfs-realtime", "googleapis-common", "grpc-health-reflection"] {
        let Some(set) = foreign(name) else { continue };
        let types = descriptor::Types::read(&set).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (mut loaded, mut refused) = (0, 0);
        for message in types.names() {
            match load_annotated(&set, message) {
                Ok(schema) => {
                    loaded += 1;
                    assert_eq!(unclassified(&schema).len(), schema.sites().len(), "{message}");
                }
                Err(error) => {
                    refused += 1;
                    assert!(matches!(error.fault, LoadFault::Required), "{message}: {error}");
                    assert!(error.place.starts_with('`'), "{message}: {error}");
                }
            }
        }
        eprintln!("{name}: {loaded} messages loaded, {refused} refused by name");
        assert!(loaded > 0, "{name}");
    }
}

const OTLP: &str = r#"
["opentelemetry.proto.metrics.v1.NumberDataPoint"]
time_unix_nano = { sensitivity = "operational", category = "time", generalize = { time_bucket = "1h", unit = "ns" } }
as_double = { sensitivity = "special", category = "health", generalize = { step = 5 } }
'attributes[key="user.id"].value' = { sensitivity = "identifying", category = "identity" }
'attributes[key="ward"].value.string_value' = { sensitivity = "personal", category = "location" }
["opentelemetry.proto.resource.v1.Resource"]
'attributes[key="host.name"].value.string_value' = { sensitivity = "operational", category = "device", floor = "pseudonymize" }
["opentelemetry.proto.metrics.v1.Metric"]
name = { sensitivity = "public", category = "operation" }
'gauge.data_points.attributes[key="user.id"].value' = { sensitivity = "special", category = "identity" }
"#;

#[test]
fn otlp_attributes_are_judged_by_their_key() {
    let Some(set) = foreign("opentelemetry") else { return };
    let schema = load(&set, "opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest", Some(OTLP)).expect("loads");
    let metrics = "resource_metrics.scope_metrics.metrics";
    let user = site(&schema, &format!(r#"{metrics}.sum.data_points.attributes[key="user.id"].value"#));
    assert_eq!((user.kind, user.facts.sensitivity), (Kind::Message, Sensitivity::Identifying));
    // The line that begins further out says more about the place.
    let user = site(&schema, &format!(r#"{metrics}.gauge.data_points.attributes[key="user.id"].value"#));
    assert_eq!(user.facts.sensitivity, Sensitivity::Special);
    // The other cases of the inner message stay.
    let ward = site(&schema, &format!(r#"{metrics}.gauge.data_points.attributes[key="ward"].value.string_value"#));
    assert_eq!((ward.kind, ward.facts.category), (Kind::String, Some(Category::Location)));
    let host = site(&schema, r#"resource_metrics.resource.attributes[key="host.name"].value.string_value"#);
    assert_eq!(host.facts.floor, Treatment::Pseudonymize);
    // Beside the case, all is unclassified; a value inside a value is not the value that was named.
    let deep = format!(r#"{metrics}.sum.data_points.attributes[key="ward"].value.kvlist_value.values.value.string_value"#);
    assert!(!site(&schema, &deep).facts.classified());
    // Where nobody names keys, attributes are ordinary messages.
    assert!(matches!(field(&schema, &["resource_metrics", "scope_metrics", "scope", "attributes"]).content, Content::Message(_)));
}

#[test]
fn sparkplug_is_read_as_published() {
    let Some(set) = foreign("sparkplug-b") else { return };
    let payload = "org.eclipse.tahu.protobuf.Payload";
    let side = r#"
        ["org.eclipse.tahu.protobuf.Payload"]
        timestamp = { sensitivity = "personal", category = "time", role = "captured_at", generalize = { time_bucket = "1h" } }
        seq = { sensitivity = "personal", category = "device", role = "sequence" }
        uuid = { sensitivity = "identifying", category = "identity", role = "subject" }
        'metrics[name="HR"].float_value' = { sensitivity = "special", category = "health", generalize = { step = 5 } }
        'metrics[name="HR"].timestamp' = { sensitivity = "personal", category = "time" }
    "#;
    let schema = load(&set, payload, Some(side)).expect("loads");
    assert_eq!(site(&schema, r#"metrics[name="HR"].float_value"#).facts.sensitivity, Sensitivity::Special);
    assert!(!site(&schema, r#"metrics[name="HR"].double_value"#).facts.classified());
    let Content::Select(select) = &field(&schema, &["metrics"]).content else { panic!("a select") };
    assert_eq!(select.keys.iter().map(|key| (key.by, key.kind, key.cases.len())).collect::<Vec<_>>(), [(1, Kind::String, 1)]);
    assert!(matches!(field(&schema, &["metrics", "name"]).content, Content::Discriminator));
    assert_eq!(schema.subject().map(|subject| subject.numbers.clone()), Some(vec![4]));
    // A metric inside the case's own template is not the metric that was named.
    assert!(!site(&schema, r#"metrics[name="HR"].template_value.metrics.float_value"#).facts.classified());
}

#[test]
fn gtfs_realtime_is_read_once_its_required_fields_are_public() {
    let Some(set) = foreign("gtfs-realtime") else { return };
    let root = "transit_realtime.FeedMessage";
    let error = load(&set, root, None).expect_err("required fields");
    assert_eq!((error.fault, error.place.as_str()), (LoadFault::Required, "`transit_realtime.FeedMessage.header`"));
    let side = r#"
        ["transit_realtime.FeedMessage"]
        header = { sensitivity = "public", category = "operation" }
        'entity.id' = { sensitivity = "public", category = "operation" }
        'entity.trip_update' = { sensitivity = "operational", category = "operation" }
        'entity.vehicle.position' = { sensitivity = "operational", category = "location" }
        'entity.stop' = { sensitivity = "public", category = "site" }
        'entity.alert' = { sensitivity = "operational", category = "operation" }
    "#;
    let schema = load(&set, root, Some(side)).unwrap_or_else(|error| panic!("{error}"));
    assert!(site(&schema, "entity.id").required);
    assert!(site(&schema, "entity.vehicle.position").facts.classified());
}
