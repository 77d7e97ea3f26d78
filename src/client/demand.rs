//! What a registered person of the desk for legal demands signs, offline: records of a case, and a second signature under a decision.
//!
//! Their key is a wallet's. The gateway's operator lists it under `[[person]]`, with what its holder may do.

use std::collections::BTreeSet;

use serde_json::Value;

use super::wallet::Wallet;
use crate::veil::consent::envelope::{Envelope, Payload};
use crate::veil::consent::refusal::RecordRefusal;
use crate::veil::crypto::CryptoRng;
use crate::veil::crypto::secret::Secret;
use crate::veil::demand::write;
use crate::veil::demand::{About, Demand};
use crate::veil::name::{Did, Origin, UnixMs};

impl Wallet {
    /// Signs a record of a case: a stage, a decision, a challenge or a notice. `said` is its JSON
    /// without `gateway`, `author`, `at` and `nonce`.
    pub fn file<P: Payload>(
        &self,
        said: &Value,
        gateway: &Origin,
        now: UnixMs,
        entropy: &mut impl CryptoRng,
    ) -> Result<Envelope, RecordRefusal> {
        let mut nonce = [0; 16];
        entropy.fill_bytes(&mut nonce);
        write::write::<P>(said, self.key(), gateway, now, nonce)
    }

    /// Signs a demand about these subjects, as it is when it arrives: `said` is its JSON, without `about` as well. The list goes to the
    /// desk beside it; the record holds a commitment to it. Without subjects there is none.
    pub fn file_demand(
        &self,
        said: &Value,
        subjects: BTreeSet<Did>,
        gateway: &Origin,
        now: UnixMs,
        entropy: &mut impl CryptoRng,
    ) -> Result<(Envelope, Option<About>), RecordRefusal> {
        if said.get("about").is_some() {
            return Err(RecordRefusal::member("about", "absent, as it is made from the list of subjects"));
        }
        let mut said = said.clone();
        let about = (!subjects.is_empty()).then(|| About { secret: Secret::random(entropy), subjects });
        if let (Some(about), Value::Object(said)) = (&about, &mut said) {
            said.insert("about".into(), about.commitment().to_string().into());
        }
        Ok((self.file::<Demand>(&said, gateway, now, entropy)?, about))
    }

    /// Adds this wallet's signature to a decision, over the same bytes, after checking that whoever drafted it signed them.
    pub fn approve(&self, decision: &Envelope, gateway: &Origin) -> Result<Envelope, RecordRefusal> {
        write::approve(decision, self.key(), gateway)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::veil::consent::envelope::Signed;
    use crate::veil::consent::testing::{NOW, gateway, key};
    use crate::veil::demand::{Case, Decision, Notice, Person, Record, Register, Role, State};

    struct Counter(u8);

    impl rand_core::TryRng for Counter {
        type Error = Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            Ok(0)
        }

        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            Ok(0)
        }

        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
            for byte in out {
                self.0 = self.0.wrapping_add(1);
                *byte = self.0;
            }
            Ok(())
        }
    }

    impl rand_core::TryCryptoRng for Counter {}

    fn said() -> Value {
        json!({
            "received": NOW.to_string(),
            "source": {"kind": "police", "jurisdiction": "DE", "home": true, "authority": "Police of Sample",
                       "document_sha256": "ab".repeat(32), "process": "letter", "statute": "none named"},
            "asks": "live-data", "content": true, "everybody": false, "emergency": true,
            "fields": [{"schema": "twinveil.sample.PatientFrame", "path": "vitals"}],
        })
    }

    #[test]
    fn a_demand_is_filed_and_refused_with_what_wallets_sign() {
        let [clerk, one, two] = [1, 2, 3].map(|n| Wallet::generate(&mut Counter(n)));
        let person = |wallet: &Wallet, role| Person { keys: vec![wallet.did()], roles: BTreeSet::from([role]) };
        let persons = vec![person(&clerk, Role::Clerk), person(&one, Role::Approver), person(&two, Role::Approver)];
        let register = Arc::new(Register::new(key(20).did(), persons).expect("a register"));
        let subjects = BTreeSet::from([key(1).did(), key(2).did()]);
        let filed = clerk.file_demand(&said(), subjects.clone(), &gateway(), NOW, &mut Counter(9)).expect("good");
        let (demand, about) = (filed.0, filed.1.expect("a list"));
        let verified = Signed::<Demand>::new(&demand).and_then(|signed| signed.verify(&gateway())).expect("verifies");
        let id = verified.id();
        let mut case = Case::open(verified, Some(&about), register, NOW).expect("a case");
        assert_eq!(case.subjects(), Some(&subjects));

        let told = json!({"demand": id.to_string(), "how": "letter"});
        let notice = clerk.file::<Notice>(&told, &gateway(), NOW, &mut Counter(10)).expect("good");
        case.take(Record::verify(&notice, &gateway()).expect("verifies"), NOW).expect("a clerk's");

        let no = json!({"demand": id.to_string(), "outcome": "refuse", "reasons": ["insufficient_process"],
                        "reasoning_sha256": "cd".repeat(32)});
        let half = one.file::<Decision>(&no, &gateway(), NOW, &mut Counter(11)).expect("good");
        assert_eq!(case.take(Record::verify(&half, &gateway()).expect("verifies"), NOW).expect_err("one").code(), "TV-Q09");
        let both = two.approve(&half, &gateway()).expect("good");
        case.take(Record::verify(&both, &gateway()).expect("verifies"), NOW).expect("two approvers");
        assert_eq!(case.state(), State::Refused);
    }

    #[test]
    fn the_commitment_is_made_and_not_given() {
        let clerk = Wallet::generate(&mut Counter(1));
        let mut with = said();
        with["about"] = json!("ab".repeat(32));
        let refusal = clerk.file_demand(&with, BTreeSet::new(), &gateway(), NOW, &mut Counter(9)).expect_err("given");
        assert_eq!(refusal.code(), "TV-C07");
        // Nobody is not everybody.
        assert_eq!(clerk.file_demand(&said(), BTreeSet::new(), &gateway(), NOW, &mut Counter(9)).expect_err("nobody").code(), "TV-C07");
        let mut everybody = said();
        everybody["everybody"] = json!(true);
        let filed = clerk.file_demand(&everybody, BTreeSet::new(), &gateway(), NOW, &mut Counter(9)).expect("good");
        assert!(filed.1.is_none());
    }
}
