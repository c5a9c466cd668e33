//! Limits per person, and how use is counted against them.

use crate::lifecycle::Lifecycle;
use crate::workspace::{Desired, Workspace};

/// How much one person may hold. Checked in the same transaction that makes a workspace count, so
/// that requests in parallel cannot overshoot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Workspaces a person may have, running or stopped.
    pub workspaces: u32,
}

/// A limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the limit of {limit} workspaces per person is reached")]
pub struct QuotaExceeded {
    /// The limit.
    pub limit: u32,
}

impl Quota {
    /// Checks that one more workspace fits beside `held`.
    ///
    /// # Errors
    /// [`QuotaExceeded`] when the limit is reached.
    pub fn admit(self, held: u32) -> Result<(), QuotaExceeded> {
        if held < self.workspaces {
            Ok(())
        } else {
            Err(QuotaExceeded {
                limit: self.workspaces,
            })
        }
    }

    /// Says whether a workspace counts: one that is deleted, or being deleted, does not, and neither
    /// does one that failed, which must not keep its owner from making another.
    pub fn counts(workspace: &Workspace) -> bool {
        !matches!(workspace.desired, Desired::Deleted | Desired::Purged)
            && !matches!(workspace.lifecycle, Lifecycle::Failed { .. })
    }
}
