//! Puts secrets where their placeholders stand. Values are put in as text and never read again as JSON or as a
//! placeholder.

use nexus_api::worker::v1::SecretPlaceholder;
use nexus_tasks::{Failure, SecretError, SecretStore};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::vault::{Refusal, Values, Vault};

/// The values for an attempt's placeholders; wiped from memory when they are filled in.
pub(crate) struct Filling {
    pairs: Vec<(String, Zeroizing<String>)>,
}

/// Why an attempt cannot have its secrets.
#[derive(Debug)]
pub(crate) enum Problem {
    /// It has failed.
    Failed(Failure),
    /// They cannot be had at present.
    Away(String),
}

impl From<SecretError> for Problem {
    fn from(error: SecretError) -> Self {
        Self::Failed(error.into())
    }
}

/// What the worker itself has, and what it has not: names that are to be asked for, and where they were looked for.
struct Known {
    filling: Filling,
    missing: Vec<(String, String, String)>,
}

impl Known {
    /// Looks every secret up at the worker.
    fn look_up(placeholders: &[SecretPlaceholder], store: &SecretStore) -> Result<Self, SecretError> {
        let (mut pairs, mut missing) = (Vec::new(), Vec::new());
        for secret in placeholders.iter().filter(|secret| !secret.placeholder.is_empty()) {
            let placeholder = secret.placeholder.clone();
            match store.secret(&secret.name) {
                Ok(value) => pairs.push((placeholder, Zeroizing::new(value))),
                Err(SecretError::Missing { name, places, .. }) => missing.push((placeholder, name, places)),
                Err(error) => return Err(error),
            }
        }
        let filling = Filling { pairs };
        Ok(Self { filling, missing })
    }

    /// Fills in what was asked for; `elsewhere` says where that was.
    fn with(mut self, mut values: Values, elsewhere: &str) -> Result<Filling, SecretError> {
        for (placeholder, name, places) in self.missing {
            let Some(value) = values.remove(&name) else {
                return Err(SecretError::Missing {
                    what: "secret",
                    name,
                    places: format!("{places} and {elsewhere}"),
                });
            };
            self.filling.pairs.push((placeholder, value));
        }
        Ok(self.filling)
    }
}

impl Filling {
    /// Looks every secret up: at the worker, and what it does not have among those that NEXUS keeps.
    pub(crate) async fn look_up(
        placeholders: &[SecretPlaceholder],
        store: &SecretStore,
        vault: &Vault,
        token: &str,
    ) -> Result<Self, Problem> {
        let known = Known::look_up(placeholders, store)?;
        if known.missing.is_empty() {
            return Ok(known.filling);
        }
        let names: Vec<String> = known.missing.iter().map(|(_, name, _)| name.clone()).collect();
        match vault.values(token, &names).await {
            Ok(values) => {
                let namespace = vault.namespace();
                let elsewhere =
                    format!("what NEXUS keeps in the namespace {namespace} (`nexus secrets set` puts it there)");
                Ok(known.with(values, &elsewhere)?)
            }
            Err(Refusal::Denied(why)) => {
                let elsewhere = format!("what NEXUS keeps, which the worker may not have: {why}");
                Ok(known.with(Values::new(), &elsewhere)?)
            }
            Err(Refusal::Away(why)) => Err(Problem::Away(why)),
        }
    }

    /// The secret values, for the redactor.
    pub(crate) fn values(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|(_, value)| value.as_str())
    }

    /// Fills in every string of a value. Keys stay as they are.
    pub(crate) fn fill(&self, value: &mut Value) {
        if self.pairs.is_empty() {
            return;
        }
        match value {
            Value::String(text) => {
                if let Some(filled) = self.fill_text(text) {
                    *text = filled;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.fill(item)),
            Value::Object(map) => map.values_mut().for_each(|item| self.fill(item)),
            _ => {}
        }
    }

    /// The text with its placeholders replaced, in one pass: what was put in is not looked at again.
    fn fill_text(&self, text: &str) -> Option<String> {
        let mut filled = String::new();
        let mut rest = text;
        loop {
            let next = self
                .pairs
                .iter()
                .filter_map(|(placeholder, value)| Some((rest.find(placeholder.as_str())?, placeholder, value)))
                .min_by_key(|(at, placeholder, _)| (*at, std::cmp::Reverse(placeholder.len())));
            let Some((at, placeholder, value)) = next else {
                break;
            };
            filled.push_str(&rest[..at]);
            filled.push_str(value);
            rest = &rest[at + placeholder.len()..];
        }
        if rest.len() == text.len() {
            return None;
        }
        filled.push_str(rest);
        Some(filled)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_text_and_nothing_else() {
        let env = [
            ("NEXUS_SECRET_A".to_owned(), "x\", \"b\": \"<<2>>".to_owned()),
            ("NEXUS_SECRET_B".to_owned(), "second".to_owned()),
        ];
        let store = SecretStore::new(env, None);
        let placeholder = |placeholder: &str, name: &str| SecretPlaceholder {
            placeholder: placeholder.into(),
            name: name.into(),
        };
        let list = [placeholder("<<1>>", "a"), placeholder("<<2>>", "b")];
        let filling = Known::look_up(&list, &store).expect("secrets").filling;
        let mut value = json!({"k <<1>>": ["Bearer <<1>>!<<2>>", 1, null, "plain"]});
        filling.fill(&mut value);
        assert_eq!(
            value,
            json!({"k <<1>>": ["Bearer x\", \"b\": \"<<2>>!second", 1, null, "plain"]})
        );
        let missing = || Known::look_up(&[placeholder("<<1>>", "a"), placeholder("<<3>>", "c")], &store);
        let kept = Values::from([
            ("c".to_owned(), Zeroizing::new("third".to_owned())),
            ("a".to_owned(), Zeroizing::new("not asked for".to_owned())),
        ]);
        let filling = missing().expect("known").with(kept, "").expect("both");
        assert_eq!(
            filling.values().collect::<Vec<_>>(),
            ["x\", \"b\": \"<<2>>", "third"],
            "the worker's own wins"
        );
        let error = missing().expect("known").with(Values::new(), "what NEXUS keeps").err();
        let told = error.expect("it is nowhere").to_string();
        assert!(
            told.contains("`c`") && told.contains("NEXUS_SECRET_C") && told.contains("what NEXUS keeps"),
            "{told}"
        );
    }
}
