//! The OpenID provider of an organisation, where there is one: how it is set up ([`settings`]).

pub mod settings;
