//! Pools, migrations, retries and tools for the storage adapters.
