//! Everything that was said about fields, as a forest: a tree a message type and source (side file, annotations), whose
//! branches are field numbers and cases. [`super::load`] walks it and the types together.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::descriptor::{FieldType, Holds, Label, MessageType, Types, shown};
use super::error::{LoadError, LoadFault, did_you_mean};
use super::facts::Spec;
use super::selector::{Filter, Selector, quoted};
use super::sidefile::SideFile;
use super::{CaseValue, Kind};
use crate::proto::v1::FieldSensitivity;

/// A place in the forest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RuleId(u32);

/// What is said about one field, and about what is below it.
#[derive(Default)]
pub(super) struct Rule {
    /// Facts about the field as a whole.
    pub(super) spec: Option<Spec>,
    /// By number.
    fields: BTreeMap<u32, RuleId>,
    /// By the value of a key: one of these a key, in the order in which they were first named.
    pub(super) cases: Vec<Cases>,
    /// Where it is said, for errors.
    place: String,
}

/// Elements by the value of a key.
pub(super) struct Cases {
    pub(super) by: u32,
    /// Where it was first named: the lower, the earlier.
    pub(super) rank: u32,
    pub(super) kind: Kind,
    /// The name in the path's brackets, and what is said about the element.
    pub(super) of: BTreeMap<CaseValue, (String, RuleId)>,
}

/// The forest.
pub(super) struct Rules {
    rules: Vec<Rule>,
    side: HashMap<Arc<str>, RuleId>,
    annotated: HashMap<Arc<str>, RuleId>,
}

impl Rules {
    /// Plants what the side file says about any message of the set. Annotations are added for the messages that are reached.
    pub(super) fn from_side_file(types: &Types, side: SideFile) -> Result<Self, LoadError> {
        let mut rules = Self { rules: Vec::new(), side: HashMap::new(), annotated: HashMap::new() };
        for (message, entries) in side.tables {
            let named = types.message(&message).filter(|found| !found.map_entry);
            let Some(found) = named else {
                let hint = did_you_mean(&message, types.names());
                return Err(LoadError::new(LoadFault::UnknownName, "side file", format!("no message `{}`{hint}", shown(&message))));
            };
            let root = rules.add("");
            rules.side.insert(Arc::clone(&found.name), root);
            for entry in entries {
                let place = entry.spec.place.clone();
                rules.plant(types, (found, root, None), &entry.selector, entry.spec, &place)?;
            }
        }
        rules.refuse_shadowed()?;
        Ok(rules)
    }

    /// Plants the annotations of one message.
    pub(super) fn annotate(&mut self, types: &Types, message: &MessageType) -> Result<(), LoadError> {
        if self.annotated.contains_key(&message.name) {
            return Ok(());
        }
        let root = self.add("");
        self.annotated.insert(Arc::clone(&message.name), root);
        for field in &message.fields {
            let Some(annotation) = &field.annotation else { continue };
            let place = message.place(field);
            let rule = self.child(root, field.number, &place);
            if annotation.cases.is_empty() {
                if !annotation.by.is_empty() {
                    return Err(LoadError::new(LoadFault::Cases, place, "`by` without `cases`"));
                }
                self.set(rule, Spec::from_annotation(place, annotation)?)?;
            } else {
                self.annotate_cases(types, message, field, rule, annotation)?;
            }
        }
        self.refuse_shadowed()
    }

    fn annotate_cases(
        &mut self,
        types: &Types,
        message: &MessageType,
        field: &FieldType,
        rule: RuleId,
        annotation: &FieldSensitivity,
    ) -> Result<(), LoadError> {
        let place = message.place(field);
        let fault = |detail: &str| LoadError::new(LoadFault::Cases, place.clone(), detail);
        let bare = FieldSensitivity { cases: Vec::new(), by: String::new(), ..annotation.clone() };
        if bare != FieldSensitivity::default() {
            return Err(fault("both facts and cases"));
        }
        let map = types.map_entry(field).is_some();
        let by = match (map, annotation.by.as_str()) {
            (true, "") => None,
            (true, _) => return Err(fault("the cases of a map have no `by`: they go by its key")),
            (false, "") => return Err(fault("cases without `by`")),
            (false, by) => Some(by),
        };
        let mut seen = Vec::new();
        for case in &annotation.cases {
            let place = format!("{place}, case `{}`", shown(&case.value));
            let facts = case.field.clone().unwrap_or_default();
            if !facts.cases.is_empty() || !facts.by.is_empty() {
                return Err(LoadError::new(LoadFault::Cases, place, "cases do not nest"));
            }
            let filter = Filter { by: by.map(str::to_owned), value: case.value.clone() };
            let path = if case.path.is_empty() { "value" } else { &case.path };
            let selector = Selector::parse(path).map_err(|cause| LoadError::new(LoadFault::Selector, place.clone(), cause.to_string()))?;
            if selector.segments.iter().any(|segment| segment.filter.is_some()) {
                return Err(LoadError::new(LoadFault::Cases, place, "cases do not nest"));
            }
            if seen.contains(&(&case.value, path)) {
                return Err(LoadError::new(LoadFault::Cases, place, "stands twice"));
            }
            seen.push((&case.value, path));
            let (element, start) = self.enter_case(types, field, rule, &filter, &place)?;
            let spec = Spec::from_annotation(place.clone(), &facts)?;
            let key = filter.by.as_deref().map_or(Some(1), |by| element.field(by).map(|key| key.number));
            self.plant(types, (element, start, key), &selector, spec, &place)?;
        }
        Ok(())
    }

    /// What both sources say at the root of a message: (side file, annotations).
    pub(super) fn roots(&self, message: &str) -> (Option<RuleId>, Option<RuleId>) {
        (self.side.get(message).copied(), self.annotated.get(message).copied())
    }

    pub(super) fn get(&self, id: RuleId) -> &Rule {
        static NOTHING: Rule = Rule { spec: None, fields: BTreeMap::new(), cases: Vec::new(), place: String::new() };
        self.rules.get(id.0 as usize).unwrap_or(&NOTHING)
    }

    /// Where it is said.
    pub(super) fn place(&self, id: RuleId) -> &str {
        &self.get(id).place
    }

    /// What is said about the field with this number.
    pub(super) fn below(&self, id: RuleId, number: u32) -> Option<RuleId> {
        self.get(id).fields.get(&number).copied()
    }

    /// Whether anything is said about fields inside.
    pub(super) fn speaks_of_parts(&self, id: RuleId) -> bool {
        !self.get(id).fields.is_empty()
    }

    fn add(&mut self, place: &str) -> RuleId {
        self.rules.push(Rule { place: place.to_owned(), ..Rule::default() });
        RuleId(u32::try_from(self.rules.len() - 1).unwrap_or(u32::MAX))
    }

    fn child(&mut self, id: RuleId, number: u32, place: &str) -> RuleId {
        if let Some(found) = self.below(id, number) {
            return found;
        }
        let child = self.add(place);
        if let Some(rule) = self.rules.get_mut(id.0 as usize) {
            rule.fields.insert(number, child);
        }
        child
    }

    fn set(&mut self, id: RuleId, spec: Spec) -> Result<(), LoadError> {
        let Some(rule) = self.rules.get_mut(id.0 as usize) else { return Ok(()) };
        match &rule.spec {
            Some(other) => Err(LoadError::new(LoadFault::Shadowed, spec.place.clone(), format!("said before, at {}", other.place))),
            None => {
                rule.place.clone_from(&spec.place);
                rule.spec = Some(spec);
                Ok(())
            }
        }
    }

    /// Plants facts at a selector, checking every step against the types. `from`: the message that it starts at, what is said
    /// there, and the number of the field that decides the case, inside a case.
    fn plant(
        &mut self,
        types: &Types,
        from: (&MessageType, RuleId, Option<u32>),
        selector: &Selector,
        spec: Spec,
        place: &str,
    ) -> Result<(), LoadError> {
        let fault = |fault: LoadFault, detail: String| LoadError::new(fault, place, detail);
        let (mut message, mut at, mut key) = from;
        let mut segments = selector.segments.iter().peekable();
        while let Some(segment) = segments.next() {
            let Some(field) = message.field(&segment.field) else {
                let hint = did_you_mean(&segment.field, message.fields.iter().map(|field| &*field.name));
                return Err(fault(LoadFault::UnknownName, format!("`{}` has no field `{}`{hint}", message.name, shown(&segment.field))));
            };
            if key == Some(field.number) {
                return Err(fault(LoadFault::Cases, format!("`{}` decides the case: it carries the treatment of its case", field.name)));
            }
            key = None;
            let mut field = field;
            at = self.child(at, field.number, place);
            if let Some(filter) = &segment.filter {
                let (element, case) = self.enter_case(types, field, at, filter, place)?;
                (message, at) = (element, case);
                if element.map_entry {
                    // A case of a map is about the value.
                    let Some(value) = element.numbered(2) else { continue };
                    at = self.child(at, value.number, place);
                    field = value;
                } else {
                    if segments.peek().is_none() {
                        return Err(fault(LoadFault::Selector, format!("ends at an element of `{}`: name a field inside it", field.name)));
                    }
                    key = filter.by.as_deref().and_then(|by| element.field(by)).map(|key| key.number);
                    continue;
                }
            }
            if segments.peek().is_some() {
                if let Some(entry) = types.map_entry(field) {
                    if segments.peek().is_some_and(|next| entry.field(&next.field).is_some()) {
                        message = entry;
                        continue;
                    }
                    return Err(fault(
                        LoadFault::Selector,
                        format!(
                            "`{0}` is a map: name a key, as in `{0}[\"…\"]`, or the parts of all entries, `{0}.key` and `{0}.value`",
                            field.name
                        ),
                    ));
                }
                let inner = types.of(field).filter(|_| !matches!(field.holds, Holds::Group(_)));
                message = match inner {
                    Some(inner) if !judged_as_one(&inner.name) => inner,
                    Some(_) | None => {
                        return Err(fault(
                            LoadFault::Selector,
                            format!("`{}` is judged as one, it has nothing inside to name", field.name),
                        ));
                    }
                };
            }
        }
        self.set(at, spec)
    }

    /// The element type, and the place for what is said about elements with this value.
    fn enter_case<'t>(
        &mut self,
        types: &'t Types,
        field: &FieldType,
        at: RuleId,
        filter: &Filter,
        place: &str,
    ) -> Result<(&'t MessageType, RuleId), LoadError> {
        let fault = |fault: LoadFault, detail: String| LoadError::new(fault, place, detail);
        let element = types.of(field).filter(|_| field.repeated() && matches!(field.holds, Holds::Message(_)));
        let Some(element) = element.filter(|element| !judged_as_one(&element.name)) else {
            return Err(fault(LoadFault::Cases, format!("`{}` is neither a map nor a repeated message", field.name)));
        };
        let key = match (&filter.by, element.map_entry) {
            (None, true) => element.numbered(1),
            (Some(_), true) => return Err(fault(LoadFault::Cases, format!("`{}` is a map: write `{}[\"…\"]`", field.name, field.name))),
            (None, false) => {
                return Err(fault(
                    LoadFault::Cases,
                    format!("`{}` is not a map: name the field that decides, as in `{}[key=\"…\"]`", field.name, field.name),
                ));
            }
            (Some(by), false) => {
                let found = element.field(by);
                if found.is_none() {
                    let hint = did_you_mean(by, element.fields.iter().map(|field| &*field.name));
                    return Err(fault(LoadFault::UnknownName, format!("`{}` has no field `{}`{hint}", element.name, shown(by))));
                }
                found
            }
        };
        let Some(key) = key else { return Err(fault(LoadFault::Malformed, format!("`{}` has no key", field.name))) };
        let (kind, value, text) = read_key(types, key, &filter.value).map_err(|detail| fault(LoadFault::Cases, detail))?;
        let label = if element.map_entry { text } else { format!("{}={text}", key.name) };

        let fresh = self.add(place);
        let Some(rule) = self.rules.get_mut(at.0 as usize) else { return Ok((element, fresh)) };
        let known = rule.cases.iter().position(|cases| cases.by == key.number);
        let at = known.unwrap_or(rule.cases.len());
        if known.is_none() {
            rule.cases.push(Cases { by: key.number, rank: fresh.0, kind, of: BTreeMap::new() });
        }
        Ok((element, rule.cases.get_mut(at).map_or(fresh, |cases| cases.of.entry(value).or_insert((label, fresh)).1)))
    }

    /// A place is judged whole, by cases or field by field: what is said about the other ways would never be looked at.
    fn refuse_shadowed(&self) -> Result<(), LoadError> {
        for rule in &self.rules {
            let inner =
                rule.fields.values().next().or_else(|| rule.cases.first().and_then(|cases| cases.of.values().next()).map(|(_, id)| id));
            if let (Some(spec), Some(&inner)) = (&rule.spec, inner) {
                let detail = format!("classifies the whole field, and {} a part of it", self.get(inner).place);
                return Err(LoadError::new(LoadFault::Shadowed, spec.place.clone(), detail));
            }
            if let (Some(_), Some(&field)) = (rule.cases.first(), rule.fields.values().next()) {
                let detail = "names a field of all elements, and other lines name elements by their key".to_owned();
                return Err(LoadError::new(LoadFault::Shadowed, self.get(field).place.clone(), detail));
            }
        }
        Ok(())
    }
}

/// Types that are never looked into: their parts mean nothing alone, or are not known.
pub(super) fn judged_as_one(message: &str) -> bool {
    matches!(message, TIMESTAMP | "google.protobuf.Any")
}

/// The well-known point in time.
pub(super) const TIMESTAMP: &str = "google.protobuf.Timestamp";

/// The value of a key as it is compared, and as it stands in paths.
fn read_key(types: &Types, key: &FieldType, text: &str) -> Result<(Kind, CaseValue, String), String> {
    let misfit = |what: &str| format!("`{}` is not {what}, as the key `{}` has it", shown(text), key.name);
    if key.label == Label::Repeated {
        return Err(format!("the key `{}` is repeated: it can't decide a case", key.name));
    }
    if text.chars().any(char::is_control) || text.len() > super::selector::SELECTOR_BYTES_MAX {
        return Err("a key without control characters, of at most 1,024 bytes, is needed".to_owned());
    }
    fn int<T: std::str::FromStr>(text: &str) -> Option<T> {
        text.parse().ok()
    }
    let kind = match &key.holds {
        Holds::Scalar(kind) => *kind,
        Holds::Enum(name) => {
            let declared = types.r#enum(name);
            let values = declared.map_or(&[][..], |declared| &declared.values);
            let by_name = values.iter().find(|(value, _)| &**value == text).map(|(_, number)| *number);
            let Some(number) = by_name.or_else(|| int(text)) else {
                return Err(misfit("a value of the enum") + &did_you_mean(text, values.iter().map(|(name, _)| &**name)));
            };
            // What a closed enum does not declare is an unknown field to every parser: such an element has no key.
            if declared.is_some_and(|declared| declared.closed) && !values.iter().any(|(_, value)| *value == number) {
                return Err(misfit("a value of the closed enum"));
            }
            let shown = values.iter().find(|(_, value)| *value == number).map_or_else(|| number.to_string(), |(name, _)| name.to_string());
            return Ok((Kind::Enum, CaseValue::Int(i64::from(number)), shown));
        }
        Holds::Message(_) | Holds::Group(_) => return Err(format!("the key `{}` is a message: it can't decide a case", key.name)),
    };
    let number = match kind {
        Kind::String | Kind::Bytes => return Ok((kind, CaseValue::Bytes(text.as_bytes().into()), quoted(text))),
        Kind::Bool => match text {
            "false" => return Ok((kind, CaseValue::Int(0), text.to_owned())),
            "true" => return Ok((kind, CaseValue::Int(1), text.to_owned())),
            _ => return Err(misfit("`true` or `false`")),
        },
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => int::<i32>(text).map(i64::from),
        Kind::Uint32 | Kind::Fixed32 => int::<u32>(text).map(i64::from),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => int::<i64>(text),
        Kind::Uint64 | Kind::Fixed64 => int::<u64>(text).map(u64::cast_signed),
        Kind::Double | Kind::Float => return Err(format!("the key `{}` is a {}: it can't decide a case", key.name, kind.word())),
        // The remaining kinds are never scalars of a descriptor.
        Kind::Enum | Kind::Timestamp | Kind::Message | Kind::Map | Kind::Group => None,
    };
    let number = number.ok_or_else(|| misfit(&format!("a number of the type {}", kind.word())))?;
    let text = if matches!(kind, Kind::Uint64 | Kind::Fixed64) { number.cast_unsigned().to_string() } else { number.to_string() };
    Ok((kind, CaseValue::Int(number), text))
}
