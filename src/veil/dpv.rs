//! Terms of the W3C Data Privacy Vocabulary (DPV 2.3) that are read or written here: the whole module *purposes*, and single terms of
//! others.

use super::terms::{Category, Treatment};

/// The legal basis of what a person permits (module *legal basis*).
pub const CONSENT: &str = "Consent";
/// What is permitted: making data known to a recipient (module *processing*).
pub const DISCLOSE: &str = "Disclose";
/// A consent was given (module *consent status*, as the next three).
pub const GIVEN: &str = "ConsentGiven";
/// A consent was given again.
pub const RENEWED: &str = "RenewedConsentGiven";
/// A consent was asked for and refused.
pub const REFUSED: &str = "ConsentRefused";
/// A consent was withdrawn.
pub const WITHDRAWN: &str = "ConsentWithdrawn";

/// What a treatment is in the module *technical measures*; nothing where the value stays as it is.
pub const fn technical_measure(treatment: Treatment) -> Option<&'static str> {
    match treatment {
        Treatment::Keep => None,
        Treatment::Generalize => Some("Deidentification"),
        Treatment::Pseudonymize => Some("Pseudonymisation"),
        Treatment::Encrypt => Some("Encryption"),
        Treatment::Strip => Some("DataRedaction"),
    }
}

/// What a category is in the extension *pd*, where that has a term which means the same.
pub const fn personal_data(category: Category) -> Option<&'static str> {
    match category {
        Category::Identity => Some("Identifying"),
        Category::Contact => Some("Contact"),
        Category::Location => Some("Location"),
        Category::Health => Some("Health"),
        Category::Biometric => Some("Biometric"),
        Category::Behaviour => Some("Behavioural"),
        Category::Social => Some("Social"),
        Category::Financial => Some("Financial"),
        Category::Device
        | Category::Operation
        | Category::OperatorConduct
        | Category::Demand
        | Category::Site
        | Category::Time
        | Category::Environment => None,
    }
}

/// Sorted; looked up by [`super::terms::purpose`].
pub const PURPOSES: &[&str] = &[
    "AcademicResearch",
    "AccountManagement",
    "Advertising",
    "AgeVerification",
    "CombatClimateChange",
    "CommercialPurpose",
    "CommercialResearch",
    "CommunicationForCustomerCare",
    "CommunicationManagement",
    "CounterMoneyLaundering",
    "Counterterrorism",
    "CustomerCare",
    "CustomerClaimsManagement",
    "CustomerManagement",
    "CustomerOrderManagement",
    "CustomerRelationshipManagement",
    "CustomerSolvencyMonitoring",
    "DataAltruism",
    "DeliveryOfGoods",
    "DirectMarketing",
    "DisputeManagement",
    "EnforceAccessControl",
    "EnforceSecurity",
    "EstablishContractualAgreement",
    "FraudPreventionAndDetection",
    "FulfilmentOfContractualObligation",
    "FulfilmentOfObligation",
    "HumanResourceManagement",
    "IdentityAuthentication",
    "IdentityVerification",
    "ImproveExistingProductsAndServices",
    "ImproveHealthcare",
    "ImproveInternalCRMProcesses",
    "ImprovePublicServices",
    "ImproveTransportMobility",
    "IncreaseServiceRobustness",
    "InternalResourceOptimisation",
    "LegalCompliance",
    "MaintainFraudDatabase",
    "Marketing",
    "MemberPartnerManagement",
    "MisusePreventionAndDetection",
    "NonCommercialPurpose",
    "NonCommercialResearch",
    "OptimisationForConsumer",
    "OptimisationForController",
    "OptimiseUserInterface",
    "OrganisationComplianceManagement",
    "OrganisationGovernance",
    "OrganisationRiskManagement",
    "PaymentManagement",
    "Personalisation",
    "PersonalisedAdvertising",
    "PersonalisedBenefits",
    "PersonnelBehaviourMonitoring",
    "PersonnelHiring",
    "PersonnelManagement",
    "PersonnelMonitoring",
    "PersonnelOffboarding",
    "PersonnelOnboarding",
    "PersonnelPayment",
    "PersonnelPerformanceEvaluation",
    "PersonnelPerformanceManagement",
    "PersonnelPerformanceMonitoring",
    "PersonnelPerformancePrediction",
    "PersonnelPromotionManagement",
    "PersonnelTerminationManagement",
    "PersonnelWorkloadManagement",
    "PoliticalCampaign",
    "ProtectionOfIPR",
    "ProtectionOfNationalSecurity",
    "ProtectionOfPublicSecurity",
    "ProvideEventRecommendations",
    "ProvideOfficialStatistics",
    "ProvidePersonalisedRecommendations",
    "ProvideProductRecommendations",
    "PublicBenefit",
    "PublicPolicyMaking",
    "PublicRelations",
    "Purpose",
    "RecordManagement",
    "RecruitmentAdvertising",
    "RecruitmentApplicantBackgroundCheck",
    "RecruitmentApplicantCriminalBackgroundCheck",
    "RecruitmentApplicantInformationAuthentication",
    "RecruitmentApplicantSelection",
    "RecruitmentApplicationAnalysis",
    "RecruitmentApplicationManagement",
    "RecruitmentApplicationScreening",
    "RecruitmentInterviewAnalysis",
    "RecruitmentInterviewAssessment",
    "RecruitmentInterviewManagement",
    "RecruitmentInterviewScheduling",
    "RecruitmentManagement",
    "RecruitmentTargetedAdvertising",
    "RepairImpairments",
    "RequestedServiceProvision",
    "ResearchAndDevelopment",
    "RightsFulfilment",
    "ScientificResearch",
    "SearchFunctionalities",
    "Sector",
    "SellDataToThirdParties",
    "SellInsightsFromData",
    "SellProducts",
    "SellProductsToDataSubject",
    "ServiceAccessDetermination",
    "ServiceManagement",
    "ServiceMonitoring",
    "ServiceOptimisation",
    "ServicePersonalisation",
    "ServiceProvision",
    "ServiceRegistration",
    "ServiceUsageAnalytics",
    "SocialMediaMarketing",
    "TargetedAdvertising",
    "TechnicalServiceProvision",
    "UserInterfacePersonalisation",
    "VendorManagement",
    "VendorPayment",
    "VendorRecordsManagement",
    "VendorSelectionAssessment",
    "Verification",
];
