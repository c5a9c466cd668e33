//! What gateways share over `web`, sealed: `web` keeps it in the store and cannot read it.
//!
//! `GET /v1/copies?prefix=` answers [`Copies`]; `GET /v1/copies/{name}` a [`SealedContents`], or
//! 404; `PUT` with one answers [`Written`]; `DELETE …?version=` answers nothing. Whoever has not seen
//! the latest version gets 409. Names have parts between slashes.

use serde::{Deserialize, Serialize};

/// Largest sealed contents. Unit: bytes.
pub const CONTENTS_LIMIT: usize = 256 << 10;

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    /// By name.
    pub copies: Vec<CopyMark>,
}

/// That there is a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyMark {
    /// What it is called.
    pub name: String,
    /// Which writing of it is the latest.
    pub version: u64,
}

/// A copy, or what is to become one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedContents {
    /// Which writing of it this is, or which one is to be replaced; 0 where there is none.
    pub version: u64,
    /// What is in it: a nonce and what was sealed, in base64.
    pub contents: String,
}

/// That a copy was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Its version.
    pub version: u64,
}
