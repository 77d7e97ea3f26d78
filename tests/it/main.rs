//! What must hold of the whole: one test binary, one module per question.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod architecture;
mod cli;
mod demo;
mod manual;
mod pipeline;
mod readme;
mod process;
