use std::time::Duration;

use prost::Message;

use super::super::cast::{RECIPIENTS, RESEARCHER};
use super::super::instances::Counting;
use super::*;
use crate::proto::sample::{PatientFrame, Vitals};
use crate::proto::v1::{self, FieldView};
use crate::veil::schema::load;

const STREAM: Bytes = Bytes::from_static(b"stream");

struct Table {
    seat: Seat,
    counting: Counting,
    begun: Instant,
}

impl Table {
    fn new(open: &[bool]) -> Self {
        let schema = Arc::new(load(crate::proto::SAMPLES, "twinveil.sample.PatientFrame", None).expect("a sample"));
        let seat = Seat::new(&RECIPIENTS[RESEARCHER], Arc::clone(&schema), open.iter().copied());
        seat.begins(STREAM);
        Self { seat, counting: Counting::new(schema), begun: Instant::now() }
    }

    fn send(&mut self, subject: usize, fields: u32) {
        let vitals = Vitals { heart_rate_bpm: Some(60.0), spo2_pct: (fields > 1).then_some(98.0), ..Vitals::default() };
        let bytes: Bytes = PatientFrame { vitals: Some(vitals), ..PatientFrame::default() }.encode_to_vec().into();
        let shape = self.counting.count(&bytes).expect("good");
        self.seat.expect(&[Prepared { subject, shape, bytes }], Some(self.begun));
    }

    fn view(&self, view: u32, treatment: Option<v1::Treatment>, handed_over: u64) {
        let fields =
            treatment.map(|treatment| FieldView { path: "vitals.heart_rate_bpm".into(), treatment: treatment.into(), how: String::new() });
        self.seat.view(&View { view, open: treatment.is_some(), fields: fields.into_iter().collect(), ..View::default() }, handed_over);
    }

    fn come(&self, view: u32, handover: u64) -> Result<(), String> {
        let frame = Received { view, handover, message: Vec::new(), clear: Vec::new(), groups: 1, opened: 0 };
        self.seat.frame(&frame, self.begun + Duration::from_micros(20))
    }

    fn totals(&self) -> (u64, [u64; 5], usize) {
        let tally = self.seat.snapshot().tally;
        (tally.frames, tally.totals(), self.seat.pending())
    }
}

fn barrier(view: u32, last_handover: u64) -> StreamBarrier {
    StreamBarrier { stream_id: STREAM, view, last_handover, ..StreamBarrier::default() }
}

#[test]
fn frames_of_a_view_that_closed_before_its_subject_was_known_are_counted_all_the_same() {
    let mut table = Table::new(&[true]);
    table.view(1, Some(v1::Treatment::Keep), 0);
    table.send(0, 2);
    table.come(1, 1).expect("somebody's");
    table.seat.withdrawal_asked(0);
    table.send(0, 2);
    // The view closes before the answer to the withdrawal says whose it is.
    table.view(1, None, 1);
    table.seat.learn(0, &barrier(1, 1)).expect("one was sent and came, the other never comes");
    assert_eq!(table.totals(), (1, [1, 0, 0, 0, 1], 0));
}

#[test]
fn frames_that_come_before_their_subject_is_known_are_counted_then() {
    let mut table = Table::new(&[true, false]);
    assert!(table.seat.looks_for(0) && !table.seat.looks_for(1));
    table.send(0, 2);
    table.send(1, 2);
    table.view(7, Some(v1::Treatment::Encrypt), 0);
    table.come(7, 1).expect("expected");
    assert_eq!(table.totals(), (0, [0; 5], 1));
    let elsewhere = StreamBarrier { stream_id: Bytes::from_static(b"other"), ..barrier(7, 1) };
    table.seat.learn(0, &elsewhere).expect("not ours");
    assert!(table.seat.looks_for(0));
    table.seat.learn(0, &barrier(7, 1)).expect("ours");
    assert!(!table.seat.looks_for(0));
    assert_eq!(table.totals(), (1, [0, 0, 0, 1, 1], 0));
    assert_eq!(table.seat.snapshot().tally.latency.quantile_us(0.5), Some(20));
}

#[test]
fn each_frame_counts_under_the_view_that_it_came_in() {
    let mut table = Table::new(&[true]);
    (1..=3).for_each(|fields| table.send(0, fields));
    table.view(1, Some(v1::Treatment::Encrypt), 0);
    table.come(1, 1).expect("expected");
    table.seat.learn(0, &barrier(1, 1)).expect("ours");
    table.view(1, Some(v1::Treatment::Generalize), 1);
    table.come(1, 2).expect("expected");
    table.come(1, 3).expect("expected");
    assert_eq!(table.totals(), (3, [0, 2, 0, 1, 2], 0));
    let changes = table.seat.changes(0);
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].after, changes[0].sites.len(), changes[0].sites[0].2), (1, 1, Treatment::Generalize));
}

#[test]
fn a_frame_that_nobody_sent_or_allowed_is_noticed() {
    let mut table = Table::new(&[true]);
    assert!(table.come(1, 1).expect_err("not announced").contains("view 1"));
    table.send(0, 1);
    table.view(1, Some(v1::Treatment::Keep), 0);
    table.seat.learn(0, &barrier(1, 0)).expect("ours");
    table.come(1, 1).expect("expected");
    assert!(table.come(1, 2).is_err());
}

#[test]
fn what_comes_after_a_withdrawal_is_counted_whenever_it_came() {
    let mut table = Table::new(&[true, true]);
    for view in [1, 2] {
        table.view(view, Some(v1::Treatment::Keep), 0);
        table.seat.learn(view as usize - 1, &barrier(view, 0)).expect("ours");
    }
    (0..3).for_each(|_| table.send(0, 1));
    (0..3).for_each(|_| table.send(1, 1));
    table.come(1, 1).expect("expected");
    assert!(!table.seat.may_be_cut_off());
    table.seat.withdrawal_asked(0);
    table.come(1, 2).expect("handed over before the answer");
    table.come(2, 3).expect("another subject");
    table.come(1, 4).expect("handed over too late");
    assert_eq!(table.seat.withdrawal_answered(&[barrier(1, 3)]), Some(3));
    assert_eq!(table.seat.snapshot().frames_after_withdrawal, 1);
    table.come(2, 5).expect("another subject");
    assert_eq!(table.seat.snapshot().frames_after_withdrawal, 1);
    table.send(0, 1);
    table.come(1, 6).expect("too late");
    assert_eq!(table.seat.snapshot().frames_after_withdrawal, 2);
    assert!(table.seat.may_be_cut_off());
}

#[test]
fn a_closed_view_expects_nothing_more() {
    let mut table = Table::new(&[true]);
    table.view(1, Some(v1::Treatment::Keep), 0);
    table.seat.learn(0, &barrier(1, 0)).expect("ours");
    table.send(0, 1);
    table.seat.withdrawal_asked(0);
    assert_eq!(table.seat.withdrawal_answered(&[barrier(1, 0)]), Some(0));
    table.view(1, None, 0);
    table.send(0, 1);
    assert_eq!(table.totals(), (0, [0; 5], 0));
    assert_eq!(table.seat.snapshot().frames_after_withdrawal, 0);
    assert!(table.seat.snapshot().views.is_empty());
}

#[test]
fn an_answer_that_does_not_name_the_stream_holds_nothing_against_it() {
    let mut table = Table::new(&[true]);
    table.send(0, 1);
    table.view(1, Some(v1::Treatment::Keep), 0);
    table.seat.learn(0, &barrier(1, 0)).expect("ours");
    table.seat.withdrawal_asked(0);
    table.come(1, 1).expect("expected");
    assert_eq!(table.seat.withdrawal_answered(&[]), None);
    assert_eq!(table.seat.snapshot().frames_after_withdrawal, 0);
}

#[test]
fn a_recipient_that_was_cut_off_begins_again_where_the_sources_are() {
    let mut table = Table::new(&[true, true]);
    for view in [1, 2] {
        table.view(view, Some(v1::Treatment::Encrypt), 0);
        table.seat.learn(view as usize - 1, &barrier(view, 0)).expect("ours");
    }
    (0..3).for_each(|_| table.send(0, 1));
    (0..3).for_each(|_| table.send(1, 1));
    table.come(2, 1).expect("expected");
    table.seat.withdrawal_asked(0);
    table.come(1, 2).expect("before the answer");
    assert!(!table.seat.was_cut_off());
    table.seat.begins_again();
    assert!(table.seat.was_cut_off() && !table.seat.was_cut_off());
    assert_eq!(table.seat.pending(), 0);
    assert!(table.seat.looks_for(1) && !table.seat.looks_for(0), "who withdrew shows nothing in the stream that follows");
    assert_eq!(table.seat.withdrawal_answered(&[barrier(1, 1)]), Some(1), "the answer names the stream that was");
    assert_eq!(table.seat.snapshot().frames_after_withdrawal, 1);

    table.seat.begins(Bytes::from_static(b"again"));
    table.send(1, 2);
    table.view(1, Some(v1::Treatment::Generalize), 0);
    table.come(1, 1).expect("the other subject, under the number that the first had");
    assert_eq!(table.seat.snapshot().frames_after_withdrawal, 1, "numbers of one stream say nothing in another");
    table.seat.learn(1, &StreamBarrier { stream_id: Bytes::from_static(b"again"), ..barrier(1, 1) }).expect("ours");
    assert_eq!((table.totals().0, table.seat.pending()), (3, 0));
    let changes = table.seat.changes(1);
    assert_eq!((changes.len(), changes[0].sites[0].2), (1, Treatment::Generalize), "what changed meanwhile is seen");
}
