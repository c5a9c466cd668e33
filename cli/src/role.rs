//! The roles: what each process is called and runs as.

use std::fmt;

/// One of the processes that a site consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// The API and the page; owns the store's schema, so it starts first.
    Web,
    /// Containers.
    Orchestrator,
    /// What listens for the outside; starts last, so that nobody is let in too early.
    Gateway,
}

impl Role {
    /// Every role, in the order they start. They stop in the opposite order.
    pub(crate) const ALL: [Self; 3] = [Self::Web, Self::Orchestrator, Self::Gateway];

    /// Returns the subcommand.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Orchestrator => "orchestrator",
            Self::Gateway => "gateway",
        }
    }

    /// Returns the system user it runs as when started by root.
    pub(crate) fn user(self) -> &'static str {
        match self {
            Self::Web => "kal-web",
            Self::Orchestrator => "kal-orch",
            Self::Gateway => "kal-gw",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}
