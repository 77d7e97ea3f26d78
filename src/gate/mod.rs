//! The data plane: frames only. It opens envelopes, never payloads.

mod answering;
pub mod ask;
pub mod codec;
mod counted;
mod guard;
mod handover;
pub mod health;
pub mod hub;
pub mod identity;
pub mod listen;
pub mod live;
pub mod places;
pub mod proxy;
pub mod publish;
pub mod room;
pub mod route;
pub mod streams;
pub mod subscribe;
pub mod tls;
mod traced;
mod uses;
pub mod views;
pub mod web;
mod workers;
