//! A decision compiled to tables: for every message node, what to do with each tag.

use std::cmp::Ordering;

use crate::veil::name::{FieldPath, Fingerprint};
use crate::veil::policy::{Decided, Decision, Holders};
use crate::veil::schema::{Bearer, CaseValue, Content, Field, Node, NodeId, Schema, Select, SelectKey, Site, SiteId, SubjectPath};
use crate::veil::terms::{Axis, Generalizer, Kind, Role, Treatment};
use crate::veil::wire::LEN;

/// What a view does, without anything about one subject: shared by all whose decision is the same.
#[derive(Debug)]
pub struct Program {
    pub(super) nodes: Vec<NodeTable>,
    pub(super) generalizers: Vec<Generalized>,
    pub(super) pseudonyms: Vec<Pseudonymized>,
    pub(super) slots: Vec<Holders>,
    /// Elements that go through the view of whom they are about.
    pub(super) bearers: Vec<Bearer>,
    pub(super) fingerprint: Fingerprint,
}

/// What is done with each tag of a message.
#[derive(Debug)]
pub(super) struct NodeTable {
    /// By the tag byte, for field numbers 1 to 15.
    pub(super) dense: Box<[Op; 128]>,
    /// For the others: ascending by tag.
    sparse: Box<[(u32, Op)]>,
    pub(super) descents: Box<[Descent]>,
    pub(super) selects: Box<[SelectTable]>,
    /// The pair of coordinates that is generalized as one.
    pub(super) place: Option<PlacePair>,
}

impl NodeTable {
    #[inline]
    pub(super) fn sparse(&self, tag: u64) -> Op {
        match u32::try_from(tag).map(|tag| self.sparse.binary_search_by_key(&tag, |entry| entry.0)) {
            Ok(Ok(at)) => self.sparse.get(at).map_or(Op::UNKNOWN, |entry| entry.1),
            _ => Op::UNKNOWN,
        }
    }
}

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Op {
    pub(super) class: Class,
    pub(super) code: Code,
    /// Which generalizer, pseudonym, descent, select or slot.
    pub(super) arg: u16,
}

impl Op {
    /// Not in the schema, or not with this wire type.
    pub(super) const UNKNOWN: Self = Self { class: Class::Drop, code: Code::Drop, arg: 0 };

    pub(super) const fn new(code: Code, arg: u16) -> Self {
        let class = match code {
            Code::Drop => Class::Drop,
            Code::Keep => Class::Keep,
            Code::KeepPacked => Class::KeepPacked,
            _ => Class::Special,
        };
        Self { class, code, arg }
    }
}

/// What the hot loop asks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Class {
    /// Left out.
    Drop,
    /// Copied as it stands.
    Keep,
    /// Copied as it stands if every varint in it is minimal.
    KeepPacked,
    /// Anything else.
    Special,
    /// Says whom the frame is about; then as its code says.
    Subject,
}

/// What an instruction does. It belongs to a whole tag: the same field with another wire type is [`Op::UNKNOWN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Code {
    Drop,
    Keep,
    /// A run of packed varints: kept, each made minimal.
    KeepPacked,
    /// Into a message, field by field.
    Descend,
    /// Into an element that goes through the view of whom it is about.
    Bear,
    /// Into an element chosen by the value of a key.
    Select,
    /// A number, single or in a packed run.
    GeneralizeNumber,
    GeneralizeText,
    GeneralizeTimestamp,
    PlaceLatitude,
    PlaceLongitude,
    Pseudonymize,
    Seal,
}

/// A message field that is walked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descent {
    pub(super) node: u32,
    pub(super) number: u32,
    pub(super) repeated: bool,
}

#[derive(Debug)]
pub(super) struct SelectTable {
    /// By rank, at most [`KEYS_MAX`](crate::veil::schema::KEYS_MAX).
    pub(super) keys: Box<[KeyTable]>,
    /// The place among the node's elements that are counted.
    pub(super) descent: u16,
}

/// One of the fields that choose the case.
#[derive(Debug)]
pub(super) struct KeyTable {
    pub(super) by: u32,
    pub(super) kind: Kind,
    /// Ascending by value.
    cases: Box<[(CaseValue, u32)]>,
}

impl KeyTable {
    /// The node of the case with this value. Few cases are compared one after the other, many are searched.
    #[inline]
    pub(super) fn case(&self, value: Key<'_>) -> Option<u32> {
        if self.cases.len() <= 8 {
            return self.cases.iter().find(|(case, _)| value.compare(case).is_eq()).map(|(_, node)| *node);
        }
        let at = self.cases.binary_search_by(|(case, _)| value.compare(case).reverse()).ok()?;
        self.cases.get(at).map(|(_, node)| *node)
    }
}

/// The value of a discriminating field, where it lies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Key<'a> {
    /// Strings and bytes.
    Bytes(&'a [u8]),
    /// Integers: the value in the form of [`CaseValue::Int`], and as it stands on the wire.
    Int(i64, u64),
}

impl Key<'_> {
    fn compare(self, case: &CaseValue) -> Ordering {
        match (self, case) {
            (Key::Bytes(value), CaseValue::Bytes(case)) => value.cmp(case),
            (Key::Int(value, _), CaseValue::Int(case)) => value.cmp(case),
            (Key::Bytes(_), CaseValue::Int(_)) => Ordering::Less,
            (Key::Int(..), CaseValue::Bytes(_)) => Ordering::Greater,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct PlacePair {
    pub(super) resolution: u8,
    pub(super) latitude: (u32, Kind),
    pub(super) longitude: (u32, Kind),
}

/// A generalized site: how, and what stands on the wire.
#[derive(Debug)]
pub(super) struct Generalized {
    pub(super) how: Generalizer,
    pub(super) kind: Kind,
    /// An image that is zero is left out, as the value itself would be.
    pub(super) implicit: bool,
}

/// A pseudonymized site.
#[derive(Debug)]
pub(super) struct Pseudonymized {
    pub(super) path: FieldPath,
    pub(super) kind: Kind,
    pub(super) sequence: bool,
}

impl Program {
    /// Compiles a decision about the sites of `schema`. A decision of another length strips everything.
    pub fn compile(schema: &Schema, decision: &Decision) -> Self {
        let slots = Holders::ALL
            .iter()
            .copied()
            .filter(|holders| {
                let seals = |site: &Decided| site.treatment == Treatment::Encrypt && site.holders == *holders;
                (0u32..).zip(&decision.sites).any(|(id, site)| seals(site) && !schema.is_in_element(SiteId(id)))
            })
            .collect();
        let alive = alive(schema, decision);
        let mut compiler = Compiler { schema, decision, alive, generalizers: Vec::new(), pseudonyms: Vec::new(), slots };
        let mut nodes: Vec<NodeTable> = schema.nodes().iter().map(|node| compiler.node(node)).collect();
        if let (Some(tag), Some(root)) = (schema.subject().and_then(short_text), nodes.first_mut())
            && let Some(op) = root.dense.get_mut(usize::from(tag))
        {
            op.class = Class::Subject;
        }
        if decision.sites.len() != schema.sites().len() {
            nodes.clear();
            compiler.slots.clear();
        }
        Self {
            nodes,
            generalizers: compiler.generalizers,
            pseudonyms: compiler.pseudonyms,
            slots: compiler.slots,
            bearers: schema.bearers().to_vec(),
            fingerprint: schema.fingerprint(),
        }
    }

    /// The sets of key holders, one a slot, in the order of their numbers.
    pub fn slots(&self) -> &[Holders] {
        &self.slots
    }

    /// The schema that it was compiled for.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

/// The tag of a subject that is a text or bytes at the top of the frame, if it is of one byte.
fn short_text(path: &SubjectPath) -> Option<u8> {
    match (&path.numbers[..], path.kind) {
        ([number @ ..16], Kind::String | Kind::Bytes) => Some((*number as u8) << 3 | LEN),
        _ => None,
    }
}

struct Compiler<'s> {
    schema: &'s Schema,
    decision: &'s Decision,
    /// Nodes at or below which anything is not stripped; the others are skipped by their length, unseen.
    alive: Vec<bool>,
    generalizers: Vec<Generalized>,
    pseudonyms: Vec<Pseudonymized>,
    slots: Vec<Holders>,
}

impl<'s> Compiler<'s> {
    fn node(&mut self, node: &'s Node) -> NodeTable {
        let mut table = Tables::default();
        let mut place: [Option<(u32, Kind, u8)>; 2] = [None, None];
        for field in &node.fields {
            match &field.content {
                Content::Leaf(site) => self.leaf(&mut table, field, *site, &mut place),
                Content::Message(child) => self.descend(&mut table, field, *child),
                Content::Select(select) => self.select(&mut table, field, select),
                // The walk writes it itself, in front of the element.
                Content::Discriminator => {}
            }
        }
        let place = match place {
            [Some((latitude, lat_kind, resolution)), Some((longitude, lng_kind, _))] => {
                Some(PlacePair { resolution, latitude: (latitude, lat_kind), longitude: (longitude, lng_kind) })
            }
            _ => None,
        };
        table.sparse.sort_by_key(|entry| entry.0);
        NodeTable { dense: table.dense, sparse: table.sparse.into(), descents: table.descents.into(), selects: table.selects.into(), place }
    }

    fn leaf(&mut self, table: &mut Tables, field: &Field, id: SiteId, place: &mut [Option<(u32, Kind, u8)>; 2]) {
        let Some(site) = self.schema.sites().get(id.0 as usize) else { return };
        let decided = self.decision.sites.get(id.0 as usize);
        let treatment = decided.map_or(Treatment::Strip, |decided| decided.treatment);
        let single = u32::from(site.kind.wire_type());
        let tag = field.number << 3 | single;
        let packed = (site.repeated && site.kind.packable()).then_some(field.number << 3 | u32::from(LEN));
        let op = match treatment {
            Treatment::Strip => None,
            Treatment::Keep => {
                table.set(tag, Op::new(Code::Keep, 0));
                if let Some(packed) = packed {
                    let code = if single == 0 { Code::KeepPacked } else { Code::Keep };
                    table.set(packed, Op::new(code, 0));
                }
                return;
            }
            Treatment::Generalize => self.generalize(site, field.number, place),
            Treatment::Pseudonymize => self.pseudonymize(site),
            // A sealed group is the message's: what is about one of several subjects has no place in it.
            Treatment::Encrypt => decided.filter(|_| !self.schema.is_in_element(id)).and_then(|decided| self.seal(decided)),
        };
        // What is not in the table is left out, whatever its wire type.
        if let Some(op) = op {
            table.set(tag, op);
            if let Some(packed) = packed {
                table.set(packed, op);
            }
        }
    }

    fn generalize(&mut self, site: &Site, number: u32, place: &mut [Option<(u32, Kind, u8)>; 2]) -> Option<Op> {
        let how = site.facts.generalize.as_ref()?;
        if let Generalizer::Place { resolution, axis } = how {
            let (at, code) = match axis {
                Axis::Latitude => (0, Code::PlaceLatitude),
                Axis::Longitude => (1, Code::PlaceLongitude),
            };
            place[at] = Some((number, site.kind, *resolution));
            return Some(Op::new(code, 0));
        }
        let arg = u16::try_from(self.generalizers.len()).ok()?;
        let code = match site.kind {
            Kind::String => Code::GeneralizeText,
            Kind::Timestamp => Code::GeneralizeTimestamp,
            Kind::Bool | Kind::Enum | Kind::Bytes | Kind::Message | Kind::Map | Kind::Group => return None,
            _ => Code::GeneralizeNumber,
        };
        self.generalizers.push(Generalized { how: how.clone(), kind: site.kind, implicit: site.implicit });
        Some(Op::new(code, arg))
    }

    fn pseudonymize(&mut self, site: &Site) -> Option<Op> {
        let arg = u16::try_from(self.pseudonyms.len()).ok()?;
        self.pseudonyms.push(Pseudonymized { path: site.path.clone(), kind: site.kind, sequence: site.facts.role == Some(Role::Sequence) });
        Some(Op::new(Code::Pseudonymize, arg))
    }

    fn seal(&self, decided: &Decided) -> Option<Op> {
        let slot = self.slots.iter().position(|holders| *holders == decided.holders)?;
        Some(Op::new(Code::Seal, u16::try_from(slot).ok()?))
    }

    fn descend(&mut self, table: &mut Tables, field: &Field, child: NodeId) {
        let tag = field.number << 3 | u32::from(LEN);
        if let Ok(arg) = u16::try_from(table.descents.len())
            && self.is_alive(child)
        {
            table.descents.push(Descent { node: child.0, number: field.number, repeated: field.repeated });
            let bears = self.schema.bearers().iter().any(|bearer| bearer.node == child);
            table.set(tag, Op::new(if bears { Code::Bear } else { Code::Descend }, arg));
        }
    }

    fn select(&mut self, table: &mut Tables, field: &Field, select: &Select) {
        // A key stays also where nothing of its cases does: present, it decides that the element is left out.
        let keys: Box<[KeyTable]> = select.keys.iter().map(|key| self.key(key)).collect();
        let (Ok(arg), Ok(descent)) = (u16::try_from(table.selects.len()), u16::try_from(table.descents.len())) else { return };
        if keys.iter().all(|key| key.cases.is_empty()) {
            return;
        }
        table.descents.push(Descent { node: 0, number: field.number, repeated: true });
        table.selects.push(SelectTable { keys, descent });
        table.set(field.number << 3 | u32::from(LEN), Op::new(Code::Select, arg));
    }

    fn key(&self, key: &SelectKey) -> KeyTable {
        let alive = key.cases.iter().filter(|(_, node)| self.is_alive(*node));
        let mut cases: Vec<(CaseValue, u32)> = alive.map(|(value, node)| (value.clone(), node.0)).collect();
        cases.sort();
        KeyTable { by: key.by, kind: key.kind, cases: cases.into() }
    }

    fn is_alive(&self, node: NodeId) -> bool {
        self.alive.get(node.0 as usize).copied().unwrap_or(false)
    }
}

/// Marks every node that has a site which is not stripped, and every node above such a one.
fn alive(schema: &Schema, decision: &Decision) -> Vec<bool> {
    let mut above: Vec<Vec<u32>> = vec![Vec::new(); schema.nodes().len()];
    // What an element shows, the view of its subject knows.
    let mut open: Vec<u32> = schema.bearers().iter().map(|bearer| bearer.node.0).collect();
    for (id, node) in (0u32..).zip(schema.nodes()) {
        let mut link = |child: &NodeId| {
            if let Some(parents) = above.get_mut(child.0 as usize) {
                parents.push(id);
            }
        };
        let mut shows = false;
        for field in &node.fields {
            match &field.content {
                Content::Leaf(site) => {
                    shows |= decision.sites.get(site.0 as usize).is_some_and(|decided| decided.treatment != Treatment::Strip);
                }
                Content::Message(child) => link(child),
                Content::Select(select) => select.cases().for_each(|(_, child)| link(child)),
                Content::Discriminator => {}
            }
        }
        if shows {
            open.push(id);
        }
    }
    let mut alive = vec![false; schema.nodes().len()];
    while let Some(id) = open.pop() {
        let Some(mark) = alive.get_mut(id as usize).filter(|mark| !**mark) else { continue };
        *mark = true;
        open.extend(above.get(id as usize).into_iter().flatten());
    }
    alive
}

struct Tables {
    dense: Box<[Op; 128]>,
    sparse: Vec<(u32, Op)>,
    descents: Vec<Descent>,
    selects: Vec<SelectTable>,
}

impl Default for Tables {
    fn default() -> Self {
        Self { dense: Box::new([Op::UNKNOWN; 128]), sparse: Vec::new(), descents: Vec::new(), selects: Vec::new() }
    }
}

impl Tables {
    fn set(&mut self, tag: u32, op: Op) {
        match self.dense.get_mut(tag as usize) {
            Some(entry) => *entry = op,
            None => self.sparse.push((tag, op)),
        }
    }
}
