//! What a request must prove and hold before a handler sees it.
//!
//! [`CurrentUser`], [`Signed`] and [`Administrator`] say who asks; [`WorkspaceFor`], [`DeletedFor`],
//! [`PortFor`] and [`SnapshotFor`] say that they may; [`Json`], [`Query`], [`Named`], [`PathParts`] and [`NoBody`] read
//! strictly what they ask for.

mod body;
mod deleted;
mod port;
mod snapshot;
mod who;
mod workspace;

pub(crate) use body::{Json, Named, NoBody, PathParts, Query};
pub(crate) use deleted::DeletedFor;
pub(crate) use port::PortFor;
pub(crate) use snapshot::SnapshotFor;
pub(crate) use who::{Administrator, CurrentUser, Signed, authenticate, bearer};
pub(crate) use workspace::{
    Delete, DeleteSnapshot, Purge, Read, ReadSharing, ReadSnapshots, Restore, Share, Start, Stop,
    UseSnapshots, WorkspaceFor,
};
