//! What is remembered: repository traits shaped as whole operations, and SQLite behind them.
//!
//! [`repository`] says what a backend must promise, [`records`] what goes in and out, [`error`]
//! what may go wrong. [`sqlite`] is the default backend. To add a repository: its trait in
//! `repository.rs`, its file in each backend, its part of `tests/story.rs`.
//!
//! Each operation is atomic and durable when it returns, and writes its audit event in its own
//! transaction: there is no way to change something without the log saying so.

pub mod error;
pub mod page;
pub mod records;
pub mod repository;
pub mod sqlite;

use std::sync::Arc;

pub use error::{StoreError, StoreResult};
pub use page::{Page, PageRequest};
pub use repository::Repository;

/// The store as services hold it.
pub type Store = Arc<dyn Repository>;
