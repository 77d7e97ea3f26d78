//! Any gRPC service through the gateway: what `src/manual/proxy.md` says. A call is an exchange; each of its two directions
//! is a pipe; what flows in it is judged by a lane.

mod exchange;
mod forward;
mod lane;
mod pack;
mod pipe;
mod shown;
mod table;
mod unpack;
mod upstream;

pub(super) use exchange::exchange;
pub use exchange::{Caller, Known, ResponseBody};
pub use table::{Called, MessageSide, RouteError, Table};
