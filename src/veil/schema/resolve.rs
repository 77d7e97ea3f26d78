//! What is asked of an expanded schema as a whole: pairs of coordinates, roles, and its fingerprint.

use std::collections::HashSet;
use std::ops::Range;

use super::error::{LoadError, LoadFault};
use super::table::{is_identifier_kind, is_integer};
use super::{BEARERS_MAX, Bearer, CaseValue, Content, Field, Kind, Node, NodeId, Reached, Schema, SelectKey, Site, SiteId, SubjectPath};
use crate::veil::crypto::hash::{lp, sha256};
use crate::veil::name::{Fingerprint, SchemaName};
use crate::veil::terms::{Axis, Generalizer, Role, TimeUnit};

/// A site with a role, and where it was found.
pub(super) struct RoleSite {
    pub(super) role: Role,
    pub(super) site: SiteId,
    pub(super) place: String,
    /// Field numbers from the root.
    pub(super) numbers: Vec<u32>,
    /// The nodes from the root to the message it stands in.
    pub(super) nodes: Vec<NodeId>,
    /// Whether it is repeated itself.
    pub(super) repeated: bool,
    /// Whether it stands in an element that is judged by a key.
    pub(super) keyed: bool,
    /// The place in `nodes` of the innermost repeated message around it.
    pub(super) bearer: Option<usize>,
}

/// Checks the whole and closes it.
pub(super) fn finish(
    name: SchemaName,
    nodes: Vec<Node>,
    sites: Vec<Site>,
    linked: &HashSet<NodeId>,
    roles: Vec<RoleSite>,
    reached: Vec<Reached>,
    several: bool,
) -> Result<Schema, LoadError> {
    for node in &nodes {
        check_pair(node, &sites)?;
    }
    let (subject, bearers) = check_roles(&nodes, &sites, linked, roles, several)?;
    let fingerprint = fingerprint(&name, &nodes, &sites, subject.as_ref(), &bearers);
    Ok(Schema { name, fingerprint, nodes, sites, subject, bearers, reached })
}

fn coordinate<'s>(field: &Field, sites: &'s [Site]) -> Option<(SiteId, &'s Site, u8, Axis)> {
    let Content::Leaf(id) = field.content else { return None };
    let site = sites.get(id.0 as usize)?;
    match site.facts.generalize {
        Some(Generalizer::Place { resolution, axis }) => Some((id, site, resolution, axis)),
        _ => None,
    }
}

/// The coordinates of a node: latitude and longitude.
fn pair_of(node: &Node, sites: &[Site]) -> Option<(SiteId, SiteId)> {
    let find = |wanted: Axis| {
        node.fields.iter().filter_map(|field| coordinate(field, sites)).find(|&(_, _, _, axis)| axis == wanted).map(|(id, ..)| id)
    };
    Some((find(Axis::Latitude)?, find(Axis::Longitude)?))
}

/// An H3 cell is made from both coordinates, so a message has both or none, at one resolution.
fn check_pair(node: &Node, sites: &[Site]) -> Result<(), LoadError> {
    let found: Vec<_> = node.fields.iter().filter_map(|field| coordinate(field, sites)).collect();
    match found.as_slice() {
        [] => Ok(()),
        [(_, _, a, axis), (_, _, b, other)] if a == b && axis != other => Ok(()),
        [(_, site, ..), ..] => {
            let detail = "`place` needs exactly one latitude and one longitude in the same message, at the same resolution";
            Err(LoadError::new(LoadFault::Generalize, format!("`{}`, `{}`", node.message, site.path), detail))
        }
    }
}

/// Where the message says whom it is about, or its elements do, where there may be `several`.
fn check_roles(
    nodes: &[Node],
    sites: &[Site],
    linked: &HashSet<NodeId>,
    roles: Vec<RoleSite>,
    several: bool,
) -> Result<(Option<SubjectPath>, Vec<Bearer>), LoadError> {
    let mut subject = None;
    let mut taken: Vec<Role> = Vec::new();
    // With the nodes from the root to each.
    let mut bearers: Vec<(Bearer, Vec<NodeId>)> = Vec::new();
    for found in roles {
        let fault = |detail: String| Err(LoadError::new(LoadFault::Role, found.place.clone(), detail));
        let Some(site) = sites.get(found.site.0 as usize) else { continue };
        let fits = match found.role {
            Role::Subject => is_identifier_kind(site.kind),
            Role::CapturedAt => is_integer(site.kind) || matches!(site.kind, Kind::Timestamp | Kind::Double | Kind::Float),
            Role::Sequence => is_integer(site.kind),
        };
        if !fits {
            return fault(format!("the role `{}` on {}", found.role, site.kind.word()));
        }
        if found.repeated || found.keyed || found.bearer.is_some() && found.role != Role::Subject {
            return fault(format!("the role `{}` in or on a repeated field", found.role));
        }
        if found.bearer.is_some() && !several {
            return fault(format!(
                "the role `{}` in or on a repeated field: only a route with `subject = \"field\"` takes several subjects in one message",
                found.role
            ));
        }
        if found.nodes.iter().any(|node| linked.contains(node)) {
            return fault(format!("the role `{}` in a message that can contain itself", found.role));
        }
        let second = || fault(format!("a second field with the role `{}`, at `{}`", found.role, site.path));
        let Some(&node) = found.bearer.and_then(|at| found.nodes.get(at)) else {
            if taken.contains(&found.role) || found.role == Role::Subject && !bearers.is_empty() {
                return second();
            }
            taken.push(found.role);
            if found.role == Role::Subject {
                subject = Some(SubjectPath { numbers: found.numbers, kind: site.kind, site: found.site });
            }
            continue;
        };
        // Whose an element is, is said once, and not by an element around or inside it.
        let meets = |(bearer, above): &(Bearer, Vec<NodeId>)| found.nodes.contains(&bearer.node) || above.contains(&node);
        if subject.is_some() || bearers.iter().any(meets) {
            return second();
        }
        if bearers.len() >= BEARERS_MAX {
            let detail = format!("more than {BEARERS_MAX} kinds of elements with a subject of their own");
            return Err(LoadError::new(LoadFault::TooLarge, found.place, detail));
        }
        let numbers = found.numbers.get(found.bearer.unwrap_or(0)..).unwrap_or_default().to_vec();
        let path = SubjectPath { numbers, kind: site.kind, site: found.site };
        bearers.push((Bearer { node, subject: path, sites: sites_below(nodes, node) }, found.nodes));
    }
    Ok((subject, bearers.into_iter().map(|(bearer, _)| bearer).collect()))
}

/// The places at and below a node. They were numbered in one go, and nothing else in between.
fn sites_below(nodes: &[Node], node: NodeId) -> Range<u32> {
    let (mut open, mut least, mut end) = (vec![node], u32::MAX, 0);
    while let Some(at) = open.pop() {
        // A node stands before everything below it; a smaller number is a link back to something seen.
        let below = |id: &NodeId| Some(*id).filter(|id| *id > at);
        for field in nodes.get(at.0 as usize).map(|node| &node.fields[..]).unwrap_or_default() {
            match &field.content {
                Content::Leaf(id) => (least, end) = (least.min(id.0), end.max(id.0 + 1)),
                Content::Message(id) => open.extend(below(id)),
                Content::Select(select) => open.extend(select.cases().filter_map(|(_, id)| below(id))),
                Content::Discriminator => {}
            }
        }
    }
    least..end
}

impl Schema {
    /// Latitude and longitude of every place that is generalized.
    pub fn pairs(&self) -> impl Iterator<Item = (SiteId, SiteId)> {
        self.nodes.iter().filter_map(|node| pair_of(node, &self.sites))
    }
}

/// Every part with its length in front, so that no two schemas have the same rendering.
struct Rendering(Vec<u8>);

impl Rendering {
    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend(lp(bytes));
        self.0.extend(bytes);
    }

    fn number(&mut self, number: u64) {
        self.0.extend(number.to_be_bytes());
    }

    fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    fn numbers(&mut self, numbers: &[u32]) {
        self.count(numbers.len());
        numbers.iter().for_each(|number| self.number((*number).into()));
    }

    fn floats(&mut self, floats: &[f64]) {
        self.count(floats.len());
        for float in floats {
            self.number(float.to_bits());
        }
    }

    fn case(&mut self, value: &CaseValue) {
        match value {
            CaseValue::Bytes(bytes) => {
                self.text("bytes");
                self.bytes(bytes);
            }
            CaseValue::Int(number) => {
                self.text("int");
                self.number(number.cast_unsigned());
            }
        }
    }

    fn key(&mut self, key: &SelectKey) {
        self.number(key.by.into());
        self.text(key.kind.word());
        self.count(key.cases.len());
        for (value, node) in &key.cases {
            self.case(value);
            self.number(node.0.into());
        }
    }

    fn content(&mut self, content: &Content) {
        match content {
            Content::Leaf(site) => {
                self.text("leaf");
                self.number(site.0.into());
            }
            Content::Message(node) => {
                self.text("message");
                self.number(node.0.into());
            }
            Content::Select(select) => {
                // One key, as nearly all have, is written without a count.
                match &select.keys[..] {
                    [only] => {
                        self.text("select");
                        self.key(only);
                    }
                    keys => {
                        self.text("select by rank");
                        self.count(keys.len());
                        keys.iter().for_each(|key| self.key(key));
                    }
                }
            }
            Content::Discriminator => self.text("discriminator"),
        }
    }

    fn site(&mut self, site: &Site) {
        self.text(site.path.as_str());
        self.number(site.number.into());
        self.text(site.kind.word());
        self.number(u64::from(site.repeated) | u64::from(site.required) << 1 | u64::from(site.implicit) << 2);
        self.text(site.facts.sensitivity.word());
        self.text(site.facts.category.map_or("", |category| category.word()));
        self.text(site.facts.role.map_or("", |role| role.word()));
        self.text(site.facts.floor.word());
        match &site.facts.generalize {
            None => self.text(""),
            Some(generalizer) => {
                self.text(super::table::Method::of(generalizer).word());
                match generalizer {
                    Generalizer::Step(step) => self.floats(&[*step]),
                    Generalizer::Decimals(decimals) => self.number((*decimals).into()),
                    Generalizer::Buckets(edges) => self.floats(edges),
                    Generalizer::TimeBucket { span_s, unit } => {
                        self.number(span_s.cast_unsigned());
                        self.text(match unit {
                            TimeUnit::Seconds => "s",
                            TimeUnit::Milliseconds => "ms",
                            TimeUnit::Microseconds => "us",
                            TimeUnit::Nanoseconds => "ns",
                        });
                    }
                    Generalizer::PrefixChars(chars) => self.number((*chars).into()),
                    Generalizer::Place { resolution, axis } => {
                        self.number((*resolution).into());
                        self.text(match axis {
                            Axis::Latitude => "latitude",
                            Axis::Longitude => "longitude",
                        });
                    }
                }
            }
        }
    }
}

fn fingerprint(name: &SchemaName, nodes: &[Node], sites: &[Site], subject: Option<&SubjectPath>, bearers: &[Bearer]) -> Fingerprint {
    let mut rendering = Rendering(b"twinveil/schema/v1\0".to_vec());
    rendering.text(name.as_str());
    rendering.count(nodes.len());
    for node in nodes {
        rendering.text(&node.message);
        rendering.text(node.path.as_str());
        rendering.count(node.fields.len());
        for field in &node.fields {
            rendering.number(field.number.into());
            rendering.text(&field.name);
            rendering.text(field.path.as_str());
            rendering.number(field.repeated.into());
            rendering.content(&field.content);
        }
    }
    rendering.count(sites.len());
    for site in sites {
        rendering.site(site);
    }
    rendering.numbers(subject.map_or(&[][..], |subject| &subject.numbers));
    for bearer in bearers {
        rendering.number(bearer.node.0.into());
        rendering.numbers(&bearer.subject.numbers);
    }
    Fingerprint(sha256(&[&rendering.0]))
}
