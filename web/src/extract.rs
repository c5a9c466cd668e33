//! What a request must prove and hold before a handler sees it.
//!
//! [`CurrentUser`], [`Signed`] and [`Administrator`] say who asks; [`WorkspaceFor`] says that they
//! may; [`Json`], [`Query`], [`Named`] and [`NoBody`] read strictly what they ask for.

mod body;
mod who;
mod workspace;

pub(crate) use body::{Json, Named, NoBody, Query};
pub(crate) use who::{Administrator, CurrentUser, Signed, authenticate, bearer};
pub(crate) use workspace::{Delete, Read, Start, Stop, WorkspaceFor};
