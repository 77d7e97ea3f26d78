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

mod words {
    use super::v1;
    use crate::veil::terms;

    impl From<terms::Treatment> for v1::Treatment {
        fn from(treatment: terms::Treatment) -> Self {
            match treatment {
                terms::Treatment::Keep => Self::Keep,
                terms::Treatment::Generalize => Self::Generalize,
                terms::Treatment::Pseudonymize => Self::Pseudonymize,
                terms::Treatment::Encrypt => Self::Encrypt,
                terms::Treatment::Strip => Self::Strip,
            }
        }
    }

    impl From<terms::Sensitivity> for v1::Sensitivity {
        fn from(sensitivity: terms::Sensitivity) -> Self {
            match sensitivity {
                terms::Sensitivity::Public => Self::Public,
                terms::Sensitivity::Operational => Self::Operational,
                terms::Sensitivity::Personal => Self::Personal,
                terms::Sensitivity::Special => Self::Special,
                terms::Sensitivity::Identifying => Self::Identifying,
            }
        }
    }

    impl From<terms::Category> for v1::Category {
        fn from(category: terms::Category) -> Self {
            match category {
                terms::Category::Identity => Self::Identity,
                terms::Category::Contact => Self::Contact,
                terms::Category::Location => Self::Location,
                terms::Category::Health => Self::Health,
                terms::Category::Biometric => Self::Biometric,
                terms::Category::Behaviour => Self::Behaviour,
                terms::Category::Social => Self::Social,
                terms::Category::Financial => Self::Financial,
                terms::Category::Device => Self::Device,
                terms::Category::Operation => Self::Operation,
                terms::Category::OperatorConduct => Self::OperatorConduct,
                terms::Category::Demand => Self::Demand,
                terms::Category::Site => Self::Site,
                terms::Category::Time => Self::Time,
                terms::Category::Environment => Self::Environment,
            }
        }
    }
}
