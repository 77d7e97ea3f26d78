//! Steps 4 and 6: a decision compiled for one recipient, and applied to every frame. The only room that joins whether and how,
//! and [`View::apply`] the only exit for bytes.

mod apply;
mod bindings;
mod compile;
mod frame;
mod several;
mod special;
#[cfg(test)]
mod tests;

pub use apply::{Space, View};
pub use bindings::{Bindings, BindingsSource};
pub use compile::Program;
pub use frame::{Frames, Raw, SubjectValue, Veiled};
pub use several::{Elements, Whose};
