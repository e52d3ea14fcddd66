//! Ids as the stores keep them: the 16 bytes of a UUID.

use uuid::Uuid;

use crate::error::StorageError;

/// The bytes of an id, as a column holds them.
#[must_use]
pub fn to_blob(id: Uuid) -> Vec<u8> {
    id.as_bytes().to_vec()
}

/// The id that a column holds.
///
/// # Errors
/// [`StorageError::Corrupt`] when the column does not hold 16 bytes.
pub fn from_blob(bytes: &[u8]) -> Result<Uuid, StorageError> {
    Uuid::from_slice(bytes).map_err(|_| StorageError::corrupt(format!("an id column holds {} bytes", bytes.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_and_other_lengths_do_not() {
        let id = Uuid::from_u128(0x0193_aaaa_bbbb_7ccc_8ddd_eeee_ffff_0001);
        assert_eq!(from_blob(&to_blob(id)).unwrap(), id);
        assert!(matches!(from_blob(&[1, 2]), Err(StorageError::Corrupt(_))));
    }
}
