//! The public contract as Rust types, generated from `proto/`. The modules have the places that protobuf packages give them.

pub use io::intoto;
pub use twinveil::{sample, v1};

/// Package `io`.
pub mod io {
    /// Package `io.intoto`: the DSSE envelope.
    #[allow(missing_docs, clippy::all, reason = "generated; the comments are in proto/")]
    pub mod intoto {
        include!(concat!(env!("OUT_DIR"), "/io.intoto.rs"));
    }
}

/// Package `twinveil`.
pub mod twinveil {
    /// Package `twinveil.v1`: frames, consent, sensitivity.
    #[allow(missing_docs, clippy::all, reason = "generated; the comments are in proto/")]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/twinveil.v1.rs"));
    }

    /// Package `twinveil.sample`: the twins of the demo.
    #[allow(missing_docs, clippy::all, reason = "generated; the comments are in proto/")]
    pub mod sample {
        include!(concat!(env!("OUT_DIR"), "/twinveil.sample.rs"));
    }
}

/// The descriptor set of `twinveil.v1` and its imports, options kept.
pub const CONTRACT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/contract.binpb"));
/// The descriptor set of `twinveil.sample` and its imports, options kept.
pub const SAMPLES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/samples.binpb"));
