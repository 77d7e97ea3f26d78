//! The control plane: facts only. The planes meet in the ledger.

mod case;
pub mod consents;
pub mod demands;
mod explained;
mod history;
pub mod keys;
mod notices;
mod page;
mod shown;
mod turns;

use std::sync::Arc;

use crate::config::{Carrier, May, Party};
use crate::status::Refuse;

/// The carrier of a request, if it may do this.
fn carrier<T>(request: &tonic::Request<T>, may: May) -> Result<Arc<Party>, tonic::Status> {
    let Carrier(party) = request.extensions().get::<Carrier>().ok_or(Refuse::UnknownParty)?;
    if party.may.contains(&may) { Ok(Arc::clone(party)) } else { Err(Refuse::NotAllowed.into()) }
}
