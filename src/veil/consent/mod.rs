//! Step 3a: what did the person agree to?

pub mod standing;
