//! The walk of a list about several subjects. The input says who is hidden, what is done for the others, and the list; then it
//! must hold that without the hidden elements every byte that comes out is the same.
//!
//! Input: flags (1 elements of nobody are shown, 2 `a` is hidden, 4 `b` is, 8 a list without a visible element is expected),
//! treatments with their length in front (a byte a site, over again: nobody's, then `a`'s and `b`'s each from one further), then
//! the list.

use std::sync::Arc;

use twinveil::veil::outcome::Refusal;
use twinveil::veil::policy::{Decided, Decision, Holders, Reason};
use twinveil::veil::schema::{ANNOUNCEMENT_FIELD, SEALED_FIELD};
use twinveil::veil::terms::Treatment;
use twinveil::veil::transform::fragment::split;
use twinveil::veil::view::{Elements, Program, Raw, Space, SubjectValue, View, Whose};
use twinveil::veil::wire::{Reader, Value, push_len_prefixed};

use super::{Input, apply, shapes};

const NOBODY_SHOWN: u8 = 1;
const A_HIDDEN: u8 = 2;
const B_HIDDEN: u8 = 4;
const EXPECTED: u8 = 8;

pub(super) fn run(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    let treatments = input.piece();
    let list = input.rest();
    let programs = [0, 1, 2].map(|from| program(treatments, from));
    let mut space = Space::default();
    let seen = see(&programs, flags, list, &mut space);
    assert_eq!(see(&programs, flags, list, &mut space), seen, "what was left in the space is shown");
    let Ok(seen) = seen else { return };
    if let Some(seen) = &seen {
        let (clear, groups) = split(seen, SEALED_FIELD, ANNOUNCEMENT_FIELD).expect("what comes out is legal");
        assert_eq!(groups.len(), programs[0].slots().len(), "a group a slot, and none for an element");
        assert!(Reader::new(&clear).all(|record| record.is_ok()));
    }
    let mut fewer = Vec::new();
    without_hidden(flags, list, 0, &mut fewer).expect("it was read before");
    assert_eq!(see(&programs, flags, &fewer, &mut space), Ok(seen), "what is hidden made a difference");
}

fn program(treatments: &[u8], from: usize) -> Arc<Program> {
    let schema = shapes::list();
    let sites = schema.sites().iter().enumerate().map(|(index, site)| {
        let byte = if treatments.is_empty() { 0 } else { treatments[(index + from) % treatments.len()] };
        let wanted = Treatment::ALL[usize::from(byte) % Treatment::ALL.len()];
        let treatment = if site.allows(wanted) { wanted } else { Treatment::Strip };
        Decided { treatment, holders: Holders::MandateVault, reason: Reason::Public }
    });
    Arc::new(Program::compile(schema, &Decision { sites: sites.collect() }))
}

struct Those {
    flags: u8,
    a: View,
    b: View,
}

fn name(subject: Option<&SubjectValue>) -> &[u8] {
    subject.map_or(b"", |subject| subject.as_bytes())
}

fn is_hidden(flags: u8, subject: Option<&SubjectValue>) -> bool {
    match name(subject) {
        b"a" => flags & A_HIDDEN != 0,
        b"b" => flags & B_HIDDEN != 0,
        _ => flags & NOBODY_SHOWN == 0,
    }
}

impl Elements for Those {
    fn whose(&mut self, subject: Option<SubjectValue>) -> Whose<'_> {
        match name(subject.as_ref()) {
            _ if is_hidden(self.flags, subject.as_ref()) => Whose::Hidden,
            b"a" => Whose::Of(&mut self.a),
            b"b" => Whose::Of(&mut self.b),
            _ => Whose::Nobody,
        }
    }
}

fn see(programs: &[Arc<Program>; 3], flags: u8, list: &[u8], space: &mut Space) -> Result<Option<Vec<u8>>, Refusal> {
    let [mut around, a, b] = programs.each_ref().map(|program| apply::view(program, &[]));
    let seen = around.apply_each(Raw::new(list), space, &mut Those { flags, a, b }, flags & EXPECTED != 0)?;
    Ok(seen.map(|veiled| veiled.bytes().to_vec()))
}

/// The same list without its hidden elements. `bearer`: which kind of elements are in field 2 of this message.
fn without_hidden(flags: u8, message: &[u8], bearer: usize, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let bearers = shapes::list().bearers();
    let mut reader = Reader::new(message);
    let mut begin = 0;
    while let Some(record) = reader.next() {
        let (record, whole) = (record?, &message[begin..reader.position()]);
        begin = reader.position();
        let element = match record.number {
            2 => Some(&bearers[bearer]),
            4 if bearer == 0 => Some(&bearers[2]),
            _ => None,
        };
        match (element, record.value) {
            (Some(element), Value::Len(inner)) => match Raw::new(inner).subject(&element.subject) {
                Ok(subject) if !is_hidden(flags, Some(&subject)) => out.extend_from_slice(whole),
                Err(Refusal::NoSubject) if !is_hidden(flags, None) => out.extend_from_slice(whole),
                Ok(_) | Err(_) => {}
            },
            (None, Value::Len(room)) if record.number == 3 && bearer == 0 => {
                let mut fewer = Vec::new();
                without_hidden(flags, room, 1, &mut fewer)?;
                push_len_prefixed(out, 3, &fewer);
            }
            _ => out.extend_from_slice(whole),
        }
    }
    Ok(())
}
