//! `[auth]`: passwords, sessions, tokens.

use serde::{Deserialize, Serialize};

use crate::units::Span;
use crate::validate::Scope;

/// Passwords, sessions, tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Memory of one password hash, in KiB (argon2id `m`). Default: 19456. Source: OWASP password
    /// storage cheat sheet, the minimum with `t=2`.
    pub argon2_memory_kib: u32,
    /// Passes of one password hash (argon2id `t`). Default: 2.
    pub argon2_passes: u32,
    /// Shortest password, in characters. Default: 12.
    pub password_min_length: usize,
    /// How long a session lasts without use. Default: 7d.
    pub session_idle: Span,
    /// How long a session lasts at most. Default: 30d.
    pub session_absolute: Span,
    /// Lifetime of an API token unless its maker asks for less. Default: 90d.
    pub token_lifetime: Span,
    /// Longest lifetime an API token may be given. Default: 365d.
    pub token_lifetime_max: Span,
    /// Sign-in attempts per minute for one account from one address. Default: 5.
    pub sign_in_per_minute_pair: u32,
    /// Sign-in attempts per minute from one address (IPv6: from one /64). Default: 30.
    pub sign_in_per_minute_address: u32,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            argon2_memory_kib: 19_456,
            argon2_passes: 2,
            password_min_length: 12,
            session_idle: Span::seconds(7 * 86_400),
            session_absolute: Span::seconds(30 * 86_400),
            token_lifetime: Span::seconds(90 * 86_400),
            token_lifetime_max: Span::seconds(365 * 86_400),
            sign_in_per_minute_pair: 5,
            sign_in_per_minute_address: 30,
        }
    }
}

impl Auth {
    /// Records what is wrong.
    pub fn validate(&self, problems: &mut Scope<'_>) {
        problems.require(
            (19_456..=65_536).contains(&self.argon2_memory_kib),
            "argon2_memory_kib",
            "must be from 19456 to 65536",
        );
        problems.require(
            (2..=10).contains(&self.argon2_passes),
            "argon2_passes",
            "must be 2 to 10",
        );
        problems.require(
            (12..=64).contains(&self.password_min_length),
            "password_min_length",
            "must be from 12 to 64",
        );
        problems.require(
            self.session_idle <= self.session_absolute,
            "session_idle",
            "must not be longer than session_absolute",
        );
        problems.require(
            self.token_lifetime <= self.token_lifetime_max,
            "token_lifetime",
            "must not be longer than token_lifetime_max",
        );
        problems.require(
            self.sign_in_per_minute_pair > 0 && self.sign_in_per_minute_address > 0,
            "sign_in_per_minute_pair",
            "and sign_in_per_minute_address must be at least 1",
        );
    }
}
