//! People, which accounts are theirs, and the keys of those accounts.
//!
//! Always: a person has at most one live account and any number of paper accounts; every account has one key pair,
//! valid on its own host and on the data host only (facts 1.4). Ids and secrets follow from the seed and the order of
//! creation. Balances are not here: the exchange keeps them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::seeded;
use crate::sim::{ApiKey, Environment};

/// One human being with a log-in.
#[derive(Debug, Clone, Serialize)]
pub struct Person {
    /// Stable id, `person-N` unless chosen by the creator.
    pub id: String,
    /// What the consent page calls them.
    pub name: String,
    /// The live account, if there is one.
    pub live: Option<Arc<str>>,
    /// The paper accounts, oldest first.
    pub paper: Vec<Arc<str>>,
}

impl Person {
    /// The account that a consent covers when none was chosen: the live one, or the first paper account.
    pub(crate) fn default_account(&self, environment: Environment) -> Option<Arc<str>> {
        match environment {
            Environment::Live => self.live.clone(),
            Environment::Paper => self.paper.first().cloned(),
        }
    }

    /// Whether the account is this person's, in this environment.
    pub(crate) fn owns(&self, environment: Environment, account: &str) -> bool {
        match environment {
            Environment::Live => self.live.as_deref() == Some(account),
            Environment::Paper => self.paper.iter().any(|paper| paper.as_ref() == account),
        }
    }
}

/// A key pair as its owner sees it on the dashboard.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct KeyPair {
    /// `PK...` on paper, `AK...` live.
    pub key_id: String,
    /// The secret, shown once by Alpaca and always by this simulator.
    pub secret: String,
}

/// What a key opens.
#[derive(Debug, Clone)]
pub(crate) enum KeyOwner {
    /// An account's own key.
    Account { account: Arc<str>, environment: Environment },
    /// A market data key of the service, with its plan's limit.
    Data { requests_per_minute: u32 },
}

#[derive(Debug, Clone)]
struct KeyRow {
    secret: String,
    owner: KeyOwner,
}

/// Everybody.
#[derive(Debug, Default)]
pub(crate) struct People {
    persons: BTreeMap<String, Person>,
    keys: BTreeMap<String, KeyRow>,
    key_of: BTreeMap<Arc<str>, KeyPair>,
    owner_of: BTreeMap<Arc<str>, (String, Environment)>,
    created: u64,
}

impl People {
    /// Registers the service's own data keys.
    pub(crate) fn add_data_keys(&mut self, keys: &[ApiKey]) {
        for key in keys {
            let owner = KeyOwner::Data { requests_per_minute: key.requests_per_minute };
            self.keys.insert(key.key_id.clone(), KeyRow { secret: key.secret.clone(), owner });
        }
    }

    /// Adds a person; an empty id gets the next free `person-N`. An id that exists is refused.
    pub(crate) fn add_person(&mut self, id: Option<&str>, name: &str) -> Result<String, String> {
        self.created += 1;
        let id = match id {
            Some(id) if !id.is_empty() => id.to_owned(),
            _ => format!("person-{}", self.created),
        };
        if self.persons.contains_key(&id) {
            return Err(format!("person {id} exists already"));
        }
        let name = if name.is_empty() { id.clone() } else { name.to_owned() };
        let person = Person { id: id.clone(), name, live: None, paper: Vec::new() };
        self.persons.insert(id.clone(), person);
        Ok(id)
    }

    /// Whether this person may get another account in this environment.
    pub(crate) fn may_open(&self, person: &str, environment: Environment) -> Result<(), String> {
        match self.persons.get(person) {
            None => Err(format!("no such person: {person}")),
            Some(found) if environment == Environment::Live && found.live.is_some() => {
                Err(format!("person {person} has a live account already"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Binds a new account to its owner and makes its key pair.
    pub(crate) fn bind(&mut self, seed: u64, person: &str, environment: Environment, account: &Arc<str>) {
        if let Some(found) = self.persons.get_mut(person) {
            match environment {
                Environment::Live => found.live = Some(account.clone()),
                Environment::Paper => found.paper.push(account.clone()),
            }
        }
        let prefix = if environment == Environment::Live { "AK" } else { "PK" };
        let pair = KeyPair {
            key_id: format!("{prefix}{}", seeded::letters(seed, "key id", account, 18)),
            secret: seeded::letters(seed, "key secret", account, 40),
        };
        let owner = KeyOwner::Account { account: account.clone(), environment };
        self.keys.insert(pair.key_id.clone(), KeyRow { secret: pair.secret.clone(), owner });
        self.key_of.insert(account.clone(), pair);
        self.owner_of.insert(account.clone(), (person.to_owned(), environment));
    }

    /// A person by id.
    pub(crate) fn person(&self, id: &str) -> Option<&Person> {
        self.persons.get(id)
    }

    /// Everybody, by id.
    pub(crate) fn persons(&self) -> impl Iterator<Item = &Person> {
        self.persons.values()
    }

    /// The owner of an account, and the host it is on.
    pub(crate) fn owner_of(&self, account: &str) -> Option<(&str, Environment)> {
        self.owner_of.get(account).map(|(person, environment)| (person.as_str(), *environment))
    }

    /// An account's key pair.
    pub(crate) fn key_pair(&self, account: &str) -> Option<&KeyPair> {
        self.key_of.get(account)
    }

    /// What a key pair opens, if the secret is right.
    pub(crate) fn check_key(&self, key_id: &str, secret: &str) -> Option<&KeyOwner> {
        self.keys.get(key_id).filter(|row| row.secret == secret).map(|row| &row.owner)
    }
}
