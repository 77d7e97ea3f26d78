//! What happens on a stream as lines of JSON, keys in an order that people can read.

use std::collections::BTreeMap;

use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde::Serialize;
use serde::ser::SerializeMap;

use super::super::CliError;
use super::super::wallet::hex;
use super::super::words::word;
use crate::client::subscriber::Event;
use crate::proto::v1;

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'e> {
    Header { stream: String, origin: &'e str, gateway_key: &'e str, schema_fingerprint: String, write_buffer_bytes: u32 },
    View { view: u32, subject: &'e str, open: bool, reason: &'e str, fields: Fields<'e>, obligations: Vec<Obligation<'e>> },
    Frame { view: u32, handover: u64, sealed: usize, opened: usize, message: DynamicMessage },
    Gap { frames: u64 },
    End { code: &'e str, reason: &'e str },
}

/// What the recipient takes upon itself.
#[derive(Serialize)]
struct Obligation<'e> {
    places: &'e [String],
    retention: &'e str,
    jurisdictions: &'e [String],
}

/// A treatment by path, in the order of the schema; how it is generalized where it is.
struct Fields<'e>(&'e [v1::FieldView]);

impl Serialize for Fields<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seen = BTreeMap::new();
        let mut map = serializer.serialize_map(None)?;
        for field in self.0 {
            // A key that is there twice would be read by chance.
            if seen.insert(&field.path, ()).is_some() {
                continue;
            }
            let treatment = word(field.treatment().as_str_name());
            let text = if field.how.is_empty() { treatment } else { format!("{treatment} {}", field.how) };
            map.serialize_entry(&field.path, &text)?;
        }
        map.end()
    }
}

/// Appends the line of an event.
pub(super) fn write(lines: &mut Vec<u8>, event: &Event, message: &MessageDescriptor) -> Result<(), CliError> {
    let line = match event {
        Event::Begins(header) => Line::Header {
            stream: hex(&header.stream_id),
            origin: &header.origin,
            gateway_key: &header.gateway_key,
            schema_fingerprint: hex(&header.schema_fingerprint),
            write_buffer_bytes: header.write_buffer_bytes,
        },
        Event::View(view) => {
            let obligations = view.obligations.iter().map(|one| Obligation {
                places: &one.places,
                retention: &one.retention,
                jurisdictions: &one.jurisdictions,
            });
            Line::View {
                view: view.view,
                subject: &view.subject,
                open: view.open,
                reason: &view.reason,
                fields: Fields(&view.fields),
                obligations: obligations.collect(),
            }
        }
        Event::Frame(frame) => {
            let decoded = DynamicMessage::decode(message.clone(), &frame.message[..]);
            Line::Frame {
                view: frame.view,
                handover: frame.handover,
                sealed: frame.groups,
                opened: frame.opened,
                message: decoded.map_err(|_| {
                    CliError::broken(format!("a frame is no `{}`: check `--schema` and `--descriptor`", message.full_name()))
                })?,
            }
        }
        Event::Gap(frames) => Line::Gap { frames: *frames },
        Event::Ends(end) => Line::End { code: &end.code, reason: &end.reason },
    };
    serde_json::to_writer(&mut *lines, &line).map_err(|error| CliError::broken(format!("an event has no JSON form: {error}")))?;
    lines.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::cli::input::Shape;
    use crate::client::subscriber::Received;
    use crate::proto::sample::{PatientFrame, Vitals};

    fn line(event: &Event) -> String {
        let shape = Shape::builtin("twinveil.sample.PatientFrame").expect("built in");
        let mut lines = Vec::new();
        write(&mut lines, event, shape.message()).expect("line");
        String::from_utf8(lines).expect("utf-8")
    }

    fn received(message: Vec<u8>) -> Event {
        Event::Frame(Received { view: 1, handover: 5, clear: message.clone(), message, groups: 1, opened: 1 })
    }

    #[test]
    fn a_frame_is_its_protobuf_json_form_and_reserved_fields_are_not_shown() {
        let vitals = Some(Vitals { heart_rate_bpm: Some(60.0), ..Vitals::default() });
        let mut message = PatientFrame { patient_id: "x".into(), vitals, ..PatientFrame::default() }.encode_to_vec();
        prost::encoding::bytes::encode(18_000, &b"sealed".to_vec(), &mut message);
        assert_eq!(
            line(&received(message)),
            "{\"event\":\"frame\",\"view\":1,\"handover\":5,\"sealed\":1,\"opened\":1,\"message\":{\"patientId\":\"x\",\"vitals\":{\"heartRateBpm\":60.0}}}\n"
        );
    }

    #[test]
    fn a_view_says_what_is_done_to_each_field() {
        let field = |path: &str, treatment: v1::Treatment, how: &str| v1::FieldView {
            path: path.into(),
            treatment: treatment.into(),
            how: how.into(),
        };
        let fields = vec![
            field("vitals.x", v1::Treatment::Generalize, "in steps of 5"),
            field("note", v1::Treatment::Encrypt, ""),
            field("note", v1::Treatment::Keep, ""),
        ];
        let obligation =
            v1::Obligation { places: vec!["AT".into()], retention: "P6M".into(), jurisdictions: vec!["AT".into(), "DE".into()] };
        let obligations = vec![obligation];
        let view = v1::View { view: 1, subject: "abc".into(), open: true, fields, obligations, ..v1::View::default() };
        assert_eq!(
            line(&Event::View(view)),
            "{\"event\":\"view\",\"view\":1,\"subject\":\"abc\",\"open\":true,\"reason\":\"\",\
             \"fields\":{\"vitals.x\":\"generalize in steps of 5\",\"note\":\"encrypt\"},\
             \"obligations\":[{\"places\":[\"AT\"],\"retention\":\"P6M\",\"jurisdictions\":[\"AT\",\"DE\"]}]}\n"
        );
    }

    #[test]
    fn what_is_no_message_of_the_schema_is_not_shown() {
        let shape = Shape::builtin("twinveil.sample.PatientFrame").expect("built in");
        let error = write(&mut Vec::new(), &received(vec![0xff]), shape.message()).expect_err("broken");
        assert!(error.to_string().contains("is no `twinveil.sample.PatientFrame`"));
    }
}
