//! What the audit log keeps: who did what to which, when.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::id::{AuditId, OrganizationId, SessionId, TokenId, UserId};
use crate::user::{Credential, Principal};

/// Something that was done. Names are stable: they are what people search for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AuditAction {
    /// The first administrator was made with the setup link.
    #[serde(rename = "site.setup")]
    SiteSetup,
    /// An account was made.
    #[serde(rename = "user.create")]
    UserCreate,
    /// Somebody signed in.
    #[serde(rename = "session.create")]
    SessionCreate,
    /// A sign-in was refused.
    #[serde(rename = "session.refuse")]
    SessionRefuse,
    /// Somebody signed out, or ended another of their sessions.
    #[serde(rename = "session.end")]
    SessionEnd,
    /// Somebody ended all their sessions but one.
    #[serde(rename = "session.end_others")]
    SessionEndOthers,
    /// Somebody changed their password, which ended all their other sessions.
    #[serde(rename = "password.change")]
    PasswordChange,
    /// A change of a password was refused, because the current one was not known.
    #[serde(rename = "password.refuse")]
    PasswordRefuse,
    /// An API token was made.
    #[serde(rename = "token.create")]
    TokenCreate,
    /// An API token was revoked.
    #[serde(rename = "token.revoke")]
    TokenRevoke,
    /// All API tokens of a person were revoked.
    #[serde(rename = "token.revoke_all")]
    TokenRevokeAll,
    /// A workspace was asked for.
    #[serde(rename = "workspace.create")]
    WorkspaceCreate,
    /// A workspace's start was asked for.
    #[serde(rename = "workspace.start")]
    WorkspaceStart,
    /// A workspace was put to sleep, by somebody or because nobody was there.
    #[serde(rename = "workspace.pause")]
    WorkspacePause,
    /// A workspace was woken, by somebody who asked or visited.
    #[serde(rename = "workspace.wake")]
    WorkspaceWake,
    /// How a workspace sleeps was changed.
    #[serde(rename = "workspace.set_sleep")]
    WorkspaceSetSleep,
    /// A workspace's stop was asked for.
    #[serde(rename = "workspace.stop")]
    WorkspaceStop,
    /// A stopped workspace was put away: its files are in a snapshot alone from then on.
    #[serde(rename = "workspace.archive")]
    WorkspaceArchive,
    /// A workspace's deletion was asked for.
    #[serde(rename = "workspace.delete")]
    WorkspaceDelete,
    /// A workspace's deletion was taken back.
    #[serde(rename = "workspace.restore")]
    WorkspaceRestore,
    /// The files of a deleted workspace were given up for good, by its owner or after their time.
    #[serde(rename = "workspace.purge")]
    WorkspacePurge,
    /// A snapshot of a workspace was asked for: the workspace and the snapshot.
    #[serde(rename = "snapshot.create")]
    SnapshotCreate,
    /// A workspace's files were asked to be as in a snapshot: the workspace and the snapshot.
    #[serde(rename = "snapshot.restore")]
    SnapshotRestore,
    /// A snapshot was downloaded: the workspace and the snapshot.
    #[serde(rename = "snapshot.download")]
    SnapshotDownload,
    /// A snapshot was deleted: the workspace and the snapshot.
    #[serde(rename = "snapshot.delete")]
    SnapshotDelete,
    /// Somebody was let into a workspace host.
    #[serde(rename = "workspace.connect")]
    WorkspaceConnect,
    /// Who may visit a port was changed by the workspace's owner.
    #[serde(rename = "share.change")]
    ShareChange,
    /// A link to a port was made.
    #[serde(rename = "share_link.create")]
    LinkCreate,
    /// A link to a port was revoked.
    #[serde(rename = "share_link.revoke")]
    LinkRevoke,
    /// Somebody asked to be let in to a port.
    #[serde(rename = "access.request")]
    AccessRequest,
    /// Somebody who had asked was let in to a port.
    #[serde(rename = "access.approve")]
    AccessApprove,
    /// Somebody who had asked was not let in to a port.
    #[serde(rename = "access.decline")]
    AccessDecline,
    /// Somebody other than the owner was let in to a port.
    #[serde(rename = "port.connect")]
    PortConnect,
    /// A certificate for a host was asked for at the console.
    #[serde(rename = "certificate.order")]
    CertificateOrder,
    /// A new certificate was asked for by an administrator.
    #[serde(rename = "certificate.renew")]
    CertificateRenew,
    /// A certificate's revocation was asked for by an administrator.
    #[serde(rename = "certificate.revoke")]
    CertificateRevoke,
    /// Another certificate is served, or the first: the name and the serial number.
    #[serde(rename = "certificate.replace")]
    CertificateReplace,
    /// An authority declared a certificate void: the name and the serial number.
    #[serde(rename = "certificate.void")]
    CertificateVoid,
    /// A new certificate could not be had: the name and why.
    #[serde(rename = "certificate.fail")]
    CertificateFail,
    /// A certificate ends soon, with no other in sight: the name and when.
    #[serde(rename = "certificate.end")]
    CertificateEnd,
}

impl AuditAction {
    /// Returns the stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SiteSetup => "site.setup",
            Self::UserCreate => "user.create",
            Self::SessionCreate => "session.create",
            Self::SessionRefuse => "session.refuse",
            Self::SessionEnd => "session.end",
            Self::SessionEndOthers => "session.end_others",
            Self::PasswordChange => "password.change",
            Self::PasswordRefuse => "password.refuse",
            Self::TokenCreate => "token.create",
            Self::TokenRevoke => "token.revoke",
            Self::TokenRevokeAll => "token.revoke_all",
            Self::WorkspaceCreate => "workspace.create",
            Self::WorkspaceStart => "workspace.start",
            Self::WorkspacePause => "workspace.pause",
            Self::WorkspaceWake => "workspace.wake",
            Self::WorkspaceSetSleep => "workspace.set_sleep",
            Self::WorkspaceStop => "workspace.stop",
            Self::WorkspaceArchive => "workspace.archive",
            Self::WorkspaceDelete => "workspace.delete",
            Self::WorkspaceRestore => "workspace.restore",
            Self::WorkspacePurge => "workspace.purge",
            Self::SnapshotCreate => "snapshot.create",
            Self::SnapshotRestore => "snapshot.restore",
            Self::SnapshotDownload => "snapshot.download",
            Self::SnapshotDelete => "snapshot.delete",
            Self::WorkspaceConnect => "workspace.connect",
            Self::ShareChange => "share.change",
            Self::LinkCreate => "share_link.create",
            Self::LinkRevoke => "share_link.revoke",
            Self::AccessRequest => "access.request",
            Self::AccessApprove => "access.approve",
            Self::AccessDecline => "access.decline",
            Self::PortConnect => "port.connect",
            Self::CertificateOrder => "certificate.order",
            Self::CertificateRenew => "certificate.renew",
            Self::CertificateRevoke => "certificate.revoke",
            Self::CertificateReplace => "certificate.replace",
            Self::CertificateVoid => "certificate.void",
            Self::CertificateFail => "certificate.fail",
            Self::CertificateEnd => "certificate.end",
        }
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Actor {
    /// A person in a browser.
    Session {
        /// The person.
        user: UserId,
        /// Their session.
        session: SessionId,
    },
    /// A program with a person's API token.
    Token {
        /// The person.
        user: UserId,
        /// The token.
        token: TokenId,
    },
    /// Somebody who is not signed in.
    Anonymous,
    /// An administrator at the machine's own command line.
    Console,
    /// Kalpana itself.
    System,
}

impl From<&Principal> for Actor {
    fn from(principal: &Principal) -> Self {
        match &principal.credential {
            Credential::Session(session) => Self::Session {
                user: principal.user,
                session: *session,
            },
            Credential::Token { id, .. } => Self::Token {
                user: principal.user,
                token: *id,
            },
        }
    }
}

/// One entry of the audit log. Written in the transaction of the change it tells of; never
/// changed, never removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// Its id, sortable by time.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// The organisation it belongs to, when there is one.
    pub organization: Option<OrganizationId>,
    /// Who.
    pub actor: Actor,
    /// What.
    pub action: AuditAction,
    /// To which: an id, never a secret.
    pub subject: String,
    /// The client's network address, when there is one.
    pub address: Option<String>,
    /// The request it came with, which the logs of every process carry.
    pub request_id: Option<String>,
}
