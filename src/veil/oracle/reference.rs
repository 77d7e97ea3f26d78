//! The clear bytes that a view must send, from the projection alone: so they can't depend on anything else.

use super::projection::{Class, Holds, Plain, Projection, Shown};
use crate::veil::schema::SiteId;
use crate::veil::wire::{FIXED32, FIXED64, GROUP, LEN, VARINT, push_tag, push_varint};

/// The pseudonym for what it is a function of, at a site.
pub type StandIn<'a> = dyn Fn(SiteId, &Class) -> Plain + 'a;

/// The clear bytes of a frame with this projection.
pub fn reference(projection: &Projection, stand_in: &StandIn<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    push_all(&mut out, &projection.clear, stand_in);
    out
}

fn push_all(out: &mut Vec<u8>, shown: &[Shown], stand_in: &StandIn<'_>) {
    for Shown { number, holds } in shown {
        match holds {
            Holds::Value(plain) => push_record(out, *number, plain),
            Holds::StandIns { site, packed: true, of } => {
                let mut run = Vec::new();
                of.iter().for_each(|class| push_value(&mut run, &stand_in(*site, class)));
                push_record(out, *number, &Plain::Bytes(run));
            }
            Holds::StandIns { site, packed: false, of } => of.iter().for_each(|class| push_record(out, *number, &stand_in(*site, class))),
            Holds::Message { key, inside } => {
                let mut message = Vec::new();
                if let Some((by, key)) = key {
                    push_record(&mut message, *by, key);
                }
                push_all(&mut message, inside, stand_in);
                push_record(out, *number, &Plain::Bytes(message));
            }
        }
    }
}

fn push_record(out: &mut Vec<u8>, number: u32, plain: &Plain) {
    let wire_type = match plain {
        Plain::Varint(_) => VARINT,
        Plain::Fixed64(_) => FIXED64,
        Plain::Fixed32(_) => FIXED32,
        Plain::Bytes(_) | Plain::Run(_) => LEN,
        Plain::Group(_) => GROUP,
    };
    push_tag(out, number, wire_type);
    push_value(out, plain);
}

fn push_value(out: &mut Vec<u8>, plain: &Plain) {
    match plain {
        Plain::Varint(value) => push_varint(out, *value),
        Plain::Fixed64(value) => out.extend(value.to_le_bytes()),
        Plain::Fixed32(value) => out.extend(value.to_le_bytes()),
        Plain::Bytes(bytes) => {
            push_varint(out, bytes.len() as u64);
            out.extend(bytes);
        }
        Plain::Run(values) => {
            let mut run = Vec::new();
            values.iter().for_each(|value| push_varint(&mut run, *value));
            push_value(out, &Plain::Bytes(run));
        }
        Plain::Group(inside) => out.extend(inside),
    }
}
