//! Whoever signs: patients, stewards, operators, and the parties behind sources.

use tonic::Status;
use twinveil::client::dsse;
use twinveil::client::wallet::{Terms, Wallet};
use twinveil::proto::v1::{
    ExplainRequest, ExplainResponse, StandingRequest, StandingResponse, SubmitRequest, SubmitResponse, WithdrawRequest, WithdrawResponse,
};
use twinveil::veil::consent::document::{
    ControllerDocument, MatchDocument, NoticeDocument, RecipientDocument, RuleDocument, StorageDocument, WithdrawalDocument,
};
use twinveil::veil::consent::envelope::Envelope;
use twinveil::veil::consent::query::Asks;
use twinveil::veil::consent::record::SignerRole;
use twinveil::veil::consent::standing::Head;
use twinveil::veil::consent::windows::WindowDocument;
use twinveil::veil::consent::withdrawal::Reach;
use twinveil::veil::crypto::secret::Secret;
use twinveil::veil::name::{Did, Origin, RecordId, SchemaName, UnixMs};
use twinveil::veil::terms;
use twinveil::world::entropy;

use super::{World, soon};

fn rule(effect: &str, matches: MatchDocument, treatment: Option<&str>, keys: Option<&str>) -> RuleDocument {
    RuleDocument { effect: effect.into(), matches, treatment: treatment.map(Into::into), keys: keys.map(Into::into) }
}

fn sensitivity(word: &str) -> MatchDocument {
    MatchDocument { sensitivity: Some(word.into()), ..MatchDocument::default() }
}

fn selector(path: &str) -> MatchDocument {
    MatchDocument { selector: Some(path.into()), ..MatchDocument::default() }
}

/// A permit for a field.
pub(crate) fn permit(path: &str, treatment: &str) -> RuleDocument {
    rule("permit", selector(path), Some(treatment), None)
}

/// A permit for a category.
pub(crate) fn permit_category(word: &str, treatment: &str) -> RuleDocument {
    rule("permit", MatchDocument { category: Some(word.into()), ..MatchDocument::default() }, Some(treatment), None)
}

/// A field sealed for the recipient.
pub(crate) fn sealed_for_recipient(path: &str) -> RuleDocument {
    rule("permit", selector(path), Some("encrypt"), Some("recipient"))
}

/// A field that nobody of the record's recipients gets.
pub(crate) fn forbid(path: &str) -> RuleDocument {
    rule("forbid", selector(path), None, None)
}

/// Everything as it is: the operator's policy alone decides.
pub(crate) fn permit_all() -> Vec<RuleDocument> {
    ["operational", "personal", "special", "identifying"].map(|word| rule("permit", sensitivity(word), Some("keep"), None)).into()
}

/// What a grant says; the rest is the same in every test.
#[derive(Clone, Debug)]
pub(crate) struct Given(Terms);

impl Given {
    /// To parties of the sample, for a purpose, for an hour.
    pub(crate) fn to(world: &World, parties: &[&str], purpose: &str) -> Self {
        let recipients =
            parties.iter().map(|party| RecipientDocument { spiffe: Some(world.spiffe(party).to_string()), ..RecipientDocument::default() });
        Self(Terms {
            status: "ConsentGiven".into(),
            method: "signed in the wallet".into(),
            not_before: None,
            expires: Some(UnixMs(world.now().0 + 3_600_000).to_string()),
            max_uses: None,
            windows: Vec::new(),
            demand: None,
            notice: NoticeDocument { uri: "https://hospital.example/notice".into(), sha256: "ab".repeat(32), lang: "en".into() },
            controllers: vec![ControllerDocument {
                id: "https://hospital.example".into(),
                name: "Hospital".into(),
                address: "Musterstrasse 1".into(),
                contact: "dpo@hospital.example".into(),
                kind: "Hospital".into(),
                role: "DataController".into(),
            }],
            recipients: recipients.collect(),
            purposes: vec![purpose.into()],
            storage: StorageDocument { places: vec!["AT".into()], retention: "P30D".into() },
            jurisdiction: vec!["AT".into()],
            withdrawal: WithdrawalDocument { uri: "https://hospital.example/withdraw".into(), pre_signed: false },
            rules: permit_all(),
            replaces: Vec::new(),
        })
    }

    pub(crate) fn rules(mut self, rules: Vec<RuleDocument>) -> Self {
        self.0.rules = rules;
        self
    }

    pub(crate) fn and(mut self, rule: RuleDocument) -> Self {
        self.0.rules.push(rule);
        self
    }

    pub(crate) fn purposes(mut self, purposes: &[&str]) -> Self {
        self.0.purposes = purposes.iter().map(|purpose| (*purpose).into()).collect();
        self
    }

    /// A word against: nothing is let have.
    pub(crate) fn refused(mut self) -> Self {
        (self.0.status, self.0.rules) = ("ConsentRefused".into(), Vec::new());
        self
    }

    pub(crate) fn recipients(mut self, recipients: Vec<RecipientDocument>) -> Self {
        self.0.recipients = recipients;
        self
    }

    /// The key that the first recipient opens sealed fields with.
    pub(crate) fn key(mut self, key: impl ToString) -> Self {
        self.0.recipients[0].key = Some(key.to_string());
        self
    }

    pub(crate) fn until(mut self, at: UnixMs) -> Self {
        self.0.expires = Some(at.to_string());
        self
    }

    pub(crate) fn from(mut self, at: UnixMs) -> Self {
        self.0.not_before = Some(at.to_string());
        self
    }

    /// How many messages may be handed over.
    pub(crate) fn uses(mut self, max: u64) -> Self {
        self.0.max_uses = Some(max);
        self
    }

    pub(crate) fn windows(mut self, windows: Vec<WindowDocument>) -> Self {
        self.0.windows = windows;
        self
    }

    /// Where the data may rest, and for how long.
    pub(crate) fn storage(mut self, places: &[&str], retention: &str) -> Self {
        self.0.storage = StorageDocument { places: places.iter().map(|place| (*place).into()).collect(), retention: retention.into() };
        self
    }

    /// All that it says.
    pub(crate) fn terms(&self) -> &Terms {
        &self.0
    }

    /// As a wallet signs it, wherever the chain stands.
    pub(crate) fn sign(&self, wallet: &Wallet, role: SignerRole, gateway: &Origin, head: Head, now: UnixMs) -> Envelope {
        wallet.grant(&self.0, role, gateway, head, now, &mut entropy()).expect("a grant as wallets sign them")
    }

    pub(crate) fn replaces(mut self, record: RecordId) -> Self {
        self.0.replaces.push(record.to_string());
        self
    }
}

impl World {
    /// Fresh keys.
    pub(crate) fn wallet(&self) -> Wallet {
        Wallet::generate(&mut entropy())
    }

    /// The keys that come of a seed: another program has them, too.
    pub(crate) fn wallet_of(&self, seed: [u8; 32]) -> Wallet {
        Wallet::from_seeds(Secret::take(&mut { seed }), Secret::random(&mut entropy())).unwrap()
    }

    /// The wallet of whoever holds a key of the folder.
    pub(crate) fn holder_of(&self, name: &str) -> Wallet {
        Wallet::from_seeds(self.key(name), Secret::random(&mut entropy())).unwrap()
    }

    /// Hands a record in.
    pub(crate) async fn submit(&self, record: &Envelope) -> Result<SubmitResponse, Status> {
        let request = SubmitRequest { record: Some(dsse::to_proto(record)), ..SubmitRequest::default() };
        soon("an answer to a record", self.consents().submit(request)).await.map(tonic::Response::into_inner)
    }

    /// Agrees, with the party behind a source, whom its value means.
    pub(crate) async fn enrol(&self, source: &str, value: &str, wallet: &Wallet) {
        let half = wallet.enrol(&self.spiffe(source), value, &self.origin(), self.now()).unwrap();
        let both = self.holder_of(source).countersign(&half, &self.origin()).unwrap();
        self.submit(&both).await.expect("an enrolment with both signatures is taken");
    }

    /// A person with a number in the hospital.
    pub(crate) async fn patient(&self, value: &str) -> Wallet {
        let wallet = self.wallet();
        self.enrol("hospital", value, &wallet).await;
        wallet
    }

    /// What the gateway knows of a wallet.
    pub(crate) async fn standing(&self, wallet: &Wallet) -> StandingResponse {
        let query = wallet.query(&Asks::Standing, &self.origin(), self.now()).unwrap();
        let request = StandingRequest { query: Some(dsse::to_proto(&query)) };
        soon("a standing", self.consents().standing(request)).await.expect("a subject may ask").into_inner()
    }

    /// Why a recipient gets what it gets.
    pub(crate) async fn explain(&self, wallet: &Wallet, party: &str, purpose: &str, schema: &str) -> ExplainResponse {
        self.explain_holder(wallet, party, None, purpose, schema).await
    }

    /// The same, for a recipient that speaks for a did:key.
    pub(crate) async fn explain_holder(
        &self,
        wallet: &Wallet,
        party: &str,
        holder: Option<Did>,
        purpose: &str,
        schema: &str,
    ) -> ExplainResponse {
        let (recipient, purpose) = (self.spiffe(party), terms::purpose(purpose).unwrap());
        let asks = Asks::Explain { recipient, holder, purpose, schema: SchemaName::new(schema), as_of: None };
        self.explained(wallet, &asks).await
    }

    /// What a question of this kind is answered.
    pub(crate) async fn explained(&self, wallet: &Wallet, asks: &Asks) -> ExplainResponse {
        let query = wallet.query(asks, &self.origin(), self.now()).unwrap();
        let request = ExplainRequest { query: Some(dsse::to_proto(&query)) };
        soon("an explanation", self.consents().explain(request)).await.expect("a subject may ask").into_inner()
    }

    async fn head(&self, wallet: &Wallet) -> Head {
        let standing = self.standing(wallet).await;
        Head { seq: standing.seq, record: standing.head[..].try_into().ok().map(RecordId) }
    }

    /// Signs the next record of a wallet.
    pub(crate) async fn signed(&self, wallet: &Wallet, role: SignerRole, given: &Given) -> Envelope {
        let head = self.head(wallet).await;
        given.sign(wallet, role, &self.origin(), head, self.now())
    }

    /// Signs a grant and hands it in.
    pub(crate) async fn grant(&self, wallet: &Wallet, given: &Given) -> RecordId {
        let record = self.signed(wallet, SignerRole::Subject, given).await;
        record_id(&self.submit(&record).await.expect("a grant is taken"))
    }

    /// The operator's mandate.
    pub(crate) async fn mandate(&self, given: &Given) -> (Wallet, RecordId) {
        let operator = self.holder_of("operator");
        let record = self.signed(&operator, SignerRole::Operator, given).await;
        let id = record_id(&self.submit(&record).await.expect("a mandate is taken"));
        (operator, id)
    }

    /// Withdraws and hands it in.
    pub(crate) async fn withdraw(&self, wallet: &Wallet, reach: &Reach, role: SignerRole) -> WithdrawResponse {
        let record = wallet.withdraw(reach, role, &self.origin(), self.now()).unwrap();
        let request = WithdrawRequest { record: Some(dsse::to_proto(&record)), ..WithdrawRequest::default() };
        soon("an answer to a withdrawal", self.consents().withdraw(request)).await.expect("a withdrawal is taken").into_inner()
    }

    /// Withdraws everything that a person granted.
    pub(crate) async fn withdraw_all(&self, wallet: &Wallet) -> WithdrawResponse {
        self.withdraw(wallet, &Reach::UpTo(1_000), SignerRole::Subject).await
    }
}

pub(crate) fn record_id(response: &SubmitResponse) -> RecordId {
    RecordId(response.record[..].try_into().unwrap())
}
