//! A made-up wind turbine of 2,050 kW: wind that remembers, a power curve, pitch that limits it, temperatures that lag,
//! and people who change shifts.

use std::collections::VecDeque;

use prost::Message;

use super::Twin;
use super::dice::{Dice, Wander};
use crate::cli::input::Frame;
use crate::proto::sample::{Action, Condition, Demand, Nameplate, Production, Site, TurbineFrame};

const RATED_KW: f64 = 2_050.0;
const CUT_IN_M_S: f64 = 3.5;
const RATED_M_S: f64 = 14.5;
const CUT_OUT_M_S: f64 = 25.0;
const DAY_MS: i64 = 86_400_000;
/// Shifts begin at 6, 14 and 22 o'clock UTC.
const SHIFTS_MS: [i64; 3] = [21_600_000, 50_400_000, 79_200_000];
const CUSTOMERS: [&str; 8] = [
    "Stadtwerke Muster",
    "Paper Mill North",
    "Grid Balance Pool",
    "Cold Store East",
    "Quarry Works",
    "Data Hall 3",
    "Harbour Cranes",
    "Glassworks",
];
const COMMANDS: [&str; 8] =
    ["acknowledge_alarm", "derate", "release_derate", "reset_yaw", "request_service", "lock_rotor_test", "check_oil", "unlock_rotor"];

/// One turbine.
#[derive(Debug)]
pub struct Turbine {
    id: String,
    dice: Dice,
    sequence: u64,
    nameplate: Nameplate,
    site: Site,
    wind: Wander,
    direction: Wander,
    weather: Wander,
    nacelle_deg: f64,
    gearbox_c: f64,
    demand: Demand,
    badges: [String; 3],
}

impl Turbine {
    /// The turbine with this number in the simulation of this seed.
    pub fn new(seed: u64, number: u32) -> Self {
        let mut dice = Dice::new(seed, 2, number);
        let direction = dice.between(0.0, 360.0);
        let (latitude, longitude) = (dice.between(47.0, 55.0), dice.between(5.0, 16.0));
        let badges = [(); 3].map(|()| format!("badge-{:04}", dice.next() % 10_000));
        Self {
            id: format!("turbine-{:05}", number + 1),
            sequence: 0,
            nameplate: Nameplate {
                manufacturer: "Musterwind".into(),
                model: "MW82".into(),
                rated_power_kw: RATED_KW as f32,
                serial_number: format!("MW82-{:06}", dice.next() % 1_000_000),
            },
            site: Site {
                name: format!("Sample Ridge {}", number / 12 + 1),
                latitude: (latitude * 1e4).round() / 1e4,
                longitude: (longitude * 1e4).round() / 1e4,
            },
            // One step in ten seconds: the wind remembers ten minutes, its direction an hour, the weather half a day.
            wind: Wander::new(dice.between(6.0, 10.0), 3.0, 60.0),
            direction: Wander::new(direction, 12.0, 360.0),
            weather: Wander::new(dice.between(2.0, 18.0), 4.0, 4_320.0),
            nacelle_deg: direction,
            gearbox_c: 55.0,
            demand: Demand { customer: dice.pick(&CUSTOMERS).into(), setpoint_kw: RATED_KW as f32 },
            badges,
            dice,
        }
    }

    /// The operator's number for the turbine.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who has the shift that `at_ms` falls into, and whether it began within the last step.
    fn shift(&self, at_ms: i64) -> (&str, bool) {
        let in_day = at_ms.rem_euclid(DAY_MS);
        let index = SHIFTS_MS.iter().rposition(|begin| in_day >= *begin);
        let began = index.and_then(|index| SHIFTS_MS.get(index)).is_some_and(|begin| in_day - begin < Self::STEP_MS);
        // Before 6 o'clock it is still the shift of yesterday 22 o'clock.
        let badge = self.badges.get(index.unwrap_or(2)).map_or("", String::as_str);
        (badge, began)
    }

    fn actions(&mut self, at_ms: i64) -> Vec<Action> {
        let (badge, began) = self.shift(at_ms);
        let badge = badge.to_owned();
        let act = |command: &str| Action { operator_id: badge.clone(), command: command.into(), at_ms };
        let mut actions = Vec::new();
        if began {
            actions.push(act("shift_handover"));
        }
        // About twice a shift.
        if self.dice.happens(1.0 / 1_440.0) {
            actions.push(act(self.dice.pick(&COMMANDS)));
        }
        actions
    }
}

/// The power at a wind speed where nothing limits it: cubic between cut-in and rated wind.
fn curve_kw(wind_m_s: f64) -> f64 {
    let cube = |speed: f64| speed.powi(3);
    match wind_m_s {
        wind if !(CUT_IN_M_S..=CUT_OUT_M_S).contains(&wind) => 0.0,
        wind if wind >= RATED_M_S => RATED_KW,
        wind => RATED_KW * (cube(wind) - cube(CUT_IN_M_S)) / (cube(RATED_M_S) - cube(CUT_IN_M_S)),
    }
}

impl Twin for Turbine {
    const STEP_MS: i64 = 10_000;

    fn step(&mut self, at_ms: i64, out: &mut VecDeque<Frame>) {
        let dice = &mut self.dice;
        let wind = self.wind.next(dice).clamp(0.0, 40.0);
        let direction = self.direction.next(dice).rem_euclid(360.0);
        let outdoor = self.weather.next(dice).clamp(-30.0, 45.0);
        // The grid asks anew every quarter of an hour or so.
        if dice.happens(1.0 / 90.0) {
            self.demand.setpoint_kw = ((dice.between(0.4, 1.2) * RATED_KW).min(RATED_KW) / 50.0).round() as f32 * 50.0;
        }
        let free_kw = curve_kw(wind);
        let power = (free_kw * (1.0 + 0.02 * dice.normal())).clamp(0.0, f64::from(self.demand.setpoint_kw).min(RATED_KW));
        let pitch = match free_kw {
            0.0 => 88.0,
            free if power < free * 0.97 || wind >= RATED_M_S => {
                (-1.0 + 26.0 * (1.0 - power / free * (RATED_M_S / wind.max(RATED_M_S)).powi(3))).clamp(-1.0, 30.0)
            }
            _ => -1.0,
        };
        // The nacelle turns a little towards the wind with every step; the vane sees the rest.
        let vane = (direction - self.nacelle_deg + 180.0).rem_euclid(360.0) - 180.0;
        self.nacelle_deg = (self.nacelle_deg + vane.clamp(-3.0, 3.0)).rem_euclid(360.0);
        // Half an hour to warm up.
        self.gearbox_c += (outdoor + 20.0 + 40.0 * power / RATED_KW - self.gearbox_c) / 180.0;
        let vibration = (0..3).map(|_| ((0.4 + 1.6 * power / RATED_KW) * (1.0 + 0.08 * dice.normal())) as f32).collect();
        let round = |value: f64, digits: f64| ((value * digits).round() / digits) as f32;
        let condition = Condition {
            pitch_deg: round(pitch, 100.0),
            nacelle_deg: round(self.nacelle_deg, 100.0) % 360.0,
            vane_deg: round(vane, 100.0),
            gearbox_c: round(self.gearbox_c, 10.0),
            vibration_mm_s: vibration,
        };
        let production = Production {
            active_power_kw: round(power, 100.0),
            wind_speed_m_s: round(wind, 100.0),
            wind_direction_deg: round(direction, 100.0) % 360.0,
            outdoor_c: round(outdoor, 10.0),
        };
        let actions = self.actions(at_ms);
        self.sequence += 1;
        let frame = TurbineFrame {
            asset_id: self.id.clone(),
            sequence: self.sequence,
            captured_at_ms: at_ms,
            nameplate: Some(self.nameplate.clone()),
            condition: Some(condition),
            production: Some(production),
            site: Some(self.site.clone()),
            actions,
            demand: Some(self.demand.clone()),
        };
        out.push_back(Frame { bytes: frame.encode_to_vec(), subject: self.id.clone(), at_ms });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::simulate::{Simulation, What};

    #[test]
    fn a_week_of_turbines_stays_within_what_machines_do() {
        let (mut frames, mut handovers, mut energy_kwh) = (0, 0, 0.0);
        for frame in Simulation::new(What::Turbines, 3, 2, 0).take_while(|frame| frame.at_ms < 7 * DAY_MS) {
            let typed = TurbineFrame::decode(&frame.bytes[..]).expect("typed");
            frames += 1;
            let (condition, production, demand) = (typed.condition.expect("c"), typed.production.expect("p"), typed.demand.expect("d"));
            assert!((-1.0..=88.0).contains(&condition.pitch_deg) && (0.0..360.0).contains(&condition.nacelle_deg));
            assert!((-180.0..=180.0).contains(&condition.vane_deg) && (-30.0..=110.0).contains(&condition.gearbox_c));
            assert!(condition.vibration_mm_s.len() == 3 && condition.vibration_mm_s.iter().all(|v| (0.0..10.0).contains(v)));
            assert!((0.0..=40.0).contains(&production.wind_speed_m_s) && (0.0..360.0).contains(&production.wind_direction_deg));
            assert!((-30.0..=45.0).contains(&production.outdoor_c));
            assert!((0.0..=demand.setpoint_kw).contains(&production.active_power_kw) && demand.setpoint_kw <= RATED_KW as f32);
            if production.active_power_kw > 0.0 {
                assert!((3.4..=25.1).contains(&production.wind_speed_m_s));
            }
            energy_kwh += f64::from(production.active_power_kw) / 360.0;
            handovers += typed.actions.iter().filter(|action| action.command == "shift_handover").count();
            assert!(typed.actions.iter().all(|action| action.at_ms == frame.at_ms && action.operator_id.starts_with("badge-")));
        }
        assert_eq!((frames, handovers), (2 * 7 * 8_640, 2 * 7 * 3));
        let factor = energy_kwh / (2.0 * 7.0 * 24.0 * RATED_KW);
        assert!((0.05..0.7).contains(&factor), "{factor}");
    }

    #[test]
    fn the_power_curve_is_still_below_cut_in_full_at_rated_and_off_in_a_storm() {
        assert_eq!((curve_kw(0.0), curve_kw(3.4), curve_kw(14.5), curve_kw(25.0), curve_kw(25.1)), (0.0, 0.0, RATED_KW, RATED_KW, 0.0));
        assert!((1..250).all(|i| curve_kw(f64::from(i) / 10.0) >= curve_kw(f64::from(i - 1) / 10.0)));
    }

    #[test]
    fn shifts_change_three_times_a_day() {
        let turbine = Turbine::new(1, 0);
        let badge = |hour: i64| turbine.shift(hour * 3_600_000).0;
        assert_eq!((badge(5), badge(23), badge(6), badge(13)), (badge(22), badge(22), badge(13), badge(6)));
        assert!(turbine.shift(6 * 3_600_000).1 && !turbine.shift(7 * 3_600_000).1 && !turbine.shift(0).1);
    }
}
