//! Rows of what was disclosed, notes of what is being disclosed, and of what was refused.

use std::ops::RangeInclusive;

use redb::{ReadableDatabase, ReadableTable};

use super::rows::{DISCLOSED, META, REFUSALS, UNDER_WAY, Writing, number};
use super::{Batch, Store, StoreError, instant, of};
use crate::veil::name::{Did, UnixMs};

/// As of when notes are whole, and whether the gateway stopped then in good order.
const NOTED: &[u8] = b"noted";
/// Times of which notes may lack something, the oldest first.
const GAPS: &[u8] = b"gaps";
/// The most gaps that are kept apart; beyond that the two oldest become one, with what is between them.
const GAPS_MAX: usize = 1_024;

/// Something that was disclosed.
#[derive(Clone, Debug)]
pub struct DisclosedRow {
    /// Of whom.
    pub did: Did,
    /// Whether a legal demand decided: these are a row for themselves.
    pub under_warrant: bool,
    /// The note of it, which goes.
    pub id: [u8; 16],
    /// What rests.
    pub sealed: Vec<u8>,
}

/// The id of a note, and what rests of it.
pub type Note = (Vec<u8>, Vec<u8>);

/// As of when notes are whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoteMark {
    /// What came later is not noted yet.
    pub at: UnixMs,
    /// Nothing comes later: the gateway stops.
    pub stopped: bool,
    /// A time that was found to be without notes.
    pub gap: Option<(UnixMs, UnixMs)>,
}

impl Store {
    /// What was disclosed of a subject, from leaf `from` on, in the order of the log, `most` of it; with or without a warrant.
    pub fn disclosed_of(&self, did: &Did, under_warrant: bool, from: u64, most: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.with(|database| {
            let (first, last) = bounds(did, under_warrant, from..=u64::MAX);
            let rows = database.begin_read()?.open_table(DISCLOSED)?;
            let found = rows.range::<&[u8]>(&first[..]..=&last[..])?.take(most).map(|row| {
                let (key, sealed) = row?;
                Ok((number(key.value().get(33..).unwrap_or_default()), sealed.value().to_vec()))
            });
            found.collect()
        })
    }

    /// The newest of it.
    pub fn last_disclosed(&self, did: &Did, under_warrant: bool) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|database| {
            let (first, last) = bounds(did, under_warrant, 0..=u64::MAX);
            let rows = database.begin_read()?.open_table(DISCLOSED)?;
            let last = rows.range::<&[u8]>(&first[..]..=&last[..])?.next_back().transpose()?;
            Ok(last.map(|(_, sealed)| sealed.value().to_vec()))
        })
    }

    /// Which of these have a note still. One that had one, and has none any more, is in the log.
    pub fn under_way(&self, ids: &[[u8; 16]]) -> Result<Vec<bool>, StoreError> {
        self.with(|database| {
            let notes = database.begin_read()?.open_table(UNDER_WAY)?;
            ids.iter().map(|id| Ok(notes.get(&id[..])?.is_some())).collect()
        })
    }

    /// Every note.
    pub fn notes(&self) -> Result<Vec<Note>, StoreError> {
        self.with(|database| {
            let notes = database.begin_read()?.open_table(UNDER_WAY)?;
            let each = notes.iter()?.map(|row| row.map(|(id, note)| (id.value().to_vec(), note.value().to_vec())));
            Ok(each.collect::<Result<_, _>>()?)
        })
    }

    /// As of when notes are whole; none, where there never were any.
    pub fn noted(&self) -> Result<Option<NoteMark>, StoreError> {
        let mark = self.meta(NOTED)?;
        Ok(mark.and_then(|mark| mark_of(&mark)))
    }

    /// The times of which notes may lack something, the oldest first.
    pub fn gaps(&self) -> Result<Vec<(UnixMs, UnixMs)>, StoreError> {
        Ok(gaps_of(&self.meta(GAPS)?.unwrap_or_default()))
    }

    /// What was refused, from leaf `from` on, `most` of it.
    pub fn refusals(&self, from: u64, most: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.with(|database| {
            let rows = database.begin_read()?.open_table(REFUSALS)?;
            let found = rows.range::<&[u8]>(&from.to_be_bytes()[..]..)?.take(most);
            Ok(found.map(|row| row.map(|(key, object)| (number(key.value()), object.value().to_vec()))).collect::<Result<_, _>>()?)
        })
    }
}

/// `leaf`: the number of the batch's first.
pub(super) fn write(writing: &mut Writing<'_>, batch: &Batch, leaf: u64) -> Result<(), redb::Error> {
    for (leaf, row) in (leaf..).zip(&batch.disclosed) {
        writing.put(DISCLOSED, &key(&row.did, row.under_warrant, leaf), &row.sealed)?;
        writing.take(UNDER_WAY, &row.id)?;
    }
    for (id, note) in &batch.under_way {
        writing.put(UNDER_WAY, id, note)?;
    }
    if let Some(object) = &batch.refusals {
        writing.put(REFUSALS, &leaf.to_be_bytes(), object)?;
    }
    if let Some(mark) = &batch.noted {
        writing.put(META, NOTED, &[&mark.at.0.to_be_bytes()[..], &[u8::from(mark.stopped)]].concat())?;
        if let Some(gap) = mark.gap {
            let mut gaps = gaps_of(&writing.get(META, GAPS)?.unwrap_or_default());
            gaps.push(gap);
            while let ([first, second, ..], true) = (&gaps[..], gaps.len() > GAPS_MAX) {
                let both = (first.0, second.1);
                gaps.splice(..2, [both]);
            }
            let bytes: Vec<u8> = gaps.iter().flat_map(|(from, until)| [from.0.to_be_bytes(), until.0.to_be_bytes()].concat()).collect();
            writing.put(META, GAPS, &bytes)?;
        }
    }
    Ok(())
}

fn key(did: &Did, under_warrant: bool, leaf: u64) -> Vec<u8> {
    of(did, &[&[u8::from(under_warrant)][..], &leaf.to_be_bytes()].concat())
}

fn bounds(did: &Did, under_warrant: bool, leaves: RangeInclusive<u64>) -> (Vec<u8>, Vec<u8>) {
    (key(did, under_warrant, *leaves.start()), key(did, under_warrant, *leaves.end()))
}

fn mark_of(bytes: &[u8]) -> Option<NoteMark> {
    let (at, stopped) = bytes.split_at_checked(8)?;
    Some(NoteMark { at: instant(at)?, stopped: stopped == [1], gap: None })
}

fn gaps_of(bytes: &[u8]) -> Vec<(UnixMs, UnixMs)> {
    bytes.chunks_exact(16).filter_map(|gap| gap.split_at_checked(8)).filter_map(|(from, until)| instant(from).zip(instant(until))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::rest::RestKey;
    use super::*;
    use crate::veil::crypto::secret::Secret;
    use crate::veil::merkle::leaf::{Act, Leaf, Salt};
    use crate::veil::name::RecordId;

    const DID: Did = Did([2; 32]);

    fn key_of_store() -> RestKey {
        RestKey::new(&Secret::take(&mut [9; 32]))
    }

    fn disclosed(under_warrant: bool, ids: &[u8]) -> Batch {
        let leaf = Leaf::new(Act::Disclosure, UnixMs(0), &Salt([1; 32]), &RecordId([4; 32]));
        let row = |id: &u8| DisclosedRow { did: DID, under_warrant, id: [*id; 16], sealed: vec![*id; 9] };
        let leaves = ids.iter().map(|_| super::super::Noted { leaf, of: None });
        Batch { disclosed: ids.iter().map(row).collect(), leaves: leaves.collect(), ..Batch::default() }
    }

    #[test]
    fn what_was_disclosed_stands_by_its_leaf_and_its_note_is_gone() {
        let (store, key) = (Store::in_memory().expect("memory"), key_of_store());
        let note = |id: u8| ([id; 16], vec![id; 5]);
        store.commit(&key, &Batch { under_way: vec![note(1), note(2), note(3)], ..Batch::default() }).expect("room");
        store.commit_all(&key, &[disclosed(false, &[1, 2]), disclosed(true, &[4]), disclosed(false, &[5])]).expect("room");
        assert_eq!(store.under_way(&[[1; 16], [3; 16], [2; 16]]).expect("readable"), [false, true, false]);
        assert_eq!(store.notes().expect("readable"), [(vec![3; 16], vec![3; 5])]);
        let leaves = |warrant, from, most| {
            let found = store.disclosed_of(&DID, warrant, from, most).expect("readable");
            found.into_iter().map(|(leaf, sealed)| (leaf, sealed[0])).collect::<Vec<_>>()
        };
        assert_eq!(leaves(false, 0, 9), [(0, 1), (1, 2), (3, 5)]);
        assert_eq!((leaves(false, 1, 1), leaves(true, 0, 9), leaves(true, 3, 9)), (vec![(1, 2)], vec![(2, 4)], vec![]));
        assert_eq!(store.last_disclosed(&DID, false).expect("readable"), Some(vec![5; 9]));
        assert_eq!(store.last_disclosed(&Did([3; 32]), false).expect("readable"), None);
        store.authenticate(&key).expect("as it was left");
    }

    #[test]
    fn a_gap_stays_and_many_become_one_that_covers_them() {
        let (store, key) = (Store::in_memory().expect("memory"), key_of_store());
        assert_eq!((store.noted().expect("readable"), store.gaps().expect("readable")), (None, vec![]));
        for at in 0..GAPS_MAX as i64 + 2 {
            let gap = Some((UnixMs(10 * at), UnixMs(10 * at + 5)));
            store
                .commit(&key, &Batch { noted: Some(NoteMark { at: UnixMs(at), stopped: at % 2 == 0, gap }), ..Batch::default() })
                .expect("room");
        }
        let gaps = store.gaps().expect("readable");
        assert_eq!((gaps.len(), gaps[0], gaps[1]), (GAPS_MAX, (UnixMs(0), UnixMs(25)), (UnixMs(30), UnixMs(35))));
        let last = NoteMark { at: UnixMs(GAPS_MAX as i64 + 1), stopped: false, gap: None };
        assert_eq!(store.noted().expect("readable"), Some(last));
    }

    #[test]
    fn what_was_refused_stands_by_its_leaf() {
        let (store, key) = (Store::in_memory().expect("memory"), key_of_store());
        let leaf = Leaf::new(Act::Refusals, UnixMs(0), &Salt::OPEN, &RecordId([4; 32]));
        let batch = Batch { leaves: vec![super::super::Noted { leaf, of: None }], refusals: Some(vec![7; 3]), ..Batch::default() };
        store.commit_all(&key, &[disclosed(false, &[1]), batch]).expect("room");
        assert_eq!(store.refusals(0, 9).expect("readable"), [(1, vec![7; 3])]);
        assert_eq!(store.refusals(2, 9).expect("readable"), []);
    }
}
