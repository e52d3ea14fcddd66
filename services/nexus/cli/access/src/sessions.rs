//! `nexus sessions`: who is logged in.

use nexus_api::access::v1::{ListSessionsRequest, RevokeSessionRequest, Session};
use nexus_cli_frame::{CliError, Exit, output, table, time};

use super::{Access, show};
use crate::args::Sessions;

pub(super) async fn run(command: Sessions, access: &mut Access<'_>) -> Result<Exit, CliError> {
    match command {
        Sessions::List { user, page } => {
            let request = ListSessionsRequest {
                page_size: page.limit,
                page_token: page.page_token,
                user,
            };
            let answer = access.access.list_sessions(request).await;
            let answer = access.answer(answer)?;
            list(&answer.sessions, &answer.next_page_token, access)?;
        }
        Sessions::Revoke { id } => {
            let request = RevokeSessionRequest { session: id.clone() };
            let answer = access.access.revoke_session(request).await;
            access.answer(answer)?;
            access.output.line(&format!("{id}: revoked"))?;
        }
    }
    Ok(Exit::Ok)
}

fn list(sessions: &[Session], token: &str, access: &Access<'_>) -> Result<(), CliError> {
    let output = access.output;
    if !output.is_table() {
        return output.value(&output::page("sessions", sessions, "nexus.access.v1.Session", token)?);
    }
    let now = time::now_micros();
    let row = |session: &Session| {
        vec![
            session.id.clone(),
            session.user.clone(),
            show::login_method(session.method()).to_owned(),
            session.address.clone(),
            time::ago(session.create_time.as_ref(), now),
            time::ago(session.last_use_time.as_ref(), now),
            time::point(session.expire_time.as_ref()),
            table::cut(&session.client, 60),
        ]
    };
    let rows: Vec<Vec<String>> = sessions.iter().map(row).collect();
    let heads = ["SESSION", "USER", "BY", "ADDRESS", "CREATED", "USED", "ENDS", "CLIENT"];
    output.raw(&table::render(&heads, &rows))?;
    output::more(token);
    Ok(())
}
