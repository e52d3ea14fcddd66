//! Generated contracts, typed errors and proto JSON.
