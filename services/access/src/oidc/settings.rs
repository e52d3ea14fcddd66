//! How the provider is set up. What cannot be used is refused at the start, with the key that says it. Pure.

use std::collections::BTreeMap;

use nexus_api::Namespace;
use url::{Host, Url};

use crate::powers::{EVERYWHERE, Grant};
use crate::tokens::Secret;

/// What the configuration says.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// `oidc.issuer`.
    pub issuer: Option<String>,
    /// `oidc.client_id`.
    pub client_id: Option<String>,
    /// `oidc.client_secret`.
    pub client_secret: Option<Secret>,
    /// `oidc.audience`.
    pub audience: Option<String>,
    /// `oidc.redirect_uris`.
    pub redirect_uris: Vec<String>,
    /// `oidc.groups_claim`.
    pub groups_claim: String,
    /// `oidc.grants`: a group, and `role` or `role@namespace+namespace`.
    pub grants: BTreeMap<String, String>,
}

/// A key of the configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} {problem}")]
pub struct SettingsError {
    /// The key.
    pub key: &'static str,
    /// What is wrong.
    pub problem: String,
}

/// How the provider is used.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name in every token of it, and where its description is.
    pub issuer: String,
    /// What NEXUS is to it; without it nobody logs in by it.
    pub client: Option<Client>,
    /// Whom tokens that programs show must be for; without it none of them is taken.
    pub audience: Option<String>,
    /// The claim that has the groups.
    pub(super) groups_claim: String,
    grants: BTreeMap<String, Grant>,
}

/// What NEXUS is to the provider.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its name there.
    pub id: String,
    /// What proves that it is it; none for a public client.
    pub secret: Option<Secret>,
    /// Where the provider may send people back to.
    redirect_uris: Vec<String>,
}

fn wrong<T>(key: &'static str, problem: impl Into<String>) -> Result<T, SettingsError> {
    Err(SettingsError {
        key,
        problem: problem.into(),
    })
}

impl Settings {
    /// Reads them; nothing when there is no provider.
    ///
    /// # Errors
    /// When one cannot be used, or does not fit the others.
    pub fn read(given: Given) -> Result<Option<Self>, SettingsError> {
        let Some(issuer) = given.issuer else {
            return match given.client_id.is_some() || given.audience.is_some() || !given.grants.is_empty() {
                true => wrong("oidc.issuer", "is not set, and other keys of the provider are"),
                false => Ok(None),
            };
        };
        check_url("oidc.issuer", &issuer)?;
        if given.client_id.is_none() && given.audience.is_none() {
            let problem = "is not set, and neither is oidc.audience: nobody could log in by the provider, and no program's \
                           token would be taken";
            return wrong("oidc.client_id", problem);
        }
        for uri in &given.redirect_uris {
            check_url("oidc.redirect_uris", uri)?;
        }
        let grants = given.grants.into_iter().map(|(group, text)| Ok((group, grant(&text)?)));
        Ok(Some(Self {
            issuer,
            client: given.client_id.map(|id| Client {
                id,
                secret: given.client_secret,
                redirect_uris: given.redirect_uris,
            }),
            audience: given.audience,
            groups_claim: given.groups_claim,
            grants: grants.collect::<Result<_, SettingsError>>()?,
        }))
    }

    /// The scope that has the provider say the groups, if it has one of the claim's name; one that it does not know would have
    /// it refuse everybody.
    pub(super) fn groups_scope<'a>(&'a self, scopes: &[String]) -> Option<&'a str> {
        scopes
            .contains(&self.groups_claim)
            .then_some(self.groups_claim.as_str())
    }

    /// The roles that the groups in a token give.
    #[must_use]
    pub fn grants_of(&self, claims: &serde_json::Map<String, serde_json::Value>) -> Vec<Grant> {
        let groups: Vec<&str> = match claims.get(&self.groups_claim) {
            Some(serde_json::Value::Array(groups)) => groups.iter().filter_map(|group| group.as_str()).collect(),
            // Some providers write a single one without brackets.
            Some(serde_json::Value::String(group)) => vec![group],
            _ => Vec::new(),
        };
        let given = self.grants.iter().filter(|(group, _)| groups.contains(&group.as_str()));
        given.map(|(_, grant)| grant.clone()).collect()
    }
}

impl Client {
    /// Whether the provider may send people back there: to an address of the configuration, as it is written there, or to a
    /// program on the person's own machine, at any port (RFC 8252, 7.3).
    #[must_use]
    pub fn may_return_to(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|known| known == uri) || is_of_own_machine(uri)
    }
}

/// `http://127.0.0.1:<port>/callback` and `http://[::1]:<port>/callback`, and nothing that only looks like it.
fn is_of_own_machine(uri: &str) -> bool {
    ["http://127.0.0.1:", "http://[::1]:"].iter().any(|begin| {
        let port = uri.strip_prefix(begin).and_then(|rest| rest.strip_suffix("/callback"));
        let digits = port.filter(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
        digits.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
    })
}

/// HTTPS, or HTTP on this machine.
pub(super) fn check_url(key: &'static str, text: &str) -> Result<(), SettingsError> {
    let Ok(url) = Url::parse(text) else {
        return wrong(key, format!("is no address: {text:?}"));
    };
    let local = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && local) {
        return wrong(
            key,
            format!("must begin with https:// (http:// on this machine only), and {text:?} does not"),
        );
    }
    if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return wrong(key, "must have no user, no password and no fragment");
    }
    Ok(())
}

/// `role`, in every namespace, or `role@namespace+namespace`.
fn grant(text: &str) -> Result<Grant, SettingsError> {
    let (role, namespaces) = text.split_once('@').unwrap_or((text, EVERYWHERE));
    let namespaces: Vec<String> = namespaces.split('+').map(|name| name.trim().to_owned()).collect();
    let known = |name: &String| name == EVERYWHERE || name.parse::<Namespace>().is_ok();
    let role = role.trim();
    if !crate::rules::is_role_name(role) || !namespaces.iter().all(known) {
        return wrong(
            "oidc.grants",
            format!("gives a group `role` or `role@namespace+namespace`, not {text:?}"),
        );
    }
    Ok(Grant {
        role: role.to_owned(),
        namespaces,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn given() -> Given {
        Given {
            issuer: Some("https://id.example/realms/a".to_owned()),
            client_id: Some("nexus".to_owned()),
            redirect_uris: vec!["https://console.example/callback".to_owned()],
            groups_claim: "groups".to_owned(),
            grants: BTreeMap::from([
                ("ops".to_owned(), "admin".to_owned()),
                ("data".to_owned(), "editor@team-a+team-b".to_owned()),
            ]),
            ..Given::default()
        }
    }

    #[test]
    fn groups_give_the_roles_that_the_configuration_says() {
        let settings = Settings::read(given()).expect("settings").expect("a provider");
        let of = |groups: serde_json::Value| {
            let claims = json!({ "groups": groups });
            let grants = settings.grants_of(claims.as_object().expect("an object"));
            grants
                .into_iter()
                .map(|grant| (grant.role, grant.namespaces.join("+")))
                .collect::<Vec<_>>()
        };
        let (all, data) = (
            ("admin".to_owned(), "*".to_owned()),
            ("editor".to_owned(), "team-a+team-b".to_owned()),
        );
        assert_eq!(of(json!(["data", "ops", "others"])), [data.clone(), all]);
        assert_eq!(of(json!("data")), [data]);
        for none in [json!([]), json!(["Ops"]), json!(null), json!(7), json!([["ops"]])] {
            assert!(of(none).is_empty());
        }
    }

    #[test]
    fn people_come_back_to_known_addresses_and_their_own_machine_only() {
        let client = Settings::read(given())
            .expect("settings")
            .and_then(|settings| settings.client);
        let client = client.expect("a client");
        for fits in [
            "https://console.example/callback",
            "http://127.0.0.1:8080/callback",
            "http://[::1]:65535/callback",
        ] {
            assert!(client.may_return_to(fits), "{fits}");
        }
        for wrong in [
            "",
            "https://console.example/callback/",
            "https://console.example/callback?x=1",
            "https://console.example.evil.example/callback",
            "http://127.0.0.1/callback",
            "http://127.0.0.1:0/callback",
            "http://127.0.0.1:65536/callback",
            "http://127.0.0.1:80@evil.example/callback",
            "http://127.0.0.1:80/callback/../callback",
            "http://127.0.0.2:80/callback",
            "http://localhost:80/callback",
            "https://127.0.0.1:80/callback",
            "http://127.0.0.1:8080/callback#x",
            "http://127.0.0.1:+80/callback",
        ] {
            assert!(!client.may_return_to(wrong), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_key() {
        let key = |change: fn(&mut Given)| {
            let mut given = given();
            change(&mut given);
            Settings::read(given).map(|_| ()).map_err(|error| error.key)
        };
        assert_eq!(key(|_| ()), Ok(()));
        assert_eq!(key(|given| given.issuer = None), Err("oidc.issuer"));
        assert_eq!(
            key(|given| given.issuer = Some("http://id.example".to_owned())),
            Err("oidc.issuer")
        );
        assert_eq!(
            key(|given| given.issuer = Some("http://127.0.0.1:9".to_owned())),
            Ok(())
        );
        assert_eq!(
            key(|given| given.issuer = Some("https://a:b@id.example".to_owned())),
            Err("oidc.issuer")
        );
        assert_eq!(key(|given| given.client_id = None), Err("oidc.client_id"));
        assert_eq!(
            key(|given| given.redirect_uris.push("http://console.example/callback".to_owned())),
            Err("oidc.redirect_uris")
        );
        for wrong in ["", "Admin", "admin@", "admin@A", "editor@a,b", "@a"] {
            let mut given = given();
            given.grants.insert("x".to_owned(), wrong.to_owned());
            let refused = Settings::read(given).expect_err(wrong);
            assert_eq!(refused.key, "oidc.grants");
        }
        assert!(Settings::read(Given::default()).expect("nothing").is_none());
    }
}
