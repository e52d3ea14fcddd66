//! `nexus secrets`: secrets that NEXUS keeps. No command shows a value.

mod value;

use nexus_api::definitions::v1::secrets_service_client::SecretsServiceClient;
use nexus_api::definitions::v1::{
    DeleteSecretRequest, GetSecretRequest, ListSecretUsesRequest, ListSecretsRequest, RotateSecretKeysRequest,
    RotateSecretKeysResponse, Secret, SetSecretRequest,
};
use nexus_cli_frame::{CliError, Exit, Output, Page, Standing, Target, output, table, time};
use nexus_mesh::Transport;
use secrecy::ExposeSecret;
use tonic::{Response, Status};

use super::args::{Secrets, SetArgs};

const SECRET: &str = "nexus.definitions.v1.Secret";

/// The service, and what the commands here share.
struct Client<'a> {
    secrets: SecretsServiceClient<Transport>,
    standing: Standing,
    output: &'a Output,
}

impl Client<'_> {
    fn answer<T>(&self, answer: Result<Response<T>, Status>) -> Result<T, CliError> {
        answer
            .map(Response::into_inner)
            .map_err(|status| self.standing.error(status))
    }
}

pub(super) async fn run(command: Secrets, target: &Target, output: &Output) -> Result<Exit, CliError> {
    let mut client = Client {
        secrets: SecretsServiceClient::new(target.ways()?.0),
        standing: Standing::of(target),
        output,
    };
    match command {
        Secrets::Set(args) => set(args, &mut client).await?,
        Secrets::List { page } => list(page, &mut client).await?,
        Secrets::Get { name } => {
            let answer = client.secrets.get_secret(GetSecretRequest { secret: name }).await;
            let secret = client.answer(answer)?.secret.unwrap_or_default();
            show(&secret, output)?;
        }
        Secrets::Delete { name } => {
            let request = DeleteSecretRequest { secret: name.clone() };
            let answer = client.secrets.delete_secret(request).await;
            client.answer(answer)?;
            eprintln!("deleted {name}");
        }
        Secrets::Uses { name, page } => uses(name, page, &mut client).await?,
        Secrets::RotateKeys { all_namespaces, batch } => return rotate(all_namespaces, batch, &mut client).await,
    }
    Ok(Exit::Ok)
}

async fn set(args: SetArgs, client: &mut Client<'_>) -> Result<(), CliError> {
    let value = match args.restore {
        Some(_) => None,
        None => Some(value::read(args.from_file.as_deref()).await?),
    };
    let request = SetSecretRequest {
        secret: args.name,
        value: value.map(|value| value.expose_secret().to_owned()).unwrap_or_default(),
        description: args.description,
        request_id: uuid::Uuid::new_v4().to_string(),
        restore_version: args.restore.unwrap_or_default(),
    };
    let answer = client.secrets.set_secret(request).await;
    let secret = client.answer(answer)?.secret.unwrap_or_default();
    if client.output.is_table() {
        return client
            .output
            .line(&format!("{}: version {}", secret.name, secret.version));
    }
    client.output.message(&secret, SECRET)
}

async fn list(page: Page, client: &mut Client<'_>) -> Result<(), CliError> {
    let request = ListSecretsRequest {
        page_size: page.limit,
        page_token: page.page_token,
    };
    let answer = client.secrets.list_secrets(request).await;
    let list = client.answer(answer)?;
    if !client.output.is_table() {
        let page = output::page("secrets", &list.secrets, SECRET, &list.next_page_token)?;
        return client.output.value(&page);
    }
    let now = time::now_micros();
    let row = |secret: &Secret| {
        vec![
            secret.name.clone(),
            secret.version.to_string(),
            time::ago(secret.update_time.as_ref(), now),
            secret.updater.clone(),
            table::cut(&secret.description, 60),
        ]
    };
    let rows: Vec<Vec<String>> = list.secrets.iter().map(row).collect();
    let heads = ["SECRET", "VERSION", "UPDATED", "BY", "DESCRIPTION"];
    client.output.raw(&table::render(&heads, &rows))?;
    output::more(&list.next_page_token);
    Ok(())
}

fn show(secret: &Secret, output: &Output) -> Result<(), CliError> {
    if !output.is_table() {
        return output.message(secret, SECRET);
    }
    let facts = [
        ("secret", secret.name.clone()),
        ("namespace", secret.namespace.clone()),
        ("description", secret.description.clone()),
        ("version", secret.version.to_string()),
        ("kept", secret.versions_kept.to_string()),
        ("created", time::point(secret.create_time.as_ref())),
        ("creator", secret.creator.clone()),
        ("updated", time::point(secret.update_time.as_ref())),
        ("updater", secret.updater.clone()),
    ];
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        output.line(&format!("{name:<12} {value}"))?;
    }
    Ok(())
}

async fn uses(name: String, page: Page, client: &mut Client<'_>) -> Result<(), CliError> {
    let request = ListSecretUsesRequest {
        secret: name,
        page_size: page.limit,
        page_token: page.page_token,
    };
    let answer = client.secrets.list_secret_uses(request).await;
    let list = client.answer(answer)?;
    if !client.output.is_table() {
        let name = "nexus.definitions.v1.SecretUse";
        let page = output::page("uses", &list.uses, name, &list.next_page_token)?;
        return client.output.value(&page);
    }
    let rows: Vec<Vec<String>> = list
        .uses
        .iter()
        .map(|used| {
            vec![
                used.workflow.clone(),
                used.revision.to_string(),
                table::cut(&used.tasks.join(","), 80),
            ]
        })
        .collect();
    client
        .output
        .raw(&table::render(&["WORKFLOW", "REVISION", "TASKS"], &rows))?;
    output::more(&list.next_page_token);
    Ok(())
}

/// Calls until everything was looked at. What was done stays done when it breaks off.
async fn rotate(all_namespaces: bool, batch: i32, client: &mut Client<'_>) -> Result<Exit, CliError> {
    let mut all = RotateSecretKeysResponse::default();
    loop {
        let request = RotateSecretKeysRequest {
            batch_size: batch,
            page_token: std::mem::take(&mut all.next_page_token),
            all_namespaces,
        };
        let answer = client.secrets.rotate_secret_keys(request).await;
        let answer = client.answer(answer)?;
        all = RotateSecretKeysResponse {
            rewrapped: all.rewrapped.saturating_add(answer.rewrapped),
            failed: all.failed.saturating_add(answer.failed),
            ..answer
        };
        if all.next_page_token.is_empty() {
            break;
        }
    }
    if client.output.is_table() {
        let state = |missing, newest| match (missing, newest) {
            (true, _) => "missing",
            (false, true) => "newest",
            (false, false) => "needed",
        };
        let rows: Vec<Vec<String>> = all
            .keys
            .iter()
            .map(|key| {
                vec![
                    key.key.clone(),
                    key.versions.to_string(),
                    state(key.missing, key.newest).to_owned(),
                ]
            })
            .collect();
        client
            .output
            .raw(&table::render(&["KEY", "VERSIONS", "STATE"], &rows))?;
        eprintln!("{} versions were wrapped with the newest key", all.rewrapped);
    } else {
        client
            .output
            .message(&all, "nexus.definitions.v1.RotateSecretKeysResponse")?;
    }
    if all.failed == 0 {
        return Ok(Exit::Ok);
    }
    eprintln!(
        "{} versions were not: their key is missing, or they are damaged; the server's log names them",
        all.failed
    );
    Ok(Exit::Error)
}
