//! Schemas: descriptor sets, side files and selectors by anybody. What loads judges every field, and can be compiled and
//! applied; what does not says so in one line.
//!
//! Input: a mode; then a side file for a schema of ours, a message name and a descriptor set, both, or a selector.

use std::sync::Arc;

use twinveil::proto::SAMPLES;
use twinveil::veil::policy::{Decided, Decision, Holders, Reason};
use twinveil::veil::schema::selector::{Selector, covers, quoted};
use twinveil::veil::schema::{Content, Facts, LoadError, NODES_MAX, SITES_MAX, Schema, check, load};
use twinveil::veil::terms::Treatment;
use twinveil::veil::view::{Program, Raw, Space};

use super::{Input, apply, one_line, shapes};

pub(super) fn run(data: &[u8]) {
    let mut input = Input(data);
    let mode = input.byte() % 8;
    match mode {
        0..=2 => {
            let Ok(side) = std::str::from_utf8(input.rest()) else { return };
            let ours = [
                (shapes::set(shapes::EVERY), "t.Frame"),
                (shapes::set(shapes::OLD), "t.Old"),
                (SAMPLES.to_vec(), "twinveil.sample.PatientFrame"),
            ];
            let (set, root) = &ours[usize::from(mode)];
            judge(set, root, Some(side), side.as_bytes());
        }
        3 | 4 => {
            let Ok(root) = std::str::from_utf8(input.piece()) else { return };
            judge(input.rest(), root, None, data);
        }
        5 => {
            let (Ok(root), Ok(side)) = (std::str::from_utf8(input.piece()), std::str::from_utf8(input.long_piece())) else { return };
            judge(input.rest(), root, Some(side), data);
        }
        _ => {
            if let Ok(text) = std::str::from_utf8(input.rest()) {
                selector(text);
            }
        }
    }
}

fn selector(text: &str) {
    match Selector::parse(text) {
        Ok(selector) => {
            let written = written(&selector);
            assert_eq!(Selector::parse(&written).as_ref(), Ok(&selector), "{text:?} is written {written:?}");
            assert!(covers(&written, &written) && covers(&written, &format!("{written}.inside")));
            assert!(!covers(&format!("{written}.inside"), &written));
        }
        Err(error) => one_line(&error.to_string()),
    }
    let _ = covers(text, "labels[\"one\"].value");
    let _ = covers("labels", text);
}

fn written(selector: &Selector) -> String {
    let segments = selector.segments.iter().map(|segment| match &segment.filter {
        None => segment.field.clone(),
        Some(filter) => {
            let by = filter.by.as_ref().map_or_else(String::new, |by| format!("{by}="));
            format!("{}[{by}{}]", segment.field, quoted(&filter.value))
        }
    });
    segments.collect::<Vec<_>>().join(".")
}

fn judge(set: &[u8], root: &str, side: Option<&str>, frame: &[u8]) {
    match load(set, root, side) {
        Ok(schema) => whole(&schema, set, root, side, frame),
        Err(error) => refused(&error),
    }
}

fn refused(error: &LoadError) {
    one_line(&error.to_string());
    assert!(error.fault.code().starts_with("TV-S"));
}

fn whole(schema: &Schema, set: &[u8], root: &str, side: Option<&str>, frame: &[u8]) {
    assert!(schema.nodes().len() <= NODES_MAX && schema.sites().len() <= SITES_MAX);
    assert_eq!(load(set, root, side).map(|again| again.fingerprint()).ok(), Some(schema.fingerprint()), "loaded twice, two schemas");
    for node in schema.nodes() {
        assert!(node.fields.windows(2).all(|pair| pair[0].number < pair[1].number), "a number twice in `{}`", node.path);
        for field in &node.fields {
            match &field.content {
                Content::Leaf(site) => assert!((site.0 as usize) < schema.sites().len()),
                Content::Message(inner) => assert!((inner.0 as usize) < schema.nodes().len()),
                Content::Select(select) => {
                    assert!(!select.keys.is_empty());
                    for by in &select.keys {
                        assert!(!by.cases.is_empty());
                        assert!(by.cases.windows(2).all(|pair| pair[0].0 != pair[1].0), "a case twice in `{}`", field.path);
                    }
                }
                Content::Discriminator => {}
            }
        }
    }
    for site in schema.sites() {
        assert!(site.facts.classified() || site.facts == Facts::UNCLASSIFIED, "`{}` is half known", site.path);
        assert!(!site.facts.classified() || site.allows(site.facts.floor), "`{}` can't have its floor", site.path);
    }
    assert_eq!(check::rows(schema).count(), schema.sites().len());
    let _ = check::unclassified(schema).count();
    // The least protective treatment that each site allows.
    let sites = schema.sites().iter().map(|site| Decided {
        treatment: Treatment::ALL
            .iter()
            .copied()
            .find(|treatment| site.facts.classified() && site.allows(*treatment))
            .unwrap_or(Treatment::Strip),
        holders: Holders::Vault,
        reason: Reason::Floor,
    });
    let program = Arc::new(Program::compile(schema, &Decision { sites: sites.collect() }));
    let mut space = Space::default();
    let _ = apply::view(&program, &[]).apply(Raw::new(frame), &mut space);
}
