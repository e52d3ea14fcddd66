//! `{{ secrets.NAME }}` where a credential goes: what is named, and how values are put in. Pure.

use std::collections::{BTreeMap, BTreeSet};

use nexus_api::notifications::v1::Channel;
use nexus_api::notifications::v1::channel::Kind;
use secrecy::{ExposeSecret, SecretString};

/// Values by name, in small letters.
pub(crate) type Values = BTreeMap<String, SecretString>;

/// A text that names secrets in a way that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("holds `{{{{` that begins no `{{{{ secrets.NAME }}}}`: a letter or _, then letters, digits and _")]
pub(crate) struct NotASecret;

/// A secret that there is no value for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no secret {0} in this namespace; set it and it is sent with the next attempt")]
pub(crate) struct Missing(pub(crate) String);

enum Part<'a> {
    Text(&'a str),
    Secret(&'a str),
}

fn parts(text: &str) -> Result<Vec<Part<'_>>, NotASecret> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, behind) = after.split_once("}}").ok_or(NotASecret)?;
        let name = inside.trim().strip_prefix("secrets.").ok_or(NotASecret)?;
        let mut letters = name.chars();
        let plain = letters
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
            && name.len() <= 63;
        if !plain {
            return Err(NotASecret);
        }
        parts.push(Part::Text(before));
        parts.push(Part::Secret(name));
        rest = behind;
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

/// The secrets that a text names, in small letters.
pub(crate) fn named(text: &str) -> Result<BTreeSet<String>, NotASecret> {
    let parts = parts(text)?;
    let names = parts.iter().filter_map(|part| match part {
        Part::Secret(name) => Some(name.to_ascii_lowercase()),
        Part::Text(_) => None,
    });
    Ok(names.collect())
}

/// Whether a text is one secret and nothing else.
pub(crate) fn is_one(text: &str) -> bool {
    let found = parts(text.trim()).unwrap_or_default();
    let texts_are_empty = found
        .iter()
        .all(|part| matches!(part, Part::Text("") | Part::Secret(_)));
    texts_are_empty && found.iter().filter(|part| matches!(part, Part::Secret(_))).count() == 1
}

/// A text with the values in their places.
pub(crate) fn fill(text: &str, values: &Values) -> Result<String, Missing> {
    // What was stored was checked; what cannot be read names nothing.
    let Ok(parts) = parts(text) else {
        return Ok(text.to_owned());
    };
    let mut filled = String::with_capacity(text.len());
    for part in parts {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Secret(name) => {
                let value = values.get(&name.to_ascii_lowercase());
                filled.push_str(value.ok_or_else(|| Missing(name.to_owned()))?.expose_secret());
            }
        }
    }
    Ok(filled)
}

/// The fields of a channel that credentials go into.
pub(crate) fn fields(channel: &Channel) -> Vec<&str> {
    match &channel.kind {
        None => Vec::new(),
        Some(Kind::Email(email)) => vec![&email.username, &email.password],
        Some(Kind::Slack(slack)) => vec![&slack.url],
        Some(Kind::Teams(teams)) => vec![&teams.url],
        Some(Kind::Discord(discord)) => vec![&discord.url],
        Some(Kind::PagerDuty(duty)) => vec![&duty.routing_key],
        Some(Kind::Webhook(webhook)) => {
            let secrets = webhook.signing_secrets.iter().map(String::as_str);
            let headers = webhook.headers.values().map(String::as_str);
            std::iter::once(webhook.url.as_str())
                .chain(secrets)
                .chain(headers)
                .collect()
        }
    }
}

/// The secrets that a channel names.
pub(crate) fn of_channel(channel: &Channel) -> BTreeSet<String> {
    fields(channel)
        .into_iter()
        .filter_map(|text| named(text).ok())
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_where_they_are_named_and_are_never_read_as_names() {
        let values = Values::from([
            ("a".to_owned(), SecretString::from("{{ secrets.b }}".to_owned())),
            ("b".to_owned(), SecretString::from("hush".to_owned())),
        ]);
        assert_eq!(
            fill("Bearer {{ secrets.A }}!", &values).as_deref(),
            Ok("Bearer {{ secrets.b }}!")
        );
        assert_eq!(fill("{{secrets.b}}{{ secrets.b }}", &values).as_deref(), Ok("hushhush"));
        assert_eq!(fill("{{ secrets.c }}", &values), Err(Missing("c".to_owned())));
        assert!(is_one(" {{ secrets.a }} ") && !is_one("x{{ secrets.a }}") && !is_one("a") && !is_one(""));
        for wrong in [
            "{{ a }}",
            "{{ secrets.a",
            "{{ secrets.a-b }}",
            "{{ secrets. }}",
            "{{ secrets.a | upper }}",
        ] {
            assert_eq!(named(wrong), Err(NotASecret), "{wrong}");
        }
    }
}
