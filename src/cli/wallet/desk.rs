//! The gateway's desk for signed records, as a wallet sees it.

use tonic::Status;
use tonic::transport::Channel;

use super::super::connect::{Connection, refused};
use super::super::{CliError, now};
use super::unsigned;
use crate::client::dsse;
use crate::client::receipts::RECEIPTS_MAX;
use crate::client::wallet::Wallet;
use crate::proto::v1::consents_client::ConsentsClient;
use crate::proto::v1::{
    ExplainRequest, ExplainResponse, Kept, ReceiptsRequest, StandingRequest, StandingResponse, SubmitRequest, SubmitResponse,
    WithdrawRequest, WithdrawResponse,
};
use crate::veil::consent::envelope::Envelope;
use crate::veil::consent::query::Asks;
use crate::veil::consent::standing::Head;
use crate::veil::name::{Origin, RecordId};

/// One connection to it.
pub(in crate::cli) struct Desk {
    client: ConsentsClient<Channel>,
}

impl Desk {
    /// Connects; `carrier` is who hands in unless the command line says.
    pub(in crate::cli) async fn open(connection: &Connection, carrier: Option<&str>) -> Result<Self, CliError> {
        Ok(Self { client: ConsentsClient::new(connection.connect(carrier).await?) })
    }

    /// The raw status, as one refusal has a remedy. `seen` is the newest checkpoint that the sender has of the gateway's log.
    pub(in crate::cli) async fn submit(&mut self, record: &Envelope, seen: String) -> Result<SubmitResponse, Status> {
        let request = SubmitRequest { record: Some(dsse::to_proto(record)), seen };
        Ok(self.client.submit(request).await?.into_inner())
    }

    pub(super) async fn withdraw(&mut self, record: &Envelope, seen: String) -> Result<WithdrawResponse, CliError> {
        let request = WithdrawRequest { record: Some(dsse::to_proto(record)), seen };
        let answer = self.client.withdraw(request).await;
        Ok(answer.map_err(|status| refused(&status))?.into_inner())
    }

    /// What all records of the wallet add up to.
    pub(super) async fn standing(&mut self, wallet: &Wallet, gateway: &Origin) -> Result<StandingResponse, CliError> {
        let query = wallet.query(&Asks::Standing, gateway, now()?).map_err(|refusal| unsigned(&refusal))?;
        let answer = self.client.standing(StandingRequest { query: Some(dsse::to_proto(&query)) }).await;
        Ok(answer.map_err(|status| refused(&status))?.into_inner())
    }

    /// The receipts of the wallet's records, all of them.
    pub(super) async fn receipts(&mut self, wallet: &Wallet, gateway: &Origin) -> Result<Vec<Kept>, CliError> {
        let mut all: Vec<Kept> = Vec::new();
        let mut from = 0;
        loop {
            let query = wallet.query(&Asks::Receipts, gateway, now()?).map_err(|refusal| unsigned(&refusal))?;
            let answer = self.client.receipts(ReceiptsRequest { query: Some(dsse::to_proto(&query)), from }).await;
            let page = answer.map_err(|status| refused(&status))?.into_inner().receipts;
            let last = page.last().and_then(|kept| super::receipts::entry(kept.receipt.as_ref()?));
            all.extend(page);
            match last {
                Some(entry) if entry >= from && all.len() < RECEIPTS_MAX => from = entry + 1,
                _ => return Ok(all),
            }
        }
    }

    /// What a recipient gets of the wallet's frames.
    pub(in crate::cli) async fn explain(&mut self, wallet: &Wallet, asks: &Asks, gateway: &Origin) -> Result<ExplainResponse, CliError> {
        let query = wallet.query(asks, gateway, now()?).map_err(|refusal| unsigned(&refusal))?;
        let answer = self.client.explain(ExplainRequest { query: Some(dsse::to_proto(&query)) }).await;
        Ok(answer.map_err(|status| refused(&status))?.into_inner())
    }
}

/// Where the chain stands, as the gateway says.
pub(super) fn head(standing: &StandingResponse) -> Result<Head, CliError> {
    let broken = || CliError::broken("the gateway's answer makes no sense: its head is no record id");
    let record = if standing.head.is_empty() { None } else { Some(RecordId(standing.head[..].try_into().map_err(|_| broken())?)) };
    Ok(Head { seq: standing.seq, record })
}

/// The whole ids that beginnings of ids mean.
pub(super) fn whole_ids(given: &[String], standing: &StandingResponse) -> Result<Vec<RecordId>, CliError> {
    given.iter().map(|id| whole_id(id, standing)).collect()
}

fn whole_id(given: &str, standing: &StandingResponse) -> Result<RecordId, CliError> {
    let shown = super::super::plain(given);
    let mut found = standing.grants.iter().filter(|grant| given.len() >= ID_DIGITS_MIN && super::hex(&grant.record).starts_with(given));
    match (found.next(), found.next()) {
        (Some(grant), None) => RecordId::parse(&super::hex(&grant.record))
            .map_err(|_| CliError::broken("the gateway's answer makes no sense: a grant without a record id")),
        (Some(_), Some(_)) => Err(CliError::broken(format!("`{shown}` begins more than one record id: write more of it"))),
        (None, _) => Err(CliError::broken(format!("`{shown}` is no record of this wallet: `twinveil wallet standing` lists them"))),
    }
}

/// The fewest digits that stand for a record id.
pub(super) const ID_DIGITS_MIN: usize = 8;

/// Whether an id is written in full, so that nobody has to be asked.
pub(super) fn in_full(given: &[String]) -> Option<Vec<RecordId>> {
    given.iter().map(|id| RecordId::parse(id).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::Grant;

    fn standing(ids: &[[u8; 32]]) -> StandingResponse {
        let grants = ids.iter().map(|id| Grant { record: id.to_vec().into(), ..Grant::default() }).collect();
        StandingResponse { grants, ..StandingResponse::default() }
    }

    #[test]
    fn the_beginning_of_an_id_is_enough_where_it_is_the_only_one() {
        let mut other = [0xaa; 32];
        other[31] = 0;
        let standing = standing(&[[0xaa; 32], other, [0xbb; 32]]);
        assert_eq!(whole_ids(&["bbbbbbbb".into(), "aa".repeat(32)], &standing).expect("ids"), [RecordId([0xbb; 32]), RecordId([0xaa; 32])]);
        for (given, says) in
            [("aaaaaaaa", "more than one"), ("bbbbbbb", "is no record"), ("cccccccc", "is no record"), ("", "is no record")]
        {
            let error = whole_ids(&[given.into()], &standing).expect_err(given).to_string();
            assert!(error.contains(says), "{given}: {error}");
        }
        assert_eq!(in_full(&["aa".repeat(32)]), Some(vec![RecordId([0xaa; 32])]));
        assert_eq!(in_full(&["aa".repeat(31)]), None);
    }

    #[test]
    fn a_head_is_a_record_or_nothing() {
        let with = |head: &[u8]| StandingResponse { seq: 1, head: head.to_vec().into(), ..StandingResponse::default() };
        assert_eq!(head(&with(&[7; 32])).expect("head").record, Some(RecordId([7; 32])));
        assert_eq!(head(&with(&[])).expect("none").record, None);
        assert!(head(&with(&[7; 31])).is_err());
    }
}
