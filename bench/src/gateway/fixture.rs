//! Workspaces, their owners and keys: worked out from a number, so that every process of the
//! benchmark knows them without being told.

use kalpana_domain::id::{Generation, SessionId, UserId, WorkspaceId};
use kalpana_protocol::preamble::ConnectKey;

/// The domain that workspaces are below.
pub(crate) const DOMAIN: &str = "kalpana.localhost";

/// The generation that every workspace is in.
pub(crate) const GENERATION: Generation = Generation(1);

/// Returns the id of a workspace.
pub(crate) fn workspace(number: usize) -> WorkspaceId {
    WorkspaceId::parse(&format!("w{number:011}")).expect("a letter and eleven digits")
}

/// Returns the number of a workspace.
pub(crate) fn number(id: &str) -> Option<usize> {
    WorkspaceId::parse(id).ok()?;
    id.strip_prefix('w')?.parse().ok()
}

/// Returns the owner of a workspace.
pub(crate) fn owner(number: usize) -> UserId {
    UserId::from_bytes((0x0a_0000_0000 + number as u128).to_be_bytes())
}

/// Returns the control session that a workspace's owner came from.
pub(crate) fn session(number: usize) -> SessionId {
    SessionId::from_bytes((0x0b_0000_0000 + number as u128).to_be_bytes())
}

/// Returns the gateway's key to a workspace's bridge.
pub(crate) fn connect_key(number: usize) -> ConnectKey {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    ConnectKey::from_bytes(bytes)
}

/// Returns what a peer's session must be for: this workspace, and its owner.
pub(crate) fn subject(number: usize) -> String {
    format!("{} {}", workspace(number), owner(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_back_from_its_workspace() {
        for wanted in [0, 7, 999_999] {
            assert_eq!(number(workspace(wanted).as_str()), Some(wanted));
        }
        assert_eq!(number("abcdefghij01"), None);
        assert_eq!(number("w1"), None);
    }

    #[test]
    fn no_two_workspaces_share_anything() {
        assert_ne!(owner(1), owner(2));
        assert_ne!(session(1), session(2));
        assert_ne!(connect_key(1), connect_key(2));
        assert_eq!(
            subject(3),
            "w00000000003 00000000-0000-0000-0000-000a00000003"
        );
    }
}
