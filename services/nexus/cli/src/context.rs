//! `nexus context`: names for the systems that commands can be about.

use std::path::{Path, PathBuf};

use nexus_cli_frame::settings::contexts::{self, Context, DEFAULT, servers};
use nexus_cli_frame::settings::folder::Folder;
use nexus_cli_frame::settings::{self, Origin, environment};
use nexus_cli_frame::{CliError, Exit, Global, Output, Target, namespace, table};
use serde_json::{Map, Value, json};

use super::args::{ContextValue, Contexts, SetContext};

pub(super) fn run(command: Contexts, global: &Global, output: &Output) -> Result<Exit, CliError> {
    let folder = Folder::of(&environment);
    match command {
        Contexts::List => list(&folder, global, output)?,
        Contexts::Use { name } => {
            folder.change(|contexts, _| {
                if name != DEFAULT && !contexts.contexts.contains_key(&name) {
                    return Err(settings::unknown(&name, contexts));
                }
                contexts.current = Some(name.clone());
                Ok(())
            })?;
            output.line(&format!("{name}: holds from now on"))?;
        }
        Contexts::Set(args) => set(&folder, &args, global, output)?,
        Contexts::Show { name } => {
            let named = Global {
                context: name.or_else(|| global.context.clone()),
                ..global.clone()
            };
            show(&Target::resolve(&named)?, output)?;
        }
        Contexts::Delete { name } => {
            folder.change(|contexts, credentials| {
                let kept = credentials.credentials.remove(&name);
                if contexts.contexts.remove(&name).is_none() && kept.is_none() {
                    return Err(settings::unknown(&name, contexts));
                }
                contexts.current.take_if(|current| *current == name);
                Ok(())
            })?;
            output.line(&format!("{name}: deleted"))?;
        }
    }
    Ok(Exit::Ok)
}

fn set(folder: &Folder, args: &SetContext, global: &Global, output: &Output) -> Result<(), CliError> {
    contexts::check_name(&args.name).map_err(CliError::Usage)?;
    let typed = typed(args, global)?;
    let made = folder.change(|contexts, _| {
        let made = !contexts.contexts.contains_key(&args.name);
        let context = contexts.contexts.entry(args.name.clone()).or_default();
        lay_over(context, &typed);
        args.unset.iter().for_each(|value| unset(context, *value));
        Ok(made)
    })?;
    output.line(&format!("{}: {}", args.name, if made { "created" } else { "changed" }))?;
    if made {
        eprintln!("let it hold with: nexus context use {}", args.name);
    }
    Ok(())
}

/// What was typed of a context. Of the flags that every command has only those that were typed: what stands in the
/// environment is not meant for the file.
fn typed(args: &SetContext, global: &Global) -> Result<Context, CliError> {
    if global.api_key.is_some() {
        return Err(CliError::Usage(
            "a key is not kept with a context: put it into a file of yours alone, and name that with --credential-file"
                .to_owned(),
        ));
    }
    for address in global.address.iter().chain(&global.definitions_address) {
        let checked = nexus_mesh::transport::check(address);
        checked.map_err(|error| CliError::Usage(error.to_string()))?;
        if address.contains('@') {
            return Err(CliError::Usage("an address holds no user and no password".to_owned()));
        }
    }
    let namespace = match global.namespaces.as_slice() {
        [] => None,
        named => Some(namespace::one(named)?.to_string()),
    };
    Ok(Context {
        server: global.address.clone(),
        definitions_server: global.definitions_address.clone(),
        namespace,
        credential_file: args.credential_file.as_deref().map(absolute).transpose()?,
        ca: args.ca.as_deref().map(absolute).transpose()?,
        client_cert: args.client_cert.as_deref().map(absolute).transpose()?,
        client_key: args.client_key.as_deref().map(absolute).transpose()?,
        tls_server_name: args.tls_server_name.clone(),
    })
}

/// Commands are typed in other folders than this one.
fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path).map_err(|error| CliError::File {
        path: path.display().to_string(),
        problem: error.to_string(),
    })
}

fn lay_over(context: &mut Context, typed: &Context) {
    fn over<T: Clone>(place: &mut Option<T>, value: &Option<T>) {
        if value.is_some() {
            place.clone_from(value);
        }
    }
    over(&mut context.server, &typed.server);
    over(&mut context.definitions_server, &typed.definitions_server);
    over(&mut context.namespace, &typed.namespace);
    over(&mut context.credential_file, &typed.credential_file);
    over(&mut context.ca, &typed.ca);
    over(&mut context.client_cert, &typed.client_cert);
    over(&mut context.client_key, &typed.client_key);
    over(&mut context.tls_server_name, &typed.tls_server_name);
}

fn unset(context: &mut Context, value: ContextValue) {
    match value {
        ContextValue::Server => context.server = None,
        ContextValue::DefinitionsAddress => context.definitions_server = None,
        ContextValue::Namespace => context.namespace = None,
        ContextValue::CredentialFile => context.credential_file = None,
        ContextValue::Ca => context.ca = None,
        ContextValue::ClientCert => context.client_cert = None,
        ContextValue::ClientKey => context.client_key = None,
        ContextValue::TlsServerName => context.tls_server_name = None,
    }
}

fn list(folder: &Folder, global: &Global, output: &Output) -> Result<(), CliError> {
    let (written, credentials) = (folder.contexts()?, folder.credentials()?.credentials);
    let holds = Target::open(global)
        .map(|target| target.settings.context.value)
        .unwrap_or_default();
    let mut names: Vec<&str> = written.contexts.keys().map(String::as_str).collect();
    if !written.contexts.contains_key(DEFAULT) && (names.is_empty() || holds == DEFAULT) {
        names.insert(0, DEFAULT);
    }
    let empty = Context::default();
    let row = |name: &str| {
        let context = written.contexts.get(name).unwrap_or(&empty);
        let server = context
            .server
            .clone()
            .unwrap_or_else(|| settings::DEFAULT_ADDRESS.to_owned());
        let credential = match (&context.credential_file, credentials.get(name)) {
            (Some(path), _) => path.display().to_string(),
            (None, Some(stored)) => {
                let bound = stored.servers.iter().flat_map(|address| servers(address)).collect();
                let fits = servers(&server).is_subset(&bound);
                if fits {
                    stored.subject.clone()
                } else {
                    "of another server".to_owned()
                }
            }
            (None, None) => String::new(),
        };
        let namespace = context.namespace.clone().unwrap_or_default();
        (name == holds, name.to_owned(), server, namespace, credential)
    };
    let rows = names.into_iter().map(row);
    if !output.is_table() {
        let items: Vec<Value> = rows
            .map(|(current, name, server, namespace, credential)| {
                json!({"name": name, "current": current, "server": server, "namespace": namespace, "credential": credential})
            })
            .collect();
        return output.value(&json!({"contexts": items}));
    }
    let rows: Vec<Vec<String>> = rows
        .map(|(current, name, server, namespace, credential)| {
            let mark = if current { "*" } else { "" };
            vec![mark.to_owned(), name, server, namespace, credential]
        })
        .collect();
    output.raw(&table::render(
        &["", "NAME", "SERVER", "NAMESPACE", "CREDENTIAL"],
        &rows,
    ))
}

fn show(target: &Target, output: &Output) -> Result<(), CliError> {
    let settings = &target.settings;
    let path = |value: &Option<PathBuf>| value.as_ref().map(|path| path.display().to_string());
    let credential = target.credential();
    let origin = match (settings.credential.origin, credential.as_str()) {
        (_, "none") => Origin::Default,
        (origin, _) => origin,
    };
    let facts: [(&str, Option<String>, Origin); 9] = [
        ("context", Some(settings.context.value.clone()), settings.context.origin),
        ("address", Some(settings.address.value.clone()), settings.address.origin),
        (
            "definitions_address",
            settings.definitions_address.value.clone(),
            settings.definitions_address.origin,
        ),
        (
            "namespace",
            Some(settings.namespace.value.to_string()),
            settings.namespace.origin,
        ),
        ("credential", Some(credential), origin),
        ("ca", path(&settings.ca.value), settings.ca.origin),
        (
            "client_cert",
            path(&settings.client_cert.value),
            settings.client_cert.origin,
        ),
        (
            "client_key",
            path(&settings.client_key.value),
            settings.client_key.origin,
        ),
        (
            "tls_server_name",
            settings.tls_server_name.value.clone(),
            settings.tls_server_name.origin,
        ),
    ];
    let facts = facts
        .into_iter()
        .filter_map(|(name, value, origin)| Some((name, value?, origin.to_string())));
    if output.is_table() {
        let rows: Vec<Vec<String>> = facts
            .map(|(name, value, origin)| vec![name.to_owned(), value, origin])
            .collect();
        return output.raw(&table::render(&["VALUE", "IS", "FROM"], &rows));
    }
    let object: Map<String, Value> = facts
        .map(|(name, value, origin)| (name.to_owned(), json!({"value": value, "from": origin})))
        .collect();
    output.value(&Value::Object(object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_laid_over_and_what_was_not_stays() {
        let mut context = Context {
            server: Some("http://a:1".into()),
            namespace: Some("team-a".into()),
            ..Context::default()
        };
        let typed = Context {
            server: Some("http://b:1".into()),
            ca: Some("/ca".into()),
            ..Context::default()
        };
        lay_over(&mut context, &typed);
        assert_eq!(context.server.as_deref(), Some("http://b:1"));
        assert_eq!(context.namespace.as_deref(), Some("team-a"));
        assert!(context.ca.is_some());
        for value in [ContextValue::Server, ContextValue::Namespace, ContextValue::Ca] {
            unset(&mut context, value);
        }
        assert_eq!(context, Context::default());
    }
}
