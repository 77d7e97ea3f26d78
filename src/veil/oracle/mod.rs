//! Does a view tell more than it may? A *projection* says all that a recipient's bytes may depend on; two frames with the same
//! projection must give the same clear bytes, sealed groups of the same length, and the same verdict. This room finds pairs of
//! such frames and holds a view to that.
//!
//! It is slow and plain on purpose, and takes nothing from the tables that a view is compiled to: an error there must not hide
//! itself here. What is under test is any function from a frame to bytes, so that views with planted leaks can be tried, too.

mod check;
mod dice;
mod differs;
pub mod draw;
mod fate;
mod projection;
mod records;
mod reference;
mod shrink;
#[cfg(test)]
mod tests;
mod tree;
mod values;
mod vary;

pub use check::{Leak, Seen, Tally, UnderTest};
pub use dice::Dice;
pub use differs::{Differs, What};
pub use fate::Oracle;
pub use projection::{Class, Holds, Plain, Projection, Shown};
pub use reference::{StandIn, reference};
