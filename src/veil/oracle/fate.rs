//! What becomes of a record: a plain look-up in the schema and the decision.

use crate::veil::policy::{Decision, Holders};
use crate::veil::schema::{Content, Field, NodeId, Schema, Select, Site, SiteId};
use crate::veil::terms::{Axis, Generalizer, Treatment};
use crate::veil::wire::LEN;

/// A schema and a decision, and what follows for every message.
#[derive(Debug)]
pub struct Oracle<'s> {
    schema: &'s Schema,
    decision: &'s Decision,
    /// Per node: whether anything at or below it is not stripped.
    open: Vec<bool>,
    slots: Vec<Holders>,
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate<'s> {
    /// Not in the schema, or not with this wire type.
    Unknown,
    /// The key of an element.
    Key,
    /// A field in which everything is stripped.
    Hidden,
    /// A leaf.
    Leaf(SiteId, &'s Site, Treatment),
    /// A message, and whether it is repeated.
    Message(NodeId, bool),
    /// An element, judged by its key.
    Select(&'s Select),
}

impl<'s> Oracle<'s> {
    /// An oracle for a decision about `schema`. A decision of another length strips everything.
    pub fn new(schema: &'s Schema, decision: &'s Decision) -> Self {
        let mut oracle = Self { schema, decision, open: vec![false; schema.nodes().len()], slots: Vec::new() };
        if !oracle.decides() {
            return oracle;
        }
        // Until nothing changes: a message is open if a leaf or a message in it is.
        loop {
            let next: Vec<bool> = schema.nodes().iter().map(|node| node.fields.iter().any(|field| oracle.opens(field))).collect();
            if next == oracle.open {
                break;
            }
            oracle.open = next;
        }
        let sealed_to =
            |holders: &&Holders| decision.sites.iter().any(|site| site.treatment == Treatment::Encrypt && site.holders == **holders);
        oracle.slots = Holders::ALL.iter().filter(sealed_to).copied().collect();
        oracle
    }

    /// The schema.
    pub fn schema(&self) -> &'s Schema {
        self.schema
    }

    /// The decision.
    pub fn decision(&self) -> &'s Decision {
        self.decision
    }

    /// The sets of key holders, in the order of their groups.
    pub fn slots(&self) -> &[Holders] {
        &self.slots
    }

    pub(super) fn decides(&self) -> bool {
        self.decision.sites.len() == self.schema.sites().len()
    }

    pub(super) fn treatment(&self, site: SiteId) -> Treatment {
        self.decision.sites.get(site.0 as usize).map_or(Treatment::Strip, |decided| decided.treatment)
    }

    pub(super) fn holders(&self, site: SiteId) -> Option<Holders> {
        self.decision.sites.get(site.0 as usize).map(|decided| decided.holders)
    }

    pub(super) fn is_open(&self, node: NodeId) -> bool {
        self.open.get(node.0 as usize).copied().unwrap_or(false)
    }

    pub(super) fn field(&self, node: Option<NodeId>, number: u32) -> Option<&'s Field> {
        self.schema.nodes().get(node?.0 as usize)?.fields.iter().find(|field| field.number == number)
    }

    pub(super) fn site(&self, id: SiteId) -> Option<&'s Site> {
        self.schema.sites().get(id.0 as usize)
    }

    fn opens(&self, field: &Field) -> bool {
        match &field.content {
            Content::Leaf(site) => self.treatment(*site) != Treatment::Strip,
            Content::Message(child) => self.is_open(*child),
            Content::Select(select) => select.cases().any(|(_, case)| self.is_open(*case)),
            Content::Discriminator => false,
        }
    }

    /// What becomes of a record with this number and wire type in a message of this node.
    pub(super) fn fate(&self, node: Option<NodeId>, number: u32, wire_type: u8) -> Fate<'s> {
        let Some(field) = self.field(node, number) else { return Fate::Unknown };
        match &field.content {
            Content::Discriminator => Fate::Key,
            Content::Leaf(id) => {
                let Some(site) = self.site(*id) else { return Fate::Unknown };
                let single = site.kind.wire_type() == wire_type;
                let run = site.repeated && site.kind.packable() && wire_type == LEN;
                if single || run { Fate::Leaf(*id, site, self.treatment(*id)) } else { Fate::Unknown }
            }
            Content::Message(_) | Content::Select(_) if wire_type != LEN => Fate::Unknown,
            Content::Message(_) | Content::Select(_) if !self.opens(field) => Fate::Hidden,
            Content::Message(child) => Fate::Message(*child, field.repeated),
            Content::Select(select) => Fate::Select(select),
        }
    }

    /// Both coordinates of a place that is generalized in messages of this node, and the resolution.
    pub(super) fn place(&self, node: NodeId) -> Option<(&'s Site, &'s Site, u8)> {
        let fields = &self.schema.nodes().get(node.0 as usize)?.fields;
        let find = |wanted: Axis| {
            fields.iter().find_map(|field| {
                let Content::Leaf(id) = field.content else { return None };
                let site = self.site(id).filter(|_| self.treatment(id) == Treatment::Generalize)?;
                match site.facts.generalize {
                    Some(Generalizer::Place { resolution, axis }) if axis == wanted => Some((site, resolution)),
                    _ => None,
                }
            })
        };
        let ((latitude, resolution), (longitude, _)) = (find(Axis::Latitude)?, find(Axis::Longitude)?);
        Some((latitude, longitude, resolution))
    }
}
