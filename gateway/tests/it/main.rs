//! The gateway over real sockets: TLS from a client that trusts the local authority, real feeds, a
//! stand-in for `web`, and stand-ins for bridges that speak the real preamble and write down every
//! byte they are sent.

#![expect(
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise, its helpers too"
)]

mod answers;
mod assets;
mod autobahn;
mod backend;
mod bodies;
mod bridge;
mod certificates;
mod client;
mod cookies;
mod crowds;
mod dripping;
mod entrance;
mod grpc;
mod h2_abuse;
mod h2_smuggling;
mod handover;
mod hello;
mod hostile_upstream;
mod hot_reload;
mod isolation;
mod lease;
mod limits;
mod malformed;
mod memory;
mod methods;
mod misdirected;
mod own_paths;
mod pages;
mod ports;
mod replaced;
mod sharing;
mod sign_in;
mod sign_out;
mod silence;
mod smuggling;
mod start;
mod timing;
mod tunnel;
mod upgrade;
mod waking;
mod world;
