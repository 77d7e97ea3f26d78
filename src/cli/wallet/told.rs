//! What became of a record, as it is printed.

use serde_json::json;

use super::super::table::Table;
use super::super::{CliError, OutputArgs, say};
use super::hex;
use crate::proto::v1::{StreamBarrier, SubmitResponse, WithdrawResponse};

/// The id of the record that was taken, and its number.
pub(super) fn taken(answer: &SubmitResponse, output: OutputArgs) -> Result<(), CliError> {
    let record = hex(&answer.record);
    match (output.is_json(), answer.seq) {
        (true, seq) => say(json!({"record": record, "seq": seq})),
        (false, 0) => say(format_args!("enrolled  {record}")),
        (false, seq) => say(format_args!("record  {record}\nnumber  {seq}")),
    }
}

/// How many grants ended, and where each open stream stood.
pub(super) fn ended(answer: &WithdrawResponse, output: OutputArgs) -> Result<(), CliError> {
    if output.is_json() {
        let record = if answer.record.is_empty() { None } else { Some(hex(&answer.record)) };
        let streams: Vec<_> = answer.streams.iter().map(stream_json).collect();
        return say(json!({"record": record, "ended": answer.ended, "streams": streams}));
    }
    say(format_args!("ended {}", answer.ended))?;
    if answer.streams.is_empty() { Ok(()) } else { say(format_args!("\n{}", streams(&answer.streams))) }
}

pub(super) fn stream_json(stream: &StreamBarrier) -> serde_json::Value {
    json!({
        "stream": hex(&stream.stream_id), "recipient": stream.recipient, "purpose": stream.purpose,
        "view": stream.view, "last_handover": stream.last_handover,
    })
}

pub(super) fn streams(streams: &[StreamBarrier]) -> Table {
    let mut table = Table::new(&["open stream", "recipient", "purpose", "view", "last hand-over"]);
    for stream in streams {
        table.push([&hex(&stream.stream_id), &stream.recipient, &stream.purpose, &stream.view, &stream.last_handover]);
    }
    table
}
