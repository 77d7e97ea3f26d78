//! Step 5: the small instruction set. How a value is changed, never whether.

pub mod fragment;
pub mod generalize;
pub mod group;
pub(crate) mod number;
