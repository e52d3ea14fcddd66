//! Puts secrets where their placeholders stand. Values are put in as text and never read again as JSON or as a
//! placeholder.

use nexus_api::worker::v1::SecretPlaceholder;
use nexus_tasks::{SecretError, SecretStore};
use serde_json::Value;

/// The values for an attempt's placeholders.
pub(crate) struct Filling {
    pairs: Vec<(String, String)>,
}

impl Filling {
    /// Looks every secret up.
    pub(crate) fn look_up(placeholders: &[SecretPlaceholder], store: &SecretStore) -> Result<Self, SecretError> {
        let pairs = placeholders
            .iter()
            .filter(|secret| !secret.placeholder.is_empty())
            .map(|secret| Ok((secret.placeholder.clone(), store.secret(&secret.name)?)))
            .collect::<Result<_, SecretError>>()?;
        Ok(Self { pairs })
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
        let filling = Filling::look_up(&list, &store).expect("secrets");
        let mut value = json!({"k <<1>>": ["Bearer <<1>>!<<2>>", 1, null, "plain"]});
        filling.fill(&mut value);
        assert_eq!(
            value,
            json!({"k <<1>>": ["Bearer x\", \"b\": \"<<2>>!second", 1, null, "plain"]})
        );
        assert!(Filling::look_up(&[placeholder("<<3>>", "c")], &store).is_err());
    }
}
