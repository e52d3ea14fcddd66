//! Which executions or workflows a list is to show, as the server takes it.

use nexus_cli_frame::CliError;

use super::params;

/// The terms of a filter, joined. Values are quoted, so that nothing typed becomes a term of its own.
pub(super) fn filter(workflow: Option<&str>, state: Option<&str>, labels: &[String]) -> Result<String, CliError> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut terms = Vec::new();
    if let Some(workflow) = workflow {
        terms.push(format!("workflow = {}", quoted(workflow)));
    }
    if let Some(state) = state {
        let state = state.to_ascii_uppercase();
        if nexus_api::execution::v1::execution::State::from_str_name(&state).is_none() {
            return Err(CliError::Usage(format!(
                "there is no state {state}; there are PENDING RUNNING PAUSED CANCELLING SUCCEEDED FAILED CANCELLED TIMED_OUT"
            )));
        }
        terms.push(format!("state = {state}"));
    }
    let mut pairs: Vec<_> = params::labels(labels)?.into_iter().collect();
    pairs.sort();
    terms.extend(
        pairs
            .iter()
            .map(|(key, value)| format!("labels.{key} = {}", quoted(value))),
    );
    Ok(terms.join(" AND "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_quoted_and_checked() {
        let labels = vec!["team=da\"ta".to_owned()];
        assert_eq!(
            filter(Some("etl"), Some("failed"), &labels).expect("filter"),
            r#"workflow = "etl" AND state = FAILED AND labels.team = "da\"ta""#
        );
        assert_eq!(filter(None, None, &[]).expect("filter"), "");
        assert!(filter(None, Some("BROKEN"), &[]).is_err());
    }
}
