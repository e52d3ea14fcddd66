//! What is left of a login: a session's token, kept for the context and its servers.

use nexus_api::access::v1::{Identity, Session};
use nexus_cli_frame::{
    CliError, Target,
    settings::{
        Credential, DEFAULT_ADDRESS, contexts::Context, contexts::Stored, contexts::servers, environment,
        folder::Folder,
    },
    time,
};
use secrecy::SecretString;

/// Checks that what a login gives could be kept, before anybody types a password.
pub(super) fn check(target: &Target) -> Result<(), CliError> {
    let settings = &target.settings;
    let name = &settings.context.value;
    if let Some(path) = &settings.written.credential_file {
        return Err(CliError::Usage(format!(
            "context {name} has its credential in {}; `nexus context set {name} --unset credential-file` lets it keep a session",
            path.display()
        )));
    }
    let known = Folder::of(&environment).contexts()?.contexts.contains_key(name);
    let own = settings.written.server.as_deref().unwrap_or(DEFAULT_ADDRESS);
    if known && servers(own) != servers(target.address()) {
        let address = target.address();
        return Err(CliError::Usage(format!(
            "context {name} is of {own}; for {address} make another: `nexus context set NAME --server {address}`, then \
             `nexus login --context NAME`"
        )));
    }
    Ok(())
}

/// Keeps a session. Where the server has no context yet, the one without a name is made for it.
pub(super) fn keep(
    target: &Target,
    token: SecretString,
    session: &Session,
    identity: &Identity,
) -> Result<(), CliError> {
    let settings = &target.settings;
    let definitions = settings.definitions_address.value.clone();
    let stored = Stored {
        servers: [target.address().to_owned()]
            .into_iter()
            .chain(definitions.clone())
            .collect(),
        token,
        subject: identity.subject.clone(),
        expire_time: time::point(session.expire_time.as_ref()),
    };
    Folder::of(&environment).change(|contexts, credentials| {
        let name = &settings.context.value;
        let unusual = servers(target.address()) != servers(DEFAULT_ADDRESS) || definitions.is_some();
        if !contexts.contexts.contains_key(name) && unusual {
            let context = Context {
                server: Some(target.address().to_owned()),
                definitions_server: definitions,
                ..Context::default()
            };
            contexts.contexts.insert(name.clone(), context);
        }
        credentials.credentials.insert(name.clone(), stored);
        Ok(())
    })
}

/// Forgets what is kept for the context; false when it was nothing.
pub(super) fn forget(target: &Target) -> Result<bool, CliError> {
    let folder = Folder::of(&environment);
    let name = &target.settings.context.value;
    if !folder.credentials()?.credentials.contains_key(name) {
        return Ok(false);
    }
    folder.change(|_, credentials| Ok(credentials.credentials.remove(name).is_some()))
}

/// True when calls are made with the session that is kept, and not with a key.
pub(super) fn is_kept(target: &Target) -> Result<bool, CliError> {
    match target.settings.credential.value {
        Credential::Kept => Ok(true),
        Credential::Given(_) | Credential::File(_) => Err(CliError::Usage(format!(
            "{} is no session; `nexus keys revoke` ends a key",
            target.credential()
        ))),
    }
}
