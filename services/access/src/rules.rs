//! What callers may say: names, texts, grants, passwords. Pure.

use std::collections::BTreeSet;

use nexus_api::Namespace;
use nexus_api::access::v1 as api;
use nexus_api::error::ApiError;
use nexus_api::time::duration_micros;
use prost_types::Duration;

use crate::powers::{EVERYWHERE, Grant};
use crate::roles;

/// Characters of a user's name at most, and of a role's.
const MAX_USER: usize = 128;
const MAX_ROLE: usize = 63;
/// Characters of texts for people at most.
pub const MAX_TEXT: usize = 200;
/// Grants of somebody, and namespaces of a grant, at most.
const MAX_GRANTS: usize = 100;
const MAX_NAMESPACES: usize = 100;
/// Namespaces of all grants of somebody together, at most: every answer about them names them all.
const MAX_NAMESPACES_IN_ALL: usize = 1_000;
/// Queues of a key at most, and characters of one.
const MAX_QUEUES: usize = 100;
const MAX_QUEUE: usize = 63;
/// Characters of a password.
const PASSWORD: (usize, usize) = (12, 256);
/// Different characters that a password has at least.
const DIFFERENT: usize = 5;
/// How long a key lives, in microseconds: a minute to ten years.
const LIFETIME: (i64, i64) = (60_000_000, 3_650 * 86_400_000_000);

/// Whether a text can be a user's name.
#[must_use]
pub fn is_user_name(text: &str) -> bool {
    let end = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let inner = |byte: u8| end(byte) || matches!(byte, b'.' | b'_' | b'@' | b'-');
    let bytes = text.as_bytes();
    bytes.len() <= MAX_USER
        && bytes.iter().all(|byte| inner(*byte))
        && bytes.first().is_some_and(|byte| end(*byte))
        && bytes.last().is_some_and(|byte| end(*byte))
}

/// Whether a text can be a role's name.
#[must_use]
pub fn is_role_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= MAX_ROLE && text.bytes().all(inner) && text.starts_with(|first: char| first.is_ascii_lowercase())
}

/// A user's name.
///
/// # Errors
/// INVALID_ARGUMENT when it can be nobody's.
pub fn user_name(field: &str, text: &str) -> Result<(), ApiError> {
    if is_user_name(text) {
        return Ok(());
    }
    let problem = format!(
        "is a user's name: lower-case letters, digits, and . _ @ - within, 1 to {MAX_USER} characters; {} is not",
        quoted(text)
    );
    Err(ApiError::field(field, problem))
}

/// A role's name.
///
/// # Errors
/// INVALID_ARGUMENT when it can be none's.
pub fn role_name(field: &str, text: &str) -> Result<(), ApiError> {
    if is_role_name(text) {
        return Ok(());
    }
    let problem = format!(
        "is a role's name: lower-case letters, digits and -, a letter first, 1 to {MAX_ROLE} characters; {} is not",
        quoted(text)
    );
    Err(ApiError::field(field, problem))
}

/// What is quoted has an end.
fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(2 * MAX_ROLE).collect::<String>())
}

/// A text for people, on one line.
///
/// # Errors
/// INVALID_ARGUMENT when it is too long or has control characters.
pub fn text(field: &str, text: &str) -> Result<(), ApiError> {
    if text.chars().count() > MAX_TEXT {
        return Err(ApiError::field(field, format!("has more than {MAX_TEXT} characters")));
    }
    if text.contains(char::is_control) {
        return Err(ApiError::field(field, "must not hold control characters"));
    }
    Ok(())
}

/// Grants as a caller wrote them. Whether their roles are there the store says.
///
/// # Errors
/// INVALID_ARGUMENT when one cannot be used, or there are too many.
pub fn grants(grants: Vec<api::Grant>) -> Result<Vec<Grant>, ApiError> {
    if grants.len() > MAX_GRANTS {
        return Err(ApiError::field("grants", format!("are more than {MAX_GRANTS}")));
    }
    let mut all = BTreeSet::new();
    for (number, grant) in grants.iter().enumerate() {
        role_name(&format!("grants[{number}].role"), &grant.role)?;
        let field = format!("grants[{number}].namespaces");
        let count = grant.namespaces.len();
        if !(1..=MAX_NAMESPACES).contains(&count) {
            let problem = format!("names 1 to {MAX_NAMESPACES} namespaces, or `*` for every one; here are {count}");
            return Err(ApiError::field(&field, problem));
        }
        for namespace in &grant.namespaces {
            if namespace != EVERYWHERE {
                let named = namespace.parse::<Namespace>();
                named.map_err(|error| ApiError::field(&field, error.to_string()))?;
            }
            all.insert(namespace.as_str());
        }
    }
    if all.len() > MAX_NAMESPACES_IN_ALL {
        let problem = format!("name more than {MAX_NAMESPACES_IN_ALL} namespaces together; `*` is every one");
        return Err(ApiError::field("grants", problem));
    }
    let each = grants.into_iter().map(|grant| Grant {
        role: grant.role,
        namespaces: grant.namespaces,
    });
    Ok(each.collect())
}

/// Queues that a key is good for.
///
/// # Errors
/// INVALID_ARGUMENT when one cannot be a queue's name, or there are too many.
pub fn queues(queues: &[String]) -> Result<(), ApiError> {
    if queues.len() > MAX_QUEUES {
        return Err(ApiError::field("queues", format!("are more than {MAX_QUEUES}")));
    }
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'.' | b'-');
    let fits = |queue: &String| (1..=MAX_QUEUE).contains(&queue.len()) && queue.bytes().all(inner);
    match queues.iter().find(|queue| !fits(queue)) {
        Some(wrong) => {
            let problem = format!(
                "{} is not a queue's name: lower-case letters, digits, _ . -, at most {MAX_QUEUE}",
                quoted(wrong)
            );
            Err(ApiError::field("queues", problem))
        }
        None => Ok(()),
    }
}

/// Permissions of a role.
///
/// # Errors
/// INVALID_ARGUMENT when there are none, or one cannot be in a role.
pub fn permissions(names: &[String]) -> Result<(), ApiError> {
    if names.is_empty() {
        return Err(ApiError::field("permissions", "must name at least one"));
    }
    match names.iter().find(|name| roles::grantable(name).is_none()) {
        Some(wrong) => {
            let all: Vec<&str> = roles::all_grantable().map(|permission| permission.name()).collect();
            let problem = format!(
                "{} cannot be in a role; those that can are {}",
                quoted(wrong),
                all.join(", ")
            );
            Err(ApiError::field("permissions", problem))
        }
        None => Ok(()),
    }
}

/// How long a key lives, in microseconds; nothing when it has no end.
///
/// # Errors
/// INVALID_ARGUMENT when it is too short or too long.
pub fn lifetime(lifetime: Option<&Duration>) -> Result<Option<i64>, ApiError> {
    let Some(lifetime) = lifetime.map(duration_micros) else {
        return Ok(None);
    };
    if (LIFETIME.0..=LIFETIME.1).contains(&lifetime) {
        return Ok(Some(lifetime));
    }
    Err(ApiError::field(
        "lifetime",
        "must be a minute to ten years; without one the key has no end",
    ))
}

/// A password that somebody wants to have.
///
/// # Errors
/// INVALID_ARGUMENT when it is too short or too long, or one that is tried first. It is not quoted.
pub fn password(field: &str, user: &str, password: &str) -> Result<(), ApiError> {
    let (least, most) = PASSWORD;
    let count = password.chars().count();
    if !(least..=most).contains(&count) {
        return Err(ApiError::field(
            field,
            format!("must have {least} to {most} characters"),
        ));
    }
    let lower = password.to_lowercase();
    let different = lower.chars().collect::<BTreeSet<_>>().len();
    let of_name = lower.replace(user, "").chars().count() < DIFFERENT;
    if different < DIFFERENT || of_name || COMMON.lines().any(|common| common == lower) || is_run(&lower) {
        let problem = "is one of those that everybody tries first; take several words that have nothing to do with each \
                       other, or let a password manager make one";
        return Err(ApiError::field(field, problem));
    }
    Ok(())
}

/// A password that somebody shows: what cannot be one is not hashed.
///
/// # Errors
/// INVALID_ARGUMENT when it is empty or too long.
pub fn shown_password(field: &str, password: &str) -> Result<(), ApiError> {
    if password.is_empty() {
        return Err(ApiError::field(field, "must not be empty"));
    }
    if password.chars().count() > PASSWORD.1 {
        return Err(ApiError::field(
            field,
            format!("has more than {} characters", PASSWORD.1),
        ));
    }
    Ok(())
}

/// Whether a text is one character after the other in the order of a keyboard, of digits or of the alphabet, or the same
/// few over and over.
fn is_run(text: &str) -> bool {
    const RUNS: &[&str] = &[
        "123456789012345678901234567890",
        "abcdefghijklmnopqrstuvwxyz",
        "qwertyuiopasdfghjklzxcvbnm",
    ];
    let backwards = |run: &str| run.chars().rev().collect::<String>();
    if RUNS
        .iter()
        .any(|run| run.contains(text) || backwards(run).contains(text))
    {
        return true;
    }
    let chars: Vec<char> = text.chars().collect();
    (1..=chars.len() / 2).any(|period| {
        chars
            .iter()
            .zip(chars.iter().skip(period))
            .all(|(one, next)| one == next)
    })
}

/// Passwords of 12 characters and more that lists of stolen ones begin with, in small letters.
const COMMON: &str = include_str!("common_passwords.txt");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_contract_says_just_at_the_bound_and_not_beyond() {
        let longest = "x".repeat(MAX_USER);
        for fits in ["a", "7", "anna.b@example.com", "a_b-c", &longest] {
            assert!(user_name("user", fits).is_ok(), "{fits}");
        }
        let longer = "x".repeat(MAX_USER + 1);
        for wrong in ["", "Anna", "-a", "a.", "a b", "ä", "a\0b", "a/b", &longer] {
            assert!(user_name("user", wrong).is_err(), "{wrong}");
        }
        let longest = "x".repeat(MAX_ROLE);
        assert!(
            ["a", "night-watch", "a1", &longest]
                .iter()
                .all(|name| is_role_name(name))
        );
        let longer = "x".repeat(MAX_ROLE + 1);
        assert!(
            !["", "1a", "-a", "A", "a_b", &longer]
                .iter()
                .any(|name| is_role_name(name))
        );
    }

    #[test]
    fn passwords_that_everybody_tries_first_are_none() {
        let fits = [
            "purple lamp 9 herring",
            "Tr0ub4dor&3xyz",
            "ünïcödé wörds",
            "anna likes trains",
        ];
        for fits in fits {
            assert!(password("password", "anna", fits).is_ok(), "{fits}");
        }
        let at_most = "aB3$x".repeat(51) + "q";
        assert!(
            password("password", "anna", &at_most).is_ok() && password("password", "anna", &(at_most + "q")).is_err()
        );
        for wrong in [
            "short",
            "elevenchars",
            "123456789012",
            "109876543210",
            "Password1234",
            "aaaaaaaaaaaa",
            "abababababab",
            "abcdefghijkl",
            "qwertyuiopas",
            "hunter2hunter2",
            "annaannaanna1",
            "CorrectHorseBatteryStaple",
        ] {
            assert!(password("password", "anna", wrong).is_err(), "{wrong}");
        }
        let refused = password("password", "anna", "Password1234").expect_err("common");
        assert!(!refused.to_string().contains("Password1234"), "{refused}");
    }

    #[test]
    fn grants_are_bounded_and_say_which_one_is_wrong() {
        let of = |role: &str, namespaces: Vec<String>| api::Grant {
            role: role.to_owned(),
            namespaces,
        };
        let names = |count: usize| (0..count).map(|number| format!("n{number}")).collect::<Vec<_>>();
        assert!(grants(vec![of("viewer", names(MAX_NAMESPACES))]).is_ok());
        assert!(grants(vec![of("viewer", vec!["*".to_owned()]); MAX_GRANTS]).is_ok());
        for (wrong, field) in [
            (vec![of("viewer", names(MAX_NAMESPACES + 1))], "grants[0].namespaces"),
            (vec![of("viewer", Vec::new())], "grants[0].namespaces"),
            (vec![of("viewer", names(1)), of("Viewer", names(1))], "grants[1].role"),
            (vec![of("viewer", vec!["A".to_owned()])], "grants[0].namespaces"),
            (vec![of("viewer", vec!["*".to_owned()]); MAX_GRANTS + 1], "grants"),
        ] {
            let problem = grants(wrong).expect_err(field).to_string();
            assert!(problem.starts_with(field), "{problem}");
        }
        let many = (0..11).map(|number| of("viewer", (0..100).map(|place| format!("n{number}-{place}")).collect()));
        assert!(grants(many.collect()).is_err(), "1,100 namespaces");
    }

    #[test]
    fn lifetimes_queues_permissions_and_texts_are_bounded() {
        let seconds = |seconds| Duration { seconds, nanos: 0 };
        assert_eq!(lifetime(None).expect("no end"), None);
        assert_eq!(lifetime(Some(&seconds(60))).expect("a minute"), Some(60_000_000));
        for wrong in [seconds(59), seconds(0), seconds(-5), seconds(3_650 * 86_400 + 1)] {
            assert!(lifetime(Some(&wrong)).is_err(), "{wrong:?}");
        }
        assert!(queues(&["gpu".to_owned(), "team_a.x-1".to_owned()]).is_ok());
        assert!(queues(&["GPU".to_owned()]).is_err() && queues(&[String::new()]).is_err());
        assert!(queues(&vec!["q".to_owned(); MAX_QUEUES + 1]).is_err());
        assert!(permissions(&["logs.read".to_owned()]).is_ok() && permissions(&[]).is_err());
        assert!(permissions(&["replicas.speak".to_owned()]).is_err());
        assert!(text("description", &"ü".repeat(MAX_TEXT)).is_ok());
        assert!(text("description", &"x".repeat(MAX_TEXT + 1)).is_err() && text("description", "a\nb").is_err());
    }
}
