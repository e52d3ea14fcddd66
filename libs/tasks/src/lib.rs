//! Task kinds: python, bash, http, sql.
