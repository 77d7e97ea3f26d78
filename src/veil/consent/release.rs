//! A release: a subject lets a recipient open, later, what was sealed for the subject's vault alone. Epoch by epoch, each seed wrapped for
//! the recipient's key; what the recipient has not kept it does not get by it.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::envelope::Payload;
use super::refusal::RecordRefusal;
use super::text;
use crate::veil::base64;
use crate::veil::name::{Did, Origin, SealKey, Spiffe, UnixMs, ViewId};

/// The media type of releases.
pub const MEDIA_TYPE: &str = "application/vnd.twinveil.release+json;v=1";
/// The most epochs of one release.
pub const EPOCHS_MAX: usize = 200;
/// A wrap: 32 bytes encapsulation, 32 of the seed, a tag of 16 (RFC 9180).
const WRAP_BYTES: usize = 80;

/// A release as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseDocument {
    /// The log origin of the gateway that sealed.
    pub gateway: String,
    /// Who releases what was sealed for them.
    pub subject: String,
    /// Who received the frames, as the gateway knows them.
    pub recipient: String,
    /// The X25519 Multikey that the seeds are wrapped for.
    pub key: String,
    /// Which epochs.
    pub epochs: Vec<EpochDocument>,
    /// When it was signed, RFC 3339 UTC.
    pub at: String,
}

/// One epoch of a release.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochDocument {
    /// The view, 32 hexadecimal digits.
    pub view: String,
    /// Which set of key holders.
    pub slot: u32,
    /// Counts up within the view.
    pub epoch: u64,
    /// The seed, wrapped; base64.
    pub wrap: String,
}

/// A checked release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The gateway that sealed.
    pub gateway: Origin,
    /// Who releases.
    pub subject: Did,
    /// Who received the frames.
    pub recipient: Spiffe,
    /// What the seeds are wrapped for.
    pub key: SealKey,
    /// Which epochs.
    pub epochs: Vec<Released>,
    /// When it was signed, by the clock of the signer.
    pub at: UnixMs,
}

/// One epoch that is released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// The view.
    pub view: ViewId,
    /// Which set of key holders.
    pub slot: u32,
    /// Counts up within the view.
    pub epoch: u64,
    /// The seed, wrapped.
    pub wrap: Vec<u8>,
}

impl Released {
    /// As it is written.
    pub fn document(&self) -> EpochDocument {
        EpochDocument { view: HEXLOWER.encode(&self.view.0), slot: self.slot, epoch: self.epoch, wrap: base64::encode(&self.wrap) }
    }
}

impl EpochDocument {
    fn check(&self, place: usize) -> Result<Released, RecordRefusal> {
        let bad = |member: &str, expected| RecordRefusal::member(format!("epochs[{place}].{member}"), expected);
        let view = HEXLOWER.decode(self.view.as_bytes()).ok().and_then(|view| view.try_into().ok());
        let wrap = base64::decode(&self.wrap).filter(|wrap| wrap.len() == WRAP_BYTES);
        Ok(Released {
            view: ViewId(view.ok_or_else(|| bad("view", "32 lower-case hexadecimal digits"))?),
            slot: self.slot,
            epoch: self.epoch,
            wrap: wrap.ok_or_else(|| bad("wrap", "80 bytes in base64"))?,
        })
    }
}

impl Payload for Release {
    const MEDIA_TYPE: &'static str = MEDIA_TYPE;

    fn parse(payload: &[u8]) -> Result<Self, RecordRefusal> {
        let document: ReleaseDocument = text::json(payload)?;
        text::count("epochs", &document.epochs, 1, EPOCHS_MAX, "a list of 1 to 200 epochs")?;
        Ok(Self {
            gateway: text::origin("gateway", &document.gateway)?,
            subject: text::did("subject", &document.subject)?,
            recipient: text::spiffe("recipient", &document.recipient)?,
            key: text::seal_key("key", &document.key)?,
            epochs: document.epochs.iter().enumerate().map(|(place, epoch)| epoch.check(place)).collect::<Result<_, _>>()?,
            at: text::instant("at", &document.at)?,
        })
    }

    fn gateway(&self) -> &Origin {
        &self.gateway
    }

    fn signer(&self) -> Did {
        self.subject
    }
}

#[cfg(test)]
mod tests {
    use super::super::envelope::Signed;
    use super::super::testing::{GATEWAY, NOW, gateway, key, seal_key, signed};
    use super::*;
    use serde_json::{Value, json};

    fn read(change: impl FnOnce(&mut Value)) -> Result<Release, RecordRefusal> {
        let mut document = json!({
            "gateway": GATEWAY, "subject": key(1).did().to_string(), "recipient": "spiffe://lab.example/reader",
            "key": seal_key(3).to_string(), "at": NOW.to_string(),
            "epochs": [{"view": "ab".repeat(16), "slot": 1, "epoch": 7, "wrap": base64::encode(&[5; WRAP_BYTES])}],
        });
        change(&mut document);
        let envelope = signed(MEDIA_TYPE, &document, &[&key(1)]);
        Signed::<Release>::new(&envelope)?.verify(&gateway()).map(|verified| verified.get().clone())
    }

    #[test]
    fn a_release_says_who_lets_whom_open_what() {
        let release = read(|_| ()).expect("good");
        assert_eq!((release.subject, release.key), (key(1).did(), seal_key(3)));
        let epoch = Released { view: ViewId([0xab; 16]), slot: 1, epoch: 7, wrap: vec![5; WRAP_BYTES] };
        assert_eq!(epoch.document().check(0).expect("as written"), epoch);
        assert_eq!(release.epochs, [epoch]);
    }

    #[test]
    fn each_thing_wrong_with_a_release_refuses_it() {
        let epoch = |member: &'static str, value: Value| move |document: &mut Value| document["epochs"][0][member] = value;
        type Change = Box<dyn FnOnce(&mut Value)>;
        let changes: [(Change, &str); 13] = [
            (Box::new(epoch("view", json!("AB".repeat(16)))), "TV-C07"),
            (Box::new(epoch("view", json!("ab".repeat(15)))), "TV-C07"),
            (Box::new(epoch("wrap", json!(base64::encode(&[5; WRAP_BYTES - 1])))), "TV-C07"),
            (Box::new(epoch("seed", json!("ab"))), "TV-C06"),
            (Box::new(|document| document["epochs"] = json!([])), "TV-C07"),
            (Box::new(|document| document["epochs"] = json!(vec![document["epochs"][0].clone(); EPOCHS_MAX + 1])), "TV-C07"),
            (Box::new(|document| document["subject"] = json!(key(2).did().to_string())), "TV-C05"),
            (Box::new(|document| document["key"] = json!(key(2).did().to_string())), "TV-C07"),
            (Box::new(|document| document["gateway"] = json!("log.other.example")), "TV-C12"),
            (Box::new(|document| document["gateway"] = json!("")), "TV-C07"),
            (Box::new(|document| document["subject"] = json!("z6Mk")), "TV-C07"),
            (Box::new(|document| document["recipient"] = json!("lab.example")), "TV-C07"),
            (Box::new(|document| document["at"] = json!("today")), "TV-C07"),
        ];
        for (change, code) in changes {
            assert_eq!(read(change).expect_err(code).code(), code);
        }
    }
}
