//! What things are in Kalpana, and the rules that need no I/O to be checked.
//!
//! Read in this order: [`id`] and [`address`] say how things are called, [`workspace`] and
//! [`lifecycle`] what a workspace is and where it is in its life, [`sleep`] when it sleeps, [`user`] and [`access`] who may
//! do what to it, [`sharing`] who else may visit its ports. Nothing here opens a file, a socket or a clock of its own: time arrives as an
//! argument, and [`clock`] is the one place that reads it.

pub mod access;
pub mod address;
pub mod audit;
pub mod clock;
pub mod id;
pub mod lifecycle;
pub mod network;
pub mod organization;
pub mod quota;
pub mod repository;
pub mod sharing;
pub mod sleep;
pub mod snapshot;
pub mod user;
pub mod workspace;

pub use jiff::Timestamp;
