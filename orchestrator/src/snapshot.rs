//! Snapshots: copies of all files of a workspace, kept outside of it.
//!
//! [`porter`] carries the files of a workspace out of its volumes and into them, as one archive.
//! [`archive`] compresses that archive into a file and back, and knows whether it is whole. [`shelf`]
//! keeps the files, each with a record beside it. [`keeper`] does what people ask for, [`due`] takes what
//! is due by the rules of [`schedule`], both by [`make`]; [`filler`] fills the volumes of a workspace that
//! is to begin with the files of a snapshot. [`putaway`] archives workspaces that nobody has used for long.
//!
//! Nothing of this is in the database: a snapshot is there if its record and its archive are, so that
//! it outlives a database that was lost, and a process may die at any point of making one.

pub(crate) mod archive;
mod due;
#[cfg(test)]
pub(crate) mod fake;
pub(crate) mod filler;
pub(crate) mod keeper;
mod make;
pub(crate) mod porter;
mod putaway;
mod schedule;
pub(crate) mod shelf;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use filler::Filler;
pub(crate) use keeper::{Keeper, SnapshotError};
pub(crate) use shelf::Shelf;
