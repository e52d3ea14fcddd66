//! Pages of lists, as requests ask for them. How tokens are made: [`nexus_storage::page`].

use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use nexus_storage::page::{self, PageError};
use tonic::Status;

pub use nexus_storage::page::token;

/// The number of rows for a wish: 50 for 0, and never more than 1,000.
///
/// # Errors
/// INVALID_ARGUMENT when the wish is negative.
pub fn size(wished: i32) -> Result<u32, Status> {
    page::size(wished).map_err(|error| wrong(&error))
}

/// The key that a page token names; nothing for the first page.
///
/// # Errors
/// INVALID_ARGUMENT when the token is damaged or was given for another query.
pub fn key(query: &str, token: &str) -> Result<Option<String>, Status> {
    page::key(query, token).map_err(|error| wrong(&error))
}

/// The same where keys are of a type that is read from text, such as numbers.
///
/// # Errors
/// INVALID_ARGUMENT when the token is damaged or was given for another query.
pub fn key_as<T: std::str::FromStr>(query: &str, token: &str) -> Result<Option<T>, Status> {
    let read = |key: String| key.parse().map_err(|_| wrong(&PageError::Token));
    key(query, token)?.map(read).transpose()
}

fn wrong(error: &PageError) -> Status {
    match error {
        PageError::Size(size) => ApiError::field("page_size", format!("must not be negative, it is {size}")).into(),
        PageError::Token => ApiError::new(ErrorReason::InvalidPageToken, error.to_string())
            .violation(
                "page_token",
                "is damaged or belongs to another query; start again without one",
            )
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn keys_come_back_in_their_type_and_what_is_wrong_names_its_field() {
        assert_eq!(key_as::<u64>("q", "").expect("the first page"), None);
        assert_eq!(key_as::<u64>("q", &token("q", "7")).expect("a number"), Some(7));
        for refused in [key_as::<u64>("q", &token("q", "x")), key_as("q", &token("r", "7"))] {
            let refused = refused.expect_err("it names no number of this query");
            assert_eq!(refused.code(), Code::InvalidArgument);
            assert_eq!(
                nexus_api::error::reason_of(&refused),
                Some(ErrorReason::InvalidPageToken)
            );
        }
        let negative = size(-1).expect_err("negative");
        assert_eq!(negative.code(), Code::InvalidArgument);
        assert_eq!(negative.message(), "page_size: must not be negative, it is -1");
    }
}
