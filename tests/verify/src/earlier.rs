//! Whether one store is an earlier state of another: what a disk that lied about its last writes leaves behind.

use std::path::Path;

use crate::{Source, VerifyError, database};

/// How much an earlier state lacks.
#[derive(Debug, Default)]
pub struct Lacking {
    /// Executions that it does not know.
    pub executions: usize,
    /// Events that it does not have, those of unknown executions too.
    pub events: usize,
    /// What it has and the later one has not, or has otherwise: it is no earlier state.
    pub contradictions: Vec<String>,
}

/// Compares two data directories; what `older` lacks of what `newer` has.
///
/// # Errors
/// When one of them cannot be read.
pub async fn lacking(older: &Path, newer: &Path) -> Result<Lacking, VerifyError> {
    let directory = |path: &Path| Source::Directory(path.to_owned());
    let (older, newer) = (
        database::read(&directory(older)).await?,
        database::read(&directory(newer)).await?,
    );
    let mut lacking = Lacking::default();
    for (id, now) in &newer.executions {
        let Some(then) = older.executions.get(id) else {
            lacking.executions += 1;
            lacking.events += now.events.len();
            continue;
        };
        let told = |events: &[database::EventRow]| events.iter().map(crate::fold::told).collect::<Vec<_>>();
        let (then, now) = (told(&then.events), told(&now.events));
        if now.starts_with(&then) {
            lacking.events += now.len() - then.len();
        } else {
            lacking
                .contradictions
                .push(format!("{id}: its history is not a beginning of the other"));
        }
    }
    for id in older.executions.keys().filter(|id| !newer.executions.contains_key(*id)) {
        lacking
            .contradictions
            .push(format!("{id}: only the earlier state knows it"));
    }
    Ok(lacking)
}
