//! What subjects do with their wallets, over the gateway's own API: enrol, grant, withdraw, ask.

use std::time::{Duration, Instant};

use tonic::transport::Channel;

use super::cast::Allows;
use crate::cli::CliError;
use crate::cli::connect::refused;
use crate::cli::simulate::What;
use crate::client::dsse;
use crate::client::wallet::Wallet;
use crate::proto::v1::consents_client::ConsentsClient;
use crate::proto::v1::{StandingRequest, StreamBarrier, SubmitRequest, WithdrawRequest, WithdrawResponse};
use crate::veil::consent::envelope::Envelope;
use crate::veil::consent::query::Asks;
use crate::veil::consent::record::SignerRole;
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::standing::Head;
use crate::veil::consent::withdrawal::Reach;
use crate::veil::name::{Origin, RecordId, SealKey, Spiffe, UnixMs};
use crate::world::{Clock, entropy};

/// Somebody, or something, that frames are about, and the wallet that speaks for it.
#[derive(Debug)]
pub(super) struct Subject {
    /// What its source calls it.
    pub(super) name: String,
    /// A patient or a turbine.
    pub(super) what: What,
    /// Among its like, from 0.
    pub(super) number: usize,
    /// The patient's own, or the steward's.
    pub(super) wallet: Wallet,
}

/// What a wallet has signed so far.
#[derive(Debug, Default)]
pub(super) struct Signed {
    head: Head,
    /// Each grant, with whom it is for.
    grants: Vec<(usize, RecordId)>,
}

impl Signed {
    /// The newest grant to a recipient.
    pub(super) fn grant_to(&self, recipient: usize) -> Option<RecordId> {
        self.grants.iter().rev().find(|(to, _)| *to == recipient).map(|(_, record)| *record)
    }
}

/// Where wallets hand in what they signed.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    consents: ConsentsClient<Channel>,
    origin: Origin,
}

impl Desk {
    /// A desk of the gateway with that name.
    pub(super) fn new(channel: Channel, origin: Origin) -> Self {
        Self { consents: ConsentsClient::new(channel), origin }
    }

    async fn submit(&mut self, record: Envelope) -> Result<Head, CliError> {
        let request = SubmitRequest { record: Some(dsse::to_proto(&record)), seen: String::new() };
        let taken = self.consents.submit(request).await.map_err(|status| refused(&status))?.into_inner();
        let record = taken.record[..].try_into().map_err(|_| CliError::broken("the gateway answered with no record id"))?;
        Ok(Head { seq: taken.seq, record: Some(RecordId(record)) })
    }

    /// Says that this source's frames with the subject's name are about this wallet; `party` is the source's own key.
    pub(super) async fn enrol(&mut self, subject: &Subject, source: &Spiffe, party: &Wallet) -> Result<(), CliError> {
        let half = subject.wallet.enrol(source, &subject.name, &self.origin, now()?).map_err(unsigned)?;
        let both = party.countersign(&half, &self.origin).map_err(unsigned)?;
        self.submit(both).await.map(drop)
    }

    /// Signs and hands in a grant; `key` is the recipient's, `replaces` what it stands instead of.
    pub(super) async fn grant(
        &mut self,
        (wallet, role): (&Wallet, SignerRole),
        signed: &mut Signed,
        allows: &Allows,
        key: SealKey,
        replaces: Option<RecordId>,
    ) -> Result<(), CliError> {
        let now = now()?;
        let mut terms = allows.terms(key, now);
        terms.replaces = replaces.iter().map(RecordId::to_string).collect();
        let record = wallet.grant(&terms, role, &self.origin, signed.head, now, &mut entropy()).map_err(unsigned)?;
        signed.head = self.submit(record).await?;
        signed.grants.extend(signed.head.record.map(|record| (allows.recipient, record)));
        Ok(())
    }

    /// Withdraws everything that the wallet has granted; how long the answer took.
    pub(super) async fn withdraw(&mut self, subject: &Subject, signed: &Signed) -> Result<(WithdrawResponse, Duration), CliError> {
        let record = subject.wallet.withdraw(&Reach::UpTo(signed.head.seq), SignerRole::Subject, &self.origin, now()?).map_err(unsigned)?;
        let request = WithdrawRequest { record: Some(dsse::to_proto(&record)), seen: String::new() };
        let begun = Instant::now();
        let withdrawn = self.consents.withdraw(request).await.map_err(|status| refused(&status))?.into_inner();
        Ok((withdrawn, begun.elapsed()))
    }

    /// The open streams that carry the subject, and the number of its view in each.
    pub(super) async fn streams(&mut self, subject: &Subject) -> Result<Vec<StreamBarrier>, CliError> {
        let query = subject.wallet.query(&Asks::Standing, &self.origin, now()?).map_err(unsigned)?;
        let request = StandingRequest { query: Some(dsse::to_proto(&query)) };
        Ok(self.consents.standing(request).await.map_err(|status| refused(&status))?.into_inner().streams)
    }
}

/// The clock of this machine, which is the gateway's, too.
pub(super) fn now() -> Result<UnixMs, CliError> {
    Clock::new().now().map_err(CliError::broken)
}

fn unsigned(refusal: RecordRefusal) -> CliError {
    CliError::broken(format!("a wallet does not sign that: {refusal}"))
}
