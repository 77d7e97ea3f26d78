//! The mark of what may be printed: only a type that says so reaches a log, a metric or an error text.

use std::fmt;

/// May be shown to an operator: holds no payload, no name of a person, no key.
///
/// Implement it only for types whose `Display` cannot carry bytes of a frame, a source-local identifier or a secret.
pub trait LogSafe: fmt::Display {}

impl LogSafe for u16 {}
impl LogSafe for u32 {}
impl LogSafe for u64 {}
impl LogSafe for usize {}
impl LogSafe for i64 {}
impl LogSafe for bool {}
impl LogSafe for std::net::SocketAddr {}
/// A literal of the program's own text.
impl LogSafe for &'static str {}
