//! What must hold of the whole: one test binary, one module per question.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod architecture;
mod bench;
mod cli;
mod consent;
mod demand;
mod demo;
mod faults;
mod foreign;
mod fuzz;
mod gateway;
mod harness;
mod interleaved;
mod leak_test;
mod log;
mod manual;
mod outsiders;
mod pipeline;
mod policy;
mod process;
mod proxy;
mod readme;
mod recordings;
mod reload;
mod report;
mod soak;
mod store;
mod strangers;
mod traces;
mod vectors;
mod web;
mod withstand;
