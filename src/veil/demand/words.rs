//! The words of demand records: the same in the records, the answers, the report and on screen.

use crate::veil::terms::words;

words! {
    /// Who demands.
    SourceKind {
        /// A court.
        Court = "court",
        /// The police, or a prosecutor.
        Police = "police",
        /// An intelligence or security agency.
        Intelligence = "intelligence",
        /// An international organisation.
        InternationalOrganisation = "international-organisation",
        /// Another part of a government.
        OtherGovernment = "other-government",
        /// A party of a civil case.
        Civil = "civil",
    }
}

words! {
    /// What is demanded.
    Asks {
        /// What rests. A gateway holds it sealed, and has no key.
        StoredData = "stored-data",
        /// Frames as they come in.
        LiveData = "live-data",
        /// An instance of its own for a jurisdiction.
        RedesignInstance = "redesign-instance",
        /// A way around encryption or consent.
        RedesignBackdoor = "redesign-backdoor",
        /// Another system of identification or authentication.
        RedesignIdentity = "redesign-identity",
        /// That content be removed.
        ContentRemoval = "content-removal",
        /// Anything else.
        Other = "other",
    }
}

impl Asks {
    /// Whether it asks that the gateway be built otherwise. Such a demand is written down and changes nothing.
    pub const fn is_redesign(self) -> bool {
        match self {
            Self::RedesignInstance | Self::RedesignBackdoor | Self::RedesignIdentity => true,
            Self::StoredData | Self::LiveData | Self::ContentRemoval | Self::Other => false,
        }
    }

    /// Whether it asks for data of somebody.
    pub const fn is_data(self) -> bool {
        match self {
            Self::StoredData | Self::LiveData => true,
            Self::RedesignInstance | Self::RedesignBackdoor | Self::RedesignIdentity | Self::ContentRemoval | Self::Other => false,
        }
    }
}

words! {
    /// Which of the three questions a stage answers.
    Question {
        /// 1: that neither the law nor its jurisdiction can be challenged effectively.
        NoChallenge = "no-challenge",
        /// 2: that there is an identifiable risk in not complying.
        Risk = "risk",
        /// 3: that complying is in line with international human-rights norms.
        Rights = "rights",
    }
}

impl Question {
    /// Its number, 1 to 3.
    pub const fn number(self) -> u8 {
        match self {
            Self::NoChallenge => 1,
            Self::Risk => 2,
            Self::Rights => 3,
        }
    }
}

words! {
    /// Who determined that a law cannot be challenged.
    Determination {
        /// A court, by order.
        CourtOrder = "court-order",
        /// The house's own counsel.
        InHouseCounsel = "in-house-counsel",
        /// Counsel from outside.
        OutsideCounsel = "outside-counsel",
    }
}

words! {
    /// What is at risk where a demand is not complied with, for the provider, its customers or others.
    Risk {
        /// Life and limb.
        Safety = "safety",
        /// Arrest, prosecution.
        Liberty = "liberty",
        /// That the service is blocked.
        Blocking = "blocking",
        /// Fines, damages.
        Money = "money",
        /// The licence to operate.
        Licence = "licence",
        /// That things are taken away.
        Seizure = "seizure",
        /// Harm to customers.
        Customers = "customers",
        /// Harm to third parties.
        ThirdParty = "third-party",
    }
}

words! {
    /// What an analysis finds about one right.
    Finding {
        /// Complying is compatible with it.
        Compatible = "compatible",
        /// Complying would violate it.
        Violated = "violated",
    }
}

words! {
    /// How a demand is answered.
    Outcome {
        /// All that was demanded is released.
        Comply = "comply",
        /// Less than what was demanded is released.
        ComplyInPart = "comply-in-part",
        /// Nothing is released.
        Refuse = "refuse",
        /// There is nothing to release.
        NoData = "no-data",
        /// What there is the gateway cannot open.
        Unable = "unable",
    }
}

impl Outcome {
    /// Whether something is released.
    pub const fn releases(self) -> bool {
        match self {
            Self::Comply | Self::ComplyInPart => true,
            Self::Refuse | Self::NoData | Self::Unable => false,
        }
    }
}

words! {
    /// Why less than what was demanded is released.
    Reason {
        /// The law can be challenged.
        ChallengeableLaw = "challengeable_law",
        /// The jurisdiction can be challenged.
        ChallengeableJurisdiction = "challengeable_jurisdiction",
        /// No risk was identified.
        NoIdentifiableRisk = "no_identifiable_risk",
        /// Complying would violate human rights.
        HumanRights = "human_rights",
        /// It asks for more than it needs.
        Overbroad = "overbroad",
        /// The legal process does not suffice.
        InsufficientProcess = "insufficient_process",
        /// Nobody could tell who demands.
        IdentityUnverified = "identity_unverified",
        /// The data is not there.
        NotHeld = "not_held",
        /// The data is sealed, and the gateway has no key.
        NoKey = "no_key",
        /// It asks that the gateway be built otherwise.
        RedesignOutOfScope = "redesign_out_of_scope",
        /// The person it is about has not consented to this instance.
        NoInstanceConsent = "no_instance_consent",
    }
}

impl Reason {
    /// The nearest term of the DPV extension `justifications`, where it has one.
    pub const fn dpv(self) -> Option<&'static str> {
        match self {
            Self::HumanRights => Some("ThirdPartyRightsImpaired"),
            Self::Overbroad => Some("ProcessExcessive"),
            Self::InsufficientProcess => Some("ProcessUnfounded"),
            Self::IdentityUnverified => Some("IdentityVerificationFailure"),
            Self::NotHeld | Self::NoKey => Some("FulfilmentImpossible"),
            Self::ChallengeableLaw
            | Self::ChallengeableJurisdiction
            | Self::NoIdentifiableRisk
            | Self::RedesignOutOfScope
            | Self::NoInstanceConsent => None,
        }
    }
}

words! {
    /// When whom a demand is about is told.
    When {
        /// Before anything is released.
        BeforeRelease = "before-release",
        /// When the gag ends.
        Deferred = "deferred",
    }
}

words! {
    /// How a challenge stands.
    Ruling {
        /// Nobody has decided yet.
        Pending = "pending",
        /// The demand does not stand.
        Upheld = "upheld",
        /// The demand stands.
        Dismissed = "dismissed",
    }
}

words! {
    /// What a registered person may do.
    Role {
        /// Files demands, notices and challenges.
        Clerk = "clerk",
        /// Answers stages 1 and 2.
        Counsel = "counsel",
        /// Answers stages 2 and 3.
        Analyst = "analyst",
        /// Signs decisions.
        Approver = "approver",
    }
}
