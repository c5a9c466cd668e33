//! Moves from one store to another: in every direction, cut off anywhere, beside writers.

mod cut;
mod place;
mod records;
mod refused;
mod whole;
mod writers;
