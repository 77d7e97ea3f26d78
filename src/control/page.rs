//! What has room in one answer.

use prost::Message;

/// So many bytes, and nothing further begins: clients take answers of 4 MiB. The largest that begins is a signed document, 128 KiB.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// An answer that is being filled.
#[derive(Debug, Default)]
pub(super) struct Page {
    bytes: usize,
}

impl Page {
    /// Whether nothing further begins.
    pub(super) const fn is_full(&self) -> bool {
        self.bytes >= PAGE_BYTES_MAX
    }

    /// Hands it back if it has room.
    pub(super) fn add<M: Message>(&mut self, one: M) -> Option<M> {
        let begins = !self.is_full();
        self.bytes += one.encoded_len();
        begins.then_some(one)
    }

    /// As many of them as have room.
    pub(super) fn of<M: Message>(all: impl Iterator<Item = M>) -> Vec<M> {
        let mut page = Self::default();
        all.map_while(|one| page.add(one)).collect()
    }
}

/// How many to leave out, or where to begin.
pub(super) fn place(asked: u64) -> usize {
    usize::try_from(asked).unwrap_or(usize::MAX)
}
