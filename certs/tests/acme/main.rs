//! Certificates from a real authority: Pebble, with its own name server.

mod crash;
mod issuing;
mod on_demand;
mod renewal;
mod trouble;
mod world;
