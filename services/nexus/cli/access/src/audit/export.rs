//! `nexus audit export`: the whole log as a file of one JSON object a line, with the hashes. A file that is there already is
//! gone on with, from the last whole line of it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;

use nexus_api::audit::v1::{AuditEntry, ListAuditEntriesRequest};
use nexus_cli_frame::{CliError, Exit, output};

use super::ENTRY;
use super::verify::read;
use crate::Access;

/// Entries of a call.
const PAGE: i32 = 1_000;

pub(super) async fn run(path: &Path, access: &mut Access<'_>) -> Result<Exit, CliError> {
    let wrong = |problem: String| CliError::File {
        path: path.display().to_string(),
        problem,
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(path).map_err(|error| wrong(error.to_string()))?;
    let (end, last) = last_whole(&file).map_err(wrong)?;
    file.set_len(end).map_err(|error| wrong(error.to_string()))?;
    file.seek(SeekFrom::End(0)).map_err(|error| wrong(error.to_string()))?;
    let mut after = last.as_ref().map_or(0, |last| last.position);
    let mut written = 0;
    loop {
        let request = ListAuditEntriesRequest {
            oldest_first: true,
            after_position: after,
            page_size: PAGE,
            ..ListAuditEntriesRequest::default()
        };
        let answer = access.audit.list_audit_entries(request).await;
        let entries = access.answer(answer)?.entries;
        let Some(newest) = entries.last() else { break };
        check_continues(last.as_ref().filter(|_| written == 0), &entries).map_err(wrong)?;
        after = newest.position;
        let mut text = String::new();
        for entry in &entries {
            text += &output::json(entry, ENTRY)?.to_string();
            text.push('\n');
        }
        file.write_all(text.as_bytes())
            .map_err(|error| wrong(error.to_string()))?;
        written += entries.len();
    }
    file.sync_all().map_err(|error| wrong(error.to_string()))?;
    let shown = path.display();
    access
        .output
        .line(&format!("{shown}: {written} entries more, up to position {after}"))?;
    Ok(Exit::Ok)
}

/// Where the last whole line of a file ends, and what it says.
fn last_whole(file: &File) -> Result<(u64, Option<AuditEntry>), String> {
    let mut reader = BufReader::new(file);
    let (mut end, mut last, mut line) = (0, None, Vec::new());
    loop {
        line.clear();
        let bytes = reader.read_until(b'\n', &mut line).map_err(|error| error.to_string())?;
        if bytes == 0 || line.last() != Some(&b'\n') {
            break;
        }
        end += bytes as u64;
        last = Some(std::mem::take(&mut line));
    }
    let last = last.map(|line| read(&String::from_utf8_lossy(&line)));
    let last = last.transpose().map_err(|problem| format!("is no export: {problem}"))?;
    Ok((end, last))
}

/// Whether what comes follows what the file has.
fn check_continues(last: Option<&AuditEntry>, entries: &[AuditEntry]) -> Result<(), String> {
    match (last, entries.first()) {
        (Some(last), Some(first)) if first.previous_hash != last.hash => Err(format!(
            "the server's entry {} does not follow the last one of the file: another log, or somebody changed one of the two",
            first.position
        )),
        _ => Ok(()),
    }
}
