//! Which ports are shared and with whom, as `web` said last, and who has to go when that changes.
//!
//! What is not listed is not shared. The rule itself is `kalpana_domain::sharing`; here it is held
//! against what sessions say, on every request and, when it becomes narrower, against everything
//! that is open.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use dashmap::DashMap;
use kalpana_domain::Timestamp;
use kalpana_domain::address::{Surface, WorkspaceAddress};
use kalpana_domain::clock::Clock;
use kalpana_domain::id::{Generation, LinkId, UserId, WorkspaceId};
use kalpana_domain::sharing::{LinkPath, Moment, Right, Rule, SharingLevel};
use kalpana_protocol::sharing::{SharedPort, SharingState};

use crate::live::Live;
use crate::tunnel::control::Cut;

/// Somebody at a surface of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// Where.
    pub address: WorkspaceAddress,
    /// The workspace's incarnation.
    pub generation: Generation,
    /// By what right; nobody in particular has none.
    pub right: Option<Right>,
}

impl Visit {
    /// Tells whether it is the owner's own, which no rule of sharing is about.
    pub fn is_owners(&self) -> bool {
        matches!(self.right, Some(Right::Owner(_)))
    }

    /// Returns who visits; whoever has a link, or no right at all, is nobody in particular.
    pub fn user(&self) -> Option<UserId> {
        match self.right? {
            Right::Owner(user) | Right::Member(user) | Right::Organization(user) => Some(user),
            Right::Link(_) => None,
        }
    }
}

/// How one port is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    rule: Rule,
    maximum: SharingLevel,
    links: HashMap<LinkId, Link>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Link {
    path: LinkPath,
    expires_at: Timestamp,
}

/// A port of the feed made no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the shared port has an unusable {field}")]
pub struct InvalidShare {
    field: &'static str,
}

impl Shared {
    fn read(wire: &SharedPort, maximum: SharingLevel) -> Result<Self, InvalidShare> {
        let invalid = |field| move || InvalidShare { field };
        let time = |milliseconds| Timestamp::from_millisecond(milliseconds).ok();
        let members = wire.members.iter().map(|id| UserId::parse(id).ok());
        let links = wire.links.iter().map(|link| {
            let read = Link {
                path: LinkPath::parse(&link.path).ok()?,
                expires_at: time(link.expires_at)?,
            };
            Some((LinkId::parse(&link.id).ok()?, read))
        });
        let expires_at = match wire.expires_at {
            None => None,
            Some(end) => Some(time(end).ok_or_else(invalid("end"))?),
        };
        Ok(Self {
            rule: Rule {
                level: wire.level.parse().map_err(|_| invalid("level")())?,
                members: members
                    .collect::<Option<_>>()
                    .ok_or_else(invalid("member"))?,
                expires_at,
                generation: wire.generation.map(Generation),
            },
            maximum,
            links: links.collect::<Option<_>>().ok_or_else(invalid("link"))?,
        })
    }

    fn moment(&self, now: Timestamp, generation: Generation) -> Moment {
        Moment {
            now,
            generation,
            maximum: self.maximum,
        }
    }

    /// Tells whether everybody may visit, without a session.
    pub fn is_public(&self, now: Timestamp, generation: Generation) -> bool {
        self.rule.is_public_at(&self.moment(now, generation))
    }

    /// Tells whether who has `right` may visit now.
    pub fn admits(&self, right: Option<Right>, now: Timestamp, generation: Generation) -> bool {
        let moment = self.moment(now, generation);
        self.rule.admits(right, &moment, |link| {
            self.links
                .get(&link)
                .is_some_and(|link| now < link.expires_at)
        })
    }

    /// Tells whether who has `right` may ask for `path`: a link may open some paths only.
    pub fn covers(&self, right: Right, path: &str) -> bool {
        match right {
            Right::Link(id) => self
                .links
                .get(&id)
                .is_some_and(|link| link.path.covers(path)),
            Right::Owner(_) | Right::Member(_) | Right::Organization(_) => true,
        }
    }
}

type Key = (u128, u16);

/// Every port that is shared. Reads take one shard's lock for a moment.
pub struct Sharing {
    ports: DashMap<Key, Arc<Shared>>,
    maximum: ArcSwap<SharingLevel>,
    live: Arc<Live>,
    clock: Arc<dyn Clock>,
}

impl Sharing {
    /// Knows of no shared port yet; cuts in `live` whoever may not stay.
    pub fn new(live: Arc<Live>, clock: Arc<dyn Clock>) -> Self {
        Self {
            ports: DashMap::new(),
            maximum: ArcSwap::from_pointee(SharingLevel::Owner),
            live,
            clock,
        }
    }

    /// Returns how a surface is shared; the editor never is.
    pub fn find(&self, address: WorkspaceAddress) -> Option<Arc<Shared>> {
        let Surface::Port(port) = address.surface else {
            return None;
        };
        let found = self.ports.get(&(address.workspace.to_u128(), port))?;
        Some(Arc::clone(&found))
    }

    /// Tells whether somebody who was let in may not stay.
    pub fn is_over(&self, visit: &Visit) -> bool {
        if visit.is_owners() {
            return false;
        }
        let now = self.clock.now();
        let share = self.find(visit.address);
        !share.is_some_and(|share| share.admits(visit.right, now, visit.generation))
    }

    /// Replaces everything that is known.
    pub fn snapshot(&self, state: &SharingState) {
        let maximum = match state.maximum.as_deref().map(str::parse) {
            None => SharingLevel::Owner,
            Some(Ok(maximum)) => maximum,
            Some(Err(error)) => {
                tracing::error!("web named no level for the widest sharing: {error}");
                SharingLevel::Owner
            }
        };
        self.maximum.store(Arc::new(maximum));
        let kept: HashSet<Key> = state
            .ports
            .iter()
            .filter_map(|port| self.enter(port))
            .collect();
        self.ports.retain(|key, _| kept.contains(key));
        self.cut(|_| true);
    }

    /// Shares a port in another way.
    pub fn share(&self, port: &SharedPort) {
        self.enter(port);
        if let Ok(workspace) = WorkspaceId::parse(&port.workspace) {
            self.cut_at(workspace, port.port);
        }
    }

    /// Shares a port no more.
    pub fn unshare(&self, workspace: &str, port: u16) {
        if let Ok(workspace) = WorkspaceId::parse(workspace) {
            self.ports.remove(&(workspace.to_u128(), port));
            self.cut_at(workspace, port);
        }
    }

    /// Ends what is open when the end of what let it in has come.
    pub fn cut_expired(&self) {
        self.cut(|_| true);
    }

    /// Enters first; who is just being let in either sees the entry or is seen by the cut.
    fn enter(&self, wire: &SharedPort) -> Option<Key> {
        let workspace = WorkspaceId::parse(&wire.workspace).ok()?;
        let key = (workspace.to_u128(), wire.port);
        match Shared::read(wire, **self.maximum.load()) {
            Ok(shared) => {
                self.ports.insert(key, Arc::new(shared));
                Some(key)
            }
            Err(error) => {
                tracing::error!(
                    workspace.id = %workspace,
                    port = wire.port,
                    "taking port {} of {workspace} for one that is not shared: {error}",
                    wire.port
                );
                // What cannot be read must not leave an older permission in force.
                self.ports.remove(&key);
                None
            }
        }
    }

    fn cut_at(&self, workspace: WorkspaceId, port: u16) {
        let address = WorkspaceAddress {
            workspace,
            surface: Surface::Port(port),
        };
        self.cut(|visit| visit.address == address);
    }

    fn cut(&self, is_meant: impl Fn(&Visit) -> bool) {
        let is_over = |visit: &Visit| is_meant(visit) && self.is_over(visit);
        let cut = self.live.cut_visits(is_over, Cut::SharingChanged);
        if cut > 0 {
            tracing::info!(
                connections = cut,
                "a port is not shared with all its visitors any more; cut {cut} open connections"
            );
        }
    }
}

impl std::fmt::Debug for Sharing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Sharing")
            .field("ports", &self.ports.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use kalpana_domain::clock::ManualClock;
    use kalpana_protocol::sharing::SharedLink;

    use std::time::Duration;

    use super::*;

    const WORKSPACE: &str = "abcdefghij01";

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn sharing() -> Sharing {
        let clock = Arc::new(ManualClock::new(now()));
        Sharing::new(Arc::new(Live::default()), clock)
    }

    fn port(level: &str) -> SharedPort {
        SharedPort {
            workspace: WORKSPACE.to_owned(),
            port: 3000,
            level: level.to_owned(),
            members: vec![UserId::from_bytes([1; 16]).to_string()],
            expires_at: None,
            generation: None,
            links: vec![SharedLink {
                id: LinkId::from_bytes([2; 16]).to_string(),
                path: "/docs".to_owned(),
                expires_at: now().as_millisecond() + 1000,
            }],
        }
    }

    fn state(maximum: Option<&str>, ports: Vec<SharedPort>) -> SharingState {
        SharingState {
            maximum: maximum.map(str::to_owned),
            ports,
        }
    }

    fn visit(label: &str, right: Option<Right>) -> Visit {
        Visit {
            address: WorkspaceAddress::parse_label(label).unwrap(),
            generation: Generation(1),
            right,
        }
    }

    fn label() -> String {
        format!("3000-{WORKSPACE}")
    }

    #[test]
    fn what_was_not_said_is_not_shared() {
        let sharing = sharing();
        let owner = Some(Right::Owner(UserId::from_bytes([9; 16])));
        assert!(!sharing.is_over(&visit(&label(), owner)), "never judged");
        assert!(sharing.is_over(&visit(&label(), None)));
        sharing.snapshot(&state(Some("public"), vec![port("public")]));
        assert!(!sharing.is_over(&visit(&label(), None)));
        assert!(sharing.is_over(&visit(WORKSPACE, None)), "never the editor");
        assert!(sharing.is_over(&visit(&format!("3001-{WORKSPACE}"), None)));
        sharing.snapshot(&state(Some("public"), vec![]));
        assert!(sharing.is_over(&visit(&label(), None)));
    }

    #[test]
    fn the_sites_maximum_holds_for_what_was_shared_before_it() {
        let sharing = sharing();
        let member = visit(&label(), Some(Right::Member(UserId::from_bytes([1; 16]))));
        for (maximum, is_public, is_for_members) in [
            (Some("public"), true, true),
            (Some("organization"), false, true),
            (Some("owner"), false, false),
            (Some("everybody"), false, false),
            (None, false, false),
        ] {
            sharing.snapshot(&state(maximum, vec![port("public")]));
            assert_eq!(!sharing.is_over(&visit(&label(), None)), is_public);
            assert_eq!(!sharing.is_over(&member), is_for_members, "{maximum:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_leaves_nothing_of_before_in_force() {
        let change = |change: fn(&mut SharedPort)| {
            let sharing = sharing();
            sharing.snapshot(&state(Some("public"), vec![port("public")]));
            let mut broken = port("public");
            change(&mut broken);
            sharing.share(&broken);
            sharing.is_over(&visit(&label(), None))
        };
        assert!(!change(|_| ()));
        assert!(change(|port| port.level = "world".to_owned()));
        assert!(change(|port| port.members = vec!["nobody".to_owned()]));
        assert!(change(|port| port.links[0].path = "docs".to_owned()));
        assert!(change(|port| port.expires_at = Some(i64::MAX)));
    }

    #[test]
    fn a_link_opens_its_paths_until_its_end() {
        let sharing = sharing();
        sharing.snapshot(&state(Some("link"), vec![port("link")]));
        let share = sharing.find(WorkspaceAddress::parse_label(&label()).unwrap());
        let share = share.unwrap();
        let link = Right::Link(LinkId::from_bytes([2; 16]));
        let other = Right::Link(LinkId::from_bytes([3; 16]));
        let at = |seconds| now() + Duration::from_secs(seconds);
        assert!(share.admits(Some(link), now(), Generation(1)));
        assert!(!share.admits(Some(link), at(1), Generation(1)));
        assert!(!share.admits(Some(other), now(), Generation(1)));
        assert!(share.covers(link, "/docs/a") && !share.covers(link, "/"));
        assert!(!share.covers(other, "/docs"));
    }
}
