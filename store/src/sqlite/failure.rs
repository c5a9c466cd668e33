//! What SQLite's errors mean to a caller.

use deadpool_sqlite::{HookError, PoolError};
use rusqlite::ErrorCode;
use rusqlite::ffi;

use crate::error::{Outage, StoreError};

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let reason = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                "busy: another process kept writing for longer than store.busy_timeout"
            }
            Some(ErrorCode::DiskFull) => "disk full: free space where store.path is",
            Some(ErrorCode::ReadOnly) => {
                "read only: let this process write store.path and its directory"
            }
            Some(ErrorCode::CannotOpen) => {
                "the file or its directory cannot be opened: check store.path"
            }
            Some(ErrorCode::SystemIoFailure) => "the disk that store.path is on failed a request",
            Some(ErrorCode::ConstraintViolation) => return constraint(error),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                let what = "the file at store.path is damaged: restore it from a backup".to_owned();
                return Self::Corrupt {
                    what,
                    source: Some(Box::new(error)),
                };
            }
            None if is_unreadable(&error) => {
                return Self::Corrupt {
                    what: "a column".to_owned(),
                    source: Some(Box::new(error)),
                };
            }
            _ => "the database refused a statement",
        };
        Self::Unavailable {
            outage: Outage::Refused,
            reason: reason.to_owned(),
            source: Some(Box::new(error)),
        }
    }
}

fn is_unreadable(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::InvalidColumnType(..)
    )
}

/// Operations look for the collisions they can name before they write; these are the others.
fn constraint(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error().map(|error| error.extended_code) {
        Some(ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => StoreError::NotFound { what: "reference" },
        Some(ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_UNIQUE) => {
            StoreError::Conflict { what: "id" }
        }
        Some(ffi::SQLITE_CONSTRAINT_TRIGGER) => StoreError::Conflict { what: "audit" },
        _ => StoreError::Corrupt {
            what: "a value that the schema does not allow".to_owned(),
            source: Some(Box::new(error)),
        },
    }
}

/// Translates the failure to get a connection.
pub(super) fn from_pool(error: PoolError) -> StoreError {
    match error {
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
            error.into()
        }
        PoolError::Timeout(_) => StoreError::Unavailable {
            outage: Outage::Refused,
            reason: "busy: every connection stayed in use".to_owned(),
            source: None,
        },
        other => StoreError::Unavailable {
            outage: Outage::Refused,
            reason: "no connection".to_owned(),
            source: Some(Box::new(other)),
        },
    }
}
