//! A wallet: two seeds in a file that only its owner reads, and everything a subject, steward or operator signs with
//! them, offline; beside them the receipts for what it signed. Time and entropy are arguments.

mod error;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::error::WalletError;
use super::receipts::{BookDocument, LogBook};
pub use super::terms::Terms;
use crate::veil::base64;
use crate::veil::consent::document::{ConsentDocument, SignerDocument};
use crate::veil::consent::enrolment::{Enrolment, EnrolmentDocument};
use crate::veil::consent::envelope::{Envelope, Payload, Signed};
use crate::veil::consent::query::{Asks, Query, QueryDocument};
use crate::veil::consent::recipient_key::{RecipientKey, RecipientKeyDocument};
use crate::veil::consent::record::{Consent, SignerRole, WITHDRAWN};
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::consent::release::{Release, ReleaseDocument, Released};
use crate::veil::consent::standing::Head;
use crate::veil::consent::withdrawal::{Reach, WithdrawDocument, Withdrawal};
use crate::veil::crypto::CryptoRng;
use crate::veil::crypto::secret::{Secret, Zeroizing};
use crate::veil::crypto::sign::SignKey;
use crate::veil::crypto::wrap::OpenKey;
use crate::veil::merkle::Doubt;
use crate::veil::merkle::note::VerifierKey;
use crate::veil::name::{Did, Origin, RecordId, SealKey, Spiffe, UnixMs};
use crate::veil::transform::group::{Announced, Epoch};

/// The largest wallet file, in bytes: keys, and a few thousand receipts.
const FILE_BYTES_MAX: u64 = 16 << 20;
const KIND: &str = "twinveil wallet v1";

/// The keys of a subject, a steward or an operator.
pub struct Wallet {
    sign: SignKey,
    sign_seed: Secret<32>,
    open: OpenKey,
    open_seed: Secret<32>,
    logs: Vec<BookDocument>,
}

/// For whom a wallet speaks, and by what right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voice {
    /// Whose grants they are.
    pub subject: Did,
    /// The right.
    pub role: SignerRole,
    /// The vault that grants name: the wallet's own, or the one that the delegation allows.
    pub vault_key: Option<SealKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    kind: String,
    did: String,
    ed25519_seed: String,
    x25519_seed: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    logs: Vec<BookDocument>,
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        for seed in [&mut self.ed25519_seed, &mut self.x25519_seed] {
            drop(Zeroizing::new(std::mem::take(seed)));
        }
    }
}

impl Wallet {
    /// Fresh keys.
    pub fn generate(entropy: &mut impl CryptoRng) -> Self {
        loop {
            let [sign_seed, open_seed] = [Secret::random(entropy), Secret::random(entropy)];
            if let Some(wallet) = Self::from_seeds(sign_seed, open_seed) {
                return wallet;
            }
        }
    }

    /// From an Ed25519 seed (RFC 8032 §5.1.5) and an X25519 private key (RFC 7748 §5).
    pub fn from_seeds(sign_seed: Secret<32>, open_seed: Secret<32>) -> Option<Self> {
        let open = OpenKey::from_seed(&open_seed)?;
        Some(Self { sign: SignKey::from_seed(&sign_seed), sign_seed, open, open_seed, logs: Vec::new() })
    }

    /// Who this is.
    pub fn did(&self) -> Did {
        self.sign.did()
    }

    /// What can be sealed for this wallet.
    pub fn vault_key(&self) -> SealKey {
        self.open.seal_key()
    }

    /// The private half of [`Self::vault_key`].
    pub fn vault(&self) -> &OpenKey {
        &self.open
    }

    /// As [`Self::vault`], for whoever keeps it.
    pub fn into_vault(self) -> OpenKey {
        self.open
    }

    /// What it has of the log of a gateway, checked.
    pub fn log(&self, gateway: &Origin) -> Result<Option<LogBook>, Doubt> {
        self.logs.iter().find(|book| book.is_of(gateway)).map(LogBook::read).transpose()
    }

    /// What it has of every gateway's log, checked.
    pub fn logs(&self) -> Result<Vec<LogBook>, Doubt> {
        self.logs.iter().map(LogBook::read).collect()
    }

    /// Signs a grant, a refusal or, as [`SignerRole::Operator`], a mandate: the next record after `head`.
    ///
    /// What the gateway would refuse by its content is refused here, before it is signed.
    pub fn grant(
        &self,
        terms: &Terms,
        role: SignerRole,
        gateway: &Origin,
        head: Head,
        now: UnixMs,
        entropy: &mut impl CryptoRng,
    ) -> Result<Envelope, RecordRefusal> {
        self.grant_as(&self.voice(role), terms, gateway, head, now, entropy)
    }

    /// Signs a grant or refusal as who speaks by this voice.
    pub fn grant_as(
        &self,
        voice: &Voice,
        terms: &Terms,
        gateway: &Origin,
        head: Head,
        now: UnixMs,
        entropy: &mut impl CryptoRng,
    ) -> Result<Envelope, RecordRefusal> {
        let terms = terms.clone();
        self.write::<Consent>(&ConsentDocument {
            record_id: uuid(entropy),
            subject: voice.subject.to_string(),
            signer: self.signer(voice.role),
            gateway: gateway.to_string(),
            seq: head.seq.saturating_add(1),
            prev: head.record.map(|record| record.to_string()),
            status: terms.status,
            method: terms.method,
            at: now.to_string(),
            not_before: terms.not_before,
            expires: terms.expires,
            max_uses: terms.max_uses,
            windows: terms.windows,
            demand: terms.demand,
            notice: terms.notice,
            controllers: terms.controllers,
            recipients: terms.recipients,
            purposes: terms.purposes,
            storage: terms.storage,
            jurisdiction: terms.jurisdiction,
            withdrawal: terms.withdrawal,
            vault_key: voice.vault_key.map(|key| key.to_string()),
            rules: terms.rules,
            replaces: terms.replaces,
        })
    }

    /// Signs a withdrawal. It may be kept and sent later: it reaches no grant made after it.
    pub fn withdraw(&self, reach: &Reach, role: SignerRole, gateway: &Origin, now: UnixMs) -> Result<Envelope, RecordRefusal> {
        self.withdraw_as(&self.voice(role), reach, gateway, now)
    }

    /// Signs a withdrawal as who speaks by this voice.
    pub fn withdraw_as(&self, voice: &Voice, reach: &Reach, gateway: &Origin, now: UnixMs) -> Result<Envelope, RecordRefusal> {
        let (withdraws, withdraws_up_to) = match reach {
            Reach::Records(ids) => (Some(ids.iter().map(RecordId::to_string).collect()), None),
            Reach::UpTo(seq) => (None, Some(*seq)),
        };
        self.write::<Withdrawal>(&WithdrawDocument {
            status: WITHDRAWN.into(),
            subject: voice.subject.to_string(),
            signer: self.signer(voice.role),
            gateway: gateway.to_string(),
            at: now.to_string(),
            withdraws,
            withdraws_up_to,
        })
    }

    /// Signs one half of an enrolment: in the frames of `source`, `value` means this wallet. The source's party
    /// countersigns.
    pub fn enrol(&self, source: &Spiffe, value: &str, gateway: &Origin, now: UnixMs) -> Result<Envelope, RecordRefusal> {
        self.write::<Enrolment>(&EnrolmentDocument {
            gateway: gateway.to_string(),
            source: source.to_string(),
            value: value.into(),
            did: self.did().to_string(),
            at: now.to_string(),
        })
    }

    /// Adds the other half to an enrolment, as the party behind its source, after checking the first half.
    pub fn countersign(&self, enrolment: &Envelope, gateway: &Origin) -> Result<Envelope, RecordRefusal> {
        Signed::<Enrolment>::new(enrolment)?.verify(gateway)?;
        let mut both = enrolment.clone();
        both.countersign(&self.sign);
        both.check_sizes()?;
        Ok(both)
    }

    /// Signs a question about the own standing, good for five minutes.
    pub fn query(&self, asks: &Asks, gateway: &Origin, now: UnixMs) -> Result<Envelope, RecordRefusal> {
        self.query_as(&self.voice(SignerRole::Subject), asks, gateway, now)
    }

    /// Signs a question as who speaks by this voice.
    pub fn query_as(&self, voice: &Voice, asks: &Asks, gateway: &Origin, now: UnixMs) -> Result<Envelope, RecordRefusal> {
        let asked = QueryDocument {
            gateway: gateway.to_string(),
            subject: voice.subject.to_string(),
            signer: voice.role.authority().map(|_| self.signer(voice.role)),
            record: None,
            kind: "standing".into(),
            recipient: None,
            holder: None,
            purpose: None,
            schema: None,
            as_of: None,
            at: now.to_string(),
        };
        self.write::<Query>(&match asks {
            Asks::Standing => asked,
            Asks::Receipts => QueryDocument { kind: "receipts".into(), ..asked },
            Asks::Notices => QueryDocument { kind: "notices".into(), ..asked },
            Asks::Wraps => QueryDocument { kind: "wraps".into(), ..asked },
            Asks::History => QueryDocument { kind: "history".into(), ..asked },
            Asks::Record(record) => QueryDocument { kind: "record".into(), record: Some(record.to_string()), ..asked },
            Asks::Explain { recipient, holder, purpose, schema, as_of } => QueryDocument {
                kind: "explain".into(),
                recipient: Some(recipient.to_string()),
                holder: holder.map(|holder| holder.to_string()),
                purpose: Some(purpose.to_string()),
                schema: Some(schema.to_string()),
                as_of: as_of.map(|at| at.to_string()),
                ..asked
            },
        })
    }

    /// Signs a statement, as a recipient: the workload opens what is sealed for this wallet's did:key, with its vault key.
    pub fn recipient_key(&self, workload: &Spiffe, gateway: &Origin, expires: UnixMs) -> Result<Envelope, RecordRefusal> {
        self.write::<RecipientKey>(&RecipientKeyDocument {
            gateway: gateway.to_string(),
            did: self.did().to_string(),
            spiffe: workload.to_string(),
            key: self.vault_key().to_string(),
            expires: expires.to_string(),
        })
    }

    /// Signs a release: the seeds of these epochs, wrapped for a recipient's key. An epoch that this wallet's vault does not open is
    /// none of its own, and left out; `None`: all are.
    pub fn release(
        &self,
        epochs: &[(Epoch, Announced)],
        (recipient, to): (&Spiffe, &SealKey),
        gateway: &Origin,
        now: UnixMs,
        entropy: &mut impl CryptoRng,
    ) -> Result<Option<Envelope>, RecordRefusal> {
        let mut released = Vec::new();
        for (epoch, announced) in epochs {
            let Some(seed) = epoch.seed(announced, &self.open) else { continue };
            let wrap = epoch.release(&announced.commit, &seed, to, entropy);
            let wrap = wrap.ok_or_else(|| RecordRefusal::member("key", "an X25519 key that is not of low order"))?;
            released.push(Released { view: epoch.view, slot: epoch.slot, epoch: epoch.epoch, wrap }.document());
        }
        if released.is_empty() {
            return Ok(None);
        }
        let release = ReleaseDocument {
            gateway: gateway.to_string(),
            subject: self.did().to_string(),
            recipient: recipient.to_string(),
            key: to.to_string(),
            epochs: released,
            at: now.to_string(),
        };
        self.write::<Release>(&release).map(Some)
    }

    /// Writes a new key file that only its owner can read. An existing file is left alone.
    pub fn save(&self, path: &Path) -> Result<(), WalletError> {
        self.write_new(path).map_err(|source| WalletError::File { path: path.into(), source })
    }

    /// Keeps something of a log in a wallet's file: `change` gets what is there of it. The file is replaced whole or not at all.
    pub fn keep_log(path: &Path, log: &VerifierKey, change: impl FnOnce(&mut LogBook)) -> Result<(), WalletError> {
        // Read again: another command may have kept a receipt meanwhile.
        let mut wallet = Self::load(path)?;
        let gateway = Origin::new(log.name());
        let doubtful = |doubt| WalletError::Doubtful { path: path.into(), doubt };
        let mut book = wallet.log(&gateway).map_err(doubtful)?.unwrap_or_else(|| LogBook::new(log.clone()));
        if book.key() != log {
            return Err(doubtful(Doubt::UnknownKey));
        }
        change(&mut book);
        wallet.logs.retain(|known| !known.is_of(&gateway));
        wallet.logs.push(book.write());
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        // Left over where a command was killed.
        let _none = std::fs::remove_file(&beside);
        let written = wallet.write_new(&beside).and_then(|()| std::fs::rename(&beside, path));
        written.map_err(|source| WalletError::File { path: path.into(), source })
    }

    fn write_new(&self, path: &Path) -> std::io::Result<()> {
        let file = KeyFile {
            kind: KIND.into(),
            did: self.did().to_string(),
            ed25519_seed: base64::encode(self.sign_seed.expose()),
            x25519_seed: base64::encode(self.open_seed.expose()),
            logs: self.logs.clone(),
        };
        let json = Zeroizing::new(serde_json::to_vec_pretty(&file)?);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        file.write_all(&json).and_then(|()| file.sync_all())
    }

    /// Reads a key file; refuses one that others can read, or whose name and keys differ.
    pub fn load(path: &Path) -> Result<Self, WalletError> {
        let error = |source| WalletError::File { path: path.into(), source };
        let broken = || WalletError::Broken { path: path.into() };
        let file = File::open(path).map_err(error)?;
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().map_err(error)?.permissions());
            if mode & 0o077 != 0 {
                return Err(WalletError::Readable { path: path.into(), mode: mode & 0o777 });
            }
        }
        let mut json = Zeroizing::new(Vec::new());
        file.take(FILE_BYTES_MAX).read_to_end(&mut json).map_err(error)?;
        let read: KeyFile = parse(&json).ok_or_else(broken)?;
        let mut wallet = seed(&read.ed25519_seed)
            .zip(seed(&read.x25519_seed))
            .and_then(|(sign, open)| Self::from_seeds(sign, open))
            .ok_or_else(broken)?;
        if read.kind != KIND || read.did != wallet.did().to_string() {
            return Err(broken());
        }
        wallet.logs.clone_from(&read.logs);
        Ok(wallet)
    }

    pub(super) fn signer(&self, role: SignerRole) -> SignerDocument {
        let authority = role.authority().map(|id| id.to_string());
        SignerDocument { key: self.did().to_string(), role: role.word().into(), authority }
    }

    /// The key that signs.
    pub(super) fn key(&self) -> &SignKey {
        &self.sign
    }

    /// The wallet's own voice: for itself, or for the operator.
    pub fn voice(&self, role: SignerRole) -> Voice {
        Voice { subject: self.did(), role, vault_key: Some(self.vault_key()) }
    }

    /// Serialises, reads back as the gateway would, and signs exactly those bytes.
    pub(super) fn write<T: Payload>(&self, document: &impl Serialize) -> Result<Envelope, RecordRefusal> {
        let payload = serde_json::to_vec(document).map_err(|error| RecordRefusal::Malformed(error.to_string()))?;
        T::parse(&payload)?;
        let envelope = Envelope::sign(T::MEDIA_TYPE, payload, &self.sign);
        envelope.check_sizes()?;
        Ok(envelope)
    }
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wallet({})", self.did())
    }
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    // The error is dropped: it may quote a seed.
    serde_json::from_slice(json).ok()
}

fn seed(text: &str) -> Option<Secret<32>> {
    let bytes = Zeroizing::new(base64::decode(text)?);
    let mut bytes: [u8; 32] = bytes.as_slice().try_into().ok()?;
    Some(Secret::take(&mut bytes))
}

/// A random UUID (RFC 9562 §5.4).
fn uuid(entropy: &mut impl CryptoRng) -> String {
    let mut bytes = [0u8; 16];
    entropy.fill_bytes(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = data_encoding::HEXLOWER.encode(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
#[path = "wallet_tests.rs"]
mod tests;
