//! Roles as they are typed and shown: `ROLE`, `ROLE@team-a,team-b`, `ROLE@*`. Pure.

use nexus_api::Namespace;
use nexus_api::access::v1::Grant;
use nexus_cli_frame::CliError;

/// Namespaces of a grant, and grants, at most.
const MOST: usize = 100;

/// Reads roles; one without namespaces holds in that of the command.
pub(super) fn parse(typed: &[String], own: &Namespace) -> Result<Vec<Grant>, CliError> {
    if typed.len() > MOST {
        return Err(CliError::Usage(format!(
            "at most {MOST} roles, and there are {}",
            typed.len()
        )));
    }
    typed.iter().map(|text| one(text, own)).collect()
}

fn one(text: &str, own: &Namespace) -> Result<Grant, CliError> {
    let wrong = |problem: String| CliError::Usage(format!("--role {text}: {problem}"));
    let (role, places) = match text.split_once('@') {
        Some((role, places)) => (role, places.split(',').map(str::trim).collect()),
        None => (text, vec![own.as_str()]),
    };
    if role.is_empty() {
        return Err(wrong(
            "there is no role in it; write ROLE, ROLE@a,b or ROLE@*".to_owned(),
        ));
    }
    if places.len() > MOST {
        return Err(wrong(format!(
            "at most {MOST} namespaces, and there are {}",
            places.len()
        )));
    }
    for place in places.iter().filter(|place| **place != "*") {
        let checked: Result<Namespace, _> = place.parse();
        checked.map_err(|error| wrong(error.to_string()))?;
    }
    Ok(Grant {
        role: role.to_owned(),
        namespaces: places.into_iter().map(str::to_owned).collect(),
    })
}

/// Roles as one cell, in the form in which they are typed.
pub(super) fn cell(grants: &[Grant]) -> String {
    let told = |grant: &Grant| format!("{}@{}", grant.role, grant.namespaces.join(","));
    grants.iter().map(told).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_with_their_namespaces_and_shown_as_they_are_typed() {
        let own: Namespace = "team-a".parse().expect("namespace");
        let typed = |texts: &[&str]| parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>(), &own);
        let grants = typed(&["viewer", "editor@team-b, team-c", "admin@*"]).expect("roles");
        assert_eq!(cell(&grants), "viewer@team-a editor@team-b,team-c admin@*");
        for wrong in ["@team-a", "viewer@", "viewer@a,,b", "viewer@Team"] {
            let error = typed(&[wrong]).expect_err(wrong).to_string();
            assert!(error.contains(wrong), "{error}");
        }
        let places = |count: usize| format!("viewer@{}", vec!["a"; count].join(","));
        assert!(typed(&[&places(100)]).is_ok());
        assert!(typed(&[&places(101)]).is_err());
        assert!(typed(&["viewer"; 100]).is_ok());
        assert!(typed(&["viewer"; 101]).is_err());
    }
}
