//! Standing consents as FHIR R5 `Consent` resources, for programs that speak FHIR (hl7.org/fhir/R5/consent.html).
//!
//! The base decision is `deny`, so that each provision permits, and what is nested in it is an exception to that: R5 reads the
//! provisions of every level as the negation of the level above. A reader that takes all resources together permits nothing that
//! the gateway would not: what a forbid or a more protective permit of any record says is an exception in every permit that it
//! reaches, and limits that FHIR has no member for (treatment, hours, uses) stand in modifier extensions, which nobody may ignore.
//! Given up: where two records overlap, the export may permit less. The signed record itself is attached, and is what counts.

use serde_json::{Value, json};

use crate::veil::consent::document::ConsentDocument;
use crate::veil::consent::envelope::{Envelope, Verified};
use crate::veil::consent::record::{Consent, Recipient, Status};
use crate::veil::consent::rule::{Effect, Rule, Which};
use crate::veil::dpv;
use crate::veil::name::{Purpose, UnixMs};
use crate::veil::terms::{Treatment, covers};

const URI: &str = "urn:ietf:rfc:3986";
const DPV: &str = "https://w3id.org/dpv#";
const DPV_PD: &str = "https://w3id.org/dpv/pd#";
const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
const PARTICIPATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
const ACTION: &str = "http://terminology.hl7.org/CodeSystem/consentaction";
/// What a rule is about, in words of ours: `category=health;sensitivity=special;selector=vitals`, all of which must agree.
const MATCH: &str = "urn:x-twinveil:match";
const TREATMENT: &str = "urn:x-twinveil:treatment";
const HOURS: &str = "urn:x-twinveil:hours";
const USES: &str = "urn:x-twinveil:uses";

/// What of a record acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acts {
    /// All that it says, now or from its beginning on.
    Whole,
    /// What it permits waits for signatures that an agreement asks for.
    Unsigned,
    /// What it permitted is over; what it forbids is not.
    Forbids,
}

/// A record that stands, and what of it acts.
#[derive(Debug)]
pub struct Held {
    /// As it was signed.
    pub envelope: Envelope,
    /// The same, verified.
    pub record: Verified<Consent>,
    /// What of it acts.
    pub acts: Acts,
}

impl Held {
    fn consent(&self) -> &Consent {
        self.record.get()
    }

    fn rules(&self, effect: Effect) -> impl Iterator<Item = &Rule> {
        self.consent().rules.iter().filter(move |rule| rule.effect == effect)
    }

    /// Whether the subject says here what a recipient gets: then delegates say nothing on it.
    fn is_own_word(&self) -> bool {
        let consent = self.consent();
        let says = consent.demand.is_none() && (consent.permits() || consent.rules.is_empty());
        // Who said first what a delegate renewed can't be seen from here; it may have been the subject, and then it goes first also when the
        // delegation is over.
        let theirs = match consent.by.role.authority() {
            None => self.acts != Acts::Forbids,
            Some(_) => consent.status == Status::Renewed,
        };
        says && theirs
    }
}

/// The records that permit something, as a Bundle of the type `collection`, in their order. Mandates of operators are about no
/// person: leave them out. A consent for one legal demand permits nothing on its own, and FHIR has no way to say what for.
pub fn bundle(held: &[Held], at: UnixMs) -> Value {
    let permits = |one: &&Held| one.acts != Acts::Forbids && one.consent().demand.is_none() && one.rules(Effect::Permit).any(reveals);
    let entry = |one: &Held| {
        let document: ConsentDocument = serde_json::from_slice(&one.envelope.payload).ok()?;
        Some(json!({ "fullUrl": format!("urn:uuid:{}", document.record_id), "resource": consent(one, &document, held) }))
    };
    let entries: Vec<Value> = held.iter().filter(permits).filter_map(entry).collect();
    let mut bundle = json!({ "resourceType": "Bundle", "type": "collection", "timestamp": at.to_string() });
    // FHIR has no empty lists.
    if !entries.is_empty() {
        bundle["entry"] = entries.into();
    }
    bundle
}

fn reveals(rule: &Rule) -> bool {
    rule.treatment != Treatment::Strip
}

fn consent(one: &Held, document: &ConsentDocument, all: &[Held]) -> Value {
    let consent = one.consent();
    let controllers = document
        .controllers
        .iter()
        .map(|controller| json!({ "identifier": { "system": URI, "value": controller.id }, "display": controller.name }));
    let permits = one.rules(Effect::Permit).filter(|rule| reveals(rule));
    json!({
        "resourceType": "Consent",
        "id": one.record.id().to_string(),
        "identifier": [{ "system": URI, "value": format!("urn:uuid:{}", document.record_id) }],
        "status": if one.acts == Acts::Unsigned { "draft" } else { "active" },
        "category": [concept(ACT_CODE, "IDSCL")],
        "subject": party(&document.subject),
        "date": document.at.get(..10),
        "period": period(consent),
        "grantor": [party(&document.signer.key)],
        "controller": controllers.collect::<Vec<_>>(),
        "sourceAttachment": [{
            "contentType": "application/json",
            "language": document.notice.lang,
            "data": data_encoding::BASE64.encode(one.envelope.to_json().as_bytes()),
            "title": "the signed record, a DSSE envelope",
        }],
        "regulatoryBasis": [concept(DPV, dpv::CONSENT)],
        "policyBasis": { "url": document.notice.uri },
        "decision": "deny",
        "provision": permits.map(|rule| provision(one, rule, all)).collect::<Vec<_>>(),
    })
}

fn provision(one: &Held, rule: &Rule, all: &[Held]) -> Value {
    let consent = one.consent();
    let mut provision = json!({
        "period": period(consent),
        "actor": actors(&consent.recipients),
        "action": [{ "coding": [coding(ACTION, "disclose"), coding(DPV, dpv::DISCLOSE)] }],
        "purpose": purposes(&consent.purposes),
        "code": [data(&Which::from(rule))],
    });
    let limits = limits(consent, rule);
    if !limits.is_empty() {
        provision["modifierExtension"] = limits.into();
    }
    let exceptions: Vec<Value> = all.iter().flat_map(|other| exceptions(one, rule, other)).collect();
    if !exceptions.is_empty() {
        provision["provision"] = exceptions.into();
    }
    provision
}

/// What FHIR has no member for, and a reader must not leave out.
fn limits(consent: &Consent, rule: &Rule) -> Vec<Value> {
    let measure = dpv::technical_measure(rule.treatment).map(|measure| {
        let mut concept = concept(DPV, measure);
        concept["text"] = rule.treatment.word().into();
        json!({ "url": TREATMENT, "valueCodeableConcept": concept })
    });
    let hours = consent.windows.iter().map(|window| json!({ "url": HOURS, "valueString": window.to_string() }));
    let uses = consent.max_uses.map(|uses| json!({ "url": USES, "valueString": uses.to_string() }));
    measure.into_iter().chain(hours).chain(uses).collect()
}

/// What `other` takes from a permit of `one`.
fn exceptions(one: &Held, rule: &Rule, other: &Held) -> Vec<Value> {
    let same = one.record.id() == other.record.id();
    let strictness = |rule: &Rule| (rule.treatment, rule.treatment == Treatment::Encrypt && !rule.recipient_holds_key);
    let forbids = other.rules(Effect::Forbid);
    let stricter = other.rules(Effect::Permit).filter(|at| other.acts == Acts::Whole && strictness(at) > strictness(rule));
    let reach = |which: Option<&Which>| {
        let mut exception = json!({});
        if let Some(which) = which {
            exception["code"] = json!([data(which)]);
        }
        if !same {
            let consent = other.consent();
            exception["period"] = period(consent);
            if !consent.recipients.is_empty() {
                exception["actor"] = actors(&consent.recipients).into();
            }
            if !consent.purposes.is_empty() {
                exception["purpose"] = purposes(&consent.purposes).into();
            }
        }
        exception
    };
    let own = Which::from(rule);
    let met = forbids.chain(stricter).map(Which::from).filter(|which| !apart(&own, which));
    let mut exceptions: Vec<Value> = met.map(|which| reach(Some(&which))).collect();
    if one.consent().by.role.authority().is_some() && other.is_own_word() {
        exceptions.push(reach(None));
    }
    exceptions
}

/// Whether no field can be meant by both. A path may be of any category.
fn apart(one: &Which, other: &Which) -> bool {
    fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
        one.is_some() && other.is_some() && one != other
    }
    let paths = one.selector.as_ref().zip(other.selector.as_ref());
    differ(one.category, other.category)
        || differ(one.sensitivity, other.sensitivity)
        || paths.is_some_and(|(one, other)| !covers(one.as_str(), other.as_str()) && !covers(other.as_str(), one.as_str()))
}

/// Which fields.
fn data(which: &Which) -> Value {
    let words = [
        which.category.map(|category| format!("category={category}")),
        which.sensitivity.map(|sensitivity| format!("sensitivity={sensitivity}")),
        which.selector.as_ref().map(|path| format!("selector={path}")),
    ];
    let mut codes = vec![coding(MATCH, &words.into_iter().flatten().collect::<Vec<_>>().join(";"))];
    // A term of DPV where it says the same.
    if let (Some(category), None, None) = (which.category, which.sensitivity, &which.selector) {
        codes.extend(dpv::personal_data(category).map(|term| coding(DPV_PD, term)));
    }
    json!({ "coding": codes, "text": which.to_string().trim() })
}

fn coding(system: &str, code: &str) -> Value {
    json!({ "system": system, "code": code })
}

fn concept(system: &str, code: &str) -> Value {
    json!({ "coding": [coding(system, code)] })
}

/// Somebody, by a URI.
fn party(uri: &str) -> Value {
    json!({ "identifier": { "system": URI, "value": uri } })
}

fn actors(recipients: &[Recipient]) -> Vec<Value> {
    let actor = |recipient: &Recipient| json!({ "role": concept(PARTICIPATION, "IRCP"), "reference": party(&recipient.to_string()) });
    recipients.iter().map(actor).collect()
}

fn purposes(purposes: &[Purpose]) -> Vec<Value> {
    purposes.iter().map(|purpose| coding(DPV, purpose.as_str().trim_start_matches("dpv:"))).collect()
}

fn period(consent: &Consent) -> Value {
    let mut period = json!({ "start": consent.not_before.unwrap_or(consent.at).to_string() });
    if consent.expires != UnixMs::NEVER {
        period["end"] = consent.expires.to_string().into();
    }
    period
}
