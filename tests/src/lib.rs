//! A whole site on real parts, made for one test and taken down with it.
//!
//! [`World`] runs the real `kalpana up` with its own directories, ports, engine label and subnet
//! pool. [`client::Browser`] is a person's browser without the pixels. [`git::GitServer`] serves
//! repositories by Git's own HTTP backend, on an address that only the test's workspaces reach.

pub mod client;
pub mod docker;
pub mod git;
pub mod wait;
pub mod world;

pub use client::Browser;
pub use git::GitServer;
pub use wait::until;
pub use world::{World, executable, image};
