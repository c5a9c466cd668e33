//! Whole-system facts, in one binary.

mod architecture;
mod docker;
mod migrate;
