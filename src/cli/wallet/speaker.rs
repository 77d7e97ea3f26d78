//! For whom a wallet speaks: for itself unless the command line names somebody else and the delegation.

use super::super::words;
use super::hex;
use crate::client::wallet::{Voice, Wallet};
use crate::proto::v1::StandingResponse;
use crate::veil::consent::record::SignerRole;
use crate::veil::name::{Did, RecordId, SealKey};

/// For whom to speak, and by what right.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(in crate::cli) struct Speaker {
    /// Speak for this subject, as its delegate
    #[arg(long = "for", value_name = "DID", value_parser = words::did, requires = "authority")]
    subject: Option<Did>,
    /// The delegation to speak under: its whole id
    #[arg(long, value_name = "ID", value_parser = record, requires = "subject")]
    authority: Option<RecordId>,
}

pub(super) fn record(text: &str) -> Result<RecordId, String> {
    RecordId::parse(text)
        .map_err(|_| "not a record id: 64 hexadecimal digits, as `twinveil wallet standing --output json` prints them".into())
}

impl Speaker {
    /// As `wallet` speaks; for itself in this role.
    pub(in crate::cli) fn voice(self, wallet: &Wallet, role: SignerRole) -> Voice {
        match (self.subject, self.authority) {
            (Some(subject), Some(authority)) => Voice { subject, role: SignerRole::Delegate(authority), vault_key: None },
            _ => wallet.voice(role),
        }
    }

    /// The delegation that it speaks under.
    pub(super) fn authority(self) -> Option<RecordId> {
        self.authority
    }

    /// The vault that a delegate's grants may name, as the subject's standing has it.
    pub(super) fn vault(self, standing: &StandingResponse) -> Option<SealKey> {
        let authority = self.authority?.to_string();
        let delegation = standing.delegations.iter().find(|delegation| hex(&delegation.record) == authority)?;
        SealKey::parse(&delegation.vault_key).ok()
    }
}
