//! Certificates from a real authority: Pebble, with its own name server.

mod crash;
mod dns_01;
mod issuing;
mod journal;
mod on_demand;
mod renewal;
mod several;
mod trouble;
mod world;
