//! Export requests of OpenTelemetry through the side files in the program: who it is about is gone or a pseudonym at every level,
//! and the measurements are as they were.

use serde_json::{Value, json};

use super::{Foreign, holds, published};

pub(crate) const TRACES: &str = include_str!("../../../src/cli/assets/side-files/otlp-traces.toml");
pub(crate) const METRICS: &str = include_str!("../../../src/cli/assets/side-files/otlp-metrics.toml");
pub(crate) const LOGS: &str = include_str!("../../../src/cli/assets/side-files/otlp-logs.toml");

/// Stands in every value that must not be seen.
const CANARY: &str = "canary";

fn foreign(what: &str, message: &str, side: &str) -> Option<Foreign> {
    let set = published("opentelemetry/descriptor.binpb")?;
    Some(Foreign::new(&set, &format!("opentelemetry.proto.collector.{what}.v1.{message}"), side))
}

/// As instrumented services write them, at one level.
fn attributes(level: &str) -> Value {
    let text = |key: &str, value: String| json!({"key": key, "value": {"stringValue": value}});
    let canary = |key: &str| text(key, format!("{CANARY}-{level}-{key}"));
    json!([
        canary("user.id"),
        canary("enduser.id"),
        canary("client.address"),
        canary("host.name"),
        canary("user.email"),
        canary("http.url"),
        canary("url.full"),
        canary("url.path"),
        canary("http.target"),
        canary("user_agent.original"),
        canary("exception.message"),
        canary("patient.note"),
        text("http.request.method", "GET".into()),
        text("http.route", "/patients/{id}".into()),
        {"key": "http.response.status_code", "value": {"intValue": "200"}},
        {"key": "service.name", "value": {"stringValue": format!("{level}-service")}},
        // A value of another type than the one that is classified, and one that hides more keys.
        {"key": "http.response.status_code", "value": {"stringValue": format!("{CANARY}-typed")}},
        {"key": "user.id", "value": {"kvlistValue": {"values": [{"key": "service.name", "value": {"stringValue": format!("{CANARY}-deep")}}]}}},
        {"key": "service.name", "value": {"arrayValue": {"values": [{"stringValue": format!("{CANARY}-list")}]}}},
        // No key at all.
        {"value": {"stringValue": format!("{CANARY}-nameless")}},
    ])
}

/// What came out of [`attributes`]: (key, value), in order.
fn come_out(level: &str, out: &Value) {
    let found: Vec<(&str, &Value)> =
        out.as_array().unwrap_or_else(|| panic!("{level}: {out}")).iter().map(|kv| (kv["key"].as_str().unwrap(), &kv["value"])).collect();
    let keys: Vec<&str> = found.iter().map(|(key, _)| *key).collect();
    let wanted = [
        "user.id",
        "enduser.id",
        "client.address",
        "host.name",
        "http.request.method",
        "http.route",
        "http.response.status_code",
        "service.name",
    ];
    assert_eq!(keys, wanted, "{level}");
    let mut pseudonyms: Vec<&str> = found[..4].iter().map(|(_, value)| value["stringValue"].as_str().unwrap()).collect();
    pseudonyms.dedup();
    assert!(pseudonyms.len() == 4 && pseudonyms.iter().all(|made| made.len() == 26), "{level}: {pseudonyms:?}");
    assert_eq!(found[4].1["stringValue"], "GET", "{level}");
    assert_eq!(found[6].1["intValue"], "200", "{level}");
    assert_eq!(found[7].1["stringValue"], format!("{level}-service"), "{level}");
}

#[test]
fn traces_keep_their_shape_and_name_nobody() {
    let Some(traces) = foreign("trace", "ExportTraceServiceRequest", TRACES) else { return };
    let request = json!({"resourceSpans": [{
        "resource": {"attributes": attributes("resource"), "entityRefs": [{"type": "service", "idKeys": ["service.name"]}]},
        "schemaUrl": "https://opentelemetry.io/schemas/1.30.0",
        "scopeSpans": [{
            "scope": {"name": "io.example.http", "version": "1.2.3", "attributes": attributes("scope")},
            "spans": [{
                "traceId": "AAECAwQFBgcICQoLDA0ODw==", "spanId": "AAECAwQFBgc=", "traceState": format!("vendor={CANARY}"), "flags": 1,
                "name": "GET /patients/{id}", "kind": "SPAN_KIND_SERVER",
                "startTimeUnixNano": "1735689600123456789", "endTimeUnixNano": "1735689600223456789",
                "attributes": attributes("span"),
                "events": [{"timeUnixNano": "1735689600133456789", "name": "exception", "attributes": attributes("event")}],
                "links": [{"traceId": "Dw4NDAsKCQgHBgUEAwIBAA==", "spanId": "BwYFBAMCAQA=", "attributes": attributes("link")}],
                "status": {"code": "STATUS_CODE_ERROR", "message": format!("{CANARY}: no such patient")},
            }],
        }],
    }]});
    let frame = traces.encode(&request);
    assert!(holds(&frame, CANARY));
    let bytes = traces.floors(&frame);
    assert!(!holds(&bytes, CANARY), "{:?}", traces.decode(&bytes));
    let out = traces.decode(&bytes);
    let (resource, scope) = (&out["resourceSpans"][0]["resource"], &out["resourceSpans"][0]["scopeSpans"][0]["scope"]);
    let span = &out["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    for (level, at) in
        [("resource", resource), ("scope", scope), ("span", span), ("event", &span["events"][0]), ("link", &span["links"][0])]
    {
        come_out(level, &at["attributes"]);
    }
    let source = &request["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    for kept in ["traceId", "spanId", "flags", "name", "kind", "startTimeUnixNano", "endTimeUnixNano"] {
        assert_eq!(span[kept], source[kept], "{kept}");
    }
    assert_eq!(span["status"], json!({"code": "STATUS_CODE_ERROR"}));
    assert_eq!(span["links"][0]["traceId"], source["links"][0]["traceId"]);
}

#[test]
fn metrics_keep_their_measurements_at_every_kind_of_point() {
    let Some(metrics) = foreign("metrics", "ExportMetricsServiceRequest", METRICS) else { return };
    let number = |name: &str, value: Value| {
        let mut point = json!({"startTimeUnixNano": "1735689600000000000", "timeUnixNano": "1735689660000000000", "attributes": attributes("point"),
            "exemplars": [{"timeUnixNano": "1735689650000000000", "asDouble": 71.25, "spanId": "AAECAwQFBgc=", "filteredAttributes": attributes("exemplar")}]});
        point.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        json!({"name": name, "unit": "1/min", "description": "As measured", "metadata": attributes("metadata"), "gauge": {"dataPoints": [point]}})
    };
    let histogram = json!({"count": "3", "sum": 12.5, "bucketCounts": ["1", "2", "0"], "explicitBounds": [1.0, 10.0], "min": 0.5, "max": 9.0,
        "timeUnixNano": "1735689660000000000", "attributes": attributes("point")});
    let exponential = json!({"count": "3", "sum": 12.5, "scale": -2, "zeroCount": "1", "positive": {"offset": 1, "bucketCounts": ["1", "1"]},
        "timeUnixNano": "1735689660000000000", "attributes": attributes("point")});
    let summary =
        json!({"count": "3", "sum": 12.5, "quantileValues": [{"quantile": 0.5, "value": 4.0}], "attributes": attributes("point")});
    let request = json!({"resourceMetrics": [{"resource": {"attributes": attributes("resource")}, "scopeMetrics": [{
        "scope": {"name": "meter", "attributes": attributes("scope")},
        "metrics": [
            number("process.cpu", json!({"asDouble": 0.75})),
            number("process.threads", json!({"asInt": "-12"})),
            {"name": "requests", "sum": {"dataPoints": [{"asInt": "42", "attributes": attributes("point")}], "aggregationTemporality": 2, "isMonotonic": true}},
            {"name": "duration", "histogram": {"dataPoints": [histogram], "aggregationTemporality": 1}},
            {"name": "fine", "exponentialHistogram": {"dataPoints": [exponential], "aggregationTemporality": 1}},
            {"name": "old", "summary": {"dataPoints": [summary]}},
        ],
    }]}]});
    let bytes = metrics.floors(&metrics.encode(&request));
    assert!(!holds(&bytes, CANARY));
    let out = metrics.decode(&bytes);
    let (before, after) =
        (&request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"], &out["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]);
    come_out("resource", &out["resourceMetrics"][0]["resource"]["attributes"]);
    come_out("scope", &out["resourceMetrics"][0]["scopeMetrics"][0]["scope"]["attributes"]);
    let kinds = ["gauge", "gauge", "sum", "histogram", "exponentialHistogram", "summary"];
    for (at, kind) in kinds.into_iter().enumerate() {
        let (old, new) = (&before[at][kind]["dataPoints"][0], &after[at][kind]["dataPoints"][0]);
        come_out("point", &new["attributes"]);
        for (name, value) in old.as_object().unwrap().iter().filter(|(name, _)| !["attributes", "exemplars"].contains(&name.as_str())) {
            assert_eq!(&new[name], value, "{kind} {name}");
        }
        if kind == "gauge" {
            come_out("metadata", &after[at]["metadata"]);
            come_out("exemplar", &new["exemplars"][0]["filteredAttributes"]);
            assert_eq!(new["exemplars"][0]["asDouble"], 71.25);
        }
    }
}

#[test]
fn logs_leave_without_their_text_unless_it_is_sealed() {
    let Some(logs) = foreign("logs", "ExportLogsServiceRequest", LOGS) else { return };
    let record = |body: Value| {
        json!({"timeUnixNano": "1735689600123456789", "severityNumber": "SEVERITY_NUMBER_ERROR", "severityText": "ERROR", "body": body,
            "attributes": attributes("record"), "eventName": "patient.open", "traceId": "AAECAwQFBgcICQoLDA0ODw=="})
    };
    let request = json!({"resourceLogs": [{"resource": {"attributes": attributes("resource")}, "scopeLogs": [{
        "scope": {"name": "ward", "attributes": attributes("scope")},
        "logRecords": [
            record(json!({"stringValue": format!("{CANARY} opened the record of canary")})),
            record(json!({"kvlistValue": {"values": [{"key": "service.name", "value": {"stringValue": CANARY}}]}})),
            record(json!({"arrayValue": {"values": [{"bytesValue": "Y2FuYXJ5"}]}})),
        ],
    }]}]});
    let frame = logs.encode(&request);
    let bytes = logs.floors(&frame);
    assert!(holds(&frame, CANARY) && !holds(&bytes, CANARY));
    let out = logs.decode(&bytes);
    come_out("resource", &out["resourceLogs"][0]["resource"]["attributes"]);
    for record in out["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap() {
        come_out("record", &record["attributes"]);
        assert_eq!((&record["severityNumber"], &record["body"]), (&json!("SEVERITY_NUMBER_ERROR"), &Value::Null));
    }
    assert_eq!(out["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap().len(), 3);
    // The text of the first, the only body of a kind that may be sealed, is in the sealed group: its length shows it.
    let shorter = logs.floors(&logs.encode(&json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"severityText": "ERROR"}]}]}]})));
    assert!(bytes.len() > shorter.len());
}
