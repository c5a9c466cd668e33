//! Whole-system facts, in one binary.

mod architecture;
mod certs;
mod docker;
mod doctor;
mod migrate;
