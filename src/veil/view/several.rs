//! Messages about several subjects: every element of a list or map goes through the view of the one it names, and everything
//! around it through the view of nobody. `src/manual/several.md` has the rules.

use super::apply::{Space, View, Walk};
use super::compile::Descent;
use super::frame::{Raw, SubjectValue, Veiled};
use crate::veil::outcome::Refusal;
use crate::veil::wire::{LEN, mend_length, push_tag, varint_len};

/// Who knows the views of the elements of a message.
pub trait Elements {
    /// Through which view an element goes, given whom it names; `None`: it names nobody.
    fn whose(&mut self, subject: Option<SubjectValue>) -> Whose<'_>;
}

/// What becomes of an element.
#[derive(Debug)]
pub enum Whose<'v> {
    /// Not even that it is there may be seen.
    Hidden,
    /// It is about nobody known: it goes through the view of the message around it.
    Nobody,
    /// It goes through this view, made for the same schema.
    Of(&'v mut View),
}

impl View {
    /// As [`View::apply`], with every element that has a subject of its own through the view that `elements` finds for it. This
    /// view is nobody's. `None` where no such element came out and the message is not `expected` without: then nothing was sealed
    /// either, as a counter that skips would tell of it.
    ///
    /// # Errors
    /// As [`View::apply`]: for the message as a whole, of which nothing remains.
    pub fn apply_each<'s>(
        &mut self,
        message: Raw<'_>,
        space: &'s mut Space,
        elements: &mut dyn Elements,
        expected: bool,
    ) -> Result<Option<Veiled<'s>>, Refusal> {
        space.borne = 0;
        let comes = self.walk(message, space, (Some(elements), None), expected)?;
        Ok(comes.then_some(Veiled(&space.out)))
    }
}

impl Walk<'_> {
    /// One element: by the view of its subject, and only if something in it is visible.
    pub(super) fn bear(&mut self, descent: Descent, input: &[u8], depth: u32) -> Result<(), Refusal> {
        let program = self.program;
        // Ascending, as they were found.
        let Ok(bearer) = program.bearers.binary_search_by_key(&descent.node, |bearer| bearer.node.0) else { return Ok(()) };
        let Some(bearer) = program.bearers.get(bearer) else { return Ok(()) };
        let Some(elements) = self.elements.as_deref_mut() else { return Ok(()) };
        let subject = match Raw(input).subject(&bearer.subject) {
            Ok(subject) => Some(subject),
            Err(Refusal::NoSubject) => None,
            // It names two, or is broken before it is known whose it is: nobody could have agreed, and hidden elements give no
            // verdict.
            Err(_) => return Ok(()),
        };
        let whose = elements.whose(subject);
        if matches!(whose, Whose::Hidden) {
            return Ok(());
        }
        let start = self.work.out.len();
        push_tag(&mut self.work.out, descent.number, LEN);
        let at = self.work.out.len();
        let room = varint_len(input.len() as u64);
        self.work.out.extend_from_slice(&[0; 10][..room]);
        let body = self.work.out.len();
        match whose {
            Whose::Hidden => {}
            Whose::Nobody => self.message(descent.node, input, depth + 1)?,
            // INVARIANT: nodes are numbered alike in all programs of a schema.
            Whose::Of(view) if view.program.fingerprint != program.fingerprint => {}
            Whose::Of(View { program, bindings }) => {
                let work = &mut *self.work;
                let mut inside = Walk { program, bindings, work, seals: false, elements: None, about: None, is_about: false };
                inside.message(descent.node, input, depth + 1)?;
            }
        }
        if self.work.out.len() > body {
            mend_length(&mut self.work.out, at, room);
            self.work.borne += 1;
        } else {
            self.work.out.truncate(start);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "several_tests.rs"]
mod tests;
