//! The sections of the configuration, one room each.

pub mod auth;
pub mod certs;
pub mod gateway;
pub mod orchestrator;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod web;
