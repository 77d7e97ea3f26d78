//! Announcements of epoch keys: made by the gateway, verified before anything is opened with them.

use std::fmt;

use bytes::Bytes;
use prost::Message;

use super::dsse;
use crate::proto::{intoto, v1};
use crate::veil::consent::envelope::{Envelope, pae};
use crate::veil::crypto::seal::Suite;
use crate::veil::crypto::sign::{self, SignKey};
use crate::veil::name::{Did, Fingerprint, Origin, ViewId};
use crate::veil::transform::group::{Announced, Epoch};

/// The media type of an announcement's payload, a protobuf `twinveil.v1.EpochKey`.
pub const MEDIA_TYPE: &str = "application/vnd.twinveil.epoch-key;v=1";

/// Why an announcement is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnounceError {
    /// Another media type, or a payload that is no `EpochKey`.
    Malformed,
    /// Not signed by the gateway.
    BadSignature,
    /// Made by or for another gateway.
    OtherOrigin,
    /// A cipher suite that this program does not know.
    UnknownSuite,
}

impl fmt::Display for AnnounceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the key announcement is malformed",
            Self::BadSignature => "the key announcement is not signed by the gateway",
            Self::OtherOrigin => "the key announcement is for another gateway",
            Self::UnknownSuite => "the key announcement names a cipher suite that is not known here",
        })
    }
}

impl std::error::Error for AnnounceError {}

/// Signs an announcement.
pub fn sign(key: &SignKey, epoch: &Epoch, announced: &Announced) -> intoto::Envelope {
    let payload = v1::EpochKey {
        view_id: Bytes::copy_from_slice(&epoch.view.0),
        slot: epoch.slot,
        epoch: epoch.epoch,
        suite: epoch.suite.number().into(),
        commit: Bytes::copy_from_slice(&announced.commit),
        wraps: announced.wraps.iter().map(|wrap| Bytes::copy_from_slice(wrap)).collect(),
        origin: epoch.origin.to_string(),
        schema_fingerprint: Bytes::copy_from_slice(&epoch.fingerprint.0),
    };
    dsse::to_proto(&Envelope::sign(MEDIA_TYPE, payload.encode_to_vec(), key))
}

/// Verifies an announcement of the gateway whose key is `gateway`.
pub fn verify(envelope: &intoto::Envelope, gateway: &Did, origin: &Origin) -> Result<(Epoch, Announced), AnnounceError> {
    if envelope.payload_type != MEDIA_TYPE {
        return Err(AnnounceError::Malformed);
    }
    let message = pae(&envelope.payload_type, &envelope.payload);
    if !envelope.signatures.iter().any(|signature| sign::verify(gateway, &message, &signature.sig)) {
        return Err(AnnounceError::BadSignature);
    }
    let key = v1::EpochKey::decode(envelope.payload.clone()).map_err(|_| AnnounceError::Malformed)?;
    if key.origin != origin.as_str() {
        return Err(AnnounceError::OtherOrigin);
    }
    let fixed = |bytes: &Bytes| <[u8; 32]>::try_from(&bytes[..]).map_err(|_| AnnounceError::Malformed);
    let epoch = Epoch {
        origin: origin.clone(),
        view: ViewId(key.view_id[..].try_into().map_err(|_| AnnounceError::Malformed)?),
        slot: key.slot,
        epoch: key.epoch,
        suite: Suite::parse(key.suite).ok_or(AnnounceError::UnknownSuite)?,
        fingerprint: Fingerprint(fixed(&key.schema_fingerprint)?),
    };
    let wraps = key.wraps.iter().map(|wrap| wrap.to_vec()).collect();
    Ok((epoch, Announced { commit: fixed(&key.commit)?, wraps }))
}
