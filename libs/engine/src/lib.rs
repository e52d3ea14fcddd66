//! The pure core: execution and task state machines.
