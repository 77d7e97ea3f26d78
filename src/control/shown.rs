//! A standing as it is shown: all of it to the subject, and to a delegate with the right to view what lies in the delegation's scope.

use bytes::Bytes;
use tonic::{Code, Status};

use crate::ledger::{Ledger, Move, Receipt, Refused, StreamSettled};
use crate::proto::v1;
use crate::status::status;
use crate::veil::consent::authority::{Agreed, Delegated};
use crate::veil::consent::delegation::{Capacity, Delegation, Right};
use crate::veil::consent::grant::Done;
use crate::veil::consent::query::Query;
use crate::veil::consent::record::Matcher;
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::standing::{Grant, Standing};
use crate::veil::demand;
use crate::veil::name::{Purpose, RecordId, Spiffe, UnixMs};

/// That a record is in the log.
pub(super) fn receipt(receipt: &Receipt) -> v1::Receipt {
    v1::Receipt { salt: Bytes::copy_from_slice(&receipt.salt.0), proof: receipt.proof.to_string() }
}

/// The sender gets the whole story: it may quote what the sender wrote. The log gets the code.
pub(super) fn refuse(refused: &Refused) -> Status {
    tracing::info!(code = refused.code(), "a record or query was refused");
    let grpc = match refused {
        // Somebody was faster: sign again on the head that the text names.
        Refused::Record(RecordRefusal::OutOfOrder { .. }) => Code::Aborted,
        Refused::Record(
            RecordRefusal::BadSignature
            | RecordRefusal::NotSignedBy(_)
            | RecordRefusal::NotYours
            | RecordRefusal::NoAuthority(_)
            | RecordRefusal::NoRight(_)
            | RecordRefusal::Widens(_)
            | RecordRefusal::TooFewSignatures { .. },
        ) => Code::PermissionDenied,
        Refused::Record(RecordRefusal::UnknownRecord(_)) | Refused::NoSuchDemand(_) => Code::NotFound,
        Refused::Demand(demand::Refused::Unregistered(_) | demand::Refused::NoRole(_)) => Code::PermissionDenied,
        Refused::Clock(_) => Code::Unavailable,
        _ => match refused.whose_move() {
            Move::Sender => Code::InvalidArgument,
            Move::Operator => Code::FailedPrecondition,
            Move::Ours => Code::Unavailable,
        },
    };
    status(grpc, refused.code(), refused)
}

/// How much of a standing somebody may see.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'s> {
    standing: &'s Standing,
    /// A delegate's; none: the subject's own eyes.
    delegation: Option<&'s Delegation>,
}

/// What the signer of a query may see.
pub(super) fn viewer<'s>(standing: &'s Standing, query: &Query, now: UnixMs) -> Result<View<'s>, RecordRefusal> {
    Ok(View { standing, delegation: standing.delegated(query.by, Right::View, now)? })
}

impl View<'_> {
    /// Whether a record may be seen.
    pub(super) fn shows(&self, record: RecordId) -> bool {
        let Some(delegation) = self.delegation else { return true };
        match (self.standing.grant(record), self.standing.delegation(record)) {
            (Some(grant), _) => delegation.scope.touches(grant.consent()),
            (None, Some(delegated)) => self.is_theirs(delegated),
            // Whose signatures a grant needs is for all to know who make one.
            (None, None) => true,
        }
    }

    /// Whether a record's receipt may be seen. To a delegate only where the record itself may: of others its id is told already.
    pub(super) fn shows_receipt(&self, record: RecordId) -> bool {
        self.delegation.is_none() || self.standing.has(record) && self.shows(record)
    }

    /// Whether legal demands about the subject are told: to itself, and to whoever is there in its place. A proxy does something for it, and
    /// no more.
    pub(super) fn shows_demands(&self) -> bool {
        self.delegation.is_none_or(|delegation| match delegation.capacity {
            Capacity::Guardian | Capacity::Steward => true,
            Capacity::Proxy => false,
        })
    }

    /// Whether it may be asked what a recipient gets.
    pub(super) fn explains(&self, recipient: &Spiffe, purpose: &Purpose) -> Result<(), RecordRefusal> {
        match self.delegation {
            Some(delegation) if !delegation.scope.has(&Matcher::Spiffe(recipient.clone()), purpose) => {
                Err(RecordRefusal::Widens("recipient".into()))
            }
            _ => Ok(()),
        }
    }

    /// The standing that is looked at.
    pub(super) fn of(&self) -> &Standing {
        self.standing
    }

    fn is_theirs(&self, delegated: &Delegated) -> bool {
        self.delegation.is_none_or(|own| delegated.delegation().delegate == own.delegate || delegated.delegation().by.key == own.delegate)
    }

    /// All of it.
    pub(super) fn standing(&self, ledger: &Ledger, streams: Vec<StreamSettled>, now: UnixMs) -> v1::StandingResponse {
        let head = self.standing.head();
        let grants = self.standing.grants().iter().filter(|grant| self.shows(grant.id()));
        let delegations = self.standing.delegations().iter().filter(|delegated| self.is_theirs(delegated));
        let agreements = self.standing.agreements().iter().filter(|agreed| agreed.replaced().is_none());
        let streams = streams.into_iter().filter(|stream| self.explains(&stream.recipient, &stream.purpose).is_ok());
        v1::StandingResponse {
            seq: head.seq,
            head: head.record.map(id).unwrap_or_default(),
            grants: grants.map(|grant| granted(grant, ledger, now)).collect(),
            streams: streams.map(barrier).collect(),
            delegations: delegations.map(|delegated| delegation(delegated, now)).collect(),
            agreements: agreements.map(agreement).collect(),
        }
    }
}

fn id(record: RecordId) -> Bytes {
    Bytes::copy_from_slice(&record.0)
}

/// Who ended something, and when.
fn over(done: Option<Done>) -> (String, i64) {
    done.map(|done| (done.by.to_string(), done.when.at.0)).unwrap_or_default()
}

/// What a grant is whose uses are over while its time is not.
pub(super) const USED_UP: &str = "used up";

fn granted(grant: &Grant, ledger: &Ledger, now: UnixMs) -> v1::Grant {
    let consent = grant.consent();
    let authority = consent.by.role.authority();
    let (over_by, over_ms) = over(grant.over().map(|(_, done)| done));
    let used_up = ledger.is_spent(&grant.id()) && grant.permits_after(now);
    v1::Grant {
        record: id(grant.id()),
        seq: consent.seq,
        state: if used_up { USED_UP } else { grant.state(now).word() }.to_owned(),
        not_before_ms: grant.from().0,
        expires_ms: consent.expires.0,
        recipients: consent.recipients.iter().map(|recipient| recipient.who.to_string()).collect(),
        purposes: consent.purposes.iter().map(ToString::to_string).collect(),
        rules: consent.rules.iter().map(ToString::to_string).collect(),
        windows: consent.windows.iter().map(ToString::to_string).collect(),
        needs_renewal: grant.needs_renewal(now),
        delegate: authority.map(|_| consent.by.key.to_string()).unwrap_or_default(),
        authority: authority.map(id).unwrap_or_default(),
        over_by,
        over_ms,
        max_uses: consent.max_uses.unwrap_or_default(),
        used: ledger.used(&grant.id()),
    }
}

fn delegation(delegated: &Delegated, now: UnixMs) -> v1::Delegation {
    let delegation = delegated.delegation();
    let scope = &delegation.scope;
    let (over_by, over_ms) = over(delegated.ended());
    v1::Delegation {
        record: id(delegated.id()),
        seq: delegation.seq,
        state: delegated.state(now).word().to_owned(),
        delegate: delegation.delegate.to_string(),
        capacity: delegation.capacity.word().to_owned(),
        rights: delegation.rights.iter().map(|right| right.word().to_owned()).collect(),
        not_before_ms: delegated.from().0,
        expires_ms: delegation.expires.0,
        depth: u32::from(delegation.depth),
        recipients: scope.recipients().unwrap_or_default().iter().map(|recipient| recipient.who.to_string()).collect(),
        purposes: scope.purposes().unwrap_or_default().iter().map(ToString::to_string).collect(),
        permits: scope.words(),
        authority: delegation.by.role.authority().map(id).unwrap_or_default(),
        vault_key: delegation.vault_key.map(|key| key.to_string()).unwrap_or_default(),
        over_by,
        over_ms,
    }
}

fn agreement(agreed: &Agreed) -> v1::Agreement {
    let rules = &agreed.agreement().rules;
    let of = rules
        .iter()
        .map(|quorum| v1::Signatories { need: u32::from(quorum.need), keys: quorum.of.iter().map(ToString::to_string).collect() });
    v1::Agreement {
        record: id(agreed.id()),
        seq: agreed.agreement().seq,
        rules: rules.iter().map(ToString::to_string).collect(),
        of: of.collect(),
    }
}

/// Where a stream stood.
pub(super) fn barrier(settled: StreamSettled) -> v1::StreamBarrier {
    v1::StreamBarrier {
        stream_id: Bytes::copy_from_slice(&settled.stream.0),
        recipient: settled.recipient.to_string(),
        purpose: settled.purpose.to_string(),
        last_handover: settled.last_handover,
        view: settled.view,
    }
}
