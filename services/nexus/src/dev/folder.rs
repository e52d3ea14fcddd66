//! The folder of workflow files: loaded at the start, and loaded again when a file is saved.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nexus_api::definitions::v1::definitions_service_client::DefinitionsServiceClient;
use nexus_api::definitions::v1::{ApplyOutcome, ApplyWorkflowRequest};
use nexus_mesh::Transport;
use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic_types::StatusExt;

/// Editors write a file in several steps; they are waited out.
const SETTLE: Duration = Duration::from_millis(80);
/// A folder that is not there yet is looked for this often.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes of a file at most; larger ones the service would refuse anyway.
const MAX_FILE: u64 = nexus_spec::MAX_BYTES as u64;

/// What the files go to.
struct Services {
    definitions: DefinitionsServiceClient<Transport>,
    schedules: Transport,
}

/// Loads the folder's files and then whichever are saved, until the stop.
pub(super) async fn load_and_watch(
    folder: PathBuf,
    definitions: Transport,
    schedules: Transport,
    stop: CancellationToken,
) {
    let mut services = Services {
        definitions: DefinitionsServiceClient::new(definitions),
        schedules,
    };
    while !folder.is_dir() {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return,
        }
    }
    // Watching begins before loading, so that nothing saved in between is missed.
    let (sender, mut changed) = mpsc::channel::<PathBuf>(1_024);
    let watcher = watch(&folder, sender);
    let mut loaded = 0;
    for file in files(&folder) {
        loaded += u32::from(apply(&mut services, &file, true).await);
    }
    let watching = if watcher.is_some() {
        "; watching for changes"
    } else {
        ""
    };
    eprintln!(
        "  ✓ {loaded} workflow{} loaded from {}{watching}",
        if loaded == 1 { "" } else { "s" },
        folder.display()
    );
    loop {
        let first = tokio::select! {
            first = changed.recv() => first,
            () = stop.cancelled() => return,
        };
        let Some(first) = first else { return };
        let mut saved = BTreeSet::from([first]);
        while let Ok(Some(more)) = tokio::time::timeout(SETTLE, changed.recv()).await {
            saved.insert(more);
        }
        for file in saved.into_iter().filter(|file| file.is_file()) {
            apply(&mut services, &file, false).await;
        }
    }
}

fn watch(folder: &Path, sender: mpsc::Sender<PathBuf>) -> Option<notify::RecommendedWatcher> {
    let handler = move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        if event.kind.is_create() || event.kind.is_modify() {
            for path in event.paths.into_iter().filter(|path| is_workflow(path)) {
                // A full channel means that everything is about to be looked at anyway.
                drop(sender.try_send(path));
            }
        }
    };
    let mut watcher = notify::recommended_watcher(handler).ok()?;
    match watcher.watch(folder, RecursiveMode::NonRecursive) {
        Ok(()) => Some(watcher),
        Err(error) => {
            eprintln!(
                "  ! {} cannot be watched ({error}); restart to load changes",
                folder.display()
            );
            None
        }
    }
}

fn is_workflow(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_none_or(|name| name.to_string_lossy().starts_with('.'));
    !hidden
        && path
            .extension()
            .is_some_and(|kind| ["yaml", "yml", "json"].iter().any(|known| kind == *known))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let mut files: Vec<PathBuf> = paths.filter(|path| path.is_file() && is_workflow(path)).collect();
    files.sort();
    files
}

/// Applies one file and says what came of it; whether it is loaded.
async fn apply(services: &mut Services, file: &Path, quiet: bool) -> bool {
    let shown = file.display().to_string();
    let source = match read(file) {
        Ok(source) => source,
        Err(problem) => {
            eprintln!("  ✗ {shown}: {problem}");
            return false;
        }
    };
    let request = ApplyWorkflowRequest {
        source: source.clone(),
        file: shown.clone(),
        ..ApplyWorkflowRequest::default()
    };
    match services.definitions.apply_workflow(request).await {
        Ok(answer) => {
            let answer = answer.into_inner();
            for warning in &answer.diagnostics {
                eprintln!(
                    "  ! {shown}:{}:{} {} {}",
                    warning.line, warning.column, warning.code, warning.message
                );
            }
            let outcome = answer.outcome();
            let workflow = answer.workflow.unwrap_or_default();
            let what = match outcome {
                ApplyOutcome::Created => "created",
                ApplyOutcome::Updated => "updated",
                ApplyOutcome::Unchanged | ApplyOutcome::Unspecified => "unchanged",
            };
            if !quiet && outcome != ApplyOutcome::Unchanged {
                eprintln!(
                    "  ✓ {} {what}: revision {} from {shown}",
                    workflow.name, workflow.latest_revision
                );
            }
            keep_schedules(services, &source, &shown).await
        }
        Err(status) => {
            let details = status.get_error_details();
            let violations = details
                .bad_request()
                .map(|request| request.field_violations.clone())
                .unwrap_or_default();
            if violations.is_empty() {
                eprintln!("  ✗ {shown}: {}", status.message());
            }
            for violation in violations {
                eprintln!("  ✗ {shown}:{}", violation.description);
            }
            false
        }
    }
}

/// Has executions start by themselves as the file says; whether that could be done.
async fn keep_schedules(services: &Services, source: &str, shown: &str) -> bool {
    match nexus_cli::keep_schedules(services.schedules.clone(), source, false).await {
        Ok(kept) => {
            for line in kept.lines {
                eprintln!("  ✓ {line} from {shown}");
            }
            true
        }
        Err(status) => {
            eprintln!("  ✗ {shown}: its schedules: {}", status.message());
            false
        }
    }
}

fn read(file: &Path) -> Result<String, String> {
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    if size > MAX_FILE {
        return Err(format!("has {size} bytes, at most {MAX_FILE} are taken"));
    }
    let bytes = std::fs::read(file).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| format!("is not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_visible_workflow_files_are_taken_in_order() {
        let folder = tempfile::tempdir().expect("folder");
        for name in ["b.yaml", "a.yml", "c.json", ".hidden.yaml", "notes.txt", "x.yaml~"] {
            std::fs::write(folder.path().join(name), "x").expect("write");
        }
        let names: Vec<_> = files(folder.path())
            .iter()
            .filter_map(|file| file.file_name().map(|name| name.to_string_lossy().into_owned()))
            .collect();
        assert_eq!(names, ["a.yml", "b.yaml", "c.json"]);
    }

    #[test]
    fn files_that_are_no_text_or_too_large_are_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("a.yaml");
        std::fs::write(&file, [0x61, 0xff]).expect("write");
        assert!(read(&file).expect_err("no UTF-8").contains("not UTF-8 at byte 1"));
        std::fs::write(&file, vec![b'a'; (MAX_FILE + 1) as usize]).expect("write");
        assert!(read(&file).expect_err("too large").contains("at most"));
    }
}
