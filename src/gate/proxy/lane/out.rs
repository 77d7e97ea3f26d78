//! What a lane has let out and the connection has not taken.

use bytes::{Bytes, BytesMut};

use super::{Announcement, Mark, Veiling, Veto};
use crate::gate::codec::PREFIX_BYTES;
use crate::status::Refuse;
use crate::veil::view::Veiled;

/// Messages on their way out, with their prefixes.
#[derive(Debug, Default)]
pub(in crate::gate::proxy) struct Out {
    pub(in crate::gate::proxy) bytes: BytesMut,
    /// Through which view the last message went, or what is around its elements; none where nothing of it is left.
    pub(in crate::gate::proxy) last: Option<Mark>,
    /// The same of elements with a subject of their own.
    elements: Vec<Mark>,
}

impl Out {
    /// Appends a message that went through one view, with the announcement where it is due.
    #[inline]
    pub(super) fn hand_out(
        &mut self,
        veiled: &Veiled<'_>,
        announcement: &Announcement,
        mark: Mark,
        due: impl FnOnce(Mark, bool) -> bool,
    ) -> Result<Veiling, Veto> {
        let announced = !announcement.records.is_empty() && due(mark, announcement.handed_over == announcement.change);
        self.push(veiled.bytes(), if announced { &announcement.records } else { &[] })?;
        self.last = Some(mark);
        self.elements.clear();
        Ok(Veiling::Done { announced })
    }

    /// The last message went through these views, too.
    pub(super) fn with_elements(&mut self, elements: Vec<Mark>) {
        self.elements = elements;
    }

    /// Appends a message that is empty: that there is one is no secret.
    pub(super) fn hand_out_empty(&mut self, mark: Mark) -> Result<Veiling, Veto> {
        self.push(&[], &[])?;
        self.last = Some(mark);
        self.elements.clear();
        Ok(Veiling::Done { announced: false })
    }

    /// A message with its prefix; what is announced is a part of it.
    #[inline]
    fn push(&mut self, veiled: &[u8], announced: &[u8]) -> Result<(), Veto> {
        let len = u32::try_from(veiled.len() + announced.len()).map_err(|_| Veto::End(Refuse::TooLarge))?;
        let [a, b, c, d] = len.to_be_bytes();
        let out = &mut self.bytes;
        out.reserve(PREFIX_BYTES + len as usize);
        out.extend_from_slice(&[0, a, b, c, d]);
        out.extend_from_slice(veiled);
        out.extend_from_slice(announced);
        Ok(())
    }

    /// The views that the last message went through, if anything of it is left.
    pub(super) fn views(&self) -> impl Iterator<Item = Mark> {
        self.last.iter().chain(&self.elements).copied()
    }

    /// The next piece for the connection, of at most so many bytes.
    pub(in crate::gate::proxy) fn piece(&mut self, bytes_max: usize) -> Bytes {
        let piece = self.bytes.split_to(self.bytes.len().min(bytes_max)).freeze();
        if self.bytes.is_empty() {
            self.last = None;
            self.elements.clear();
        }
        piece
    }
}
