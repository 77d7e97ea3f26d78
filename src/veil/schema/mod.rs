//! Step 2: what is this field? A schema is a tree of message types from the root of a frame, every leaf of which is a
//! *site*: a place that is judged, with its sensitivity, category, role, floor and generalization.
//!
//! Types are expanded by path, so that `home.position` and `work.position` are judged apart; a type that contains itself
//! links back to its nearest occurrence above.

pub mod changes;
pub mod check;
mod declared;
mod descriptor;
mod error;
mod facts;
mod features;
mod load;
mod methods;
mod resolve;
mod rules;
pub mod selector;
pub mod sidefile;
pub mod suggest;
pub mod table;
#[cfg(test)]
pub(in crate::veil) mod tests;

use std::ops::Range;
use std::sync::Arc;

pub use error::{LoadError, LoadFault};
pub(in crate::veil) use error::{did_you_mean, faults};
pub use load::{DEPTH_MAX, load, load_annotated, load_for_calls};
pub use methods::{Method, methods};

use super::name::{FieldPath, Fingerprint, SchemaName};
pub use super::terms::Kind;
use super::terms::{Category, Generalizer, Role, Sensitivity, Treatment};

/// Field numbers that the gateway keeps for itself: 18000 sealed groups, 18001 announcements in band.
pub const SEALED_FIELD: u32 = 18_000;
/// See [`SEALED_FIELD`].
pub const ANNOUNCEMENT_FIELD: u32 = 18_001;
/// The most message nodes a schema may expand to.
pub const NODES_MAX: usize = 16_384;
/// The most keys by which the elements of one field are judged.
pub const KEYS_MAX: usize = 4;
/// The most kinds of elements that are about somebody each.
pub const BEARERS_MAX: usize = 256;
/// The most sites a schema may have.
pub const SITES_MAX: usize = 65_536;

/// A message type that the gateway can judge.
#[derive(Debug)]
pub struct Schema {
    name: SchemaName,
    fingerprint: Fingerprint,
    nodes: Vec<Node>,
    sites: Vec<Site>,
    subject: Option<SubjectPath>,
    bearers: Vec<Bearer>,
    reached: Vec<Reached>,
}

/// A message type that frames can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The full name.
    pub message: Arc<str>,
    /// Number and name of its fields, ascending.
    pub fields: Vec<(u32, Arc<str>)>,
    /// Whether it stands in something that is judged as one, where its fields share one fate.
    pub as_one: bool,
}

/// The position of a node in its schema; the root is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// The position of a site in its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(pub u32);

/// One occurrence of a message type.
#[derive(Debug)]
pub struct Node {
    /// The full name of the type.
    pub message: Arc<str>,
    /// The path from the root; empty for the root.
    pub path: FieldPath,
    /// The fields, ascending by number.
    pub fields: Vec<Field>,
}

/// A field of a message node.
#[derive(Debug)]
pub struct Field {
    /// The field number.
    pub number: u32,
    /// The name in the schema.
    pub name: Arc<str>,
    /// The path from the root.
    pub path: FieldPath,
    /// Repeated fields take packed and unpacked forms.
    pub repeated: bool,
    /// What it holds.
    pub content: Content,
}

/// What a field holds.
#[derive(Debug)]
pub enum Content {
    /// Judged as one.
    Leaf(SiteId),
    /// A message (repeated or not) whose fields are judged one by one. Never a group.
    Message(NodeId),
    /// A repeated message or map whose elements are judged by the value of a key.
    Select(Select),
    /// A key, inside a case of a [`Select`]: the one that chose the case, which carries its treatment, or one of a higher rank,
    /// which is absent there.
    Discriminator,
}

/// Elements judged by the value of a discriminating field: the first of the keys that is present decides alone. An element
/// without any, or with one twice, is stripped.
#[derive(Debug)]
pub struct Select {
    /// By rank, the deciding first: 1 to [`KEYS_MAX`], no two with the same number.
    pub keys: Vec<SelectKey>,
}

/// One discriminating field.
#[derive(Debug)]
pub struct SelectKey {
    /// The number of the field in the element that is compared; 1 for a map.
    pub by: u32,
    /// Its type.
    pub kind: Kind,
    /// The cases, no two with the same value. An element whose value has no case is stripped.
    pub cases: Vec<(CaseValue, NodeId)>,
}

impl Select {
    /// Every case of every key.
    pub fn cases(&self) -> impl Iterator<Item = &(CaseValue, NodeId)> {
        self.keys.iter().flat_map(|key| &key.cases)
    }
}

/// The value of a discriminating field, in the form in which it is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CaseValue {
    /// Strings and bytes.
    Bytes(Box<[u8]>),
    /// Every integer, bool and enum: the value as on the wire after undoing zig-zag, as two's complement.
    Int(i64),
}

/// What is known about a site.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// How harmful.
    pub sensitivity: Sensitivity,
    /// What kind of data; absent only where nobody classified the field.
    pub category: Option<Category>,
    /// What the gateway uses it for.
    pub role: Option<Role>,
    /// The least protective treatment that is ever allowed.
    pub floor: Treatment,
    /// How it is generalized.
    pub generalize: Option<Generalizer>,
}

impl Facts {
    /// Nobody classified the field: the most sensitive, always stripped.
    pub const UNCLASSIFIED: Self =
        Self { sensitivity: Sensitivity::Identifying, category: None, role: None, floor: Treatment::Strip, generalize: None };

    /// Whether somebody classified the field.
    pub fn classified(&self) -> bool {
        self.category.is_some()
    }
}

/// A place that is judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// The path from the root.
    pub path: FieldPath,
    /// The field number.
    pub number: u32,
    /// The type.
    pub kind: Kind,
    /// Whether it may occur more than once.
    pub repeated: bool,
    /// A field that is `required` (proto2) or `LEGACY_REQUIRED` (editions): stock stubs refuse its message without it. It is public, with the floor `keep` (checked at load).
    pub required: bool,
    /// A field without presence: absent and zero are the same, so that an image that is zero is left out, too.
    pub implicit: bool,
    /// Whether writers pack a repeated number; the walk takes both forms.
    pub packed: bool,
    /// Whether the schema's author marked it, or a message around it, `debug_redact`: it is not public.
    pub redact: bool,
    /// What is known about it.
    pub facts: Facts,
}

/// A repeated message or the entries of a map, every element of which is about somebody of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The element.
    pub node: NodeId,
    /// Where an element says whom it is about, from itself on.
    pub subject: SubjectPath,
    /// The places inside.
    pub sites: Range<u32>,
}

/// Where a frame, or an element of a [`Bearer`], says whom it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPath {
    /// Field numbers from there to the field, through messages that are not repeated.
    pub numbers: Vec<u32>,
    /// The type of the field: string, bytes or an integer.
    pub kind: Kind,
    /// The site.
    pub site: SiteId,
}

impl Schema {
    /// The full name of the message type of a frame.
    pub fn name(&self) -> &SchemaName {
        &self.name
    }

    /// SHA-256 over everything here that decides about bytes: numbers, types, names, facts.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The root and everything below, root first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Every place that is judged.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// Every message type that a frame can hold, the root's first.
    pub fn reached(&self) -> &[Reached] {
        &self.reached
    }

    /// Where a frame says whom it is about.
    pub fn subject(&self) -> Option<&SubjectPath> {
        self.subject.as_ref()
    }

    /// The elements that are about somebody each; none where a message is about one subject or about nobody. None lies in
    /// another, and none stands beside a [`subject`](Self::subject).
    pub fn bearers(&self) -> &[Bearer] {
        &self.bearers
    }

    /// Whether a message can be about several subjects.
    pub fn is_about_several(&self) -> bool {
        !self.bearers.is_empty()
    }

    /// Whether the place is inside an element that is about somebody of its own.
    pub fn is_in_element(&self, site: SiteId) -> bool {
        // Ascending, and none in another.
        let at = self.bearers.partition_point(|bearer| bearer.sites.end <= site.0);
        self.bearers.get(at).is_some_and(|bearer| bearer.sites.contains(&site.0))
    }

    /// Every place that says whom something is about.
    pub fn subject_sites(&self) -> impl Iterator<Item = &Site> {
        let of_elements = self.bearers.iter().map(|bearer| &bearer.subject);
        self.subject.iter().chain(of_elements).filter_map(|path| self.sites.get(path.site.0 as usize))
    }
}
