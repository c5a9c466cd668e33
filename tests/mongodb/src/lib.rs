//! A real server on the MongoDB wire for tests.
//!
//! [`Database::fresh`] is a database of a test's own on the server that `KALPANA_TEST_MONGODB_URI`
//! names, any with transactions; without it, on a server that is started for the test.
//! [`Server::start`] is a server of the test's own, which may be killed, started again and held.
//!
//! What is started is SecantusDB, a single-member replica set in Python that `scripts/mongodb`
//! installs. It has transactions with isolation, unique and TTL indexes, change streams, SCRAM and
//! TLS. It has neither members to fail over to nor sharding, and does not sign anybody in by X.509.

mod database;
mod server;

pub use database::Database;
pub use server::{Options, Server};
