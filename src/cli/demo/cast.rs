//! Who plays: five recipients with a purpose each, and what patients, stewards and the operator allow them. The operator's
//! policy is the one that `twinveil init` writes.

use crate::cli::simulate::What;
use crate::client::wallet::Terms;
use crate::veil::consent::document::{
    ControllerDocument, MatchDocument, NoticeDocument, RecipientDocument, RuleDocument, StorageDocument, WithdrawalDocument,
};
use crate::veil::name::{SealKey, UnixMs};
use crate::veil::terms::{Category, Treatment};

/// How long a consent of the demo holds.
const CONSENT_MS: i64 = 24 * 3_600 * 1_000;
/// The privacy notice of the demo: nobody reads it, so its hash is of nothing (SHA-256 of the empty text).
const NOTICE_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A recipient of the demo: a party of the configuration that `twinveil init` writes.
#[derive(Debug)]
pub(super) struct Recipient {
    /// The name of the party, and of its certificate.
    pub(super) name: &'static str,
    /// What it asks for, and says that it is for.
    pub(super) what: What,
    /// A DPV term.
    pub(super) purpose: &'static str,
}

impl Recipient {
    /// What its certificate says.
    pub(super) fn spiffe(&self) -> String {
        format!("spiffe://example.org/recipient/{}", self.name)
    }
}

/// Everybody who receives.
pub(super) const RECIPIENTS: [Recipient; 5] = [
    Recipient { name: "clinician", what: What::Patients, purpose: "dpv:ServiceProvision" },
    Recipient { name: "researcher", what: What::Patients, purpose: "dpv:ScientificResearch" },
    Recipient { name: "renderer", what: What::Patients, purpose: "dpv:ServicePersonalisation" },
    Recipient { name: "vendor", what: What::Turbines, purpose: "dpv:TechnicalServiceProvision" },
    Recipient { name: "advertiser", what: What::Patients, purpose: "dpv:Advertising" },
];
/// Positions in [`RECIPIENTS`].
pub(super) const CLINICIAN: usize = 0;
pub(super) const RESEARCHER: usize = 1;
pub(super) const RENDERER: usize = 2;
pub(super) const VENDOR: usize = 3;
pub(super) const ADVERTISER: usize = 4;

/// Health data that a researcher gets sealed only.
const SEALED: [&str; 11] = [
    "vitals.heart_rate_bpm",
    "vitals.spo2_pct",
    "vitals.respiration_per_min",
    "vitals.temperature_c",
    "vitals.systolic_mmhg",
    "vitals.diastolic_mmhg",
    "vitals.mean_mmhg",
    "vitals.rr_ms",
    "labels[\"diagnosis\"]",
    "activity.sleep_s",
    "note",
];
/// What a patient opens to the researcher at half-time.
pub(super) const OPENED: &str = SEALED[0];

/// What one signed record allows one recipient.
#[derive(Debug)]
pub(super) struct Allows {
    /// Whom, as a position in [`RECIPIENTS`].
    pub(super) recipient: usize,
    /// What.
    pub(super) rules: Vec<RuleDocument>,
    /// Whether the recipient opens what is sealed for it.
    pub(super) with_key: bool,
}

/// What the patient with this number signs: everybody lets clinicians see all and researchers see some, every second one
/// gives researchers the key to notes and shows the renderer how they are, two of three let advertisers know how active they
/// are. The first two patients, who act at half-time, belong to those two.
pub(super) fn patient(number: usize) -> Vec<Allows> {
    let even = number.is_multiple_of(2);
    let mut all = vec![
        Allows {
            recipient: CLINICIAN,
            rules: [
                Category::Identity,
                Category::Contact,
                Category::Location,
                Category::Health,
                Category::Biometric,
                Category::Behaviour,
                Category::Device,
                Category::Time,
            ]
            .map(|category| permit(category, Treatment::Keep))
            .to_vec(),
            with_key: false,
        },
        Allows { recipient: RESEARCHER, rules: research(even, None), with_key: even },
        Allows { recipient: RENDERER, rules: rendering(even), with_key: false },
    ];
    if number % 3 != 2 {
        all.push(Allows { recipient: ADVERTISER, rules: vec![permit(Category::Behaviour, Treatment::Generalize)], with_key: false });
    }
    all
}

/// What a patient allows researchers; `opened` is no longer sealed, as far as they are concerned.
pub(super) fn research(with_key: bool, opened: Option<&str>) -> Vec<RuleDocument> {
    let sealed = SEALED.iter().map(|path| match opened {
        Some(opened) if opened == *path => permit_path(path, Treatment::Keep),
        _ => RuleDocument { keys: with_key.then(|| "recipient".to_owned()), ..permit_path(path, Treatment::Encrypt) },
    });
    let coarse = [Category::Location, Category::Behaviour, Category::Time].map(|category| permit(category, Treatment::Generalize));
    let paths = [
        ("patient_id", Treatment::Pseudonymize),
        ("device_id", Treatment::Pseudonymize),
        ("sequence", Treatment::Pseudonymize),
        ("modality", Treatment::Keep),
        ("identity.birth_date", Treatment::Generalize),
        ("waveforms.channel", Treatment::Keep),
        ("waveforms.rate_hz", Treatment::Keep),
        ("waveforms.samples", Treatment::Generalize),
    ];
    sealed.chain(coarse).chain(paths.map(|(path, treatment)| permit_path(path, treatment))).collect()
}

fn rendering(with_health: bool) -> Vec<RuleDocument> {
    let mut rules = vec![
        permit_path("position", Treatment::Generalize),
        permit_path("patient_id", Treatment::Pseudonymize),
        permit(Category::Time, Treatment::Keep),
    ];
    if with_health {
        rules.push(permit(Category::Health, Treatment::Generalize));
    }
    rules
}

/// What the steward of the turbine with this number signs for itself: what people do at the controls stays sealed, and the
/// vendor of the first turbine may open what is ordered from it.
pub(super) fn steward(number: usize) -> Vec<Allows> {
    let mut rules = vec![permit(Category::OperatorConduct, Treatment::Encrypt)];
    if number == 0 {
        rules.push(RuleDocument { keys: Some("recipient".into()), ..permit(Category::Demand, Treatment::Encrypt) });
    }
    vec![Allows { recipient: VENDOR, rules, with_key: number == 0 }]
}

/// The operator's mandate for all its turbines.
pub(super) fn mandate() -> Allows {
    let rules = [
        (Category::Device, Treatment::Keep),
        (Category::Operation, Treatment::Keep),
        (Category::Environment, Treatment::Keep),
        (Category::Time, Treatment::Generalize),
        (Category::Site, Treatment::Encrypt),
        (Category::Demand, Treatment::Encrypt),
    ];
    Allows { recipient: VENDOR, rules: rules.map(|(category, treatment)| permit(category, treatment)).to_vec(), with_key: false }
}

impl Allows {
    /// As terms to sign. `key` is the recipient's own.
    pub(super) fn terms(&self, key: SealKey, now: UnixMs) -> Terms {
        let recipient = RECIPIENTS.get(self.recipient);
        Terms {
            status: "ConsentGiven".into(),
            method: "signed in the demo".into(),
            not_before: None,
            expires: Some(UnixMs(now.0.saturating_add(CONSENT_MS)).to_string()),
            max_uses: None,
            windows: Vec::new(),
            notice: NoticeDocument { uri: "https://example.org/notice".into(), sha256: NOTICE_SHA256.into(), lang: "en".into() },
            controllers: vec![ControllerDocument {
                id: "https://example.org".into(),
                name: "Sample Hospital and Wind Farm".into(),
                address: "1 Sample Street".into(),
                contact: "dpo@example.org".into(),
                kind: "Organisation".into(),
                role: "DataController".into(),
            }],
            recipients: vec![RecipientDocument {
                spiffe: recipient.map(Recipient::spiffe),
                key: self.with_key.then(|| key.to_string()),
                ..RecipientDocument::default()
            }],
            purposes: recipient.map(|recipient| recipient.purpose.to_owned()).into_iter().collect(),
            storage: StorageDocument { places: vec!["EU".into()], retention: "P1D".into() },
            jurisdiction: vec!["EU".into()],
            withdrawal: WithdrawalDocument { uri: "https://example.org/withdraw".into(), pre_signed: false },
            rules: self.rules.clone(),
            replaces: Vec::new(),
        }
    }
}

fn permit(category: Category, treatment: Treatment) -> RuleDocument {
    rule(MatchDocument { category: Some(category.word().into()), ..MatchDocument::default() }, treatment)
}

fn permit_path(path: &str, treatment: Treatment) -> RuleDocument {
    rule(MatchDocument { selector: Some(path.into()), ..MatchDocument::default() }, treatment)
}

fn rule(matches: MatchDocument, treatment: Treatment) -> RuleDocument {
    RuleDocument { effect: "permit".into(), matches, treatment: Some(treatment.word().into()), keys: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::wallet::Wallet;
    use crate::veil::consent::record::SignerRole;
    use crate::veil::consent::standing::Head;
    use crate::veil::name::Origin;
    use crate::world::entropy;

    #[test]
    fn the_gateway_takes_what_everybody_signs() {
        let wallet = Wallet::generate(&mut entropy());
        let (gateway, now) = (Origin::new("gateway.example.org/twins"), UnixMs(1_700_000_000_000));
        let sign = |allows: &Allows, role| {
            wallet.grant(&allows.terms(wallet.vault_key(), now), role, &gateway, Head::default(), now, &mut entropy())
        };
        for number in 0..4 {
            for allows in patient(number).iter().chain(&steward(number)) {
                sign(allows, SignerRole::Subject).expect("signed");
            }
        }
        sign(&mandate(), SignerRole::Operator).expect("signed");
        let opened = Allows { recipient: RESEARCHER, rules: research(true, Some(OPENED)), with_key: true };
        sign(&opened, SignerRole::Subject).expect("signed");
    }

    #[test]
    fn every_path_in_a_rule_is_a_field_of_the_sample() {
        let schema = crate::veil::schema::load(crate::proto::SAMPLES, What::Patients.message(), None).expect("a sample");
        for rule in patient(0).into_iter().flat_map(|allows| allows.rules) {
            if let Some(selector) = rule.matches.selector {
                let covered = schema.sites().iter().any(|site| crate::veil::schema::selector::covers(&selector, site.path.as_str()));
                assert!(covered, "{selector}");
            }
        }
    }

    #[test]
    fn the_patients_who_act_at_half_time_let_everybody_in() {
        for number in [0, 1] {
            let recipients: Vec<usize> = patient(number).iter().map(|allows| allows.recipient).collect();
            assert_eq!(recipients, [CLINICIAN, RESEARCHER, RENDERER, ADVERTISER]);
        }
        assert_eq!(patient(2).len(), 3);
    }

    #[test]
    fn positions_name_the_right_recipients() {
        for (at, name) in
            [(CLINICIAN, "clinician"), (RESEARCHER, "researcher"), (RENDERER, "renderer"), (VENDOR, "vendor"), (ADVERTISER, "advertiser")]
        {
            assert_eq!(RECIPIENTS[at].name, name);
        }
    }
}
