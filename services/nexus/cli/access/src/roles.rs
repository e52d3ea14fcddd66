//! `nexus roles`: names for permissions that belong together.

use nexus_api::access::v1::{
    CreateRoleRequest, DeleteRoleRequest, GetRoleRequest, ListRolesRequest, Role, UpdateRoleRequest,
};
use nexus_cli_frame::{CliError, Exit, output, table, time};
use prost_types::FieldMask;

use super::{Access, show};
use crate::args::Roles;

const ROLE: &str = "nexus.access.v1.Role";

pub(super) async fn run(command: Roles, access: &mut Access<'_>) -> Result<Exit, CliError> {
    match command {
        Roles::Create {
            name,
            description,
            permissions,
        } => {
            let request = CreateRoleRequest {
                name,
                description,
                permissions,
            };
            let answer = access.access.create_role(request).await;
            told(&access.answer(answer)?.role.unwrap_or_default(), "created", access)?;
        }
        Roles::List { page } => {
            let request = ListRolesRequest {
                page_size: page.limit,
                page_token: page.page_token,
            };
            let answer = access.access.list_roles(request).await;
            let answer = access.answer(answer)?;
            list(&answer.roles, &answer.next_page_token, access)?;
        }
        Roles::Get { name } => {
            let answer = access.access.get_role(GetRoleRequest { role: name }).await;
            let role = access.answer(answer)?.role.unwrap_or_default();
            if access.output.is_table() {
                facts(&role, access)?;
            } else {
                access.output.message(&role, ROLE)?;
            }
        }
        Roles::Update {
            name,
            description,
            permissions,
            etag,
        } => {
            let request = change(name, description, permissions, etag)?;
            let answer = access.access.update_role(request).await;
            told(&access.answer(answer)?.role.unwrap_or_default(), "changed", access)?;
        }
        Roles::Delete { name } => {
            let request = DeleteRoleRequest {
                role: name.clone(),
                etag: String::new(),
            };
            let answer = access.access.delete_role(request).await;
            access.answer(answer)?;
            access.output.line(&format!("{name}: deleted"))?;
        }
    }
    Ok(Exit::Ok)
}

fn change(
    role: String,
    description: Option<String>,
    permissions: Vec<String>,
    etag: String,
) -> Result<UpdateRoleRequest, CliError> {
    let mut paths = Vec::new();
    if description.is_some() {
        paths.push("description".to_owned());
    }
    if !permissions.is_empty() {
        paths.push("permissions".to_owned());
    }
    if paths.is_empty() {
        return Err(CliError::Usage(
            "say what to change: --description or --permission".to_owned(),
        ));
    }
    Ok(UpdateRoleRequest {
        role,
        description: description.unwrap_or_default(),
        permissions,
        update_mask: Some(FieldMask { paths }),
        etag,
    })
}

fn told(role: &Role, done: &str, access: &Access<'_>) -> Result<(), CliError> {
    if access.output.is_table() {
        return access.output.line(&format!("{}: {done}", role.name));
    }
    access.output.message(role, ROLE)
}

fn list(roles: &[Role], token: &str, access: &Access<'_>) -> Result<(), CliError> {
    let output = access.output;
    if !output.is_table() {
        return output.value(&output::page("roles", roles, ROLE, token)?);
    }
    let row = |role: &Role| {
        vec![
            role.name.clone(),
            if role.built_in { "yes" } else { "" }.to_owned(),
            role.permissions.len().to_string(),
            table::cut(&role.description, 80),
        ]
    };
    let rows: Vec<Vec<String>> = roles.iter().map(row).collect();
    output.raw(&table::render(
        &["ROLE", "BUILT IN", "PERMISSIONS", "DESCRIPTION"],
        &rows,
    ))?;
    output::more(token);
    Ok(())
}

fn facts(role: &Role, access: &Access<'_>) -> Result<(), CliError> {
    let facts = [
        ("role", role.name.clone()),
        ("built in", if role.built_in { "yes" } else { "" }.to_owned()),
        ("description", role.description.clone()),
        ("created", time::point(role.create_time.as_ref())),
        ("changed", time::point(role.update_time.as_ref())),
        ("etag", role.etag.clone()),
        ("permissions", role.permissions.join(" ")),
    ];
    show::facts(&facts, access.output)
}
