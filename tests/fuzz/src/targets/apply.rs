//! The walk of a view. The input says which schema, which floors and which frame; then it must hold that nothing comes out of
//! what is refused, that what comes out has only what was decided, and that nothing that is stripped makes any difference.
//!
//! Input: schema, flags (1 the person's health data sealed to the recipient, 2 the asset's, 4 nobody consented, 128 groups are
//! opened), floors with their length in front (a byte a site, over again), then the frame.

use std::sync::Arc;

use twinveil::veil::consent::deciding::{Deciding, DecidingRule};
use twinveil::veil::consent::rule::{Effect, Rule};
use twinveil::veil::crypto::seal::Suite;
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::crypto::wrap::OpenKey;
use twinveil::veil::name::{Origin, RecordId, SealKey, ViewId};
use twinveil::veil::policy::{Decision, Floor, FloorTable, decide};
use twinveil::veil::schema::{ANNOUNCEMENT_FIELD, Content, NodeId, SEALED_FIELD, Schema, SiteId};
use twinveil::veil::terms::{Category, Sensitivity, Treatment, purpose};
use twinveil::veil::transform::fragment::{merge, split};
use twinveil::veil::transform::group::{Announced, Epoch};
use twinveil::veil::view::{Bindings, BindingsSource, Program, Raw, Space, View};
use twinveil::veil::wire::{LEN, Reader, Record, Value, push_len_prefixed};

use super::{Input, Steps, shapes, wire};

const SEALED_TO_RECIPIENT: u8 = 1;
const ASSET_SEALED_TO_RECIPIENT: u8 = 2;
const NOBODY_CONSENTED: u8 = 4;
const OPENED: u8 = 128;

pub(super) fn run(data: &[u8]) {
    let mut input = Input(data);
    let schemas = shapes::schemas();
    let schema = &schemas[usize::from(input.byte()) % schemas.len()];
    let flags = input.byte();
    let decision = decided(schema, flags, input.piece());
    let frame = input.rest();
    if let Some(Ok(subject)) = schema.subject().map(|path| Raw::new(frame).subject(path)) {
        assert!(!subject.as_bytes().is_empty());
    }
    let program = Arc::new(Program::compile(schema, &decision));
    let mut space = Space::default();
    let seen = apply(&program, frame, &mut space);
    // Whatever was left in the space by a frame, judged or refused, the next one doesn't show it.
    assert_eq!(apply(&program, frame, &mut space), seen);
    let Ok(seen) = seen else {
        let nothing = apply(&program, b"", &mut space).expect("an empty frame is legal");
        assert_eq!(Some(nothing), apply(&program, b"", &mut Space::default()).ok());
        return;
    };
    let (clear, groups) = split(&seen, SEALED_FIELD, ANNOUNCEMENT_FIELD).expect("what comes out is legal");
    assert_eq!(groups.len(), program.slots().len(), "a group a slot, whatever is in it");
    if !decision.visible() {
        assert!(seen.is_empty(), "everything is stripped, and something came out");
    }
    let shown = |treatment| !matches!(treatment, Treatment::Encrypt | Treatment::Strip);
    check(&Look { schema, decision: &decision, shown: &shown, short: true }, NodeId(0), &clear);
    once(&decision, &program, &clear);
    let mut other = Vec::new();
    scramble(schema, &decision, NodeId(0), frame, &mut other).expect("it was read before");
    assert_eq!(apply(&program, &other, &mut space).as_ref(), Ok(&seen), "what is stripped made a difference");
    if flags & OPENED != 0 {
        open(schema, &decision, &program, frame);
    }
}

/// As [`decide`] has it, from floors by the operator and consents to everything.
fn decided(schema: &Schema, flags: u8, floors: &[u8]) -> Decision {
    let rule = |sensitivity, treatment, recipient_holds_key| Rule {
        effect: Effect::Permit,
        category: None,
        sensitivity: Some(sensitivity),
        selector: None,
        treatment,
        recipient_holds_key,
    };
    let person = Sensitivity::ALL.iter().map(|sensitivity| rule(*sensitivity, Treatment::Keep, false));
    let health = Rule { category: Some(Category::Health), ..rule(Sensitivity::Special, Treatment::Encrypt, true) };
    let person: Vec<Rule> = person.chain((flags & SEALED_TO_RECIPIENT != 0).then_some(health)).collect();
    let sealed = flags & ASSET_SEALED_TO_RECIPIENT != 0;
    let operator = [rule(Sensitivity::Operational, if sealed { Treatment::Encrypt } else { Treatment::Keep }, sealed)];
    let floors = (0..schema.sites().len()).map(|site| {
        let byte = if floors.is_empty() { 0 } else { floors[site % floors.len()] };
        Floor { treatment: Treatment::ALL[usize::from(byte) % Treatment::ALL.len()], policy: None }
    });
    // An asset's operator is asked where no person speaks about the asset.
    let person = match flags & (NOBODY_CONSENTED | ASSET_SEALED_TO_RECIPIENT) {
        0 => Some(deciding(&person)),
        _ if flags & NOBODY_CONSENTED != 0 => None,
        _ => Some(deciding(&person[2..])),
    };
    decide(schema, &FloorTable(floors.collect()), person.as_ref(), Some(&deciding(&operator)))
}

fn deciding(rules: &[Rule]) -> Deciding<'_> {
    // Any key will do: whether there is one decides, not which.
    let key = Some(SealKey([9; 32]));
    let rules = (0u32..).zip(rules).map(|(index, rule)| DecidingRule { record: RecordId([7; 32]), index, rule });
    Deciding { rules: rules.collect(), recipient_key: key, vault_key: key, ..Deciding::default() }
}

fn bindings(program: &Program, holders: &[SealKey]) -> (Bindings, Vec<(Epoch, Announced)>) {
    let source = BindingsSource {
        origin: &Origin::new("gateway.example.org/fuzz"),
        recipient: "spiffe://example.org/recipient",
        purpose: &purpose("dpv:ServiceProvision").expect("a DPV term"),
        subject_key: Some(&Secret::take(&mut [3; 32])),
        pseudonym_epoch: 0,
        view: ViewId([1; 16]),
        epoch: 1,
        suite: Suite::ChaCha20Poly1305,
        holders: &|_| holders.to_vec(),
    };
    Bindings::new(program, &source, &mut Steps(1)).expect("good keys")
}

/// A fresh view, the same every time.
pub(super) fn view(program: &Arc<Program>, holders: &[SealKey]) -> View {
    View::new(Arc::clone(program), bindings(program, holders).0)
}

fn apply(program: &Arc<Program>, frame: &[u8], space: &mut Space) -> Result<Vec<u8>, twinveil::veil::outcome::Refusal> {
    view(program, &[]).apply(Raw::new(frame), space).map(|veiled| veiled.bytes().to_vec())
}

/// What was made coarser is its own image, and what was kept stays: a second view changes nothing.
fn once(decision: &Decision, program: &Arc<Program>, clear: &[u8]) {
    if decision.sites.iter().any(|site| site.treatment == Treatment::Pseudonymize) {
        return;
    }
    let again = apply(program, clear, &mut Space::default()).expect("what comes out is legal");
    let (again, _) = split(&again, SEALED_FIELD, ANNOUNCEMENT_FIELD).expect("what comes out is legal");
    assert_eq!(again, clear, "seen twice is not seen once");
}

/// What may be in a message.
struct Look<'a> {
    schema: &'a Schema,
    decision: &'a Decision,
    shown: &'a dyn Fn(Treatment) -> bool,
    /// Whether everything is written as short as it can be.
    short: bool,
}

impl Look<'_> {
    fn treatment(&self, site: SiteId) -> Treatment {
        self.decision.sites[site.0 as usize].treatment
    }
}

/// Every record is of a field of the schema, in a form of its type, and decided to be shown; no message is empty.
fn check(look: &Look<'_>, node: NodeId, message: &[u8]) {
    let fields = &look.schema.nodes()[node.0 as usize].fields;
    let mut reader = Reader::new(message);
    let mut begin = 0;
    while let Some(record) = reader.next() {
        let record = record.expect("what comes out is legal");
        let whole = &message[begin..reader.position()];
        begin = reader.position();
        assert!(!look.short || matches!(record.value, Value::Group(_)) || wire::canonical(&record) == whole, "written too long: {whole:?}");
        let field = fields.iter().find(|field| field.number == record.number).expect("a field of the schema");
        match (&field.content, record.value) {
            (Content::Leaf(site), value) => {
                let treatment = look.treatment(*site);
                let site = &look.schema.sites()[site.0 as usize];
                let own = wire_type(value);
                let packed = own == LEN && site.repeated && site.kind.packable();
                assert!((look.shown)(treatment), "`{}` is there, and decided was `{treatment}`", site.path);
                assert!(own == site.kind.wire_type() || packed, "`{}` in another type", site.path);
            }
            (Content::Message(inner), Value::Len(value)) => {
                assert!(!value.is_empty(), "`{}` is there with nothing in it", field.path);
                check(look, *inner, value);
            }
            (Content::Select(select), Value::Len(value)) => {
                let key = Reader::new(value).next().expect("a key").expect("legal");
                let by = select.keys.iter().find(|by| by.by == key.number).expect("the key comes first");
                let inner = by.cases.iter().map(|(_, node)| *node);
                assert!(Reader::new(value).count() > 1, "`{}` is there with its key alone", field.path);
                // Cases hold the same fields; which of them are shown is up to the case.
                let fits = |node: &NodeId| {
                    let fields = &look.schema.nodes()[node.0 as usize].fields;
                    Reader::new(value).flatten().all(|record| {
                        fields.iter().find(|field| field.number == record.number).is_some_and(|field| match field.content {
                            Content::Leaf(site) => (look.shown)(look.treatment(site)),
                            Content::Message(_) | Content::Select(_) | Content::Discriminator => true,
                        })
                    })
                };
                assert!(inner.into_iter().any(|node| fits(&node)), "`{}` fits no case", field.path);
            }
            (Content::Discriminator, _) => {}
            (Content::Message(_) | Content::Select(_), _) => panic!("`{}` in another type", field.path),
        }
    }
}

fn wire_type(value: Value<'_>) -> u8 {
    match value {
        Value::Varint(_) => 0,
        Value::Fixed64(_) => 1,
        Value::Len(_) => LEN,
        Value::Group(_) => 3,
        Value::Fixed32(_) => 5,
    }
}

/// The frame with everything changed that nobody may see, and something unknown behind.
fn scramble(schema: &Schema, decision: &Decision, node: NodeId, message: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let fields = &schema.nodes()[node.0 as usize].fields;
    let mut reader = Reader::new(message);
    let mut begin = 0;
    while let Some(record) = reader.next() {
        let record = record.ok()?;
        let whole = &message[begin..reader.position()];
        begin = reader.position();
        let field = fields.iter().find(|field| field.number == record.number);
        match (field.map(|field| &field.content), record.value) {
            (Some(Content::Leaf(id)), value) => {
                let (site, own) = (&schema.sites()[id.0 as usize], wire_type(value));
                let fits = own == site.kind.wire_type() || own == LEN && site.repeated && site.kind.packable();
                let stripped = decision.sites[id.0 as usize].treatment == Treatment::Strip;
                if fits && !stripped { out.extend_from_slice(whole) } else { change(&record, out) }
            }
            (Some(Content::Message(inner)), Value::Len(value)) if alive(schema, decision, *inner, &mut Vec::new()) => {
                let mut changed = Vec::new();
                scramble(schema, decision, *inner, value, &mut changed)?;
                push_len_prefixed(out, record.number, &changed);
            }
            (Some(Content::Select(_)), Value::Len(_)) | (Some(Content::Discriminator), _) => out.extend_from_slice(whole),
            (Some(Content::Message(_) | Content::Select(_)) | None, _) => change(&record, out),
        }
    }
    push_len_prefixed(out, 1_999, b"\xffunknown");
    Some(())
}

/// Another value of the same type, or none.
fn change(record: &Record<'_>, out: &mut Vec<u8>) {
    let value = match record.value {
        Value::Varint(value) => Value::Varint(!value),
        Value::Fixed64(value) => Value::Fixed64(!value),
        Value::Fixed32(value) => Value::Fixed32(!value),
        Value::Len(value) => Value::Len(&[0xff; 17][..(value.len() * 2 + 3) % 17]),
        Value::Group(_) => return,
    };
    out.extend(wire::canonical(&Record { value, ..*record }));
}

/// Whether anything at or below a node is not stripped.
fn alive(schema: &Schema, decision: &Decision, node: NodeId, above: &mut Vec<NodeId>) -> bool {
    if above.contains(&node) {
        return false;
    }
    above.push(node);
    schema.nodes()[node.0 as usize].fields.iter().any(|field| match &field.content {
        Content::Leaf(site) => decision.sites[site.0 as usize].treatment != Treatment::Strip,
        Content::Message(inner) => alive(schema, decision, *inner, above),
        Content::Select(select) => select.cases().any(|(_, inner)| alive(schema, decision, *inner, above)),
        Content::Discriminator => false,
    })
}

/// Whoever holds the key gets back what was sealed and nothing that was stripped.
fn open(schema: &Schema, decision: &Decision, program: &Arc<Program>, frame: &[u8]) {
    let holder = OpenKey::from_seed(&Secret::take(&mut [5; 32])).expect("a key");
    let (bindings, announced) = bindings(program, &[holder.seal_key()]);
    let mut space = Space::default();
    let mut view = View::new(Arc::clone(program), bindings);
    let seen = view.apply(Raw::new(frame), &mut space).expect("it was legal before");
    let (clear, groups) = split(seen.bytes(), SEALED_FIELD, ANNOUNCEMENT_FIELD).expect("what comes out is legal");
    let mut fragments = Vec::new();
    for ((epoch, announced), group) in announced.iter().zip(&groups) {
        let mut opener = epoch.open(announced, &holder).expect("sealed for this key");
        fragments.extend(opener.open(group, &clear).expect("sealed for this frame"));
    }
    let whole = merge(&clear, &fragments).expect("every fragment has its place");
    let shown = |treatment| treatment != Treatment::Strip;
    check(&Look { schema, decision, shown: &shown, short: false }, NodeId(0), &whole);
}
