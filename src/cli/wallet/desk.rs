//! The gateway's desk for signed records, as a wallet sees it.

use tonic::Status;
use tonic::transport::Channel;

use super::super::connect::{Connection, MESSAGE_BYTES_MAX, code, refused};
use super::super::{CliError, now};
use super::receipts::Book;
use super::unsigned;
use crate::client::dsse;
use crate::client::receipts::RECEIPTS_MAX;
use crate::client::wallet::{Voice, Wallet};
use crate::proto::v1::consents_client::ConsentsClient;
use crate::proto::v1::{
    Disclosed, ExplainRequest, ExplainResponse, HistoryRequest, HistoryResponse, Kept, Notice, NoticesRequest, ReceiptsRequest,
    RecordRequest, StandingRequest, StandingResponse, SubmitRequest, SubmitResponse, VaultWrap, WithdrawRequest, WithdrawResponse,
    WrapsRequest,
};
use crate::veil::consent::envelope::Envelope;
use crate::veil::consent::query::Asks;
use crate::veil::consent::standing::Head;
use crate::veil::name::{Origin, RecordId};

/// `RecordRefusal::OutOfOrder`: another wallet of the same chain was faster.
const OUT_OF_ORDER: &str = "TV-C14";

/// More than a gateway keeps for one wallet.
const WRAPS_MAX: usize = 65_536;

/// More than a gateway tells of one subject in a hundred years.
const HISTORY_MAX: usize = 1 << 24;

/// One connection to it.
pub(in crate::cli) struct Desk {
    client: ConsentsClient<Channel>,
}

impl Desk {
    /// Connects; `carrier` is who hands in unless the command line says.
    pub(in crate::cli) async fn open(connection: &Connection, carrier: Option<&str>) -> Result<Self, CliError> {
        // Somebody may have very many records, or be in very many disclosures that the log does not have yet.
        let client = ConsentsClient::new(connection.connect(carrier).await?).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { client })
    }

    /// The raw status, as one refusal has a remedy. `seen` is the newest checkpoint that the sender has of the gateway's log.
    pub(in crate::cli) async fn submit(&mut self, record: &Envelope, seen: String) -> Result<SubmitResponse, Status> {
        let request = SubmitRequest { record: Some(dsse::to_proto(record)), seen };
        Ok(self.client.submit(request).await?.into_inner())
    }

    /// Signs the next record of a chain and hands it in; once more where another wallet was faster.
    pub(super) async fn submit_next(
        &mut self,
        (wallet, voice): (&Wallet, &Voice),
        gateway: &Origin,
        book: &Book,
        sign: impl Fn(&StandingResponse) -> Result<Envelope, CliError>,
    ) -> Result<SubmitResponse, CliError> {
        let record = sign(&self.standing(wallet, voice, gateway).await?)?;
        let answer = match self.submit(&record, book.seen()).await {
            Err(status) if code(&status) == OUT_OF_ORDER => {
                let record = sign(&self.standing(wallet, voice, gateway).await?)?;
                self.submit(&record, book.seen()).await
            }
            answer => answer,
        };
        answer.map_err(|status| refused(&status))
    }

    pub(super) async fn withdraw(&mut self, record: &Envelope, seen: String) -> Result<WithdrawResponse, CliError> {
        let request = WithdrawRequest { record: Some(dsse::to_proto(record)), seen };
        let answer = self.client.withdraw(request).await;
        Ok(answer.map_err(|status| refused(&status))?.into_inner())
    }

    /// What all records of the wallet add up to.
    pub(super) async fn standing(&mut self, wallet: &Wallet, voice: &Voice, gateway: &Origin) -> Result<StandingResponse, CliError> {
        let query = wallet.query_as(voice, &Asks::Standing, gateway, now()?).map_err(|refusal| unsigned(&refusal))?;
        let answer = self.client.standing(StandingRequest { query: Some(dsse::to_proto(&query)) }).await;
        Ok(answer.map_err(|status| refused(&status))?.into_inner())
    }

    /// The receipts of the subject's records, all that may be seen.
    pub(super) async fn receipts(&mut self, wallet: &Wallet, voice: &Voice, gateway: &Origin) -> Result<Vec<Kept>, CliError> {
        let mut all: Vec<Kept> = Vec::new();
        let mut from = 0;
        loop {
            let query = wallet.query_as(voice, &Asks::Receipts, gateway, now()?).map_err(|refusal| unsigned(&refusal))?;
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
    pub(in crate::cli) async fn explain(
        &mut self,
        wallet: &Wallet,
        voice: &Voice,
        asks: &Asks,
        gateway: &Origin,
    ) -> Result<ExplainResponse, CliError> {
        let query = wallet.query_as(voice, asks, gateway, now()?).map_err(|refusal| unsigned(&refusal))?;
        let answer = self.client.explain(ExplainRequest { query: Some(dsse::to_proto(&query)) }).await;
        Ok(answer.map_err(|status| refused(&status))?.into_inner())
    }

    /// A record as it was signed; it is the one that was asked for, whatever the gateway says.
    pub(super) async fn record(
        &mut self,
        wallet: &Wallet,
        voice: &Voice,
        record: RecordId,
        gateway: &Origin,
    ) -> Result<Envelope, CliError> {
        let query = wallet.query_as(voice, &Asks::Record(record), gateway, now()?).map_err(|refusal| unsigned(&refusal))?;
        let answer = self.client.record(RecordRequest { query: Some(dsse::to_proto(&query)) }).await;
        let found = answer.map_err(|status| refused(&status))?.into_inner().record.as_ref().map(dsse::from_proto);
        found.filter(|found| found.id() == record).ok_or_else(|| CliError::broken("the gateway's answer makes no sense: another record"))
    }

    /// The announcements of every epoch in which something was sealed for the wallet's vault.
    pub(super) async fn wraps(&mut self, wallet: &Wallet, gateway: &Origin) -> Result<Vec<VaultWrap>, CliError> {
        let mut all: Vec<VaultWrap> = Vec::new();
        loop {
            let from = all.last().map_or(0, |last| last.number.saturating_add(1));
            let query = wallet.query(&Asks::Wraps, gateway, now()?).map_err(|refusal| unsigned(&refusal))?;
            let answer = self.client.wraps(WrapsRequest { query: Some(dsse::to_proto(&query)), from }).await;
            let page = answer.map_err(|status| refused(&status))?.into_inner().wraps;
            // Numbers grow, whatever the gateway says: so this ends.
            let grows = page.iter().try_fold(from, |least, wrap| (wrap.number >= least).then(|| wrap.number.saturating_add(1)));
            match (page.is_empty(), grows) {
                (true, _) => return Ok(all),
                (false, Some(_)) if all.len() < WRAPS_MAX => all.extend(page),
                _ => return Err(CliError::broken("the gateway's answer makes no sense: announcements out of order, or without an end")),
            }
        }
    }

    /// What was disclosed of the subject, all that may be seen; what is under way and the gaps are those of the end.
    pub(super) async fn history(&mut self, wallet: &Wallet, voice: &Voice, gateway: &Origin) -> Result<HistoryResponse, CliError> {
        let mut all: Vec<Disclosed> = Vec::new();
        let mut from = 0;
        loop {
            let query = wallet.query_as(voice, &Asks::History, gateway, now()?).map_err(|refusal| unsigned(&refusal))?;
            let answer = self.client.history(HistoryRequest { query: Some(dsse::to_proto(&query)), from }).await;
            let page = answer.map_err(|status| refused(&status))?.into_inner();
            let Some(last) = page.disclosed.last() else { return Ok(HistoryResponse { disclosed: all, ..page }) };
            // Numbers grow, whatever the gateway says: so this ends.
            match last.receipt.as_ref().and_then(super::receipts::entry) {
                Some(entry) if entry >= from && all.len() < HISTORY_MAX => from = entry.saturating_add(1),
                _ => return Err(CliError::found("the gateway's answer makes no sense: disclosures out of order, or without an end")),
            }
            all.extend(page.disclosed);
        }
    }

    /// What happens, from here on.
    pub(super) async fn notices(
        &mut self,
        wallet: &Wallet,
        voice: &Voice,
        past: bool,
        gateway: &Origin,
    ) -> Result<tonic::Streaming<Notice>, CliError> {
        let query = wallet.query_as(voice, &Asks::Notices, gateway, now()?).map_err(|refusal| unsigned(&refusal))?;
        let answer = self.client.notices(NoticesRequest { query: Some(dsse::to_proto(&query)), past }).await;
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
    let records = standing.grants.iter().map(|grant| &grant.record);
    let records = records.chain(standing.delegations.iter().map(|delegation| &delegation.record));
    let records = records.chain(standing.agreements.iter().map(|agreement| &agreement.record)).map(|record| super::hex(record));
    let mut found = records.filter(|record| given.len() >= ID_DIGITS_MIN && record.starts_with(given));
    match (found.next(), found.next()) {
        (Some(record), None) => {
            RecordId::parse(&record).map_err(|_| CliError::broken("the gateway's answer makes no sense: a grant without a record id"))
        }
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
