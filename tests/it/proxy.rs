//! Does a call through the gateway stay a call, and does nothing leave that should not?

mod calls;
mod pooled;
mod recompress;
mod refusals;
mod rights;
mod several;
mod turns;
mod upstreams;
mod uses;

use crate::harness::World;
pub(crate) use crate::harness::front::{CARE, Client, ask, asking, at, bare, calling, folder, patient, ward};
use crate::harness::front::{started, started_with};
