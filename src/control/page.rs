//! What has room in one answer.

use std::convert::Infallible;

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

    /// As many of them as have room; the others are not made.
    pub(super) fn fill<M: Message, E>(&mut self, all: impl IntoIterator<Item = Result<M, E>>) -> Result<Vec<M>, E> {
        let (mut all, mut some) = (all.into_iter(), Vec::new());
        while !self.is_full()
            && let Some(one) = all.next()
        {
            let one = one?;
            self.bytes += one.encoded_len();
            some.push(one);
        }
        Ok(some)
    }

    /// An answer of nothing but these.
    pub(super) fn of<M: Message>(all: impl IntoIterator<Item = M>) -> Vec<M> {
        let Ok(some) = Self::default().fill(all.into_iter().map(Ok::<_, Infallible>));
        some
    }
}

/// How many to leave out, or where to begin.
pub(super) fn place(asked: u64) -> usize {
    usize::try_from(asked).unwrap_or(usize::MAX)
}
