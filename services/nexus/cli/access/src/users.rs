//! `nexus users`: people and service accounts.

use nexus_api::access::v1::{
    ChangeOwnPasswordRequest, CreateUserRequest, DeleteUserRequest, GetUserRequest, ListUsersRequest,
    SetUserPasswordRequest, UpdateUserRequest, User, UserKind,
};
use nexus_cli_frame::{CliError, Exit, output, table, time};
use prost_types::FieldMask;
use secrecy::ExposeSecret;

use super::password::Source;
use super::{Access, grants, show};
use crate::args::{CreateUser, UpdateUser, Users};

const USER: &str = "nexus.access.v1.User";

pub(super) async fn run(command: Users, access: &mut Access<'_>) -> Result<Exit, CliError> {
    match command {
        Users::Create(args) => create(args, access).await?,
        Users::List { page } => {
            let request = ListUsersRequest {
                page_size: page.limit,
                page_token: page.page_token,
            };
            let answer = access.access.list_users(request).await;
            let answer = access.answer(answer)?;
            list(&answer.users, &answer.next_page_token, access)?;
        }
        Users::Get { name } => {
            let answer = access.access.get_user(GetUserRequest { user: name }).await;
            let user = access.answer(answer)?.user.unwrap_or_default();
            if access.output.is_table() {
                facts(&user, access)?;
            } else {
                access.output.message(&user, USER)?;
            }
        }
        Users::Update(args) => update(args, access).await?,
        Users::Disable { name } => disable(name, true, access).await?,
        Users::Enable { name } => disable(name, false, access).await?,
        Users::SetPassword { name, password_stdin } => {
            set_password(name, &Source::of(password_stdin), access).await?;
        }
        Users::Delete { name } => {
            let request = DeleteUserRequest {
                user: name.clone(),
                etag: String::new(),
            };
            let answer = access.access.delete_user(request).await;
            access.answer(answer)?;
            access.output.line(&format!("{name}: deleted"))?;
        }
    }
    Ok(Exit::Ok)
}

async fn create(args: CreateUser, access: &mut Access<'_>) -> Result<(), CliError> {
    let grants = grants::parse(&args.roles, access.target.namespace())?;
    let password = match args.service_account || args.no_password {
        true => None,
        false => {
            let prompt = format!("new password of {}: ", args.name);
            Some(Source::of(args.password_stdin).chosen(&prompt).await?)
        }
    };
    let mut request = CreateUserRequest {
        name: args.name,
        display_name: args.display_name,
        grants,
        password: password
            .map(|password| password.expose_secret().to_owned())
            .unwrap_or_default(),
        ..CreateUserRequest::default()
    };
    request.set_kind(match args.service_account {
        true => UserKind::ServiceAccount,
        false => UserKind::Person,
    });
    let answer = access.access.create_user(request).await;
    told(&access.answer(answer)?.user.unwrap_or_default(), "created", access)
}

async fn update(args: UpdateUser, access: &mut Access<'_>) -> Result<(), CliError> {
    let mut paths = Vec::new();
    if args.display_name.is_some() {
        paths.push("display_name".to_owned());
    }
    if args.no_roles || !args.roles.is_empty() {
        paths.push("grants".to_owned());
    }
    if paths.is_empty() {
        return Err(CliError::Usage(
            "say what to change: --display-name, --role or --no-roles".to_owned(),
        ));
    }
    let request = UpdateUserRequest {
        user: args.name,
        display_name: args.display_name.unwrap_or_default(),
        grants: grants::parse(&args.roles, access.target.namespace())?,
        update_mask: Some(FieldMask { paths }),
        etag: args.etag,
        ..UpdateUserRequest::default()
    };
    let answer = access.access.update_user(request).await;
    told(&access.answer(answer)?.user.unwrap_or_default(), "changed", access)
}

async fn disable(name: String, disabled: bool, access: &mut Access<'_>) -> Result<(), CliError> {
    let request = UpdateUserRequest {
        user: name,
        disabled,
        update_mask: Some(FieldMask {
            paths: vec!["disabled".to_owned()],
        }),
        ..UpdateUserRequest::default()
    };
    let answer = access.access.update_user(request).await;
    let done = if disabled { "disabled" } else { "enabled" };
    told(&access.answer(answer)?.user.unwrap_or_default(), done, access)
}

async fn set_password(name: Option<String>, source: &Source, access: &mut Access<'_>) -> Result<(), CliError> {
    let Some(user) = name else {
        let password = source.known("password until now: ").await?;
        let new_password = source.chosen("new password: ").await?;
        let request = ChangeOwnPasswordRequest {
            password: password.expose_secret().to_owned(),
            new_password: new_password.expose_secret().to_owned(),
        };
        let answer = access.authentication.change_own_password(request).await;
        access.answer(answer)?;
        return access
            .output
            .line("the password is changed, and other sessions have ended");
    };
    let new_password = source.chosen(&format!("new password of {user}: ")).await?;
    let request = SetUserPasswordRequest {
        user: user.clone(),
        new_password: new_password.expose_secret().to_owned(),
    };
    let answer = access.access.set_user_password(request).await;
    access.answer(answer)?;
    access
        .output
        .line(&format!("{user}: the password is set, and sessions have ended"))
}

fn told(user: &User, done: &str, access: &Access<'_>) -> Result<(), CliError> {
    if access.output.is_table() {
        return access.output.line(&format!("{}: {done}", user.name));
    }
    access.output.message(user, USER)
}

/// How a user stands.
fn state(user: &User, now: i64) -> &'static str {
    let locked = user.locked_until_time.as_ref().map(nexus_api::time::micros);
    match (user.disabled, locked) {
        (true, _) => "disabled",
        (false, Some(until)) if until > now => "locked",
        _ => "active",
    }
}

fn list(users: &[User], token: &str, access: &Access<'_>) -> Result<(), CliError> {
    let output = access.output;
    if !output.is_table() {
        return output.value(&output::page("users", users, USER, token)?);
    }
    let now = time::now_micros();
    let row = |user: &User| {
        vec![
            user.name.clone(),
            show::user_kind(user.kind()).to_owned(),
            state(user, now).to_owned(),
            time::ago(user.last_login_time.as_ref(), now),
            table::cut(&grants::cell(&user.grants), 60),
            table::cut(&user.display_name, 60),
        ]
    };
    let rows: Vec<Vec<String>> = users.iter().map(row).collect();
    let heads = ["USER", "KIND", "STATE", "LOGGED IN", "ROLES", "NAME"];
    output.raw(&table::render(&heads, &rows))?;
    output::more(token);
    Ok(())
}

fn facts(user: &User, access: &Access<'_>) -> Result<(), CliError> {
    let facts = [
        ("user", user.name.clone()),
        ("name", user.display_name.clone()),
        ("kind", show::user_kind(user.kind()).to_owned()),
        ("state", state(user, time::now_micros()).to_owned()),
        ("roles", grants::cell(&user.grants)),
        ("password", if user.has_password { "yes" } else { "none" }.to_owned()),
        ("locked until", time::point(user.locked_until_time.as_ref())),
        ("created", time::point(user.create_time.as_ref())),
        ("changed", time::point(user.update_time.as_ref())),
        ("logged in", time::point(user.last_login_time.as_ref())),
        ("etag", user.etag.clone()),
    ];
    show::facts(&facts, access.output)
}
