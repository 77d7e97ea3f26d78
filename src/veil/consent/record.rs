//! A consent, a refusal or an operator's mandate, read and checked: unknown words, unbounded permits and members that
//! this gateway can't honour refuse the whole record.
//!
//! The members that only inform (notice, controllers, storage, jurisdiction …) are checked here and stay in the payload.
//! Purposes are compared as they are written: a broader DPV term does not include a narrower one.

use std::fmt;
use std::sync::Arc;

use super::document::{ConsentDocument, MatchDocument, RecipientDocument, RuleDocument};
use super::envelope::Payload;
use super::obligations::Obligations;
use super::refusal::RecordRefusal;
use super::rule::{Effect, Rule, Which};
pub use super::signer::SignerRole;
use super::signer::{Allowed, By};
use super::text;
use super::windows::{WINDOWS_MAX, Window};
use crate::veil::crypto::hash::sha256;
use crate::veil::dpv;
use crate::veil::name::{Did, FieldPath, Origin, Purpose, RecordId, SealKey, Spiffe, UnixMs};
use crate::veil::terms::{self, Category, Sensitivity, Treatment};

/// The media type of consent records and withdrawals.
pub const MEDIA_TYPE: &str = "application/vnd.twinveil.consent+json;v=1";
/// The status of a withdrawal, which is a record of its own.
pub const WITHDRAWN: &str = dpv::WITHDRAWN;
/// The longest permit: ten years, leap days included.
pub const PERMIT_MS_MAX: i64 = 3_653 * 86_400 * 1_000;
/// The most rules of a record.
pub const RULES_MAX: usize = 256;
/// The most recipients of a record.
pub const RECIPIENTS_MAX: usize = 64;
/// The most records that one record replaces, or one withdrawal names.
pub const IDS_MAX: usize = 64;
const PURPOSES_MAX: usize = 128;
const CONTROLLERS_MAX: usize = 16;
const CODES_MAX: usize = 32;

/// A checked consent record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Whom or what it is about.
    pub subject: Did,
    /// Who signs, and as whom.
    pub by: By,
    /// The gateway it is for.
    pub gateway: Origin,
    /// The number in the subject's chain, from 1.
    pub seq: u64,
    /// The record before it.
    pub prev: Option<RecordId>,
    /// Given, renewed or refused.
    pub status: Status,
    /// When it was signed, by the clock of the signer.
    pub at: UnixMs,
    /// From when, where it says so.
    pub not_before: Option<UnixMs>,
    /// Until when; [`UnixMs::NEVER`] only where nothing is permitted.
    pub expires: UnixMs,
    /// How many messages may be handed over under its permits; none: any number.
    pub max_uses: Option<u64>,
    /// The only legal demand that its permits are for. They are no permits otherwise.
    pub demand: Option<RecordId>,
    /// At which hours its permits act; none: at all. Its forbids know no hours.
    pub windows: Vec<Window>,
    /// Who may receive, or is forbidden to; empty: everyone, and nothing is permitted.
    pub recipients: Vec<Recipient>,
    /// What for; empty: everything, and nothing is permitted.
    pub purposes: Vec<Purpose>,
    /// The vault of the signer.
    pub vault_key: Option<SealKey>,
    /// What is allowed and forbidden.
    pub rules: Vec<Rule>,
    /// Records that end when this one is taken.
    pub replaces: Vec<RecordId>,
    /// Where the data may rest, for how long, under whose law.
    pub obligations: Arc<Obligations>,
    /// What it says, whoever says it, when and until when: equal in a renewal.
    pub terms: [u8; 32],
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Consent was given.
    Given,
    /// Consent was given again.
    Renewed,
    /// Consent was asked for and refused.
    Refused,
}

/// Who may receive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// How the recipient is known.
    pub who: Matcher,
    /// What the recipient opens sealed fields with.
    pub key: Option<SealKey>,
}

/// How a recipient is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matcher {
    /// By its certificate.
    Spiffe(Spiffe),
    /// By a did:key.
    Did(Did),
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spiffe(id) => write!(f, "{id}"),
            Self::Did(did) => write!(f, "{did}"),
        }
    }
}

impl Payload for Consent {
    const MEDIA_TYPE: &'static str = MEDIA_TYPE;

    fn parse(payload: &[u8]) -> Result<Self, RecordRefusal> {
        if status_of(payload).as_deref() == Some(WITHDRAWN) {
            return Err(RecordRefusal::WrongCall { call: "Withdraw" });
        }
        text::json::<ConsentDocument>(payload)?.check()
    }

    fn gateway(&self) -> &Origin {
        &self.gateway
    }

    fn signer(&self) -> Did {
        self.by.key
    }
}

impl Consent {
    /// Whether a rule permits something.
    pub fn permits(&self) -> bool {
        self.rules.iter().any(|rule| rule.effect == Effect::Permit)
    }

    /// Whether a rule forbids something.
    pub fn forbids(&self) -> bool {
        self.rules.iter().any(|rule| rule.effect == Effect::Forbid)
    }
}

/// The status that a payload claims, before anything is checked: says only which of the two kinds to read.
pub(super) fn status_of(payload: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Peek {
        status: String,
    }
    serde_json::from_slice::<Peek>(payload).ok().map(|peek| peek.status)
}

impl ConsentDocument {
    fn check(self) -> Result<Consent, RecordRefusal> {
        self.check_what_informs()?;
        let subject = text::did("subject", &self.subject)?;
        let by = self.signer.check(subject, Allowed::ToGrant)?;
        let status = match self.status.as_str() {
            dpv::GIVEN => Status::Given,
            dpv::RENEWED => Status::Renewed,
            dpv::REFUSED => Status::Refused,
            _ => return Err(RecordRefusal::member("status", "`ConsentGiven`, `RenewedConsentGiven` or `ConsentRefused`")),
        };
        let prev = text::place_in_chain(self.seq, self.prev.as_deref())?;
        text::count("rules", &self.rules, usize::from(status != Status::Refused), RULES_MAX, "a list of 1 to 256 rules")?;
        let rules = self.rules.iter().enumerate().map(|(i, rule)| rule.check(i)).collect::<Result<Vec<_>, _>>()?;
        let permits = rules.iter().any(|rule| rule.effect == Effect::Permit);
        let forbids = rules.iter().any(|rule| rule.effect == Effect::Forbid);
        if permits && status == Status::Refused {
            return Err(RecordRefusal::member("rules", "free of permits, as a refusal must be"));
        }
        let at = text::instant("at", &self.at)?;
        let not_before = self.not_before.as_deref().map(|from| text::instant("not_before", from)).transpose()?;
        let expires = match self.expires.as_deref() {
            Some(expires) => text::instant("expires", expires)?,
            None => UnixMs::NEVER,
        };
        text::lifetime(at, not_before, expires)?;
        if permits && expires.0.saturating_sub(at.0) > PERMIT_MS_MAX {
            return Err(RecordRefusal::Endless);
        }
        if !permits && !self.windows.is_empty() {
            return Err(RecordRefusal::member("windows", "absent, as it must be where nothing is permitted"));
        }
        if self.max_uses == Some(0) || (!permits && self.max_uses.is_some()) {
            return Err(RecordRefusal::member("max_uses", "a number from 1, or absent, as it must be where nothing is permitted"));
        }
        text::count("windows", &self.windows, 0, WINDOWS_MAX, "a list of at most 32 windows")?;
        let windows = self.windows.iter().enumerate().map(|(i, window)| window.check(i)).collect::<Result<Vec<_>, _>>()?;
        text::count("recipients", &self.recipients, usize::from(permits), RECIPIENTS_MAX, "a list of 1 to 64 recipients")?;
        let recipients = self
            .recipients
            .iter()
            .enumerate()
            .map(|(i, recipient)| recipient.check("recipients", i, forbids))
            .collect::<Result<Vec<_>, _>>()?;
        text::count("purposes", &self.purposes, usize::from(permits), PURPOSES_MAX, "a list of 1 to 128 purposes")?;
        let purposes = self.purposes.iter().map(|term| purpose(term)).collect::<Result<Vec<_>, _>>()?;
        text::count("replaces", &self.replaces, 0, IDS_MAX, "a list of at most 64 record ids")?;
        let replaces = self.replaces.iter().map(|id| text::record_id("replaces", id)).collect::<Result<Vec<_>, _>>()?;
        Ok(Consent {
            demand: self.check_demand(by, &recipients, &rules)?,
            subject,
            by,
            gateway: text::origin("gateway", &self.gateway)?,
            seq: self.seq,
            prev,
            status,
            at,
            not_before,
            expires,
            max_uses: self.max_uses,
            windows,
            recipients,
            purposes,
            vault_key: self.vault_key.as_deref().map(|key| text::seal_key("vault_key", key)).transpose()?,
            rules,
            replaces,
            obligations: Arc::new(Obligations::new(&self.storage, &self.jurisdiction)),
            terms: self.terms()?,
        })
    }

    /// A hash over everything that a renewal leaves as it was.
    fn terms(&self) -> Result<[u8; 32], RecordRefusal> {
        let who = (&self.recipients, &self.purposes, &self.rules, &self.windows, &self.vault_key);
        let told = (&self.notice, &self.controllers, &self.storage, &self.jurisdiction, &self.withdrawal);
        let terms = serde_json::to_vec(&(who, told)).map_err(|error| RecordRefusal::Malformed(text::unread(&error)))?;
        Ok(sha256(&[&terms]))
    }

    /// A consent for one legal demand says nothing but: this recipient may have these fields, once, by my own word.
    fn check_demand(&self, by: By, recipients: &[Recipient], rules: &[Rule]) -> Result<Option<RecordId>, RecordRefusal> {
        let Some(demand) = &self.demand else { return Ok(None) };
        let demand = text::record_id("demand", demand)?;
        if by.role != SignerRole::Subject {
            return Err(RecordRefusal::member("signer.role", "`subject`, as nobody else consents to a legal demand"));
        }
        if self.max_uses != Some(1) {
            return Err(RecordRefusal::member("max_uses", "1, as it must be where `demand` names one"));
        }
        if !matches!(recipients, [Recipient { who: Matcher::Spiffe(_), .. }]) {
            return Err(RecordRefusal::member("recipients", "exactly one, a `spiffe`, as it must be where `demand` names one"));
        }
        if !self.windows.is_empty() {
            return Err(RecordRefusal::member("windows", "absent, as it must be where `demand` names one"));
        }
        let one_path =
            |rule: &Rule| rule.effect == Effect::Permit && rule.selector.is_some() && rule.category.is_none() && rule.sensitivity.is_none();
        if !rules.iter().all(one_path) {
            return Err(RecordRefusal::member("rules", "permits by `selector` alone, as they must be where `demand` names one"));
        }
        Ok(Some(demand))
    }

    /// What ISO/IEC TS 27560 wants in every record and no machine acts on.
    fn check_what_informs(&self) -> Result<(), RecordRefusal> {
        uuid(&self.record_id)?;
        text::text("method", &self.method)?;
        text::text("notice.uri", &self.notice.uri)?;
        text::record_id("notice.sha256", &self.notice.sha256)?;
        let lang = &self.notice.lang;
        if !(2..=35).contains(&lang.len()) || !lang.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(RecordRefusal::member("notice.lang", "a language tag, such as `en` or `de-AT`"));
        }
        text::count("controllers", &self.controllers, 1, CONTROLLERS_MAX, "a list of 1 to 16 controllers")?;
        for (i, controller) in self.controllers.iter().enumerate() {
            let members = [
                ("id", &controller.id),
                ("name", &controller.name),
                ("address", &controller.address),
                ("contact", &controller.contact),
                ("type", &controller.kind),
                ("role", &controller.role),
            ];
            for (member, value) in members {
                text::text(&format!("controllers[{i}].{member}"), value)?;
            }
        }
        text::count("storage.places", &self.storage.places, 1, CODES_MAX, "a list of 1 to 32 places")?;
        for place in &self.storage.places {
            text::text("storage.places", place)?;
        }
        text::duration("storage.retention", &self.storage.retention)?;
        text::count("jurisdiction", &self.jurisdiction, 1, CODES_MAX, "a list of 1 to 32 codes")?;
        for code in &self.jurisdiction {
            text::text("jurisdiction", code)?;
        }
        text::text("withdrawal.uri", &self.withdrawal.uri)
    }
}

/// A purpose that DPV has; with the nearest one where it does not.
pub(super) fn purpose(term: &str) -> Result<Purpose, RecordRefusal> {
    terms::purpose(term).ok_or_else(|| {
        let nearest = text::nearest(term.strip_prefix("dpv:").unwrap_or(term), crate::veil::dpv::PURPOSES);
        let shown: String = term.chars().filter(|c| !c.is_control()).take(64).collect();
        RecordRefusal::UnknownPurpose { purpose: shown, nearest: nearest.map(|term| format!("dpv:{term}")) }
    })
}

fn uuid(text: &str) -> Result<(), RecordRefusal> {
    let good = text.len() == 36
        && text.bytes().enumerate().all(|(i, byte)| if matches!(i, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() });
    if good { Ok(()) } else { Err(RecordRefusal::member("record_id", "a UUID")) }
}

impl RecipientDocument {
    pub(super) fn check(&self, list: &str, i: usize, forbids: bool) -> Result<Recipient, RecordRefusal> {
        let at = |member: &str| format!("{list}[{i}]{member}");
        for (member, value) in [(".credential", &self.credential), (".prid", &self.prid)] {
            if value.is_some() {
                return Err(RecordRefusal::NotYet(at(member)));
            }
        }
        let who = match (&self.spiffe, &self.did) {
            (Some(id), None) => Matcher::Spiffe(text::spiffe(&at(".spiffe"), id)?),
            // Who can withhold what would match can't carry a forbid.
            (None, Some(_)) if forbids => {
                return Err(RecordRefusal::member(at(".did"), "a `spiffe`, as every recipient of a record that forbids must be"));
            }
            (None, Some(did)) => Matcher::Did(text::did(&at(".did"), did)?),
            (None, None) | (Some(_), Some(_)) => return Err(RecordRefusal::member(at(""), "either a `spiffe` or a `did`")),
        };
        Ok(Recipient { who, key: self.key.as_deref().map(|key| text::seal_key(&at(".key"), key)).transpose()? })
    }
}

impl RuleDocument {
    fn check(&self, i: usize) -> Result<Rule, RecordRefusal> {
        let bad = |member: &str, expected| RecordRefusal::member(format!("rules[{i}].{member}"), expected);
        let effect = match self.effect.as_str() {
            "permit" => Effect::Permit,
            "forbid" => Effect::Forbid,
            _ => return Err(bad("effect", "`permit` or `forbid`")),
        };
        let treatment = match (effect, self.treatment.as_deref()) {
            (Effect::Permit, Some(word)) => {
                Treatment::parse(word).ok_or_else(|| bad("treatment", "a treatment, such as `keep` or `encrypt`"))?
            }
            (Effect::Permit, None) => return Err(bad("treatment", "there, as a permit needs one")),
            (Effect::Forbid, None | Some("strip")) => Treatment::Strip,
            (Effect::Forbid, Some(_)) => return Err(bad("treatment", "`strip`, as a forbid must have, or absent")),
        };
        let recipient_holds_key = text::holds_key(&format!("rules[{i}].keys"), self.keys.as_deref(), treatment)?;
        let Which { category, sensitivity, selector } = self.matches.check(&format!("rules[{i}]"))?;
        Ok(Rule { effect, category, sensitivity, selector, treatment, recipient_holds_key })
    }
}

impl MatchDocument {
    pub(super) fn check(&self, at: &str) -> Result<Which, RecordRefusal> {
        let bad = |member: &str, expected| RecordRefusal::member(format!("{at}.{member}"), expected);
        let (category, sensitivity) = (self.category.as_deref(), self.sensitivity.as_deref());
        if category.is_none() && sensitivity.is_none() && self.selector.is_none() {
            return Err(bad("match", "one with a `category`, `sensitivity` or `selector`"));
        }
        if let Some(path) = &self.selector {
            text::text(&format!("{at}.match.selector"), path)?;
        }
        Ok(Which {
            category: category
                .map(|word| Category::parse(word).ok_or_else(|| bad("match.category", "a category, such as `health`")))
                .transpose()?,
            sensitivity: sensitivity
                .map(|word| Sensitivity::parse(word).ok_or_else(|| bad("match.sensitivity", "a sensitivity, such as `special`")))
                .transpose()?,
            selector: self.selector.as_deref().map(FieldPath::new),
        })
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.who {
            Matcher::Spiffe(id) => write!(f, "{id}"),
            Matcher::Did(did) => write!(f, "{did}"),
        }
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
