//! The transparency report: which legal demands came, how they were examined and answered, counted out of the public log and the records
//! that may be shown. Whoever has both counts again, without a gateway, and gets the same report.
//!
//! Every figure names the entries of the log that it counts. What may not be disclosed is counted too: its entries stand in the log, and
//! an entry that nothing is shown for is told as such. Persons are counted apart ([`suppress`]).

pub mod compare;
mod countries;
pub mod csv;
pub mod document;
pub mod doubt;
pub mod entries;
pub mod evidence;
pub mod figures;
pub mod html;
pub mod operator;
pub mod public;
pub mod publication;
pub mod refusals;
pub mod statement;
pub mod suppress;
pub mod table;

pub use self::compare::compare;
pub use self::csv::csv;
pub use self::document::{Making, Report};
pub use self::doubt::ReportDoubt;
pub use self::entries::Entries;
pub use self::evidence::{Evidence, Ground};
pub use self::figures::Persons;
pub use self::html::html;
pub use self::operator::Words;
pub use self::public::PublicRecord;
pub use self::publication::Publication;
pub use self::refusals::RefusalsFile;
pub use self::statement::Statement;
