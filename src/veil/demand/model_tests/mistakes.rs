//! Mistakes to plant: a case that forgets one rule. The case is bent before it is asked, and what it answers after.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::register::Person;
use super::super::testing::{AGENCY, B, FROM, GAG_ENDS, GATEWAY_KEY, SCHEMA, STRANGER, SUBJECT, UNTIL, did, persons};
use super::super::words::{Asks, Ruling};
use super::super::{Case, Decision, Field, Filed, Notice, Record, Register, Role, Warrant};
use super::facts::Who;
use super::{Scope, kinds, of_consent, of_kind, of_notice, of_stages, plain};
use crate::veil::consent::envelope::Verified;
use crate::veil::consent::record::Consent;
use crate::veil::consent::testing::{NOW, after, gateway};
use crate::veil::demand::decision::Terms;
use crate::veil::demand::head::Head;
use crate::veil::demand::record::Gag;
use crate::veil::name::{FieldPath, RecordId, SchemaName, Spiffe, UnixMs};

/// What is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    OnePersonIsTwoByTwoKeys,
    OneApproverIsEnough,
    AuthorsApproveAlone,
    AStrangerMaySignAlong,
    RolesDoNotMatter,
    UnmetStagesCount,
    ReplacedStagesCount,
    StagesComeAfterTheDecision,
    ADecisionIsTakenTwice,
    AnythingIsReleased,
    FieldsGoBeyond,
    PeriodGoesBeyond,
    ChallengesStopNothing,
    ChallengesStopNoDecision,
    UpheldIsNotTheEnd,
    NoticeIsNotNeeded,
    NoticeIsDeferredWithoutAGag,
    DeferredForEver,
    TheGatewayBreaksAGag,
    ClocksGoBack,
    WarrantsBeginEarly,
    WarrantsDoNotEnd,
    WithdrawnConsentsCount,
    ConsentsDoNotExpire,
    ConsentsAreUsedTwice,
    ConsentsForAnotherDemandCount,
    ConsentsOfAnybodyCount,
    OrdinaryConsentsCount,
    OneConsentsForAll,
    OtherFieldsLeave,
    OthersReceive,
}

/// What the case is about to be asked.
pub(super) enum Before<'r> {
    Check(&'r mut Record),
    Consent(&'r mut Arc<Verified<Consent>>),
    Warrant,
}

impl Mistake {
    pub(super) const ALL: &'static [Self] = &[
        Self::OnePersonIsTwoByTwoKeys,
        Self::OneApproverIsEnough,
        Self::AuthorsApproveAlone,
        Self::AStrangerMaySignAlong,
        Self::RolesDoNotMatter,
        Self::UnmetStagesCount,
        Self::ReplacedStagesCount,
        Self::StagesComeAfterTheDecision,
        Self::ADecisionIsTakenTwice,
        Self::AnythingIsReleased,
        Self::FieldsGoBeyond,
        Self::PeriodGoesBeyond,
        Self::ChallengesStopNothing,
        Self::ChallengesStopNoDecision,
        Self::UpheldIsNotTheEnd,
        Self::NoticeIsNotNeeded,
        Self::NoticeIsDeferredWithoutAGag,
        Self::DeferredForEver,
        Self::TheGatewayBreaksAGag,
        Self::ClocksGoBack,
        Self::WarrantsBeginEarly,
        Self::WarrantsDoNotEnd,
        Self::WithdrawnConsentsCount,
        Self::ConsentsDoNotExpire,
        Self::ConsentsAreUsedTwice,
        Self::ConsentsForAnotherDemandCount,
        Self::ConsentsOfAnybodyCount,
        Self::OrdinaryConsentsCount,
        Self::OneConsentsForAll,
        Self::OtherFieldsLeave,
        Self::OthersReceive,
    ];

    /// A scope in which it shows.
    pub(super) fn shows_in(self) -> Scope {
        let gag = Some(Some(GAG_ENDS));
        match self {
            Self::OnePersonIsTwoByTwoKeys
            | Self::OneApproverIsEnough
            | Self::AuthorsApproveAlone
            | Self::AStrangerMaySignAlong
            | Self::RolesDoNotMatter
            | Self::UnmetStagesCount
            | Self::ReplacedStagesCount
            | Self::StagesComeAfterTheDecision
            | Self::ADecisionIsTakenTwice => of_stages(false),
            Self::AnythingIsReleased => of_kind(kinds(false).swap_remove(0), false),
            Self::FieldsGoBeyond | Self::PeriodGoesBeyond => of_kind(plain(false), false),
            Self::ChallengesStopNothing
            | Self::ChallengesStopNoDecision
            | Self::UpheldIsNotTheEnd
            | Self::NoticeIsNotNeeded
            | Self::NoticeIsDeferredWithoutAGag
            | Self::WarrantsBeginEarly
            | Self::WarrantsDoNotEnd
            | Self::OtherFieldsLeave
            | Self::OthersReceive => of_notice(None, false),
            Self::DeferredForEver | Self::TheGatewayBreaksAGag | Self::ClocksGoBack => of_notice(gag, false),
            Self::WithdrawnConsentsCount
            | Self::ConsentsDoNotExpire
            | Self::ConsentsAreUsedTwice
            | Self::ConsentsForAnotherDemandCount
            | Self::ConsentsOfAnybodyCount
            | Self::OrdinaryConsentsCount => of_consent(None, &[SUBJECT], false),
            Self::OneConsentsForAll => of_consent(None, &[SUBJECT, 2], false),
        }
    }

    pub(super) fn bend(mistake: Option<Self>, case: &mut Case, before: &mut Before<'_>) {
        match (mistake, before) {
            (Some(Self::OnePersonIsTwoByTwoKeys), _) => {
                let split = persons().into_iter().flat_map(|person| {
                    let roles = person.roles.clone();
                    person.keys.into_iter().map(move |key| Person { keys: vec![key], roles: roles.clone() })
                });
                case.set_register(Arc::new(Register::new(did(GATEWAY_KEY), split.collect()).expect("a register")));
            }
            (Some(Self::RolesDoNotMatter), _) => {
                let all = persons().into_iter().map(|person| Person { roles: Role::ALL.iter().copied().collect(), ..person });
                case.set_register(Arc::new(Register::new(did(GATEWAY_KEY), all.collect()).expect("a register")));
            }
            (Some(Self::AuthorsApproveAlone), _) => case.authors.clear(),
            (Some(Self::OneApproverIsEnough), Before::Check(record)) => signed_by(record, |keys| {
                if keys.len() == 1 {
                    keys.push(did(B));
                }
            }),
            (Some(Self::AStrangerMaySignAlong), Before::Check(record)) => signed_by(record, |keys| {
                keys.iter_mut().filter(|key| **key == did(STRANGER)).for_each(|key| *key = did(B));
            }),
            (Some(Self::UnmetStagesCount), Before::Check(Record::Decision(_))) => {
                for stage in &mut case.stages {
                    change(&mut stage.record, |stage| stage.met = true);
                }
            }
            (Some(Self::ReplacedStagesCount), Before::Check(Record::Decision(decision))) => {
                for stage in &mut case.stages {
                    stage.replaced = !decision.get().stages.contains(&stage.record.id());
                }
            }
            (Some(Self::StagesComeAfterTheDecision), Before::Check(Record::Stage(_))) => case.decision = None,
            (Some(Self::ADecisionIsTakenTwice), Before::Check(Record::Decision(_))) => case.decision = None,
            (Some(Self::AnythingIsReleased), Before::Check(_)) => change(&mut case.demand, |demand| demand.asks = Asks::LiveData),
            (Some(Self::FieldsGoBeyond), Before::Check(record)) => said(record, |terms| terms.fields.retain(|field| *field != identity())),
            (Some(Self::PeriodGoesBeyond), Before::Check(record)) => {
                said(record, |terms| terms.period.until = terms.period.until.min(after(UNTIL)));
            }
            (Some(Self::ChallengesStopNothing), Before::Warrant) => case.challenges.clear(),
            (Some(Self::ChallengesStopNoDecision), Before::Check(Record::Decision(_))) => case.challenges.clear(),
            (Some(Self::UpheldIsNotTheEnd), Before::Check(Record::Challenge(_))) => {
                for challenge in &mut case.challenges {
                    change(&mut challenge.record, |challenge| challenge.result = Ruling::Pending);
                }
            }
            (Some(Self::NoticeIsNotNeeded), Before::Warrant) => case.notices.push(told(case.id())),
            (Some(Self::NoticeIsDeferredWithoutAGag), Before::Check(Record::Decision(_))) => change(&mut case.demand, |demand| {
                demand.gag = Some(Gag { basis: "none".into(), until: Some(after(GAG_ENDS)) });
            }),
            (Some(Self::TheGatewayBreaksAGag), Before::Check(Record::Notice(_))) => change(&mut case.demand, |demand| demand.gag = None),
            (Some(Self::WithdrawnConsentsCount), Before::Warrant) => {
                case.consents.values_mut().for_each(|consented| consented.ended = false);
            }
            (Some(Self::ConsentsDoNotExpire), Before::Warrant) => {
                for consented in case.consents.values_mut() {
                    change(&mut consented.record, |consent| consent.expires = UnixMs::NEVER);
                }
            }
            (Some(Self::ConsentsAreUsedTwice), Before::Warrant) => {
                case.begun = false;
                case.releases.clear();
            }
            (Some(Self::ConsentsForAnotherDemandCount), Before::Consent(said)) => {
                let id = case.id();
                change(said, |consent| consent.demand = consent.demand.map(|_| id));
            }
            (Some(Self::OrdinaryConsentsCount), Before::Consent(said)) => {
                let id = case.id();
                change(said, |consent| consent.demand = consent.demand.or(Some(id)));
            }
            (Some(Self::ConsentsOfAnybodyCount), Before::Consent(said)) => {
                let everyone = case.subjects.iter().flat_map(|subjects| subjects.iter().copied()).chain([said.get().subject]);
                case.subjects = Some(Arc::new(everyone.collect::<BTreeSet<_>>()));
            }
            (_, Before::Check(_) | Before::Consent(_) | Before::Warrant) => {}
        }
    }

    /// The instant that the case is told it is.
    pub(super) fn clock(self, now: UnixMs) -> UnixMs {
        match self {
            Self::DeferredForEver => now.min(after(GAG_ENDS - 1)),
            Self::WarrantsDoNotEnd => now.min(after(UNTIL - 1)),
            Self::WarrantsBeginEarly => now.max(after(FROM)),
            _ => now,
        }
    }

    /// What has passed, as the case remembers it.
    pub(super) fn remembers(self, latest: UnixMs) -> UnixMs {
        if self == Self::ClocksGoBack { NOW } else { self.clock(latest) }
    }

    pub(super) fn widen(self, mut warrant: Warrant, case: &Case) -> Warrant {
        match self {
            Self::OneConsentsForAll => warrant.subjects = case.subjects.clone().expect("a list"),
            Self::OtherFieldsLeave => warrant.fields = warrant.fields.iter().cloned().chain([identity()]).collect(),
            Self::OthersReceive => warrant.recipient = Spiffe::parse(&format!("{AGENCY}/next")).expect("good"),
            _ => {}
        }
        warrant
    }
}

fn change<T: Clone>(record: &mut Arc<Verified<T>>, change: impl FnOnce(&mut T)) {
    let mut value = record.get().clone();
    change(&mut value);
    *record = Arc::new(Verified::assumed(value, record.id(), record.keys().to_vec()));
}

fn signed_by(record: &mut Record, change: impl FnOnce(&mut Vec<crate::veil::name::Did>)) {
    if let Record::Decision(decision) = record {
        let mut keys = decision.keys().to_vec();
        change(&mut keys);
        *decision = Verified::<Decision>::assumed(decision.get().clone(), decision.id(), keys);
    }
}

fn said(record: &mut Record, change: impl FnMut(&mut Terms)) {
    if let Record::Decision(decision) = record {
        let mut value = decision.get().clone();
        value.release.iter_mut().for_each(change);
        *decision = Verified::assumed(value, decision.id(), decision.keys().to_vec());
    }
}

fn identity() -> Field {
    Field { schema: SchemaName::new(SCHEMA), path: FieldPath::new("identity") }
}

fn told(demand: RecordId) -> Filed<Notice> {
    let head = Head { gateway: gateway(), author: did(Who::Clerk.key()), at: NOW, nonce: [0; 16] };
    let notice = Notice { head, demand, how: "not at all".into() };
    Filed { record: Arc::new(Verified::assumed(notice, RecordId([5; 32]), Vec::new())), taken: NOW, replaced: false }
}
