//! A made-up patient: a heart that speeds up with every breath in, an ECG as a sum of five bells per beat (McSharry et al.
//! 2003, without the differential equations), slowly wandering vital signs, a stroll through a town.

use std::collections::{HashMap, VecDeque};
use std::f64::consts::TAU;

use prost::Message;

use super::Twin;
use super::dice::{Dice, Wander};
use crate::cli::input::Frame;
use crate::proto::sample::{Activity, Identity, Modality, PatientFrame, Position, Vitals, Waveform};

const RATE_HZ: i64 = 250;
/// The bells of a beat: where in it (1 is the whole), how high in millivolts, how wide.
const BELLS: [(f64, f64, f64); 5] =
    [(0.20, 0.12, 0.025), (0.365, -0.10, 0.010), (0.385, 1.10, 0.012), (0.41, -0.22, 0.011), (0.64, 0.28, 0.045)];
const GIVEN: [&str; 8] = ["Ada", "Ben", "Chiara", "Deniz", "Elif", "Femi", "Greta", "Hugo"];
const FAMILY: [&str; 8] = ["Muster", "Beispiel", "Sample", "Dupont", "Rossi", "Kowalska", "Nguyen", "Okafor"];
const CITIES: [(&str, &str, f64, f64); 8] = [
    ("Vienna", "1090", 48.2205, 16.3533),
    ("Graz", "8010", 47.0707, 15.4395),
    ("Linz", "4020", 48.3069, 14.2858),
    ("Basel", "4051", 47.5596, 7.5886),
    ("Lyon", "69003", 45.7640, 4.8357),
    ("Utrecht", "3511", 52.0907, 5.1214),
    ("Brno", "60200", 49.1951, 16.6068),
    ("Porto", "4000", 41.1579, -8.6291),
];
const NOTES: [&str; 8] = [
    "slept badly, asks for tea",
    "walked to the window and back",
    "complains of a headache since noon",
    "visited by family",
    "refused the evening dose",
    "wound looks clean",
    "short of breath after the stairs",
    "wants to go home tomorrow",
];
const DIAGNOSES: [&str; 8] = ["I48.0", "I25.1", "J44.1", "E11.9", "I50.9", "G47.3", "I10", "F32.1"];

/// One patient.
#[derive(Debug)]
pub struct Patient {
    id: String,
    device: String,
    dice: Dice,
    sequence: u64,
    steps: i64,
    identity: Identity,
    ward: String,
    diagnosis: &'static str,
    rest_bpm: Wander,
    breaths_per_min: Wander,
    spo2: Wander,
    temperature: Wander,
    systolic: Wander,
    bpm: f64,
    breathing: f64,
    /// How far into a beat, 0 to 1; and into a breath.
    beat: f64,
    breath: f64,
    samples_since_beat: u32,
    intervals_ms: Vec<u32>,
    latitude: f64,
    longitude: f64,
    heading: f64,
    walked_m: f64,
}

impl Patient {
    /// The patient with this number in the simulation of this seed.
    pub fn new(seed: u64, number: u32) -> Self {
        let mut dice = Dice::new(seed, 1, number);
        let (city, postcode, latitude, longitude) = dice.pick(&CITIES);
        let digits = |dice: &mut Dice, count: u32| format!("{:0width$}", dice.next() % 10u64.pow(count), width = count as usize);
        let identity = Identity {
            given_name: dice.pick(&GIVEN).into(),
            family_name: dice.pick(&FAMILY).into(),
            birth_date: format!("{}-{:02}-{:02}", 1935 + dice.next() % 70, 1 + dice.next() % 12, 1 + dice.next() % 28),
            national_id: digits(&mut dice, 10),
            passport: format!("X{}", digits(&mut dice, 8)),
            address: format!("Musterstrasse {}", 1 + dice.next() % 120),
            city: city.into(),
            postcode: postcode.into(),
            sex: if dice.happens(0.5) { "F" } else { "M" }.into(),
        };
        let rest = dice.between(58.0, 82.0);
        let breaths = dice.between(12.0, 18.0);
        let (spo2, temperature) = (dice.between(95.5, 98.5), dice.between(36.4, 37.3));
        let systolic = dice.between(108.0, 138.0);
        Self {
            id: format!("patient-{:05}", number + 1),
            device: format!("MON{}", digits(&mut dice, 7)),
            sequence: 0,
            steps: 0,
            identity,
            ward: format!("{}{}", 1 + dice.next() % 4, dice.pick(&["A", "B", "C", "D", "E", "F", "G", "H"])),
            diagnosis: dice.pick(&DIAGNOSES),
            // One step a second: the pulse drifts over minutes, the temperature over an hour.
            rest_bpm: Wander::new(rest, 4.0, 300.0),
            breaths_per_min: Wander::new(breaths, 1.0, 120.0),
            spo2: Wander::new(spo2, 0.6, 60.0),
            temperature: Wander::new(temperature, 0.1, 3_600.0),
            systolic: Wander::new(systolic, 5.0, 600.0),
            bpm: rest,
            breathing: breaths,
            beat: dice.unit(),
            breath: dice.unit(),
            samples_since_beat: 0,
            intervals_ms: Vec::new(),
            latitude,
            longitude,
            heading: dice.between(0.0, TAU),
            walked_m: 0.0,
            dice,
        }
    }

    /// The hospital's number for the patient.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn frame(&mut self, at_ms: i64, modality: Modality, fill: impl FnOnce(&mut PatientFrame)) -> Frame {
        self.sequence += 1;
        let mut frame = PatientFrame {
            patient_id: self.id.clone(),
            device_id: self.device.clone(),
            sequence: self.sequence,
            captured_at_ms: at_ms,
            modality: modality.into(),
            ..PatientFrame::default()
        };
        fill(&mut frame);
        Frame { bytes: frame.encode_to_vec(), subject: self.id.clone(), at_ms }
    }

    /// One sample of the ECG, and the heart one sample further.
    fn ecg_mv(&mut self) -> f32 {
        // Respiratory sinus arrhythmia: some 4 % around the mean.
        let bpm = self.bpm * (1.0 + 0.04 * (TAU * self.breath).sin());
        self.beat += bpm / 60.0 / RATE_HZ as f64;
        self.breath = (self.breath + self.breathing / 60.0 / RATE_HZ as f64).fract();
        self.samples_since_beat += 1;
        if self.beat >= 1.0 {
            self.beat = self.beat.fract();
            self.intervals_ms.push(self.samples_since_beat * 1_000 / RATE_HZ as u32);
            self.samples_since_beat = 0;
        }
        let bells: f64 = BELLS.iter().map(|(at, high, wide)| high * (-(self.beat - at).powi(2) / (2.0 * wide * wide)).exp()).sum();
        let wander = 0.05 * (TAU * self.breath).sin();
        // Three decimals are what a monitor sends.
        (((bells + wander + 0.008 * self.dice.normal()) * 1e3).round() / 1e3) as f32
    }

    fn vitals(&mut self) -> Vitals {
        self.bpm = self.rest_bpm.next(&mut self.dice).clamp(40.0, 160.0);
        self.breathing = self.breaths_per_min.next(&mut self.dice).clamp(6.0, 30.0);
        let systolic = self.systolic.next(&mut self.dice).clamp(85.0, 190.0);
        let diastolic = systolic * 0.63;
        let tenth = |value: f64| Some(((value * 10.0).round() / 10.0) as f32);
        Vitals {
            heart_rate_bpm: tenth(self.bpm),
            spo2_pct: tenth(self.spo2.next(&mut self.dice).clamp(80.0, 100.0)),
            respiration_per_min: tenth(self.breathing),
            temperature_c: tenth(self.temperature.next(&mut self.dice).clamp(35.0, 41.0)),
            systolic_mmhg: tenth(systolic),
            diastolic_mmhg: tenth(diastolic),
            mean_mmhg: tenth((systolic + 2.0 * diastolic) / 3.0),
            rr_ms: std::mem::take(&mut self.intervals_ms),
        }
    }

    /// Ten seconds of a stroll.
    fn stroll(&mut self) -> (Position, Activity) {
        let speed_m_s = self.dice.between(0.0, 1.6);
        self.heading += 0.5 * self.dice.normal();
        let metres = speed_m_s * 10.0;
        self.walked_m += metres;
        // A degree of latitude has 111,195 m on a sphere of the earth's mean radius.
        self.latitude = (self.latitude + metres * self.heading.cos() / 111_195.0).clamp(-85.0, 85.0);
        self.longitude += metres * self.heading.sin() / (111_195.0 * self.latitude.to_radians().cos());
        self.longitude = (self.longitude + 180.0).rem_euclid(360.0) - 180.0;
        let position = Position {
            latitude: (self.latitude * 1e7).round() / 1e7,
            longitude: (self.longitude * 1e7).round() / 1e7,
            altitude_m: (200.0 + 2.0 * self.dice.normal()) as f32,
            speed_m_s: speed_m_s as f32,
        };
        let activity = Activity {
            steps: Some((self.walked_m / 0.7) as u32),
            distance_m: Some(self.walked_m as f32),
            cadence_per_min: Some((speed_m_s / 0.7 * 60.0) as u32),
            sleep_s: None,
        };
        (position, activity)
    }
}

impl Twin for Patient {
    const STEP_MS: i64 = 250;

    fn step(&mut self, at_ms: i64, out: &mut VecDeque<Frame>) {
        let step = self.steps;
        self.steps += 1;
        if step == 0 {
            let identity = self.identity.clone();
            out.push_back(self.frame(at_ms, Modality::Admission, |frame| frame.identity = Some(identity)));
        }
        if step % 4 == 0 {
            let vitals = self.vitals();
            // Bytes have to be the same for the same seed, and a map has no order: one label at a time.
            let label =
                if step % 8 == 0 { ("ward".to_owned(), self.ward.clone()) } else { ("diagnosis".to_owned(), self.diagnosis.to_owned()) };
            let note = if self.dice.happens(1.0 / 120.0) { self.dice.pick(&NOTES) } else { "" };
            out.push_back(self.frame(at_ms, Modality::Monitor, |frame| {
                frame.vitals = Some(vitals);
                frame.labels = HashMap::from([label]);
                frame.note = note.into();
            }));
        }
        if step % 40 == 0 {
            let (position, activity) = self.stroll();
            out.push_back(self.frame(at_ms, Modality::Track, |frame| {
                frame.position = Some(position);
                frame.activity = Some(activity);
            }));
        }
        // 62 and 63 samples in turn: 250 a second, none lost.
        let count = (step + 1) * RATE_HZ / 4 - step * RATE_HZ / 4;
        let samples = (0..count).map(|_| self.ecg_mv()).collect();
        let wave = Waveform { channel: "ecg_ii_mv".into(), rate_hz: RATE_HZ as f32, samples };
        out.push_back(self.frame(at_ms, Modality::Waveform, |frame| frame.waveforms = vec![wave]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::simulate::{Simulation, What};

    #[test]
    fn an_hour_of_patients_stays_within_what_bodies_do() {
        let (mut samples, mut beats, mut notes, mut admissions, mut last) = (0, 0, 0, 0, 0);
        for frame in Simulation::new(What::Patients, 11, 4, 0).take_while(|frame| frame.at_ms < 3_600_000) {
            let typed = PatientFrame::decode(&frame.bytes[..]).expect("typed");
            last = frame.at_ms;
            assert_eq!((typed.patient_id, typed.captured_at_ms), (frame.subject, frame.at_ms));
            admissions += usize::from(typed.identity.is_some());
            notes += usize::from(!typed.note.is_empty());
            if let Some(vitals) = typed.vitals {
                let within = |value: Option<f32>, low: f32, high: f32| value.is_some_and(|value| (low..=high).contains(&value));
                assert!(within(vitals.heart_rate_bpm, 40.0, 160.0) && within(vitals.spo2_pct, 80.0, 100.0));
                assert!(within(vitals.respiration_per_min, 6.0, 30.0) && within(vitals.temperature_c, 35.0, 41.0));
                assert!(within(vitals.systolic_mmhg, 85.0, 190.0));
                assert!(vitals.diastolic_mmhg < vitals.mean_mmhg && vitals.mean_mmhg < vitals.systolic_mmhg);
                assert!(
                    vitals.rr_ms.iter().skip(usize::from(frame.at_ms <= 1_000)).all(|rr| (300..=2_000).contains(rr)),
                    "{:?}",
                    vitals.rr_ms
                );
                beats += vitals.rr_ms.len();
            }
            for wave in &typed.waveforms {
                samples += wave.samples.len();
                assert!(wave.samples.iter().all(|mv| mv.abs() < 2.0));
            }
            if let Some(position) = typed.position {
                assert!(position.latitude.abs() <= 85.0 && position.longitude.abs() <= 180.0 && (0.0..2.0).contains(&position.speed_m_s));
            }
        }
        assert_eq!((last, samples, admissions), (3_599_750, 4 * 3_600 * 250, 4));
        assert!((4 * 60 * 50..4 * 60 * 95).contains(&beats), "{beats}");
        assert!((40..=240).contains(&notes), "{notes}");
    }

    #[test]
    fn the_first_frame_says_who_the_patient_is() {
        let first = Simulation::new(What::Patients, 1, 1, 5).next().expect("endless");
        let typed = PatientFrame::decode(&first.bytes[..]).expect("typed");
        let identity = typed.identity.clone().expect("identity");
        assert_eq!((typed.modality(), typed.sequence), (Modality::Admission, 1));
        assert!(!identity.family_name.is_empty() && identity.national_id.len() == 10 && identity.birth_date.len() == 10);
    }

    #[test]
    fn every_beat_has_one_high_peak() {
        let mut patient = Patient::new(5, 0);
        let ecg: Vec<f32> = (0..250 * 120).map(|_| patient.ecg_mv()).collect();
        let peaks = ecg.windows(2).filter(|pair| pair[0] < 0.6 && pair[1] >= 0.6).count();
        assert!(peaks.abs_diff(patient.intervals_ms.len()) <= 1, "{peaks} peaks, {} beats", patient.intervals_ms.len());
    }
}
