//! The whole authorisation rule, pure: who may do what to which workspace.

use crate::user::{Principal, Role, Scope};
use crate::workspace::Workspace;

/// Something a principal may want to do to a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// See it, its state and its log.
    Read,
    /// Enter the editor and the ports: run code as its owner.
    Connect,
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Delete it.
    Delete,
    /// Take a deletion back.
    Restore,
    /// Remove its files once it is deleted, for good.
    Purge,
    /// See how its ports are shared.
    ReadSharing,
    /// Change how its ports are shared.
    Share,
    /// See which snapshots there are of its files.
    ReadSnapshots,
    /// Take a snapshot of its files, have one, or replace its files by one.
    UseSnapshots,
    /// Delete a snapshot of its files.
    DeleteSnapshot,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 12] = [
        Self::Read,
        Self::Connect,
        Self::Start,
        Self::Stop,
        Self::Delete,
        Self::Restore,
        Self::Purge,
        Self::ReadSharing,
        Self::Share,
        Self::ReadSnapshots,
        Self::UseSnapshots,
        Self::DeleteSnapshot,
    ];

    /// Returns the scope an API token needs for it, or `None` if tokens cannot do it.
    fn scope(self) -> Option<Scope> {
        match self {
            Self::Read | Self::ReadSharing | Self::ReadSnapshots => Some(Scope::WorkspaceRead),
            Self::Connect => None,
            Self::Start | Self::Stop | Self::Restore | Self::Share | Self::UseSnapshots => {
                Some(Scope::WorkspaceWrite)
            }
            Self::Delete | Self::Purge | Self::DeleteSnapshot => Some(Scope::WorkspaceDelete),
        }
    }
}

/// Says whether `principal` may do `action` to `workspace`.
///
/// Owners may do everything. Administrators of the organisation may do everything but start, enter,
/// share, purge and see snapshots: what is in a workspace is its owner's. Who may visit a port that the owner shares is
/// [another rule](crate::sharing). Nobody else may do anything, and the caller must
/// answer them exactly as if the workspace did not exist. A token is limited by its scopes on top,
/// and never enters.
pub fn may(principal: &Principal, action: Action, workspace: &Workspace) -> bool {
    let by_token = match action.scope() {
        Some(scope) => principal.has_scope(scope),
        None => matches!(principal.credential, crate::user::Credential::Session(_)),
    };
    let is_administrator = principal.role == Role::Administrator
        && principal.organization == workspace.organization
        && matches!(
            action,
            Action::Read | Action::Stop | Action::Delete | Action::Restore
        );
    by_token && (principal.user == workspace.owner || is_administrator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::id::{Generation, OrganizationId, SessionId, TokenId, UserId, WorkspaceId};
    use crate::lifecycle::Lifecycle;
    use crate::user::Credential;
    use crate::workspace::{Desired, Egress, Size, Spec, WorkspaceName};

    fn workspace(owner: UserId, organization: OrganizationId) -> Workspace {
        Workspace {
            id: WorkspaceId::from_random([7; 16]),
            organization,
            owner,
            spec: Spec {
                name: WorkspaceName::parse("demo").expect("legal"),
                repository: None,
                branch: None,
                size: Size::Small,
                egress: Egress::None,
            },
            sleep: Default::default(),
            filled_from: None,
            desired: Desired::Running,
            lifecycle: Lifecycle::Stopped,
            generation: Generation(1),
            version: 1,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn allowed(principal: &Principal, workspace: &Workspace) -> Vec<Action> {
        Action::ALL
            .into_iter()
            .filter(|action| may(principal, *action, workspace))
            .collect()
    }

    #[test]
    fn the_role_matrix_is_exact() {
        let (home, elsewhere) = (OrganizationId::generate(), OrganizationId::generate());
        let owner = UserId::generate();
        let workspace = workspace(owner, home);
        let session = |user, organization, role| Principal {
            user,
            organization,
            role,
            credential: Credential::Session(SessionId::generate()),
        };
        let other = UserId::generate();
        let rows = [
            (session(owner, home, Role::Member), Action::ALL.to_vec()),
            (session(other, home, Role::Member), vec![]),
            (
                session(other, home, Role::Administrator),
                vec![Action::Read, Action::Stop, Action::Delete, Action::Restore],
            ),
            (session(other, elsewhere, Role::Administrator), vec![]),
        ];
        for (principal, expected) in rows {
            assert_eq!(allowed(&principal, &workspace), expected, "{principal:?}");
        }
    }

    #[test]
    fn a_token_does_what_its_scopes_say_and_never_enters() {
        let home = OrganizationId::generate();
        let owner = UserId::generate();
        let workspace = workspace(owner, home);
        let token = |scopes: &[Scope]| Principal {
            user: owner,
            organization: home,
            role: Role::Member,
            credential: Credential::Token {
                id: TokenId::generate(),
                scopes: scopes.to_vec(),
            },
        };
        assert_eq!(allowed(&token(&[]), &workspace), vec![]);
        assert_eq!(
            allowed(&token(&[Scope::WorkspaceRead]), &workspace),
            vec![Action::Read, Action::ReadSharing, Action::ReadSnapshots]
        );
        assert_eq!(
            allowed(&token(&Scope::ALL), &workspace),
            vec![
                Action::Read,
                Action::Start,
                Action::Stop,
                Action::Delete,
                Action::Restore,
                Action::Purge,
                Action::ReadSharing,
                Action::Share,
                Action::ReadSnapshots,
                Action::UseSnapshots,
                Action::DeleteSnapshot,
            ]
        );
    }
}
