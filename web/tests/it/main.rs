//! The web service as the gateway meets it: real sockets, a real store, and an orchestrator that
//! does what the test says.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod access;
mod accounts;
mod certificates;
mod connect;
mod copies;
mod elsewhere;
mod events;
mod happenings;
mod hostile_input;
mod input;
mod openapi;
mod orchestrator;
mod outage;
mod pages;
mod places;
mod sharing;
mod sign_out;
mod support;
