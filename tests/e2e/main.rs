//! End-to-end tests: a real `nexus dev`, reached over real sockets.

mod audit;
mod bad_input;
mod balance;
mod cli;
mod control;
mod crash;
mod data;
mod definitions;
mod dev;
mod events;
mod executions;
mod feed;
mod frozen;
mod grpc;
mod kept_secrets;
mod limits;
mod namespaces;
mod notifications;
mod rest;
mod schedules;
mod secrets;
mod serve;
mod workers;
