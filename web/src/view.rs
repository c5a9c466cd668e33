//! What the outside is shown: the API's own shapes, kept apart from what we hold inside, so that
//! neither changes the other by accident.

mod account;
mod activity;
pub(crate) mod certificates;
mod deleted;
mod figures;
mod sharing;
mod site;
mod snapshot;
mod work;
mod workspace;

pub(crate) use account::{
    CreatedToken, PlaceView, RoleName, ScopeName, SessionView, SignedInView, TokenView, UserView,
    UsersPage,
};
pub(crate) use activity::ActivityView;
pub(crate) use deleted::{DeletedWorkspaceView, DeletedWorkspacesPage};
pub(crate) use figures::{FiguresView, NowView};
pub(crate) use sharing::{
    AccessRequestView, CreatedLink, LevelName, LinkTarget, People, PersonView, PortShareView,
    ShareLinkView, SharingView,
};
pub(crate) use site::{Health, Notice, SiteView, SizeOption};
pub(crate) use snapshot::{SnapshotView, SnapshotsView};
pub(crate) use work::WorkView;
pub(crate) use workspace::{
    EgressName, LogLineView, SizeName, SleepView, WorkspaceRemoved, WorkspaceView, WorkspacesPage,
};
