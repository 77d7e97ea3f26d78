//! NDJSON → frames: every line is the protobuf JSON form of the message.

use std::io::{BufRead, Read};

use prost::Message;
use prost_reflect::{DeserializeOptions, DynamicMessage};

use super::shape::Shape;
use super::{Frame, InputError};

/// The longest line.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// Lines that are being read. Empty ones are skipped.
pub struct Lines<R> {
    shape: Shape,
    name: String,
    input: R,
    line: u64,
    ended: bool,
}

impl<R> std::fmt::Debug for Lines<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lines({}, {})", self.name, self.line)
    }
}

impl<R: BufRead> Lines<R> {
    /// Reads `input`, which errors call `name`. The shape says which field names the subject.
    pub fn new(input: R, name: impl Into<String>, shape: Shape) -> Self {
        Self { shape, name: name.into(), input, line: 0, ended: false }
    }

    fn advance(&mut self) -> Result<Option<Frame>, InputError> {
        loop {
            self.line += 1;
            let mut line = Vec::new();
            let limit = LINE_BYTES_MAX as u64 + 1;
            let read = self.input.by_ref().take(limit).read_until(b'\n', &mut line);
            if read.map_err(|error| InputError::new(format!("can't be read: {}", error.kind())))? == 0 {
                return Ok(None);
            }
            if line.len() > LINE_BYTES_MAX {
                return Err(InputError::new(format!("longer than {LINE_BYTES_MAX} bytes")));
            }
            if !line.trim_ascii().is_empty() {
                return self.frame(line.trim_ascii()).map(Some);
            }
        }
    }

    fn frame(&self, line: &[u8]) -> Result<Frame, InputError> {
        let message = self.shape.message();
        let mut json = serde_json::Deserializer::from_slice(line);
        let parsed = DynamicMessage::deserialize_with_options(message.clone(), &mut json, &DeserializeOptions::new());
        let frame = parsed.and_then(|frame| json.end().map(|()| frame)).map_err(|error| {
            let text = error.to_string();
            // Only what names a field is passed on; other messages quote values.
            let why = match text.split(" at line ").next().filter(|why| why.starts_with("unrecognized field name")) {
                Some(why) => why.replace('\'', "`"),
                None if error.is_syntax() || error.is_eof() => "not JSON".to_owned(),
                None => "a value does not fit its field".to_owned(),
            };
            InputError::new(format!("character {}: {why}; a line is the protobuf JSON form of `{}`", error.column(), message.full_name()))
        })?;
        Ok(Frame { subject: self.shape.subject(&frame)?, at_ms: self.shape.captured_at(&frame), bytes: frame.encode_to_vec() })
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Frame, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.advance().map_err(|error| error.at_line(self.line).in_file(&self.name)).transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::sample::PatientFrame;

    fn lines(text: &str) -> Vec<Result<Frame, String>> {
        let shape = Shape::builtin("twinveil.sample.PatientFrame").expect("built in");
        Lines::new(text.as_bytes(), "in.ndjson", shape).map(|frame| frame.map_err(|error| error.to_string())).collect()
    }

    #[test]
    fn every_line_is_a_frame() {
        let frames = lines("{\"patientId\":\"p-1\",\"capturedAtMs\":\"1500\",\"vitals\":{\"spo2Pct\":97.5}}\n\n{\"patient_id\":\"p-2\"}");
        let [Ok(one), Ok(two)] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!((one.subject.as_str(), one.at_ms, two.subject.as_str(), two.at_ms), ("p-1", 1_500, "p-2", 0));
        let typed = PatientFrame::decode(&one.bytes[..]).expect("typed");
        assert_eq!(typed.vitals.and_then(|vitals| vitals.spo2_pct), Some(97.5));
    }

    #[test]
    fn a_bad_line_is_named_ends_the_reading_and_is_not_quoted() {
        for (bad, says) in [
            ("{\"patientId\":", "`in.ndjson`, line 2: character 13: not JSON"),
            ("{\"patientId\":\"secret\",\"modalty\":1}", "unrecognized field name"),
            ("{\"patientId\":\"secret\",\"sequence\":\"secret\"}", "a value does not fit its field"),
            ("{\"patientId\":\"secret\"} x", "not JSON"),
            ("[\"secret\"]", "a value does not fit its field"),
            ("{\"note\":\"secret\"}", "`in.ndjson`, line 2: the frame does not say whom it is about (`patient_id`)"),
        ] {
            let frames = lines(&format!("{{\"patientId\":\"p\"}}\n{bad}\n{{\"patientId\":\"q\"}}\n"));
            let [Ok(_), Err(error)] = &frames[..] else { panic!("{frames:?}") };
            assert!(error.starts_with("`in.ndjson`, line 2: ") && error.contains(says) && !error.contains("secret"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_refused() {
        let frames = lines(&format!("{{\"patientId\":\"{}\"}}", "x".repeat(LINE_BYTES_MAX)));
        assert_eq!(frames, [Err(format!("`in.ndjson`, line 1: longer than {LINE_BYTES_MAX} bytes"))]);
    }
}
