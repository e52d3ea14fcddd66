//! Namespaces: what they are called, how a call says which one it is about, and how the names within one are told from
//! the same names within another where they stand side by side.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use crate::error::ApiError;

/// The metadata of a call that names its namespace.
pub const METADATA: &str = "nexus-namespace";
/// The namespace of calls that name none.
pub const DEFAULT: &str = "default";
/// Bytes of a name at most: that of a DNS label.
pub const MAX_NAME: usize = 63;

/// Stands between a namespace and a name in it. No workflow and no queue has it in its name.
const SEPARATOR: char = '/';
/// Stands between a namespace and a request id in it, which may hold nearly everything. Request ids must not hold this.
pub const KEY_SEPARATOR: char = '\u{1f}';

static DEFAULT_NAME: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(DEFAULT));

/// The name of a namespace: `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(Arc<str>);

/// A text that names no namespace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a namespace: lower-case letters, digits and -, none of them - at either end, 1 to {MAX_NAME} in all"
)]
pub struct NotANamespace(String);

impl Default for Namespace {
    fn default() -> Self {
        Self(Arc::clone(&DEFAULT_NAME))
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Namespace {
    type Err = NotANamespace;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == DEFAULT {
            return Ok(Self::default());
        }
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let fits = (1..=MAX_NAME).contains(&text.len())
            && text.bytes().all(plain)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if fits {
            return Ok(Self(Arc::from(text)));
        }
        // What is quoted has an end.
        Err(NotANamespace(text.chars().take(2 * MAX_NAME).collect()))
    }
}

impl Namespace {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// Whether it is the one of calls that name none.
    #[must_use]
    pub fn is_default(&self) -> bool {
        &*self.0 == DEFAULT
    }

    /// The name of a field of a message, where an older sender leaves it out.
    ///
    /// # Errors
    /// When it names no namespace.
    pub fn of_field(text: &str) -> Result<Self, NotANamespace> {
        match text {
            "" => Ok(Self::default()),
            text => text.parse(),
        }
    }

    /// The namespace that a call's metadata names.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when it names none.
    pub fn of(metadata: &MetadataMap) -> Result<Self, Status> {
        let mut named = metadata.get_all(METADATA).iter();
        let Some(first) = named.next() else {
            return Ok(Self::default());
        };
        let wrong = |problem: String| Status::from(ApiError::field(METADATA, problem));
        if named.next().is_some() {
            return Err(wrong("is said more than once".to_owned()));
        }
        let text = first.to_str().map_err(|_| wrong("is not ASCII text".to_owned()))?;
        text.parse().map_err(|error: NotANamespace| wrong(error.to_string()))
    }

    /// A call's message, and the namespace that it is about: what every service begins with.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when the metadata names no namespace.
    pub fn split<T>(request: Request<T>) -> Result<(Self, T), Status> {
        let namespace = Self::of(request.metadata())?;
        Ok((namespace, request.into_inner()))
    }

    /// A call about this namespace, which it says: one that says nothing may be about the only namespace of its credential.
    #[must_use]
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Ok(value) = self.0.parse() {
            request.metadata_mut().insert(METADATA, value);
        }
        request
    }

    /// A name of this namespace where names of all stand side by side: `name` in `default`, `namespace/name` elsewhere.
    #[must_use]
    pub fn qualify<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if self.is_default() {
            Cow::Borrowed(name)
        } else {
            Cow::Owned(format!("{}{SEPARATOR}{name}", self.0))
        }
    }

    /// The same for a name that anybody may have typed; nothing for one that nothing in any namespace can have.
    #[must_use]
    pub fn find<'a>(&self, typed: &'a str) -> Option<Cow<'a, str>> {
        (!typed.contains(SEPARATOR)).then(|| self.qualify(typed))
    }

    /// The name that was qualified for this namespace.
    #[must_use]
    pub fn plain<'a>(&self, qualified: &'a str) -> &'a str {
        if self.is_default() {
            return qualified;
        }
        let rest = qualified.strip_prefix(self.as_str());
        rest.and_then(|rest| rest.strip_prefix(SEPARATOR)).unwrap_or(qualified)
    }

    /// What [`Namespace::qualify`] has put together.
    ///
    /// # Errors
    /// When what stands before the separator is no namespace.
    pub fn of_qualified(qualified: &str) -> Result<(Self, &str), NotANamespace> {
        match qualified.split_once(SEPARATOR) {
            None => Ok((Self::default(), qualified)),
            Some((namespace, name)) => Ok((namespace.parse()?, name)),
        }
    }

    /// A request id of this namespace where those of all stand side by side.
    #[must_use]
    pub fn key(&self, request_id: &str) -> String {
        if self.is_default() {
            request_id.to_owned()
        } else {
            format!("{}{KEY_SEPARATOR}{request_id}", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_types::StatusExt;

    use super::*;

    fn namespace(text: &str) -> Namespace {
        text.parse().expect(text)
    }

    #[test]
    fn names_are_those_of_dns_labels_just_at_the_bound_and_not_beyond() {
        for fits in ["default", "a", "7", "team-a", "a--b", &"x".repeat(MAX_NAME)] {
            assert_eq!(namespace(fits).as_str(), fits);
        }
        for wrong in [
            "",
            "-",
            "-a",
            "a-",
            "A",
            "a_b",
            "a/b",
            "a.b",
            "ä",
            " a",
            "a\n",
            &"x".repeat(MAX_NAME + 1),
        ] {
            let error = wrong.parse::<Namespace>().expect_err(wrong);
            assert!(error.to_string().contains("1 to 63"), "{error}");
        }
        assert_eq!(
            Namespace::of_field("").expect("none is the default"),
            Namespace::default()
        );
        assert!(Namespace::of_field("A").is_err());
    }

    #[test]
    fn a_call_says_its_namespace_and_one_that_says_none_means_the_default() {
        let other = namespace("team-a");
        assert_eq!(Namespace::split(other.request(7)).expect("named"), (other, 7));
        let said = Namespace::default().request(());
        assert_eq!(said.metadata().get(METADATA).expect("said"), DEFAULT);
        assert_eq!(
            Namespace::split(Request::new(())).expect("none").0,
            Namespace::default()
        );
    }

    #[test]
    fn a_call_that_names_none_rightly_is_refused_with_the_field() {
        let mut twice = namespace("a").request(());
        twice.metadata_mut().append(METADATA, "b".parse().expect("value"));
        let mut wrong = Request::new(());
        wrong.metadata_mut().insert(METADATA, "Team A".parse().expect("value"));
        let mut empty = Request::new(());
        empty.metadata_mut().insert(METADATA, "".parse().expect("value"));
        for request in [twice, wrong, empty] {
            let status = Namespace::of(request.metadata()).expect_err("refused");
            assert_eq!(status.code(), Code::InvalidArgument);
            let violations = status.get_details_bad_request().expect("violations").field_violations;
            assert_eq!(violations[0].field, METADATA);
            assert!(status.get_details_error_info().is_some());
        }
    }

    #[test]
    fn qualified_names_come_apart_again_and_none_is_that_of_another() {
        let (one, other) = (Namespace::default(), namespace("team-a"));
        assert_eq!((&*one.qualify("etl"), &*other.qualify("etl")), ("etl", "team-a/etl"));
        for namespace in [&one, &other] {
            let qualified = namespace.qualify("etl");
            assert_eq!(namespace.plain(&qualified), "etl");
            assert_eq!(Namespace::of_qualified(&qualified), Ok((namespace.clone(), "etl")));
        }
        assert_eq!(one.find("team-a/etl"), None, "the default does not reach into others");
        assert!(Namespace::of_qualified("A/etl").is_err());
        assert_ne!(one.key("team-a/1"), other.key("1"));
        assert_eq!((one.key("1"), other.key("1")), ("1".into(), "team-a\u{1f}1".into()));
    }
}
