//! What a registered person of the desk for legal demands asks, signed offline.

use super::wallet::Wallet;
use crate::veil::consent::envelope::Envelope;
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::demand::query::{Asks, Query, QueryDocument, ValueDocument};
use crate::veil::name::{Origin, Spiffe, UnixMs};

impl Wallet {
    /// Signs a question to the desk, good for five minutes.
    pub fn demand_query(&self, asks: &Asks, gateway: &Origin, now: UnixMs) -> Result<Envelope, RecordRefusal> {
        let asked = |kind: &str| QueryDocument {
            gateway: gateway.to_string(),
            person: self.did().to_string(),
            kind: kind.to_owned(),
            demand: None,
            period: None,
            values: Vec::new(),
            at: now.to_string(),
        };
        self.write::<Query>(&match asks {
            Asks::Show(demand) => QueryDocument { demand: Some(demand.to_string()), ..asked("show") },
            Asks::List => asked("list"),
            Asks::Published => asked("published"),
            Asks::Disclosed(period) => QueryDocument { period: Some(period.document()), ..asked("disclosed") },
            Asks::Whom(values) => {
                let value = |(source, value): &(Spiffe, String)| ValueDocument { source: source.to_string(), value: value.clone() };
                QueryDocument { values: values.iter().map(value).collect(), ..asked("whom") }
            }
        })
    }
}
