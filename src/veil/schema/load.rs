//! Descriptor set and side file in, [`Schema`] out: message types are expanded by path from the root, and at every field the
//! [`Rules`] are asked.
//!
//! *Who is asked*: the side file before annotations; of two lines of the side file the one that begins further out, as it says
//! more about the place. A type that comes again below itself with the same lines in force is a link back.

use std::collections::HashSet;
use std::sync::Arc;

use super::descriptor::{FieldType, Holds, Label, MessageType, Types, shown};
use super::error::{LoadError, LoadFault, did_you_mean};
use super::resolve::{self, RoleSite};
use super::rules::{Cases, RuleId, Rules, TIMESTAMP, judged_as_one};
use super::sidefile::SideFile;
use super::{
    ANNOUNCEMENT_FIELD, CaseValue, Content, Facts, Field, KEYS_MAX, Kind, NODES_MAX, Node, NodeId, Reached, SEALED_FIELD, SITES_MAX,
    Schema, Select, SelectKey, Site, SiteId,
};
use crate::veil::name::{FieldPath, SchemaName};
use crate::veil::terms::{Sensitivity, Treatment};

/// The deepest nesting of message types that is expanded.
pub const DEPTH_MAX: usize = 64;
/// The longest path.
const PATH_BYTES_MAX: usize = 4_096;

/// Reads the schema of frames of type `message` from a serialized `FileDescriptorSet`, with the facts of its annotations and,
/// before them, of a side file.
///
/// # Errors
/// [`LoadError`] names the message and field, or the line of the side file, and says whose move it is.
pub fn load(set: &[u8], message: &str, side_file: Option<&str>) -> Result<Schema, LoadError> {
    read(set, message, side_file, false)
}

/// As [`load`], for messages of calls: they may be about several subjects, each element about its own.
///
/// # Errors
/// As [`load`].
pub fn load_for_calls(set: &[u8], message: &str, side_file: Option<&str>) -> Result<Schema, LoadError> {
    read(set, message, side_file, true)
}

fn read(set: &[u8], message: &str, side_file: Option<&str>, several: bool) -> Result<Schema, LoadError> {
    let side = side_file.map_or(Ok(SideFile { tables: Vec::new() }), SideFile::parse)?;
    let types = Types::read(set)?;
    let root = find_root(&types, message)?;
    let mut rules = Rules::from_side_file(&types, side)?;
    let reached = vet(&types, root)?;
    for message in &reached {
        rules.annotate(&types, message)?;
    }
    let mut walk = Walk {
        types: &types,
        rules: &rules,
        nodes: Vec::new(),
        sites: Vec::new(),
        above: Vec::new(),
        linked: HashSet::new(),
        roles: Vec::new(),
        as_one: Vec::new(),
    };
    walk.enter(root, Said::default(), Arc::from(""), &[], None)?;
    let Walk { nodes, sites, linked, roles, as_one, .. } = walk;
    let reached = reach(&types, &reached, as_one);
    resolve::finish(SchemaName::new(Arc::clone(&root.name)), nodes, sites, &linked, roles, reached, several)
}

/// The types that frames can hold, and which of them stand in something that is judged as one, given the types that are.
fn reach(types: &Types, reached: &[&MessageType], mut open: Vec<Arc<str>>) -> Vec<Reached> {
    let mut inside: HashSet<Arc<str>> = HashSet::new();
    while let Some(name) = open.pop() {
        let Some(message) = types.message(&name).filter(|message| inside.insert(Arc::clone(&message.name))) else { continue };
        open.extend(message.fields.iter().filter_map(|field| types.of(field)).map(|inner| Arc::clone(&inner.name)));
    }
    let of = |message: &&MessageType| Reached {
        message: Arc::clone(&message.name),
        fields: message.fields.iter().map(|field| (field.number, Arc::clone(&field.name))).collect(),
        as_one: inside.contains(&message.name),
    };
    reached.iter().filter(|message| !message.map_entry).map(of).collect()
}

/// As [`load`], for a schema that carries its own facts.
pub fn load_annotated(set: &[u8], message: &str) -> Result<Schema, LoadError> {
    load(set, message, None)
}

/// The message type of the frames.
pub(super) fn find_root<'t>(types: &'t Types, message: &str) -> Result<&'t MessageType, LoadError> {
    types.message(message).filter(|root| !root.map_entry).ok_or_else(|| {
        let detail = format!("no message `{}`{}", shown(message), did_you_mean(message, types.names()));
        LoadError::new(LoadFault::UnknownRoot, "", detail)
    })
}

/// Every message type that a frame can hold, checked: its syntax is read, its types exist, and the gateway's numbers are free.
pub(super) fn vet<'t>(types: &'t Types, root: &'t MessageType) -> Result<Vec<&'t MessageType>, LoadError> {
    let (mut reached, mut seen) = (vec![root], HashSet::from([&*root.name]));
    let mut next = 0;
    while let Some(&message) = reached.get(next) {
        next += 1;
        let place = format!("`{}`", message.name);
        if let Some(unread) = &message.unread {
            return Err(LoadError::new(LoadFault::Editions, place, &**unread));
        }
        for reserved in [SEALED_FIELD, ANNOUNCEMENT_FIELD] {
            if let Some(field) = message.numbered(reserved) {
                return Err(LoadError::new(
                    LoadFault::Reserved,
                    message.place(field),
                    format!("takes the number {reserved}, which the gateway keeps for itself"),
                ));
            }
            // A range that merely covers the number is let be: extensions are fields that the walk does not know, and leaves out.
            // One that is declared for frames would have recipients take the gateway's own bytes for it.
            if let Some(extension) = types.extension(&message.name, reserved).filter(|_| message.name == root.name) {
                let detail =
                    format!("the extension `{}` takes the number {reserved}, which the gateway keeps for itself", shown(extension));
                return Err(LoadError::new(LoadFault::Reserved, place, detail));
            }
        }
        for field in &message.fields {
            let unresolved = |name: &str| {
                LoadError::new(LoadFault::UnresolvedType, message.place(field), format!("no type `{}` in the descriptor set", shown(name)))
            };
            match &field.holds {
                Holds::Scalar(_) => {}
                Holds::Enum(name) if types.r#enum(name).is_some() => {}
                Holds::Enum(name) => return Err(unresolved(name)),
                Holds::Message(name) | Holds::Group(name) => {
                    let inner = types.message(name).ok_or_else(|| unresolved(name))?;
                    if seen.insert(&*inner.name) {
                        reached.push(inner);
                    }
                }
            }
        }
    }
    Ok(reached)
}

/// What was said about a place, outermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    side: Vec<RuleId>,
    annotated: Vec<RuleId>,
}

impl Said {
    fn iter(&self) -> impl Iterator<Item = RuleId> {
        self.side.iter().chain(&self.annotated).copied()
    }

    fn filter_map(&self, mut f: impl FnMut(RuleId) -> Option<RuleId>) -> Self {
        Self {
            side: self.side.iter().filter_map(|&id| f(id)).collect(),
            annotated: self.annotated.iter().filter_map(|&id| f(id)).collect(),
        }
    }
}

/// A message type that is being expanded.
struct Above {
    message: Arc<str>,
    said: Said,
    keys: Vec<u32>,
    node: NodeId,
    /// The number of the field it stands in; 0 for the root.
    number: u32,
    /// Whether it occurs at most once in its parent, and is not a case.
    singular: bool,
    /// Whether its field, or one further out, is marked `debug_redact`.
    redact: bool,
}

struct Walk<'a> {
    types: &'a Types,
    rules: &'a Rules,
    nodes: Vec<Node>,
    sites: Vec<Site>,
    above: Vec<Above>,
    /// Nodes that something below links back to.
    linked: HashSet<NodeId>,
    roles: Vec<RoleSite>,
    /// Message types of fields that are judged as one.
    as_one: Vec<Arc<str>>,
}

impl Walk<'_> {
    /// Expands a message type, or links back to where that was done. `keys`: in a case, what chose it and what ranks before.
    fn enter(
        &mut self,
        message: &MessageType,
        mut said: Said,
        path: Arc<str>,
        keys: &[u32],
        via: Option<&FieldType>,
    ) -> Result<NodeId, LoadError> {
        let (side, annotated) = self.rules.roots(&message.name);
        said.side.extend(side);
        said.annotated.extend(annotated);
        let redact = via.is_some_and(|via| via.redact) || self.redact();
        let same = |above: &&Above| above.message == message.name && above.said == said && above.keys == keys && above.redact == redact;
        if let Some(found) = self.above.iter().rev().find(same) {
            self.linked.insert(found.node);
            return Ok(found.node);
        }
        let large = |what: String| {
            LoadError::new(LoadFault::TooLarge, format!("`{}`", message.name), format!("the schema expands to more than {what}"))
        };
        if self.above.len() >= DEPTH_MAX {
            return Err(large(format!("{DEPTH_MAX} levels")));
        }
        if self.nodes.len() >= NODES_MAX || path.len() > PATH_BYTES_MAX {
            return Err(large(format!("{NODES_MAX} nodes, or to longer paths than {PATH_BYTES_MAX} bytes")));
        }
        let node = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node { message: Arc::clone(&message.name), path: FieldPath::new(Arc::clone(&path)), fields: Vec::new() });
        self.above.push(Above {
            message: Arc::clone(&message.name),
            said: said.clone(),
            keys: keys.to_vec(),
            node,
            number: via.map_or(0, |via| via.number),
            singular: via.is_none_or(|via| !via.repeated()),
            redact,
        });
        let mut fields = Vec::with_capacity(message.fields.len());
        for field in &message.fields {
            let path: Arc<str> = match (message.map_entry && !keys.is_empty(), path.is_empty()) {
                // The path of a map's case is the path of the value.
                (true, _) => Arc::clone(&path),
                (false, true) => Arc::clone(&field.name),
                (false, false) => format!("{path}.{}", field.name).into(),
            };
            let content = if keys.contains(&field.number) {
                Content::Discriminator
            } else {
                let below = said.filter_map(|id| self.rules.below(id, field.number));
                self.content(message, field, &below, &path)?
            };
            fields.push(Field {
                number: field.number,
                name: Arc::clone(&field.name),
                path: FieldPath::new(path),
                repeated: field.repeated(),
                content,
            });
        }
        self.above.pop();
        if let Some(expanded) = self.nodes.get_mut(node.0 as usize) {
            expanded.fields = fields;
        }
        Ok(node)
    }

    fn content(&mut self, message: &MessageType, field: &FieldType, said: &Said, path: &Arc<str>) -> Result<Content, LoadError> {
        // The first of them that says how the field as such is judged decides; the others speak of what is inside.
        let decides = said.iter().find(|&id| self.rules.get(id).spec.is_some() || !self.rules.get(id).cases.is_empty());
        if let Some(id) = decides {
            if let Some(spec) = &self.rules.get(id).spec {
                let facts = spec.fit(self.kind(field), field.repeated())?;
                return self.leaf(message, field, facts, path, &spec.place);
            }
            return self.select(message, field, said, path);
        }
        match &field.holds {
            Holds::Scalar(_) | Holds::Enum(_) | Holds::Group(_) => self.unclassified(message, field, path),
            Holds::Message(_) => match self.types.of(field) {
                // A map is judged by its keys or as one, unless somebody speaks of `key` and `value` of all its entries.
                Some(inner) if inner.map_entry && said.iter().any(|id| self.rules.speaks_of_parts(id)) => {
                    Ok(Content::Message(self.enter(inner, said.clone(), Arc::clone(path), &[], Some(field))?))
                }
                Some(inner) if !inner.map_entry && !judged_as_one(&inner.name) && !inner.fields.is_empty() => {
                    if field.label == Label::Required {
                        return Err(required(message, field));
                    }
                    Ok(Content::Message(self.enter(inner, said.clone(), Arc::clone(path), &[], Some(field))?))
                }
                Some(_) | None => self.unclassified(message, field, path),
            },
        }
    }

    /// Elements by the value of their key. Sources are not mixed: where the side file has cases, the annotation's are not asked.
    fn select(&mut self, message: &MessageType, field: &FieldType, said: &Said, path: &Arc<str>) -> Result<Content, LoadError> {
        let with_cases = |ids: &[RuleId]| ids.iter().copied().filter(|&id| !self.rules.get(id).cases.is_empty()).collect::<Vec<_>>();
        let mut sources = with_cases(&said.side);
        if sources.is_empty() {
            sources = with_cases(&said.annotated);
        }
        let misfit = |detail: &str| LoadError::new(LoadFault::Cases, message.place(field), detail);
        let Some(element) = self.types.of(field) else { return Err(misfit("cases on a field without elements")) };
        let mut named: Vec<&Cases> = sources.iter().flat_map(|&id| &self.rules.get(id).cases).collect();
        named.sort_by_key(|cases| cases.rank);
        let mut order: Vec<u32> = Vec::new();
        for cases in &named {
            if !order.contains(&cases.by) {
                order.push(cases.by);
            }
        }
        if order.len() > KEYS_MAX {
            return Err(misfit(&format!("its elements are named by more than {KEYS_MAX} keys")));
        }
        let mut keys = Vec::with_capacity(order.len());
        for (rank, &by) in order.iter().enumerate() {
            let Some(kind) = named.iter().find(|cases| cases.by == by).map(|cases| cases.kind) else { continue };
            let mut values: Vec<(&CaseValue, &String)> =
                named.iter().filter(|cases| cases.by == by).flat_map(|cases| &cases.of).map(|(value, (label, _))| (value, label)).collect();
            values.sort();
            values.dedup();
            let (above, decided) = (order.get(..rank).unwrap_or_default(), order.get(..=rank).unwrap_or_default());
            let mut cases = Vec::with_capacity(values.len());
            for (value, label) in values {
                let chosen = |id: RuleId| {
                    let of = self.rules.get(id).cases.iter().find(|cases| cases.by == by).map(|cases| &cases.of);
                    of.and_then(|of| of.get(value)).map(|&(_, case)| case)
                };
                // A key of a higher rank would have decided: it is absent here.
                let of_absent = |id: RuleId| above.iter().find_map(|&key| self.rules.below(id, key));
                if let Some(absent) = sources.iter().filter_map(|&id| chosen(id)).find_map(of_absent) {
                    let detail = format!("a key that is named before `[{label}]`, and decides alone where it is present");
                    return Err(LoadError::new(LoadFault::Shadowed, self.rules.place(absent), detail));
                }
                let inside = said.filter_map(|id| match self.rules.get(id).cases.is_empty() {
                    true => Some(id),
                    false if sources.contains(&id) => chosen(id),
                    false => None,
                });
                let node = self.enter(element, inside, format!("{path}[{label}]").into(), decided, Some(field))?;
                cases.push((value.clone(), node));
            }
            keys.push(SelectKey { by, kind, cases });
        }
        Ok(Content::Select(Select { keys }))
    }

    fn unclassified(&mut self, message: &MessageType, field: &FieldType, path: &Arc<str>) -> Result<Content, LoadError> {
        self.leaf(message, field, Facts::UNCLASSIFIED, path, &message.place(field))
    }

    fn leaf(&mut self, message: &MessageType, field: &FieldType, facts: Facts, path: &Arc<str>, place: &str) -> Result<Content, LoadError> {
        let kind = self.kind(field);
        let is_required = field.label == Label::Required;
        // Whatever can be withheld will be withheld one day; then stock stubs could not parse the rest of the message.
        if is_required && (facts.sensitivity != Sensitivity::Public || facts.floor != Treatment::Keep) {
            return Err(required(message, field));
        }
        let redact = field.redact || self.redact();
        if redact && facts.sensitivity == Sensitivity::Public {
            return Err(LoadError::new(LoadFault::Redacted, place, "public here, and `debug_redact` to the schema's author"));
        }
        if self.sites.len() >= SITES_MAX || path.len() > PATH_BYTES_MAX {
            let detail = format!("the schema expands to more than {SITES_MAX} sites, or to longer paths than {PATH_BYTES_MAX} bytes");
            return Err(LoadError::new(LoadFault::TooLarge, format!("`{}`", message.name), detail));
        }
        let id = SiteId(u32::try_from(self.sites.len()).unwrap_or(u32::MAX));
        let site = Site {
            path: FieldPath::new(Arc::clone(path)),
            number: field.number,
            kind,
            repeated: field.repeated(),
            required: is_required,
            implicit: field.implicit,
            packed: field.packed,
            redact,
            facts,
        };
        if site.facts.classified() && !site.allows(site.facts.floor) {
            let detail = format!(
                "the floor `{}` does not exist for {} that is {} and {}",
                site.facts.floor,
                kind.word(),
                site.facts.sensitivity,
                category(&site)
            );
            return Err(LoadError::new(LoadFault::Undefined, place, detail));
        }
        if let Some(role) = site.facts.role {
            self.roles.push(RoleSite {
                role,
                site: id,
                place: place.to_owned(),
                numbers: self.above.iter().map(|above| above.number).skip(1).chain([field.number]).collect(),
                nodes: self.above.iter().map(|above| above.node).collect(),
                repeated: field.repeated(),
                keyed: self.above.iter().any(|above| !above.keys.is_empty()),
                bearer: self.above.iter().rposition(|above| !above.singular),
            });
        }
        if let Some(inner) = self.types.of(field).filter(|_| site.facts.classified()) {
            self.as_one.push(Arc::clone(&inner.name));
        }
        self.sites.push(site);
        Ok(Content::Leaf(id))
    }

    /// Whether what is being expanded stands in something that its author redacts.
    fn redact(&self) -> bool {
        self.above.last().is_some_and(|above| above.redact)
    }

    fn kind(&self, field: &FieldType) -> Kind {
        match &field.holds {
            Holds::Scalar(kind) => *kind,
            Holds::Enum(_) => Kind::Enum,
            Holds::Group(_) => Kind::Group,
            Holds::Message(_) if self.types.map_entry(field).is_some() => Kind::Map,
            Holds::Message(name) if &**name == TIMESTAMP => Kind::Timestamp,
            Holds::Message(_) => Kind::Message,
        }
    }
}

fn category(site: &Site) -> &'static str {
    site.facts.category.map_or("unclassified", |category| category.word())
}

fn required(message: &MessageType, field: &FieldType) -> LoadError {
    LoadError::new(LoadFault::Required, message.place(field), "is `required`, and it could be left out")
}
