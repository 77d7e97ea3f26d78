//! The data plane: frames in from sources, views out to recipients. It opens envelopes, never payloads.

pub mod identity;
pub mod tls;
