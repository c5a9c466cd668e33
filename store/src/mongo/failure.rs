//! What the driver's errors mean to a caller.

use mongodb::error::{Error, ErrorKind, WriteFailure};

use crate::error::{Outage, StoreError};

/// Why a step of a transaction did not happen.
#[derive(Debug)]
pub(super) enum Failure {
    /// The operation refuses: nothing of it may happen, and trying again changes nothing.
    Refused(StoreError),
    /// The database did not do it; its driver knows whether to try again.
    Driver(Error),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        // The server has ended the transaction, and the same document would be refused again.
        if is_duplicate(&error) {
            Self::Refused(StoreError::Conflict { what: "id" })
        } else {
            Self::Driver(error)
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error,
            Failure::Driver(error) => error.into(),
        }
    }
}

impl Failure {
    /// Names a collision that the operation knows the reason of.
    pub(super) fn collision(error: Error, what: &'static str) -> Self {
        if is_duplicate(&error) {
            Self::Refused(StoreError::Conflict { what })
        } else {
            Self::Driver(error)
        }
    }
}

/// Codes of the server that callers tell apart. Source: error_codes.yml of the MongoDB server.
pub(super) mod code {
    pub(crate) const UNAUTHORIZED: i32 = 13;
    pub(crate) const AUTHENTICATION_FAILED: i32 = 18;
    pub(crate) const NAMESPACE_EXISTS: i32 = 48;
    pub(crate) const MAX_TIME_EXPIRED: i32 = 50;
    pub(crate) const WRITE_CONCERN_TIMEOUT: i32 = 64;
    pub(crate) const INDEX_OPTIONS_CONFLICT: i32 = 85;
    pub(crate) const INDEX_KEY_CONFLICT: i32 = 86;
    pub(crate) const WRITE_CONFLICT: i32 = 112;
    pub(crate) const NOT_PRIMARY: [i32; 5] = [189, 10_107, 11_600, 11_602, 13_435];
    pub(crate) const DUPLICATE_KEY: [i32; 2] = [11_000, 11_001];
    pub(crate) const OUT_OF_DISK_SPACE: i32 = 14_031;
    pub(crate) const CHANGE_STREAM_ONLY_ON_REPLICA_SETS: i32 = 40_573;
}

/// Returns the server's code, if it is the server that refused.
pub(super) fn code_of(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        ErrorKind::Write(WriteFailure::WriteError(write)) => Some(write.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(concern)) => Some(concern.code),
        ErrorKind::InsertMany(many) => many
            .write_errors
            .as_ref()
            .and_then(|errors| errors.first())
            .map(|error| error.code)
            .or_else(|| many.write_concern_error.as_ref().map(|error| error.code)),
        _ => None,
    }
}

pub(super) fn is_duplicate(error: &Error) -> bool {
    code_of(error).is_some_and(|code| code::DUPLICATE_KEY.contains(&code))
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        if is_duplicate(&error) {
            return Self::Conflict { what: "id" };
        }
        if matches!(
            error.kind.as_ref(),
            ErrorKind::Bson(_) | ErrorKind::BsonDeserialization(_)
        ) {
            return Self::Corrupt {
                what: "a document".to_owned(),
                source: Some(Box::new(error)),
            };
        }
        let reason = reason(&error);
        // The others are answers, if bad ones: asking something else may well succeed.
        let is_away = ["away", "too slow", "read only", "busy: a transaction"]
            .iter()
            .any(|lead| reason.starts_with(lead));
        Self::Unavailable {
            outage: if is_away {
                Outage::Away
            } else {
                Outage::Refused
            },
            reason: reason.to_owned(),
            source: Some(Box::new(error)),
        }
    }
}

fn reason(error: &Error) -> &'static str {
    match error.kind.as_ref() {
        ErrorKind::Io(_)
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::DnsResolve { .. } => {
            "away: no server of store.mongodb.uri answers that is primary"
        }
        ErrorKind::Authentication { .. } => {
            "the server refuses our user: check store.mongodb.username and password_file"
        }
        ErrorKind::Transaction { .. } => "busy: a transaction did not come to its end in time",
        _ => match code_of(error) {
            Some(code::UNAUTHORIZED) => {
                "the user of store.mongodb may not do this: give it the role readWrite on the \
                 database"
            }
            Some(code) if code::NOT_PRIMARY.contains(&code) => {
                "read only: the replica set has no primary right now"
            }
            Some(code::MAX_TIME_EXPIRED | code::WRITE_CONCERN_TIMEOUT) => {
                "too slow: a majority of the replica set did not answer in time"
            }
            Some(code::WRITE_CONFLICT) => "busy: other writes were in the way",
            Some(code::OUT_OF_DISK_SPACE) => "disk full: free space on the MongoDB server",
            _ => "the database refused a command",
        },
    }
}
