//! What the benches share: a patient frame in three sizes and the decision to strip six of its fields.

use std::collections::HashMap;

use prost::Message;
use twinveil::proto::SAMPLES;
use twinveil::proto::sample::{Identity, PatientFrame, Position, Vitals, Waveform};
use twinveil::veil::policy::{Decided, Decision, Holders, Reason};
use twinveil::veil::schema::{Schema, load};
use twinveil::veil::terms::Treatment;

/// The schema of the frames.
pub(crate) fn schema() -> Schema {
    load(SAMPLES, "twinveil.sample.PatientFrame", None).expect("our own sample")
}

/// A frame with so many samples: 142, 970 and 3,600 bytes with 1, 208 and 866.
pub(crate) fn frame(samples: usize) -> PatientFrame {
    PatientFrame {
        patient_id: "p-2041".into(),
        device_id: "mon-77".into(),
        sequence: 70_001,
        captured_at_ms: 1_790_000_000_000,
        modality: 1,
        identity: Some(Identity { family_name: "Feil".into(), ..Identity::default() }),
        position: Some(Position { latitude: 45.772_175, longitude: 14.357_659, ..Position::default() }),
        vitals: Some(Vitals { heart_rate_bpm: Some(72.0), spo2_pct: Some(97.0), ..Vitals::default() }),
        waveforms: vec![Waveform { rate_hz: 250.0, samples: (0..samples).map(|i| i as f32 * 0.25).collect(), ..Waveform::default() }],
        note: "slept well, no pain".into(),
        labels: HashMap::from([("ward".to_owned(), "3B".to_owned())]),
        activity: None,
    }
}

/// What the clinician's neighbour gets: six fields less.
pub(crate) const STRIPPED: [&str; 6] = ["patient_id", "device_id", "identity.family_name", "position.latitude", "position.longitude", "note"];

/// Keeps every field but those six.
pub(crate) fn strip(schema: &Schema) -> Decision {
    decision(schema, |path| if STRIPPED.contains(&path) { Treatment::Strip } else { Treatment::Keep })
}

/// A decision by path.
pub(crate) fn decision(schema: &Schema, treatment: impl Fn(&str) -> Treatment) -> Decision {
    let decided = |path: &str| Decided { treatment: treatment(path), holders: Holders::VaultAndRecipient, reason: Reason::Floor };
    Decision { sites: schema.sites().iter().map(|site| decided(site.path.as_str())).collect() }
}

/// The three sizes, encoded.
pub(crate) fn sizes() -> Vec<Vec<u8>> {
    [1, 208, 866].map(|samples| frame(samples).encode_to_vec()).to_vec()
}
