//! Does the checker see what it is for? A sound run, made by hand, passes; each breach that is planted into it is found
//! under its own invariant. A checker that cannot fail proves nothing.

mod database;
mod run;
mod told;
