//! What each recipient of the sample policy gets of a frame, worked out from typed messages alone: no code of the gateway takes
//! part. Identifiers that become stand-ins are set to [`STAND_IN`] here and in what came.

use h3o::{LatLng, Resolution};
use prost::Message;
use twinveil::proto::sample::{Activity, Identity, Nameplate, PatientFrame, Position, Production, TurbineFrame, Vitals, Waveform};

/// In place of every pseudonym.
pub(crate) const STAND_IN: &str = "<stand-in>";

fn step(value: f32, step: f64) -> f32 {
    ((f64::from(value) / step).floor() * step) as f32
}

fn round(value: f32, decimals: i32) -> f32 {
    let scale = 10f64.powi(decimals);
    // Adding zero takes the sign from what was rounded to nothing.
    ((f64::from(value) * scale).round() / scale + 0.0) as f32
}

fn place(latitude: f64, longitude: f64, resolution: Resolution) -> (f64, f64) {
    // What is 0 is not on the wire, and half a place is none.
    if latitude == 0.0 || longitude == 0.0 {
        return (0.0, 0.0);
    }
    let centre = LatLng::from(LatLng::new(latitude, longitude).unwrap().to_cell(resolution));
    (centre.lat(), centre.lng())
}

fn prefix(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

fn stand_in(text: &str) -> String {
    if text.is_empty() { String::new() } else { STAND_IN.into() }
}

/// Keeps a message only where something is left in it; a number without presence that became 0 is not there.
fn visible<M: Message + Default + PartialEq>(message: M) -> Option<M> {
    (message.encoded_len() > 0).then_some(message)
}

fn vitals(vitals: &Vitals) -> Vitals {
    let bucket = |value: f32| [95.0, 90.0, 85.0].into_iter().find(|edge| value >= *edge).unwrap_or(0.0);
    Vitals {
        heart_rate_bpm: vitals.heart_rate_bpm.map(|v| step(v, 5.0)),
        spo2_pct: vitals.spo2_pct.map(bucket),
        respiration_per_min: vitals.respiration_per_min.map(|v| step(v, 2.0)),
        temperature_c: vitals.temperature_c.map(|v| round(v, 0)),
        systolic_mmhg: vitals.systolic_mmhg.map(|v| step(v, 10.0)),
        diastolic_mmhg: vitals.diastolic_mmhg.map(|v| step(v, 10.0)),
        mean_mmhg: vitals.mean_mmhg.map(|v| step(v, 10.0)),
        rr_ms: vitals.rr_ms.iter().map(|v| v / 50 * 50).collect(),
    }
}

fn position(position: &Position) -> Position {
    let (latitude, longitude) = place(position.latitude, position.longitude, Resolution::Six);
    Position { latitude, longitude, altitude_m: step(position.altitude_m, 100.0), speed_m_s: step(position.speed_m_s, 1.0) }
}

fn activity(activity: &Activity) -> Activity {
    Activity {
        steps: activity.steps.map(|v| v / 500 * 500),
        distance_m: activity.distance_m.map(|v| step(v, 500.0)),
        cadence_per_min: activity.cadence_per_min.map(|v| v / 10 * 10),
        sleep_s: activity.sleep_s.map(|v| v / 1_800 * 1_800),
    }
}

/// In care, identifiers of the hospital are stand-ins and everything else is as it is.
pub(crate) fn clinician(frame: &PatientFrame) -> PatientFrame {
    let mut frame = frame.clone();
    frame.patient_id = stand_in(&frame.patient_id);
    if let Some(identity) = &mut frame.identity {
        identity.national_id = stand_in(&identity.national_id);
        identity.passport = stand_in(&identity.passport);
    }
    frame
}

/// Coarse measurements; the note is sealed. The counter keeps its steps and loses its origin: see [`origin_of`].
pub(crate) fn researcher(frame: &PatientFrame) -> PatientFrame {
    PatientFrame {
        patient_id: stand_in(&frame.patient_id),
        device_id: stand_in(&frame.device_id),
        sequence: frame.sequence,
        captured_at_ms: frame.captured_at_ms.div_euclid(3_600_000) * 3_600_000,
        modality: frame.modality,
        identity: frame.identity.as_ref().and_then(|identity| {
            let (birth_date, postcode) = (prefix(&identity.birth_date, 4), prefix(&identity.postcode, 2));
            visible(Identity { birth_date, postcode, ..Identity::default() })
        }),
        position: frame.position.as_ref().map(position).and_then(visible),
        vitals: frame.vitals.as_ref().map(vitals),
        waveforms: frame
            .waveforms
            .iter()
            .map(|wave| Waveform { samples: wave.samples.iter().map(|v| round(*v, 1)).collect(), ..wave.clone() })
            .collect(),
        labels: frame.labels.iter().filter(|(key, _)| *key == "diagnosis").map(|(key, value)| (key.clone(), prefix(value, 1))).collect(),
        activity: frame.activity.as_ref().map(activity),
        note: String::new(),
    }
}

/// An avatar: roughly where, roughly how.
pub(crate) fn renderer(frame: &PatientFrame) -> PatientFrame {
    PatientFrame {
        patient_id: stand_in(&frame.patient_id),
        captured_at_ms: frame.captured_at_ms,
        position: frame.position.as_ref().map(position).and_then(visible),
        vitals: frame.vitals.as_ref().and_then(|found| visible(Vitals { rr_ms: Vec::new(), ..vitals(found) })),
        ..PatientFrame::default()
    }
}

/// Roughly how active.
pub(crate) fn advertiser(frame: &PatientFrame) -> PatientFrame {
    PatientFrame {
        position: frame
            .position
            .as_ref()
            .and_then(|found| visible(Position { speed_m_s: position(found).speed_m_s, ..Position::default() })),
        activity: frame.activity.as_ref().and_then(|found| visible(Activity { sleep_s: None, ..activity(found) })),
        ..PatientFrame::default()
    }
}

/// How the machine is and in what weather; the rest is sealed or stripped.
pub(crate) fn vendor(frame: &TurbineFrame) -> TurbineFrame {
    TurbineFrame {
        sequence: frame.sequence,
        captured_at_ms: frame.captured_at_ms.div_euclid(3_600_000) * 3_600_000,
        nameplate: frame.nameplate.clone().and_then(visible::<Nameplate>),
        condition: frame.condition.clone(),
        production: frame.production.and_then(|production| visible(Production { active_power_kw: 0.0, ..production })),
        ..TurbineFrame::default()
    }
}

/// What came, with stand-ins made equal. Panics where one is no pseudonym.
pub(crate) fn levelled(mut frame: PatientFrame) -> PatientFrame {
    let level = |text: &mut String| {
        if text.len() == 26 && text.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b)) {
            *text = STAND_IN.into();
        }
    };
    level(&mut frame.patient_id);
    level(&mut frame.device_id);
    if let Some(identity) = &mut frame.identity {
        level(&mut identity.national_id);
        level(&mut identity.passport);
    }
    frame
}

/// What was added to every counter of a stream; taken away again.
pub(crate) fn origin_of(came: &mut [PatientFrame], sent: &[PatientFrame]) -> u64 {
    let origin = came[0].sequence - sent[0].sequence;
    for frame in came {
        frame.sequence -= origin;
    }
    origin
}
