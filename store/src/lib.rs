//! What is remembered: repository traits shaped as whole operations, and two databases behind them.
//!
//! [`repository`] says what a backend must promise, [`contract`] explains the promises, [`records`]
//! what goes in and out, [`error`] what may go wrong. [`sqlite`] is the default backend, [`mongo`]
//! the one for sites with more than one machine. [`open()`] opens the configured one behind
//! [`guard`], which keeps a database that is away or slow from holding everybody up. [`transfer`]
//! is what `kalpana migrate` moves everything with.
//!
//! To add a repository: its trait in `repository.rs`, its file in each backend, its part of
//! `tests/story`, its records in `transfer/record.rs`.
//!
//! Each operation is atomic and durable when it returns, and writes its audit event in its own
//! transaction: there is no way to change something without the log saying so.

pub mod contract;
pub mod error;
pub mod events;
pub mod examine;
pub mod guard;
pub mod mongo;
pub mod open;
pub mod page;
pub mod records;
pub mod repository;
pub mod sqlite;
pub mod transfer;

use std::sync::Arc;

pub use error::{Outage, StoreError, StoreResult};
pub use events::StoreEvent;
pub use open::{OpenMode, open};
pub use page::{Page, PageRequest};
pub use repository::Repository;

/// The store as services hold it.
pub type Store = Arc<dyn Repository>;
