//! Who someone is: passwords, sessions, tokens, tickets.
//!
//! [`Accounts`] is the service that `web` and the administrator's command line use: it reads and
//! writes through the store. The rest works without a store, and is all that the gateway uses:
//! [`cookie`] reads and strips our cookies, [`nonce`] and [`ticket`] carry a sign-in to a workspace
//! host, [`workspace_session`] keeps it there, [`mod@fetch`] refuses what other sites send.
//!
//! Secrets are 256 random bits, kept as SHA-256; passwords are argon2id. None of the types that
//! hold one shows it in `Debug` or `Display`.

pub mod cookie;
pub mod fetch;
pub mod nonce;
pub mod ticket;
pub mod workspace_session;

pub mod account;
pub mod error;
pub mod password;
pub mod session;
pub mod throttle;
pub mod token;

mod key_file;
mod secret;

pub use account::{
    Accounts, Authenticated, Client, IssuedToken, NewAccount, NewPassword, SignedIn,
};
pub use error::AuthError;
pub use key_file::KeyFileError;
pub use session::{LinkSecret, SessionPolicy, SessionSecret, SetupSecret};
pub use token::{NewToken, TokenText};
