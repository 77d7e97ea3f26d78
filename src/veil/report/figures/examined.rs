//! How demands for data were examined: the three stages of the human-rights test.

use super::spoken;
use crate::veil::demand::Question;
use crate::veil::demand::stage::Answer;
use crate::veil::demand::words::{Determination, Finding, Risk};
use crate::veil::report::evidence::Told;
use crate::veil::report::table::{Table, Tally};

const fn question_title(question: Question) -> &'static str {
    match question {
        Question::NoChallenge => "1 Law and jurisdiction cannot be challenged effectively",
        Question::Risk => "2 There is an identifiable risk in not complying",
        Question::Rights => "3 Complying is in line with international human-rights norms",
    }
}

pub(super) fn stages(told: &[Told]) -> Table {
    let mut tally = Tally::new([("met", "Met"), ("not-met", "Not met"), ("not-answered", "Not answered")]);
    for question in Question::ALL {
        tally.row(question.word(), question_title(*question));
        for told in told.iter().filter(|told| told.case.demand().asks.is_data()) {
            match told.case.answer(*question) {
                Some(stage) => tally.count(question.word(), if stage.get().met { "met" } else { "not-met" }, told.entry_of(&stage.id())),
                None => tally.count(question.word(), "not-answered", told.entry),
            }
        }
    }
    tally.table(
        "stages",
        "The three stages",
        "stage",
        "Data is released only where all three are met and two persons signed, or with the person's own consent to this one demand. \
         Answers to demands for data; where none is needed any more, because another was not met, a stage stays unanswered.",
        &["ITU three-stage test"],
        false,
    )
}

pub(super) fn determinations(told: &[Told]) -> Table {
    let mut tally = Tally::new([("met", "Cannot be challenged"), ("law", "The law can be"), ("jurisdiction", "The jurisdiction can be")]);
    Determination::ALL.iter().for_each(|one| tally.row(one.word(), &spoken(one.word())));
    for told in told {
        let Some(stage) = told.case.answer(Question::NoChallenge) else { continue };
        if let Answer::NoChallenge { determination, primary_law, jurisdiction } = stage.get().answer {
            let entry = told.entry_of(&stage.id());
            let column = [("met", primary_law && jurisdiction), ("law", !primary_law), ("jurisdiction", !jurisdiction)];
            column.into_iter().filter(|(_, holds)| *holds).for_each(|(column, _)| tally.count(determination.word(), column, entry));
        }
    }
    tally.table(
        "determinations",
        "Stage 1: who determined it",
        "determined by",
        "Who determined whether the law, and that it reaches here, can be challenged. Both can be challengeable at once.",
        &["ITU three-stage test"],
        false,
    )
}

pub(super) fn risks(told: &[Told]) -> Table {
    let mut tally = Tally::new([("named", "Answers that name it")]);
    Risk::ALL.iter().for_each(|risk| tally.row(risk.word(), &spoken(risk.word())));
    for told in told {
        let Some(stage) = told.case.answer(Question::Risk) else { continue };
        if let Answer::Risks(risks) = &stage.get().answer {
            risks.iter().for_each(|risk| tally.count(risk.word(), "named", told.entry_of(&stage.id())));
        }
    }
    tally.table(
        "risks",
        "Stage 2: which risks",
        "risk",
        "Risks of not complying, to the operator, its customers or others, that the answers identify. An answer may name several.",
        &["ITU three-stage test"],
        false,
    )
}

pub(super) fn rights(told: &[Told]) -> Table {
    let mut tally = Tally::new([("compatible", "Compatible"), ("violated", "Violated")]);
    for told in told {
        let Some(stage) = told.case.answer(Question::Rights) else { continue };
        if let Answer::Rights(rights) = &stage.get().answer {
            for right in rights {
                let column = match right.finding {
                    Finding::Compatible => "compatible",
                    Finding::Violated => "violated",
                };
                tally.count(&format!("{} {}", right.instrument, right.article), column, told.entry_of(&stage.id()));
            }
        }
    }
    tally.sort();
    tally.table(
        "rights",
        "Stage 3: which rights",
        "right",
        "Rights that were examined, by instrument and article, and what complying would have done to them. One violated right, and \
         nothing is released.",
        &["ITU three-stage test"],
        false,
    )
}
