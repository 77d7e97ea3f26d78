//! The transparency report: which legal demands came, how they were examined and answered, counted out of the public log and the records
//! that may be shown. Whoever has both counts again, without a gateway, and gets the same report.

pub mod suppress;
