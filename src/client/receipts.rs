//! What a wallet has of a gateway's log: the key that it pinned, and the receipts of its records. All of it is checked offline.

use serde::{Deserialize, Serialize};

use crate::veil::base64;
use crate::veil::merkle::Doubt;
use crate::veil::merkle::checkpoint::Head;
use crate::veil::merkle::leaf::{Act, Leaf, Salt};
use crate::veil::merkle::note::VerifierKey;
use crate::veil::merkle::receipt::LogProof;
use crate::veil::name::{Origin, RecordId, UnixMs};

/// The most receipts that a wallet keeps of one log; the oldest go first.
pub const RECEIPTS_MAX: usize = 2_048;

/// A log as one wallet knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogBook {
    key: VerifierKey,
    receipts: Vec<Receipt>,
    /// What was kept and does not hold any more.
    doubtful: Vec<(ReceiptDocument, Doubt)>,
}

/// A receipt that was found to be good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The record.
    pub record: RecordId,
    /// What was taken.
    pub act: Act,
    /// The hour in which it was, as the log says.
    pub bucket: UnixMs,
    /// What the log signed.
    pub head: Head,
    salt: Salt,
    proof: LogProof,
}

/// A log's book as it stands in the wallet's file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BookDocument {
    key: String,
    receipts: Vec<ReceiptDocument>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiptDocument {
    record: String,
    salt: String,
    proof: String,
}

impl Receipt {
    /// Checks that `log` says of this record that it is in it.
    pub fn check(record: RecordId, salt: &[u8], proof: &str, log: &VerifierKey) -> Result<Self, Doubt> {
        let salt = Salt(salt.try_into().map_err(|_| Doubt::Malformed("a salt of 32 bytes"))?);
        let proof = LogProof::parse(proof.as_bytes())?;
        let leaf = Leaf::parse(proof.extra.as_deref().unwrap_or_default())?;
        let head = proof.verify(leaf.bytes(), log)?;
        let act = Act::ALL.into_iter().find(|act| act.is_personal() && leaf.is_of(*act, &salt, &record));
        Ok(Self { record, act: act.ok_or(Doubt::NotIncluded)?, bucket: leaf.bucket(), head, salt, proof })
    }

    /// The number of the record's entry in the log.
    pub fn entry(&self) -> u64 {
        self.proof.index
    }

    /// The proof: for others, who see nothing of the record in it.
    pub fn proof(&self) -> &LogProof {
        &self.proof
    }
}

impl LogBook {
    /// An empty one of the log with this key, which is pinned from now on.
    pub fn new(key: VerifierKey) -> Self {
        Self { key, receipts: Vec::new(), doubtful: Vec::new() }
    }

    /// The log's key.
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// In the order of the log.
    pub fn receipts(&self) -> &[Receipt] {
        &self.receipts
    }

    /// The newest checkpoint, for the gateway to hold itself against.
    pub fn newest(&self) -> Option<&Receipt> {
        self.receipts.iter().max_by_key(|receipt| receipt.head.size)
    }

    /// Checks a receipt that a gateway gave *after* everything in this book: its log must not have become smaller, or another one.
    pub fn check(&self, record: RecordId, salt: &[u8], proof: &str) -> Result<Receipt, Doubt> {
        let new = Receipt::check(record, salt, proof, &self.key)?;
        let set_back = self.newest().is_some_and(|newest| newest.head.size > new.head.size);
        if set_back || self.contradicts(&new) { Err(Doubt::Forked) } else { Ok(new) }
    }

    /// Keeps a receipt; the newest of a record counts.
    pub fn keep(&mut self, receipt: Receipt) {
        self.receipts.retain(|kept| kept.record != receipt.record);
        self.receipts.push(receipt);
        self.receipts.sort_by_key(Receipt::entry);
        let over = self.receipts.len().saturating_sub(RECEIPTS_MAX);
        self.receipts.drain(..over);
    }

    /// What does not hold of everything that was kept, by its record's id: each receipt by itself, and all against each other.
    pub fn doubts(&self) -> Vec<(String, Doubt)> {
        let torn = self.doubtful.iter().map(|(document, doubt)| (document.record.clone(), *doubt));
        let forked = self.receipts.iter().filter(|receipt| self.contradicts(receipt));
        torn.chain(forked.map(|receipt| (receipt.record.to_string(), Doubt::Forked))).collect()
    }

    /// Two roots for one size, or two records in one place.
    fn contradicts(&self, new: &Receipt) -> bool {
        self.receipts.iter().any(|kept| {
            let root = kept.head.size == new.head.size && kept.head.root != new.head.root;
            let place = (kept.entry() == new.entry()) != (kept.record == new.record);
            root || place
        })
    }

    pub(super) fn write(&self) -> BookDocument {
        let good = self.receipts.iter().map(|receipt| ReceiptDocument {
            record: receipt.record.to_string(),
            salt: base64::encode(&receipt.salt.0),
            proof: receipt.proof.to_string(),
        });
        let doubtful = self.doubtful.iter().map(|(document, _)| document.clone());
        BookDocument { key: self.key.to_string(), receipts: good.chain(doubtful).collect() }
    }

    /// Reads it back and checks every receipt. One that does not hold is told of, and does not keep its owner from anything.
    pub(super) fn read(document: &BookDocument) -> Result<Self, Doubt> {
        let mut book = Self::new(VerifierKey::parse(&document.key)?);
        for receipt in document.receipts.iter().take(2 * RECEIPTS_MAX) {
            match receipt.read(&book.key) {
                Ok(good) => book.receipts.push(good),
                Err(doubt) => book.doubtful.push((receipt.clone(), doubt)),
            }
        }
        Ok(book)
    }
}

impl BookDocument {
    pub(super) fn is_of(&self, gateway: &Origin) -> bool {
        self.key.split_once('+').is_some_and(|(name, _)| name == gateway.as_str())
    }
}

impl ReceiptDocument {
    fn read(&self, log: &VerifierKey) -> Result<Receipt, Doubt> {
        let record = RecordId::parse(&self.record).map_err(|_| Doubt::Malformed("a record id"))?;
        let salt = base64::decode(&self.salt).ok_or(Doubt::Malformed("a salt of 32 bytes"))?;
        Receipt::check(record, &salt, &self.proof, log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::veil::crypto::secret::Secret;
    use crate::veil::crypto::sign::SignKey;
    use crate::veil::merkle::checkpoint::Checkpoint;
    use crate::veil::merkle::tree::{Frontier, Hash};

    /// A log of one or two leaves about records 1 and 2, and the receipt of the last.
    fn receipt(records: &[u8], first: u8) -> (RecordId, [u8; 32], String, VerifierKey) {
        let key = SignKey::from_seed(&Secret::take(&mut [5; 32]));
        let log = VerifierKey::new("log.example", key.did()).expect("a name");
        let leaf = |n: &u8| Leaf::new(Act::Consent, UnixMs(0), &Salt([*n; 32]), &RecordId([*n; 32]));
        let (mut tree, mut path) = (Frontier::default(), Vec::new());
        for n in records {
            path = tree.peaks().to_vec();
            tree.append(Hash::leaf(leaf(n).bytes()));
        }
        let head = Head { size: records.len() as u64, root: tree.root() };
        let checkpoint = Checkpoint::sign(&head, &log, &key).expect("a text");
        let last = records.last().copied().unwrap_or(first);
        let proof = LogProof { extra: Some(leaf(&last).bytes().to_vec()), index: head.size - 1, path, checkpoint };
        (RecordId([last; 32]), [last; 32], proof.to_string(), log)
    }

    #[test]
    fn receipts_are_kept_and_checked_again() {
        let (one, salt_one, proof_one, log) = receipt(&[1], 1);
        let (two, salt_two, proof_two, _) = receipt(&[1, 2], 2);
        let mut book = LogBook::new(log);
        for (record, salt, proof) in [(one, salt_one, &proof_one), (two, salt_two, &proof_two)] {
            let receipt = book.check(record, &salt, proof).expect("good");
            assert_eq!((receipt.act, receipt.record), (Act::Consent, record));
            book.keep(receipt.clone());
            book.keep(receipt);
        }
        assert_eq!(book.receipts().iter().map(Receipt::entry).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(book.newest().map(|newest| newest.head.size), Some(2));
        assert_eq!(book.doubts(), []);
        let mut written = book.write();
        assert!(written.is_of(&Origin::new("log.example")) && !written.is_of(&Origin::new("log")));
        assert_eq!(LogBook::read(&written).expect("as written"), book);
        written.receipts[1].proof = written.receipts[1].proof.replacen("index 1", "index 0", 1);
        let bent = LogBook::read(&written).expect("the rest of it");
        assert_eq!((bent.receipts().len(), bent.doubts()), (1, vec![(two.to_string(), Doubt::NotIncluded)]));
        assert_eq!(bent.write().receipts.len(), 2, "nothing is thrown away");
        assert_eq!(book.check(one, &salt_one, &proof_one), Err(Doubt::Forked), "older than what we have");
    }

    #[test]
    fn a_receipt_for_another_record_or_of_another_log_is_doubted() {
        let (record, salt, proof, log) = receipt(&[1, 2], 2);
        let check = |record, salt: &[u8], proof: &str| Receipt::check(record, salt, proof, &log).map(drop);
        assert_eq!(check(record, &salt, &proof), Ok(()));
        assert_eq!(check(RecordId([9; 32]), &salt, &proof), Err(Doubt::NotIncluded));
        assert_eq!(check(record, &[9; 32], &proof), Err(Doubt::NotIncluded));
        assert!(matches!(check(record, &salt[1..], &proof), Err(Doubt::Malformed(_))));
        assert!(matches!(check(record, &salt, &proof.replacen("extra", "extar", 1)), Err(Doubt::Malformed(_))));
        let other = VerifierKey::new("log.other", log.key()).expect("a name");
        assert_eq!(Receipt::check(record, &salt, &proof, &other), Err(Doubt::UnknownKey));
    }

    #[test]
    fn two_roots_for_one_size_are_noticed() {
        let (record, salt, proof, log) = receipt(&[1, 2], 2);
        let mut book = LogBook::new(log);
        book.keep(book.check(record, &salt, &proof).expect("good"));
        let (other, salt, proof, _) = receipt(&[3, 4], 4);
        assert_eq!(book.check(other, &salt, &proof), Err(Doubt::Forked));
        book.keep(Receipt::check(other, &salt, &proof, &book.key).expect("good by itself"));
        assert_eq!(book.doubts().iter().map(|(_, doubt)| *doubt).collect::<Vec<_>>(), [Doubt::Forked; 2]);
    }
}
