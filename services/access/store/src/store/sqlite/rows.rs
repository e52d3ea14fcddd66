//! Rows as the port's words have them.

crate::store::rows::readers!(sqlx::sqlite::SqliteRow);
