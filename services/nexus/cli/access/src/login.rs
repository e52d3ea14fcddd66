//! `nexus login`: by a password, by the OpenID provider, or as the first administrator.

use std::net::IpAddr;
use std::time::Duration;

use nexus_api::access::v1::{
    BeginOidcLoginRequest, ClaimAdministratorRequest, CompleteOidcLoginRequest, Identity, ListLoginMethodsRequest,
    LoginMethod, LoginRequest, Session,
};
use nexus_cli_frame::{
    CliError, Exit,
    settings::{Credential, Sourced},
    time,
};
use secrecy::{ExposeSecret, SecretString};

use super::loopback::Loopback;
use super::password::{self, Source};
use super::{Access, keep, show};
use crate::args::LoginArgs;

/// So long somebody may take at the provider's page.
const AT_THE_PROVIDER: Duration = Duration::from_secs(5 * 60);

/// What a login gives, whichever way it goes.
struct Begun {
    token: SecretString,
    session: Session,
    identity: Identity,
}

impl Begun {
    fn new(token: String, session: Option<Session>, identity: Option<Identity>) -> Self {
        Self {
            token: SecretString::from(token),
            session: session.unwrap_or_default(),
            identity: identity.unwrap_or_default(),
        }
    }
}

pub(super) async fn run(args: &LoginArgs, access: &Access<'_>) -> Result<Exit, CliError> {
    let target = access.target;
    keep::check(target)?;
    if !is_private(target.address()) {
        eprintln!(
            "warning: calls to {} are not encrypted; whoever is on the way reads the password and the session",
            target.address()
        );
    }
    let begun = match &args.claim {
        Some(token) => claim(args, token, access).await?,
        None if args.oidc || by_provider_only(args, access).await? => oidc(args, access).await?,
        None => by_password(args, access).await?,
    };
    keep::keep(target, begun.token, &begun.session, &begun.identity)?;
    if access.output.is_table() {
        let until = time::point(begun.session.expire_time.as_ref());
        let until = if until.is_empty() {
            until
        } else {
            format!(" until {until}")
        };
        let (subject, context) = (&begun.identity.subject, &target.settings.context.value);
        access.output.line(&format!(
            "{subject}: logged in at {}{until}, context {context}",
            target.address()
        ))?;
    } else {
        show::identity(&begun.identity, access.output)?;
    }
    if let Sourced {
        value: Credential::Given(_),
        origin,
    } = &target.settings.credential
    {
        eprintln!("note: commands go on with the key of {origin} as long as it is set");
    }
    Ok(Exit::Ok)
}

/// Whether nobody on the way can read what is sent: it is encrypted, or does not leave this machine.
fn is_private(address: &str) -> bool {
    let private = |address: &str| {
        let host = address.parse::<http::Uri>().ok();
        let host = host.as_ref().and_then(http::Uri::host).unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        address.starts_with("https://")
            || host == "localhost"
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    address.split(',').all(|address| private(address.trim()))
}

/// Whether the provider is the only way, for who did not say how they log in.
async fn by_provider_only(args: &LoginArgs, access: &Access<'_>) -> Result<bool, CliError> {
    if args.user.is_some() || args.password_stdin {
        return Ok(false);
    }
    let answer = access
        .authentication
        .clone()
        .list_login_methods(ListLoginMethodsRequest {})
        .await;
    let answer = access.answer(answer)?;
    if answer.claimable {
        return Err(CliError::Usage(
            "there is no administrator yet: `nexus login --claim TOKEN --user NAME`, with the token that the server printed at \
             its first start"
                .to_owned(),
        ));
    }
    let methods: Vec<LoginMethod> = answer.methods().collect();
    Ok(methods.contains(&LoginMethod::Oidc) && !methods.contains(&LoginMethod::Password))
}

fn user(args: &LoginArgs) -> Result<String, CliError> {
    match &args.user {
        Some(user) => Ok(user.clone()),
        None if args.password_stdin => Err(CliError::Usage("say who logs in with --user NAME".to_owned())),
        None => password::name(),
    }
}

async fn by_password(args: &LoginArgs, access: &Access<'_>) -> Result<Begun, CliError> {
    let user = user(args)?;
    let password = Source::of(args.password_stdin)
        .known(&format!("password of {user}: "))
        .await?;
    let request = LoginRequest {
        user,
        password: password.expose_secret().to_owned(),
        client: client(),
    };
    let answer = access.answer(access.authentication.clone().login(request).await)?;
    Ok(Begun::new(answer.token, answer.session, answer.identity))
}

async fn claim(args: &LoginArgs, token: &SecretString, access: &Access<'_>) -> Result<Begun, CliError> {
    let user = user(args)?;
    let password = Source::of(args.password_stdin)
        .chosen(&format!("new password of {user}: "))
        .await?;
    let request = ClaimAdministratorRequest {
        claim_token: token.expose_secret().to_owned(),
        user,
        password: password.expose_secret().to_owned(),
        client: client(),
    };
    let answer = access.answer(access.authentication.clone().claim_administrator(request).await)?;
    Ok(Begun::new(answer.token, answer.session, answer.identity))
}

/// By the provider: its page sends the browser back to a port of this process (RFC 8252).
async fn oidc(args: &LoginArgs, access: &Access<'_>) -> Result<Begun, CliError> {
    let mut client_of = access.authentication.clone();
    let loopback = Loopback::open().await?;
    let request = BeginOidcLoginRequest {
        redirect_uri: loopback.redirect_uri(),
    };
    let begun = access.answer(client_of.begin_oidc_login(request).await)?;
    let page = page(&begun.authorization_url)?;
    eprintln!("log in at this address, within 5 minutes:\n{page}");
    if !args.no_browser && open::that_detached(&page).is_err() {
        eprintln!("no browser could be opened; open the address in one on this machine");
    }
    let code = tokio::select! {
        code = loopback.code(&begun.state, AT_THE_PROVIDER) => code?,
        _ = tokio::signal::ctrl_c() => return Err(CliError::Interrupted),
    };
    let request = CompleteOidcLoginRequest {
        state: begun.state,
        code: code.expose_secret().to_owned(),
        client: client(),
    };
    let answer = access.answer(client_of.complete_oidc_login(request).await)?;
    Ok(Begun::new(answer.token, answer.session, answer.identity))
}

/// The provider's page. What is opened is an address of the web and nothing else that a desktop would open.
fn page(address: &str) -> Result<String, CliError> {
    let uri: Option<http::Uri> = address.parse().ok();
    let web = uri.as_ref().and_then(http::Uri::scheme_str);
    match web {
        Some("https" | "http") => Ok(address.to_owned()),
        _ => Err(CliError::Other(
            "the server named a page of the provider that is no address of the web".to_owned(),
        )),
    }
}

/// What is logged in from, for the list of sessions.
fn client() -> String {
    let system = rustix::system::uname();
    let host: String = system.nodename().to_string_lossy().chars().take(100).collect();
    format!("nexus {} on {host}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_encrypted_or_stays_here_is_private() {
        for address in [
            "https://h",
            "http://127.0.0.1:7070",
            "http://[::1]:1",
            "http://localhost:1",
            "https://a,https://b",
        ] {
            assert!(is_private(address), "{address}");
        }
        for address in [
            "http://h:1",
            "http://127.0.0.1:1,http://h:1",
            "http://127.0.0.1.evil:1",
            "",
        ] {
            assert!(!is_private(address), "{address}");
        }
    }

    #[test]
    fn only_addresses_of_the_web_are_opened() {
        assert!(page("https://id.example/authorize?state=x").is_ok());
        for other in [
            "file:///etc/passwd",
            "javascript:alert(1)",
            "/usr/bin/true",
            "",
            "ssh://h",
        ] {
            assert!(page(other).is_err(), "{other}");
        }
    }
}
