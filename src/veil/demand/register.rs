//! Who may do what at the desk. A person may have several keys, and is one person all the same.
//!
//! When somebody leaves, take the roles and leave the keys: what they wrote stays theirs, and what they approved stays approved. A key
//! that is gone is nobody's, and nothing that it approved is released any more.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::words::Role;
use crate::veil::name::Did;

/// The most persons, and the most keys of one.
pub const PERSONS_MAX: usize = 1_000;
/// The most keys of a person.
pub const KEYS_MAX: usize = 16;

/// One person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Their keys.
    pub keys: Vec<Did>,
    /// What they may do; empty: nothing any more.
    pub roles: BTreeSet<Role>,
}

/// Every person of the desk, and the gateway itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    gateway: Did,
    persons: Vec<Person>,
    by_key: BTreeMap<Did, PersonIndex>,
}

/// A person of one register. Another register may number them otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonIndex(usize);

/// Why there is no such register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRegister {
    /// A key stands twice: under two persons, or under one, or it is the gateway's own.
    Shared(Did),
    /// A person has no key, or more than 16.
    Keys(usize),
    /// More than 1,000 persons.
    TooMany,
}

impl Register {
    /// The persons of a gateway that signs with this key.
    pub fn new(gateway: Did, persons: Vec<Person>) -> Result<Self, BadRegister> {
        if persons.len() > PERSONS_MAX {
            return Err(BadRegister::TooMany);
        }
        let mut by_key = BTreeMap::new();
        for (index, person) in persons.iter().enumerate() {
            if !(1..=KEYS_MAX).contains(&person.keys.len()) {
                return Err(BadRegister::Keys(index));
            }
            for key in &person.keys {
                if *key == gateway || by_key.insert(*key, PersonIndex(index)).is_some() {
                    return Err(BadRegister::Shared(*key));
                }
            }
        }
        Ok(Self { gateway, persons, by_key })
    }

    /// The key of the gateway itself.
    pub fn gateway(&self) -> Did {
        self.gateway
    }

    /// Every person, in order.
    pub fn persons(&self) -> &[Person] {
        &self.persons
    }

    /// Whose key it is.
    pub fn person(&self, key: &Did) -> Option<PersonIndex> {
        self.by_key.get(key).copied()
    }

    /// Whether the key's person has a role.
    pub fn has(&self, key: &Did, role: Role) -> bool {
        let person = self.person(key).and_then(|PersonIndex(index)| self.persons.get(index));
        person.is_some_and(|person| person.roles.contains(&role))
    }
}

impl fmt::Display for BadRegister {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared(key) => write!(f, "`{key}` stands under two persons, twice under one, or is the gateway's own"),
            Self::Keys(index) => write!(f, "person {}: give 1 to 16 keys", index + 1),
            Self::TooMany => write!(f, "more than {PERSONS_MAX} persons"),
        }
    }
}

impl std::error::Error for BadRegister {}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(keys: &[u8], roles: &[Role]) -> Person {
        Person { keys: keys.iter().map(|key| Did([*key; 32])).collect(), roles: roles.iter().copied().collect() }
    }

    const GATEWAY: Did = Did([0; 32]);

    #[test]
    fn two_keys_of_one_person_are_one_person() {
        let register = Register::new(GATEWAY, vec![person(&[1, 2], &[Role::Approver]), person(&[3], &[])]).expect("good");
        assert_eq!(register.person(&Did([1; 32])), register.person(&Did([2; 32])));
        assert_ne!(register.person(&Did([1; 32])), register.person(&Did([3; 32])));
        assert_eq!(register.person(&Did([4; 32])), None);
        assert!(register.has(&Did([2; 32]), Role::Approver) && !register.has(&Did([2; 32]), Role::Clerk));
        assert!(!register.has(&Did([3; 32]), Role::Approver) && !register.has(&GATEWAY, Role::Clerk));
    }

    #[test]
    fn a_key_that_stands_twice_is_refused() {
        for keys in [[&[1u8, 2][..], &[2]], [&[1, 1], &[3]], [&[1], &[0]]] {
            let persons = keys.iter().map(|keys| person(keys, &[])).collect();
            assert!(matches!(Register::new(GATEWAY, persons), Err(BadRegister::Shared(_))), "{keys:?}");
        }
    }

    #[test]
    fn each_number_is_refused_one_past_its_limit() {
        let keys: Vec<u8> = (1..=17).collect();
        assert!(Register::new(GATEWAY, vec![person(&keys[..16], &[])]).is_ok());
        assert_eq!(Register::new(GATEWAY, vec![person(&keys, &[])]), Err(BadRegister::Keys(0)));
        assert_eq!(Register::new(GATEWAY, vec![person(&[1], &[]), person(&[], &[])]), Err(BadRegister::Keys(1)));
        let many = |n: u16| {
            let key = |n: u16| Did(std::array::from_fn(|i| if i < 2 { n.to_be_bytes()[i] } else { 1 }));
            Register::new(GATEWAY, (0..n).map(|n| Person { keys: vec![key(n)], roles: BTreeSet::new() }).collect())
        };
        assert!(many(1_000).is_ok());
        assert_eq!(many(1_001), Err(BadRegister::TooMany));
    }
}
