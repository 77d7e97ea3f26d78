//! Rules from the command line: `health=generalize`, `sensitivity:special=encrypt`, `vitals.heart_rate_bpm=keep`.

use crate::config::nearest;
use crate::veil::consent::document::{MatchDocument, RuleDocument};
use crate::veil::schema::selector::Selector;
use crate::veil::terms::{Category, Sensitivity, Treatment};

/// Reads `MATCH=TREATMENT`.
pub(in crate::cli) fn permit(text: &str) -> Result<RuleDocument, String> {
    // A selector may hold `=` in brackets; a treatment never does.
    let (what, word) = text.rsplit_once('=').filter(|(what, word)| !what.is_empty() && !word.ends_with(']')).ok_or_else(|| {
        format!("write `MATCH=TREATMENT`, such as `health=generalize`: one of {}", words(Treatment::ALL, Treatment::word))
    })?;
    let treatment = Treatment::parse(word).ok_or_else(|| {
        let hint = nearest(word, Treatment::ALL.iter().map(|treatment| treatment.word()));
        format!(
            "no treatment `{word}`; {}",
            hint.map_or_else(|| words(Treatment::ALL, Treatment::word), |near| format!("did you mean `{near}`?"))
        )
    })?;
    Ok(RuleDocument { effect: "permit".into(), matches: matching(what)?, treatment: Some(treatment.word().into()), keys: None })
}

/// Reads `MATCH`.
pub(in crate::cli) fn forbid(text: &str) -> Result<RuleDocument, String> {
    if let Some((what, word)) = text.rsplit_once('=')
        && Treatment::parse(word).is_some()
    {
        return Err(format!("a forbid strips, it has no treatment: `--forbid {what}`"));
    }
    Ok(RuleDocument { effect: "forbid".into(), matches: matching(text)?, treatment: None, keys: None })
}

/// A category, `sensitivity:WORD`, or a path. `category:` and `path:` in front take away every doubt.
pub(super) fn matching(text: &str) -> Result<MatchDocument, String> {
    let category = |word: &str| MatchDocument { category: Some(word.into()), ..MatchDocument::default() };
    let sensitivity = |word: &str| MatchDocument { sensitivity: Some(word.into()), ..MatchDocument::default() };
    if let Some(word) = text.strip_prefix("sensitivity:") {
        return Sensitivity::parse(word).map(|known| sensitivity(known.word())).ok_or_else(|| {
            let hint = nearest(word, Sensitivity::ALL.iter().map(|known| known.word()));
            let hint = hint.map_or_else(|| words(Sensitivity::ALL, Sensitivity::word), |near| format!("did you mean `{near}`?"));
            format!("no sensitivity `{word}`; {hint}")
        });
    }
    if let Some(word) = text.strip_prefix("category:") {
        return Category::parse(word).map(|known| category(known.word())).ok_or_else(|| {
            let hint = nearest(word, Category::ALL.iter().map(|known| known.word()));
            let hint = hint.map_or_else(|| words(Category::ALL, Category::word), |near| format!("did you mean `{near}`?"));
            format!("no category `{word}`; {hint}")
        });
    }
    if let Some(path) = text.strip_prefix("path:") {
        return selector(path);
    }
    if Category::parse(text).is_some() {
        return Ok(category(text));
    }
    if Sensitivity::parse(text).is_some() {
        return Err(format!("`{text}` is a sensitivity: write `sensitivity:{text}`, or `path:{text}` for a field of that name"));
    }
    // A slip in a category would be a rule about a field that nobody has.
    let near = nearest(text, Category::ALL.iter().map(|known| known.word())).filter(|near| near.len().abs_diff(text.len()) <= 1);
    match near {
        Some(near) => Err(format!("no category `{text}`; did you mean `{near}`? For a field of that name write `path:{text}`")),
        None => selector(text),
    }
}

fn selector(path: &str) -> Result<MatchDocument, String> {
    Selector::parse(path).map_err(|bad| bad.to_string())?;
    Ok(MatchDocument { selector: Some(path.into()), ..MatchDocument::default() })
}

fn words<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> String {
    all.iter().map(|one| format!("`{}`", word(*one))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(rule: &RuleDocument) -> String {
        let MatchDocument { category, sensitivity, selector } = &rule.matches;
        let part = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name} {value}"));
        let parts: Vec<_> =
            [part("category", category), part("sensitivity", sensitivity), part("selector", selector)].into_iter().flatten().collect();
        format!("{} {} {}", rule.effect, parts.join(" "), rule.treatment.as_deref().unwrap_or("-"))
    }

    #[test]
    fn a_match_is_a_category_a_sensitivity_or_a_path() {
        for (text, means) in [
            ("health=generalize", "permit category health generalize"),
            ("operator_conduct=strip", "permit category operator_conduct strip"),
            ("sensitivity:special=encrypt", "permit sensitivity special encrypt"),
            ("category:site=keep", "permit category site keep"),
            ("vitals.heart_rate_bpm=keep", "permit selector vitals.heart_rate_bpm keep"),
            ("identity=keep", "permit category identity keep"),
            ("path:identity=keep", "permit selector identity keep"),
            ("device_id=pseudonymize", "permit selector device_id pseudonymize"),
            ("attributes[key=\"a=b\"].value=keep", "permit selector attributes[key=\"a=b\"].value keep"),
        ] {
            assert_eq!(shown(&permit(text).expect(text)), means);
        }
        assert_eq!(shown(&forbid("location").expect("category")), "forbid category location -");
        assert_eq!(shown(&forbid("attributes[key=x]").expect("path")), "forbid selector attributes[key=x] -");
    }

    #[test]
    fn each_slip_is_named_with_what_was_meant() {
        for (text, says) in [
            ("helth=keep", "no category `helth`; did you mean `health`? For a field of that name write `path:helth`"),
            ("category:helth=keep", "no category `helth`; did you mean `health`?"),
            ("sensitivity:specail=keep", "no sensitivity `specail`; did you mean `special`?"),
            ("sensitivity:x=keep", "no sensitivity `x`; `public`, `operational`"),
            ("special=keep", "`special` is a sensitivity: write `sensitivity:special`"),
            ("health=kep", "no treatment `kep`; did you mean `keep`?"),
            ("health=nothing", "no treatment `nothing`; `keep`, `generalize`"),
            ("health", "write `MATCH=TREATMENT`"),
            ("=keep", "write `MATCH=TREATMENT`"),
            ("attributes[key=keep]", "write `MATCH=TREATMENT`"),
            ("a..b=keep", "expected the name of a field"),
            ("=", "write `MATCH=TREATMENT`"),
        ] {
            let error = permit(text).expect_err(text);
            assert!(error.starts_with(says) || error.contains(says), "{text}: {error}");
        }
        assert_eq!(forbid("health=keep").expect_err("treatment"), "a forbid strips, it has no treatment: `--forbid health`");
        assert!(forbid("").is_err());
    }

    #[test]
    fn every_field_of_the_samples_can_be_named_by_its_path() {
        for message in ["twinveil.sample.PatientFrame", "twinveil.sample.TurbineFrame"] {
            let schema = crate::veil::schema::load_annotated(crate::proto::SAMPLES, message).expect("built in");
            for site in schema.sites() {
                let path = site.path.as_str();
                assert_eq!(forbid(path).expect(path).matches.selector.as_deref(), Some(path));
            }
        }
    }
}
