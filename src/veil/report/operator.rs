//! What an operator says of itself in a report: who it is, how demands are handled (the process that Ranking Digital Rights asks for in
//! P10a), what it wanted to achieve and what came of it. Words, not figures: nothing of it can be counted, and the report says so.

use serde::{Deserialize, Serialize};

use super::doubt::ReportDoubt;

/// The largest file of an operator's words, in bytes.
pub const OPERATOR_BYTES_MAX: usize = 256 * 1_024;
const TEXT_BYTES_MAX: usize = 4_000;
const OBJECTIVES_MAX: usize = 64;

/// What the operator says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// Who it is.
    pub operator: Operator,
    /// How demands are handled.
    #[serde(default)]
    pub process: Process,
    /// What it wanted to achieve, and what came of it.
    #[serde(default, rename = "objective")]
    pub objectives: Vec<Objective>,
}

/// Who operates the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// Its name.
    pub name: String,
    /// What it runs the gateway for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Where questions go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
}

/// The process, by the elements of Ranking Digital Rights P10a; what is absent is told as not said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// 1: demands of a government that are not a court's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub non_judicial: Option<String>,
    /// 2: court orders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub court_orders: Option<String>,
    /// 3: demands from other jurisdictions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<String>,
    /// 4: the legal basis under which it may comply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_basis: Option<String>,
    /// 5: due diligence before a decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_diligence: Option<String>,
    /// 6: that it pushes back on demands that ask too much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_back: Option<String>,
    /// 7: guidance or examples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examples: Option<String>,
    /// What kinds of demands it is forbidden by law to disclose (P11a, element 8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forbidden: Option<String>,
}

/// Something that the operator wanted to achieve for the safety of people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// What.
    pub name: String,
    /// How it is measured.
    pub measure: String,
    /// What came of it.
    pub outcome: String,
    /// Whether it was reached; absent: not yet known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<bool>,
}

/// An element of P10a: its number, what it asks, and the answer.
pub type Element<'a> = (u8, &'static str, Option<&'a str>);

impl Process {
    /// The seven elements of P10a.
    pub fn elements(&self) -> [Element<'_>; 7] {
        [
            (1, "How demands of authorities that are no court's are handled", self.non_judicial.as_deref()),
            (2, "How court orders are handled", self.court_orders.as_deref()),
            (3, "How demands from other jurisdictions are handled", self.foreign.as_deref()),
            (4, "Under what legal basis demands may be complied with", self.legal_basis.as_deref()),
            (5, "What is examined before it is decided", self.due_diligence.as_deref()),
            (6, "How demands that ask too much are pushed back", self.push_back.as_deref()),
            (7, "Guidance and examples", self.examples.as_deref()),
        ]
    }
}

impl Words {
    /// Reads the operator's TOML.
    pub fn parse(toml: &str) -> Result<Self, ReportDoubt> {
        let line = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect::<String>();
        if toml.len() > OPERATOR_BYTES_MAX {
            return Err(ReportDoubt::Operator("the file is larger than 256 KiB".into()));
        }
        let words: Self = toml::from_str(toml).map_err(|error| ReportDoubt::Operator(line(error.message())))?;
        words.check()?;
        Ok(words)
    }

    /// Whether every text says something, in a size that can be shown.
    pub fn check(&self) -> Result<(), ReportDoubt> {
        let Process { non_judicial, court_orders, foreign, legal_basis, due_diligence, push_back, examples, forbidden } = &self.process;
        let optional = [
            ("operator.about", &self.operator.about),
            ("operator.contact", &self.operator.contact),
            ("process.non_judicial", non_judicial),
            ("process.court_orders", court_orders),
            ("process.foreign", foreign),
            ("process.legal_basis", legal_basis),
            ("process.due_diligence", due_diligence),
            ("process.push_back", push_back),
            ("process.examples", examples),
            ("process.forbidden", forbidden),
        ];
        let optional = optional.into_iter().filter_map(|(member, text)| Some((member, text.as_ref()?)));
        let objectives = self.objectives.iter().flat_map(|objective| {
            [("objective.name", &objective.name), ("objective.measure", &objective.measure), ("objective.outcome", &objective.outcome)]
        });
        let bad = |text: &str| text.trim().is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(|c| c.is_control() && c != '\n');
        if let Some((member, _)) =
            [("operator.name", &self.operator.name)].into_iter().chain(optional).chain(objectives).find(|(_, text)| bad(text))
        {
            return Err(ReportDoubt::Operator(format!(
                "`{member}` is not a text of 1 to {TEXT_BYTES_MAX} bytes without control characters"
            )));
        }
        match self.objectives.len() {
            ..=OBJECTIVES_MAX => Ok(()),
            _ => Err(ReportDoubt::Operator(format!("more than {OBJECTIVES_MAX} objectives"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_strictly_and_what_is_absent_is_not_said() {
        let words = Words::parse(
            "[operator]\nname = 'A trust'\n[process]\nforeign = 'Never.'\n[[objective]]\nname = 'a'\nmeasure = 'b'\noutcome = 'c'\n",
        )
        .expect("good");
        assert_eq!(
            words.process.elements().map(|(n, _, said)| (n, said.is_some())).into_iter().filter(|(_, said)| *said).collect::<Vec<_>>(),
            [(3, true)]
        );
        assert_eq!(words.objectives[0].reached, None);
        for bad in [
            "",
            "[operator]\nname = ''\n",
            "[operator]\nname = 'a'\nmotto = 'b'\n",
            "[operator]\nname = \"a\\u001b[2J\"\n",
            "[operator]\nname = 'a'\n[process]\nsecret = 'b'\n",
            "[operator]\nname = 'a'\n[[objective]]\nname = 'a'\n",
        ] {
            assert_eq!(Words::parse(bad).expect_err(bad).code(), "TV-R13");
        }
        let long = |n: usize| Words::parse(&format!("[operator]\nname = '{}'\n", "x".repeat(n)));
        assert!(long(4_000).is_ok() && long(4_001).is_err());
        let many = |n: usize| {
            Words::parse(&format!("[operator]\nname = 'a'\n{}", "[[objective]]\nname='a'\nmeasure='b'\noutcome='c'\n".repeat(n)))
        };
        assert!(many(64).is_ok() && many(65).is_err());
    }
}
