//! What the words of a field's name say about it. The first rule that fits decides: the most sensitive stand first.

use crate::veil::schema::Kind;
use crate::veil::schema::table::{is_float, is_identifier_kind, is_integer};
use crate::veil::terms::{Category, Sensitivity};

/// One line of the table.
pub(super) struct Rule {
    /// Words of the name, lower case and next to each other; any of these.
    pub(super) words: &'static [&'static str],
    /// The types that it is about.
    pub(super) kinds: Kinds,
    pub(super) sensitivity: Sensitivity,
    pub(super) category: Category,
    pub(super) then: Then,
}

/// Which types a rule is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinds {
    Any,
    Identifiers,
    Numbers,
    Floats,
    Times,
}

/// What else a rule proposes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    /// May name the subject; a pseudonym at the most.
    Subject,
    /// A pseudonym at the most, where the type has one.
    Pseudonym,
    /// Never sent.
    Strip,
    Latitude,
    Longitude,
    /// Rounded down to a span of time.
    Bucket,
}

impl Kinds {
    pub(super) fn hold(self, kind: Kind) -> bool {
        match self {
            Self::Any => true,
            Self::Identifiers => is_identifier_kind(kind),
            Self::Numbers => is_integer(kind) || is_float(kind),
            Self::Floats => is_float(kind),
            Self::Times => kind == Kind::Timestamp || is_integer(kind) && !kind.zigzag(),
        }
    }
}

const fn rule(words: &'static [&'static str], kinds: Kinds, sensitivity: Sensitivity, category: Category, then: Then) -> Rule {
    Rule { words, kinds, sensitivity, category, then }
}

use Category::{Behaviour, Biometric, Contact, Device, Environment, Financial, Health, Identity, Location, Operation, Social, Time};
use Kinds::{Any, Floats, Identifiers, Numbers, Times};
use Sensitivity::{Identifying, Operational, Personal, Special};

/// The table.
pub(super) const RULES: &[Rule] = &[
    rule(
        &["password", "passwd", "secret", "api key", "private key", "access token", "auth token", "credential", "credentials"],
        Any,
        Identifying,
        Identity,
        Then::Strip,
    ),
    rule(
        &[
            "patient id",
            "subject id",
            "person id",
            "user id",
            "enduser id",
            "customer id",
            "client id",
            "member id",
            "employee id",
            "rider id",
            "driver id",
            "wearer id",
            "resident id",
            "student id",
            "mrn",
            "patient number",
            "passenger id",
        ],
        Identifiers,
        Identifying,
        Identity,
        Then::Subject,
    ),
    rule(
        &[
            "ssn",
            "social security",
            "passport",
            "national id",
            "tax id",
            "licence number",
            "license number",
            "license plate",
            "licence plate",
            "insurance number",
        ],
        Any,
        Identifying,
        Identity,
        Then::Pseudonym,
    ),
    rule(&["iban", "card number", "account number", "bank account"], Any, Identifying, Financial, Then::Pseudonym),
    rule(
        &[
            "full name",
            "first name",
            "last name",
            "given name",
            "family name",
            "middle name",
            "maiden name",
            "surname",
            "nickname",
            "user name",
            "username",
            "patient name",
            "person name",
            "customer name",
            "operator name",
            "driver name",
            "recipients",
            "recipient",
            "author",
            "signature",
        ],
        Any,
        Identifying,
        Identity,
        Then::Pseudonym,
    ),
    rule(
        &[
            "email",
            "e mail",
            "mail address",
            "phone",
            "mobile number",
            "fax",
            "address line",
            "address lines",
            "street",
            "postal address",
            "home address",
            "e164 number",
            "emergency contact",
        ],
        Any,
        Identifying,
        Contact,
        Then::Pseudonym,
    ),
    rule(
        &["ip", "ip address", "ipv4", "ipv6", "client address", "mac address", "imei", "imsi", "msisdn"],
        Any,
        Identifying,
        Contact,
        Then::Pseudonym,
    ),
    rule(&["birth", "birthday", "birthdate", "birth date", "date of birth", "dob"], Any, Identifying, Identity, Then::Strip),
    rule(
        &[
            "heart rate",
            "heartrate",
            "hr bpm",
            "pulse",
            "spo2",
            "oxygen saturation",
            "blood",
            "systolic",
            "diastolic",
            "respiratory",
            "respiration",
            "breathing",
            "glucose",
            "insulin",
            "hba1c",
            "cholesterol",
            "body temperature",
            "skin temperature",
            "body weight",
            "bmi",
            "hrv",
            "sleep",
            "diagnosis",
            "diagnoses",
            "medication",
            "dose",
            "allergy",
            "allergies",
            "symptom",
            "symptoms",
            "pain",
            "fall",
            "pregnancy",
            "disability",
            "vitals",
            "heart",
            "stress level",
        ],
        Any,
        Special,
        Health,
        Then::Nothing,
    ),
    rule(
        &["ecg", "ekg", "ppg", "eeg", "emg", "fingerprint", "iris", "face", "voice", "gait", "biometric"],
        Any,
        Special,
        Biometric,
        Then::Nothing,
    ),
    rule(&["race", "ethnicity", "religion", "sexual orientation", "political", "union membership"], Any, Special, Social, Then::Nothing),
    rule(&["lat", "latitude", "lat deg", "latitude deg"], Floats, Personal, Location, Then::Latitude),
    rule(&["lon", "lng", "longitude", "lon deg", "long deg", "longitude deg"], Floats, Personal, Location, Then::Longitude),
    rule(
        &[
            "lat",
            "latitude",
            "lon",
            "lng",
            "longitude",
            "altitude",
            "elevation",
            "geohash",
            "geo",
            "location",
            "position",
            "coordinates",
            "postal code",
            "postcode",
            "zip",
            "zip code",
            "locality",
            "sublocality",
            "city",
            "country",
            "region code",
            "administrative area",
            "room",
            "bed",
            "ward",
        ],
        Any,
        Personal,
        Location,
        Then::Nothing,
    ),
    rule(
        &[
            "serial",
            "serial number",
            "device id",
            "device name",
            "hostname",
            "host name",
            "instance id",
            "hardware id",
            "vin",
            "vehicle id",
        ],
        Any,
        Identifying,
        Device,
        Then::Pseudonym,
    ),
    rule(&["age", "gender", "sex", "height cm", "weight kg", "title", "marital status"], Any, Personal, Identity, Then::Nothing),
    rule(&["language", "language code", "locale"], Any, Personal, Social, Then::Nothing),
    rule(&["salary", "income", "price", "amount", "balance", "currency code"], Any, Personal, Financial, Then::Nothing),
    rule(
        &["activity", "steps", "posture", "gesture", "browsing", "user agent", "url", "uri", "query", "referer", "referrer"],
        Any,
        Personal,
        Behaviour,
        Then::Nothing,
    ),
    rule(
        &[
            "timestamp",
            "time",
            "date",
            "at",
            "captured at",
            "created at",
            "updated at",
            "recorded at",
            "time unix",
            "unix nano",
            "time ms",
            "time s",
            "time us",
            "time ns",
        ],
        Times,
        Personal,
        Time,
        Then::Bucket,
    ),
    rule(&["id", "uuid", "guid", "ids", "key id"], Identifiers, Identifying, Identity, Then::Pseudonym),
    rule(
        &["humidity", "wind", "wind speed", "wind direction", "ambient", "ambient temperature", "rainfall", "irradiance", "weather"],
        Numbers,
        Operational,
        Environment,
        Then::Nothing,
    ),
    rule(
        &[
            "power",
            "active power",
            "reactive power",
            "voltage",
            "torque",
            "rpm",
            "rotor",
            "vibration",
            "pressure",
            "temperature",
            "flow",
            "flow rate",
            "frequency",
            "valve",
            "level pct",
            "pitch angle",
            "yaw",
            "oil",
            "bearing temperature",
        ],
        Numbers,
        Operational,
        Operation,
        Then::Nothing,
    ),
    rule(&["schema version", "firmware version", "software version", "protocol version"], Any, Operational, Operation, Then::Nothing),
];

/// A name in lower-case words: `heartRateBpm`, `heart_rate_bpm` → `heart rate bpm`.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut lower = false;
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() {
            lower = false;
            words.push(String::new());
            continue;
        }
        if c.is_ascii_uppercase() && lower || words.is_empty() {
            words.push(String::new());
        }
        lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        if let Some(word) = words.last_mut() {
            word.push(c.to_ascii_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The words of a rule that stand in the text, next to each other.
pub(super) fn found(rule: &Rule, text: &[String]) -> Option<&'static str> {
    rule.words.iter().copied().find(|phrase| {
        let phrase: Vec<&str> = phrase.split(' ').collect();
        text.windows(phrase.len()).any(|window| window == phrase)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_as_people_write_them() {
        for (name, wanted) in [
            ("heart_rate_bpm", "heart rate bpm"),
            ("heartRateBpm", "heart rate bpm"),
            ("SpO2", "sp o2"),
            ("spo2_pct", "spo2 pct"),
            ("e164_number", "e164 number"),
            ("URL", "url"),
            ("_id", "id"),
        ] {
            assert_eq!(words(name).join(" "), wanted, "{name}");
        }
        // A word is a word: what merely contains one is not it.
        let rule = RULES.iter().find(|rule| rule.words.contains(&"ip")).expect("a rule");
        assert!(found(rule, &words("client_ip")).is_some() && found(rule, &words("recipe_tip_shipping")).is_none());
    }

    #[test]
    fn every_phrase_is_written_as_names_are_taken_apart() {
        for rule in RULES {
            for phrase in rule.words {
                assert_eq!(words(&phrase.replace(' ', "_")).join(" "), *phrase);
                assert!(found(rule, &words(phrase)).is_some(), "{phrase}");
            }
        }
    }

    #[test]
    fn nothing_about_a_person_stands_behind_a_rule_that_tells_more() {
        // `body temperature` before `temperature`, `blood pressure` before `pressure`, `ambient temperature` before `temperature`.
        let first = |name: &str| RULES.iter().find(|rule| rule.kinds.hold(Kind::Float) && found(rule, &words(name)).is_some());
        for (name, category) in [
            ("body_temperature", Category::Health),
            ("blood_pressure", Category::Health),
            ("oil_pressure", Category::Operation),
            ("ambient_temperature", Category::Environment),
        ] {
            assert!(first(name).is_some_and(|rule| rule.category == category), "{name}");
        }
    }
}
