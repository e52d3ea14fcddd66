//! `nexus audit verify`: computes the chain of hashes anew, at the server or of a file, and compares the two.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use nexus_api::audit::v1::{AuditEntry, VerifyAuditChainRequest, VerifyAuditChainResponse};
use nexus_audit::chain::{self, Link};
use nexus_audit::message;
use nexus_cli_frame::{CliError, Exit};

use super::ENTRY;
use crate::Access;

/// What the server answers about its chain.
const ANSWER: &str = "nexus.audit.v1.VerifyAuditChainResponse";

/// The server's chain, from its oldest entry to its end.
pub(super) async fn of_server(access: &mut Access<'_>) -> Result<Exit, CliError> {
    let (mut from, mut checked) = (0, 0_i64);
    loop {
        let answer = ask(access, from, 0).await?;
        checked += i64::from(answer.checked);
        if answer.wrong_position > 0 {
            return broken("the server's log", answer.wrong_position, &answer.problem);
        }
        from = answer.next_position;
        if from == 0 && !access.output.is_table() {
            access.output.message(&answer, ANSWER)?;
            return Ok(Exit::Ok);
        }
        if from == 0 {
            let head = answer.head.unwrap_or_default();
            let told = format!(
                "{checked} entries fit; position {} has the hash {}",
                head.position, head.hash
            );
            access.output.line(&told)?;
            return Ok(Exit::Ok);
        }
    }
}

async fn ask(access: &mut Access<'_>, from_position: i64, limit: i32) -> Result<VerifyAuditChainResponse, CliError> {
    let request = VerifyAuditChainRequest { from_position, limit };
    let answer = access.audit.verify_audit_chain(request).await;
    access.answer(answer)
}

/// A file, and whether its last entry is still what the server has at that position.
pub(super) async fn of_file(path: &Path, offline: bool, access: &mut Access<'_>) -> Result<Exit, CliError> {
    let shown = path.display().to_string();
    let wrong = |problem: String| CliError::File {
        path: shown.clone(),
        problem,
    };
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut link: Option<Link> = None;
    let mut checked = 0;
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|error| wrong(error.to_string()))?;
        let number = checked + 1;
        let entry = read(&line).map_err(|problem| wrong(format!("line {number}: {problem}")))?;
        let entry = message::chained(entry).map_err(|error| wrong(format!("line {number}: {error}")))?;
        // The first line says what it follows: the file may begin where the log was cut.
        let before = link.unwrap_or(Link {
            position: entry.position - 1,
            hash: entry.previous,
        });
        match chain::follow(&before, &entry) {
            Ok(next) => link = Some(next),
            Err(found) => return broken(&format!("{shown}, line {number}"), found.position, found.problem),
        }
        checked = number;
    }
    let Some(last) = link else {
        return Err(wrong("has no entries".to_owned()));
    };
    access.output.line(&format!(
        "{shown}: {checked} entries fit; position {} has the hash {}",
        last.position, last.hash
    ))?;
    if !offline {
        compare(&shown, last, access).await?;
    }
    Ok(Exit::Ok)
}

async fn compare(shown: &str, last: Link, access: &mut Access<'_>) -> Result<(), CliError> {
    let answer = ask(access, last.position, 1).await?;
    if answer
        .anchor
        .as_ref()
        .is_some_and(|anchor| anchor.position > last.position)
    {
        return access.output.line("the server no longer keeps this entry");
    }
    let there = answer.verified.unwrap_or_default();
    if answer.wrong_position == 0 && there.position == last.position && there.hash == last.hash.to_string() {
        return access.output.line("the server has the same");
    }
    let problem = "the server's log says something else there";
    broken(shown, last.position, problem).map(drop)
}

fn broken(what: &str, position: i64, problem: &str) -> Result<Exit, CliError> {
    Err(CliError::Other(format!(
        "{what} does not fit at position {position}: {problem}; see docs/audit.md"
    )))
}

/// An entry as a line of an export has it.
pub(super) fn read(line: &str) -> Result<AuditEntry, String> {
    nexus_api::json::from_text(line, ENTRY).map_err(|error| error.to_string())
}
