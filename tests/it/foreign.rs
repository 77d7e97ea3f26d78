//! The schemas of others: are they read as protobuf reads them, and does a side file alone make a gateway's view of them?

mod editions;
