//! Who asks for a view, of what, and by which right.

use std::sync::Arc;

use crate::judge::Listener;
use crate::ledger::Releasing;
use crate::stop::{Stop, Stopper, stop};
use crate::veil::name::{Purpose, Spiffe};
use crate::veil::schema::Schema;

/// Who asks for a view, and of what.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The recipient.
    pub listener: Listener,
    /// What for.
    pub purpose: Purpose,
    /// Of which frames.
    pub schema: Arc<Schema>,
    /// That there is a message is no secret, as in the answer to a unary call: without a consent it comes, too, with what needs none.
    pub expected: bool,
    /// By which right.
    pub through: Through,
}

/// By which right somebody gets what they asked for.
#[derive(Clone, Debug)]
pub enum Through {
    /// They subscribed.
    Frames,
    /// It belongs to calls of a method.
    Call {
        /// `/package.Service/Method`.
        path: Arc<str>,
        /// Whether it is what is answered; else it is what is asked.
        answers: bool,
        /// Who calls.
        caller: Spiffe,
        /// What the route said when the call began.
        term: Arc<Term>,
    },
    /// A legal demand was decided so, and nothing that they may have otherwise counts.
    Warrant(Arc<Releasing>),
}

impl Ask {
    /// The release that it belongs to, if to one.
    pub fn releasing(&self) -> Option<&Arc<Releasing>> {
        match &self.through {
            Through::Warrant(releasing) => Some(releasing),
            Through::Frames | Through::Call { .. } => None,
        }
    }

    /// Whether a view is made where its subject permits nothing. In a message about several, nobody's view is for what is around
    /// the elements; the others are for elements, which are never expected.
    pub(super) fn expects(&self, of_somebody: bool) -> bool {
        if self.schema.is_about_several() { !of_somebody } else { self.expected }
    }
}

/// How long open calls of a method may go on: until a reload brings what they can't go on under.
#[derive(Debug)]
pub struct Term {
    stopper: Stopper,
    stop: Stop,
}

impl Term {
    pub(super) fn begin() -> Self {
        let (stopper, stop) = stop();
        Self { stopper, stop }
    }

    /// They may go on no longer.
    pub(super) fn end(&self) {
        self.stopper.stop();
    }

    /// Tells when it ends.
    pub(super) fn over(&self) -> Stop {
        self.stop.clone()
    }
}
