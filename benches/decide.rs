//! What does a view cost to make: deciding every field and compiling, with the operator's floor table at hand; and the floor
//! table itself, which is made once per schema, recipient and purpose.
//!
//! `cargo bench --bench decide`

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use twinveil::proto::SAMPLES;
use twinveil::veil::consent::deciding::{Deciding, DecidingRule};
use twinveil::veil::consent::rule::{Effect, Rule};
use twinveil::veil::name::{RecordId, Spiffe};
use twinveil::veil::policy::decide;
use twinveil::veil::policy::floor::Policy;
use twinveil::veil::schema::load;
use twinveil::veil::terms::{self, Category, Treatment};
use twinveil::veil::view::Program;

const POLICY: &str = r#"
@id("clinical")
permit (principal in Group::"clinical", action == Action::"keep", resource)
when { context.purpose == Purpose::"dpv:ServiceProvision" && !(resource in Sensitivity::"identifying") };
@id("identifiers")
permit (principal in Group::"clinical", action == Action::"pseudonymize", resource)
when { resource in Sensitivity::"identifying" };
"#;

fn views(c: &mut Criterion) {
    let schema = load(SAMPLES, "twinveil.sample.PatientFrame", None).expect("our own sample");
    let recipient = Spiffe::parse("spiffe://example.org/clinician").expect("an id");
    let purpose = terms::purpose("dpv:ServiceProvision").expect("a DPV term");
    let policy = Policy::load(POLICY, &[(recipient.clone(), vec!["clinical".to_owned()])]).expect("a policy");
    let floors = policy.floors(&schema, &recipient, &purpose, "EU").expect("floors");
    let permit = |category| Rule {
        effect: Effect::Permit,
        category: Some(category),
        sensitivity: None,
        selector: None,
        treatment: Treatment::Keep,
        recipient_holds_key: false,
    };
    let rules = [permit(Category::Health), permit(Category::Biometric), permit(Category::Identity), permit(Category::Device)];
    let deciding = Deciding {
        rules: (0u32..).zip(&rules).map(|(index, rule)| DecidingRule { record: RecordId([7; 32]), index, rule }).collect(),
        ..Deciding::default()
    };
    c.bench_function("decide", |b| b.iter(|| black_box(decide(&schema, &floors, Some(black_box(&deciding)), None))));
    c.bench_function("decide and compile", |b| {
        b.iter(|| black_box(Program::compile(&schema, &decide(&schema, &floors, Some(black_box(&deciding)), None))));
    });
    c.bench_function("floor table", |b| b.iter(|| black_box(policy.floors(&schema, &recipient, &purpose, "EU").expect("floors"))));
}

criterion_group!(benches, views);
criterion_main!(benches);
