//! The one binary: nexus dev and the command line.

fn main() {}
