//! What a view costs apart from any transport: to make it, and to see frames through it.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::matter::{Matter, Size};
use crate::cli::CliError;
use crate::veil::crypto::secret::Secret;
use crate::veil::crypto::wrap::OpenKey;
use crate::veil::name::ViewId;
use crate::veil::policy::{Decided, Decision};
use crate::veil::schema::Schema;
use crate::veil::terms::Treatment;
use crate::veil::view::{Bindings, BindingsSource, Elements, Program, Raw, Space, View, Whose};
use crate::world::entropy;

/// A figure is the median of so many rounds.
const ROUNDS: usize = 7;
/// How long all rounds of a figure take, where what is measured is short.
const LASTS: Duration = Duration::from_millis(140);

/// What a view costs.
#[derive(Clone, Debug)]
pub(super) struct ViewCost {
    /// To evaluate the operator's policy: once for a schema, recipient and purpose.
    pub(super) floors_us: f64,
    /// To decide every field: once for a view.
    pub(super) decide_us: f64,
    /// To compile what was decided: once for all views alike.
    pub(super) compile_us: f64,
    /// To make the keys of sealed groups and wrap them for their holders: once for a view and epoch.
    pub(super) keys_us: f64,
    /// By size.
    pub(super) applied: Vec<Applied>,
}

/// What it costs to see a frame through the view.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Applied {
    pub(super) bytes: f64,
    pub(super) apply_us: f64,
    /// What of it goes to sealing: what it costs less without.
    pub(super) seal_us: f64,
}

impl ViewCost {
    /// Measures it.
    pub(super) fn measure(matter: &Matter) -> Result<Self, CliError> {
        let Matter { schema, floors, decision, .. } = matter;
        let program = Program::compile(schema, decision);
        let applied = matter.sizes.iter().map(|size| apply(matter, decision, size));
        Ok(Self {
            floors_us: matter.floors_us,
            decide_us: median_us(|| {
                black_box(matter.agreed.decide(black_box(schema), black_box(floors)));
                Ok(())
            })?,
            compile_us: median_us(|| {
                black_box(Program::compile(black_box(schema), black_box(decision)));
                Ok(())
            })?,
            keys_us: median_us(|| bound(matter, &program).map(|bindings| drop(black_box(bindings))))?,
            applied: applied.collect::<Result<_, CliError>>()?,
        })
    }
}

/// The same decision where nothing is sealed.
fn without_sealing(decision: &Decision) -> Decision {
    let of = |decided: &Decided| match decided.treatment {
        Treatment::Encrypt => Decided { treatment: Treatment::Strip, ..decided.clone() },
        Treatment::Keep | Treatment::Generalize | Treatment::Pseudonymize | Treatment::Strip => decided.clone(),
    };
    Decision { sites: decision.sites.iter().map(of).collect() }
}

/// What a frame of this size takes, and what of it is sealing. Both in turn, so that whatever else the machine does strikes both.
fn apply(matter: &Matter, decision: &Decision, size: &Size) -> Result<Applied, CliError> {
    let mut sealed = Applying::new(matter, decision)?;
    let mut unsealed = Applying::new(matter, &without_sealing(decision))?;
    let all = |view: &mut Applying, space: &mut Space| {
        let refused = |refusal| CliError::found(format!("a frame can't be judged: {refusal}"));
        size.frames.iter().try_for_each(|frame| view.apply(black_box(frame), space).map_err(refused))
    };
    let (mut with, mut without) = (Space::default(), Space::default());
    let [with_us, without_us] = medians_us([&mut || all(&mut sealed, &mut with), &mut || all(&mut unsealed, &mut without)])?;
    let each = |us: f64| us / size.frames.len().max(1) as f64;
    Ok(Applied { bytes: size.bytes(), apply_us: each(with_us), seal_us: each((with_us - without_us).max(0.0)) })
}

/// A view in use.
enum Applying {
    /// Of frames about one subject.
    One(View),
    /// What is around elements, and every element of a message about several.
    Each(View, Every),
}

struct Every(View);

impl Elements for Every {
    fn whose(&mut self, _: Option<crate::veil::view::SubjectValue>) -> Whose<'_> {
        Whose::Of(&mut self.0)
    }
}

impl Applying {
    fn new(matter: &Matter, decision: &Decision) -> Result<Self, CliError> {
        let view = |decision: &Decision| {
            let program = Arc::new(Program::compile(&matter.schema, decision));
            Ok::<_, CliError>(View::new(Arc::clone(&program), bound(matter, &program)?))
        };
        let schema: &Schema = &matter.schema;
        match schema.is_about_several() {
            false => view(decision).map(Self::One),
            true => Ok(Self::Each(view(decision)?, Every(view(&decision.in_elements(schema))?))),
        }
    }

    fn apply(&mut self, frame: &[u8], space: &mut Space) -> Result<(), crate::veil::outcome::Refusal> {
        match self {
            Self::One(view) => view.apply(Raw::new(frame), space).map(|veiled| {
                black_box(veiled.bytes());
            }),
            Self::Each(around, every) => around.apply_each(Raw::new(frame), space, every, true).map(|veiled| {
                black_box(veiled.map(|veiled| veiled.bytes().len()));
            }),
        }
    }
}

/// Keys of the program's view, wrapped for one holder.
fn bound(matter: &Matter, program: &Program) -> Result<Bindings, CliError> {
    let holder = OpenKey::from_seed(&Secret::random(&mut entropy())).map(|key| key.seal_key());
    let source = BindingsSource {
        origin: &matter.origin,
        recipient: matter.recipient.as_str(),
        purpose: &matter.purpose,
        subject_key: Some(&Secret::random(&mut entropy())),
        pseudonym_epoch: 0,
        view: ViewId([0; 16]),
        epoch: 1,
        suite: matter.suite,
        holders: &|_| holder.into_iter().collect(),
    };
    let bindings = Bindings::new(program, &source, &mut entropy());
    bindings.map(|(bindings, _)| bindings).ok_or_else(|| CliError::broken("a view could not be bound"))
}

/// How long something takes, in microseconds: the median of some rounds, each long enough for a clock.
fn median_us(mut work: impl FnMut() -> Result<(), CliError>) -> Result<f64, CliError> {
    medians_us([&mut work]).map(|[median]| median)
}

/// The same of several, round by round.
fn medians_us<const N: usize>(mut works: [&mut dyn FnMut() -> Result<(), CliError>; N]) -> Result<[f64; N], CliError> {
    let mut times = [0; N];
    for (times, work) in times.iter_mut().zip(&mut works) {
        work()?;
        let began = Instant::now();
        work()?;
        let once = began.elapsed().max(Duration::from_nanos(20));
        *times = (LASTS.as_secs_f64() / ROUNDS as f64 / once.as_secs_f64()).clamp(1.0, 1e6) as u32;
    }
    let mut rounds = [[0.0; ROUNDS]; N];
    for round in 0..ROUNDS {
        for ((rounds, work), times) in rounds.iter_mut().zip(&mut works).zip(times) {
            let began = Instant::now();
            for _ in 0..times {
                work()?;
            }
            if let Some(took) = rounds.get_mut(round) {
                *took = began.elapsed().as_secs_f64() * 1e6 / f64::from(times);
            }
        }
    }
    Ok(rounds.map(|mut rounds| {
        rounds.sort_by(f64::total_cmp);
        rounds.get(ROUNDS / 2).copied().unwrap_or_default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_of_what_was_done_and_an_error_ends_it() {
        let mut times = 0;
        let found = median_us(|| {
            times += 1;
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(30) {
                std::hint::spin_loop();
            }
            Ok(())
        });
        assert!(found.expect("done") >= 30_000.0 && times == 2 + ROUNDS, "{times}");
        assert_eq!(median_us(|| Err(CliError::found("no"))), Err(CliError::found("no")));
    }

    #[test]
    fn without_sealing_what_was_sealed_is_stripped_and_all_else_stays() {
        use crate::veil::policy::{Holders, Reason};
        let decided = |treatment| Decided { treatment, holders: Holders::Vault, reason: Reason::Floor };
        let decision = Decision { sites: Treatment::ALL.iter().map(|treatment| decided(*treatment)).collect() };
        let treatments: Vec<_> = without_sealing(&decision).sites.iter().map(|site| site.treatment).collect();
        use Treatment::{Generalize, Keep, Pseudonymize, Strip};
        assert_eq!(treatments, [Keep, Generalize, Pseudonymize, Strip, Strip]);
    }
}
