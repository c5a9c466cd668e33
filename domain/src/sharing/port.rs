//! What is remembered of one port: its rule, its links, and who asks to be let in.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{LinkPath, MEMBER_LIMIT, Moment, Rule, SharingLevel};
use crate::Timestamp;
use crate::address::{Surface, WorkspaceAddress};
use crate::id::{LinkId, UserId, WorkspaceId};

/// An unguessable link to a port. Its secret is shown once and never kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareLink {
    /// Its id, which says nothing of its secret.
    pub id: LinkId,
    /// SHA-256 of its secret.
    pub secret_hash: [u8; 32],
    /// The paths it opens.
    pub path: LinkPath,
    /// Whether it works once only.
    pub is_one_use: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends, and everything that was opened by it.
    pub expires_at: Timestamp,
    /// When it was used first.
    pub used_at: Option<Timestamp>,
}

impl ShareLink {
    /// Shortest and longest time that a link may be good for: a minute and 30 days.
    pub const LIFETIMES: std::ops::RangeInclusive<Duration> =
        Duration::from_secs(60)..=Duration::from_secs(30 * 86_400);

    /// Tells whether what was opened by it may stay open.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    /// Tells whether it opens anything new.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        self.is_alive(now) && !(self.is_one_use && self.used_at.is_some())
    }
}

/// Somebody who asks to be let in to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRequest {
    /// Who.
    pub user: UserId,
    /// Since when.
    pub asked_at: Timestamp,
}

/// What became of a wish to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The owner will see it.
    Noted,
    /// The owner sees it already.
    Already,
    /// There are so many that there is no room for another.
    Full,
}

/// A port has as many links as one may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a port has at most {} links", PortShare::LINK_LIMIT)]
pub struct TooManyLinks;

/// All that is remembered of how a port is shared. One that is [blank](Self::is_blank) is not
/// remembered at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortShare {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The port.
    pub port: u16,
    /// Who may visit it.
    pub rule: Rule,
    /// Its links, the oldest first, those past their end too until somebody changes something.
    pub links: Vec<ShareLink>,
    /// Who asks to be let in, the earliest first, at most [`Self::REQUEST_LIMIT`].
    pub requests: Vec<AccessRequest>,
    /// Raised by each write; 0 before the first. A write that did not see the latest is refused.
    pub version: u64,
    /// When it was last written.
    pub updated_at: Timestamp,
}

impl PortShare {
    /// Most links of one port.
    pub const LINK_LIMIT: usize = 20;

    /// Most people who may be asking to be let in to one port.
    pub const REQUEST_LIMIT: usize = 20;

    /// Most ports of one workspace of which something is remembered.
    pub const PORT_LIMIT: usize = 64;

    /// Shortest and longest time that sharing may be limited to: a minute and a year.
    pub const LIFETIMES: std::ops::RangeInclusive<Duration> =
        Duration::from_secs(60)..=Duration::from_secs(366 * 86_400);

    /// Returns a port of which nothing is remembered.
    pub fn blank(workspace: WorkspaceId, port: u16) -> Self {
        Self {
            workspace,
            port,
            rule: Rule::default(),
            links: Vec::new(),
            requests: Vec::new(),
            version: 0,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    /// Tells whether there is nothing to remember.
    pub fn is_blank(&self) -> bool {
        self.rule == Rule::default() && self.links.is_empty() && self.requests.is_empty()
    }

    /// Returns the port's address.
    pub fn address(&self) -> WorkspaceAddress {
        WorkspaceAddress {
            workspace: self.workspace,
            surface: Surface::Port(self.port),
        }
    }

    /// Returns a link that may be used, or was.
    pub fn link(&self, id: LinkId) -> Option<&ShareLink> {
        self.links.iter().find(|link| link.id == id)
    }

    /// Puts another rule in force. Links stay only when the rule before was in force and both let
    /// in whoever has one: a link that was once without effect never comes back. Those who are let
    /// in now are not asking any more.
    pub fn set_rule(&mut self, rule: Rule, moment: &Moment) {
        let uncapped = Moment {
            maximum: SharingLevel::Public,
            ..*moment
        };
        let keeps_links = self.rule.level_at(&uncapped) >= SharingLevel::Link
            && rule.level_at(&uncapped) >= SharingLevel::Link;
        if keeps_links {
            self.forget_old_links(moment.now);
        } else {
            self.links.clear();
        }
        if rule.level >= SharingLevel::Members {
            self.requests
                .retain(|request| !rule.members.contains(&request.user));
        }
        self.rule = rule;
        self.updated_at = moment.now;
    }

    /// Adds a link.
    ///
    /// # Errors
    /// [`TooManyLinks`] when there are [`Self::LINK_LIMIT`] that have not expired.
    pub fn add_link(&mut self, link: ShareLink, now: Timestamp) -> Result<(), TooManyLinks> {
        self.forget_old_links(now);
        if self.links.len() >= Self::LINK_LIMIT {
            return Err(TooManyLinks);
        }
        self.links.push(link);
        self.updated_at = now;
        Ok(())
    }

    /// Takes a link away. Tells whether it was there.
    pub fn revoke_link(&mut self, id: LinkId, now: Timestamp) -> bool {
        let before = self.links.len();
        self.links.retain(|link| link.id != id);
        self.updated_at = now;
        self.links.len() < before
    }

    /// Uses a link that may be used. Tells whether that must be remembered.
    pub fn use_link(&mut self, id: LinkId, now: Timestamp) -> bool {
        let link = self.links.iter_mut().find(|link| link.id == id);
        let is_first = link
            .filter(|link| link.used_at.is_none())
            .map(|link| link.used_at = Some(now))
            .is_some();
        if is_first {
            self.updated_at = now;
        }
        is_first
    }

    /// Notes that somebody asks to be let in.
    pub fn ask(&mut self, user: UserId, now: Timestamp) -> Asked {
        if self.requests.iter().any(|request| request.user == user) {
            return Asked::Already;
        }
        if self.requests.len() >= Self::REQUEST_LIMIT {
            return Asked::Full;
        }
        self.requests.push(AccessRequest {
            user,
            asked_at: now,
        });
        self.updated_at = now;
        Asked::Noted
    }

    /// Takes somebody's wish to be let in away. Tells whether it was there.
    pub fn decline(&mut self, user: UserId, now: Timestamp) -> bool {
        let before = self.requests.len();
        self.requests.retain(|request| request.user != user);
        self.updated_at = now;
        self.requests.len() < before
    }

    /// Returns the rule that lets `user` in too, `None` when there is no room for another member. A
    /// rule that is not in force any more lets nobody in again: a new one begins, for this start of
    /// the workspace.
    pub fn rule_with(&self, user: UserId, moment: &Moment) -> Option<Rule> {
        let uncapped = Moment {
            maximum: SharingLevel::Public,
            ..*moment
        };
        let mut rule = if self.rule.level_at(&uncapped) >= SharingLevel::Members {
            self.rule.clone()
        } else {
            Rule {
                level: SharingLevel::Members,
                generation: Some(moment.generation),
                ..Rule::default()
            }
        };
        if let Err(place) = rule.members.binary_search(&user) {
            if rule.members.len() >= MEMBER_LIMIT {
                return None;
            }
            rule.members.insert(place, user);
        }
        Some(rule)
    }

    fn forget_old_links(&mut self, now: Timestamp) {
        self.links.retain(|link| link.is_alive(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Generation;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("in range")
    }

    fn moment() -> Moment {
        Moment {
            now: at(100),
            generation: Generation(3),
            maximum: SharingLevel::Organization,
        }
    }

    fn rule(level: SharingLevel) -> Rule {
        Rule {
            level,
            generation: Some(Generation(3)),
            ..Rule::default()
        }
    }

    fn share(level: SharingLevel) -> PortShare {
        let workspace = WorkspaceId::parse("abcdefghij01").expect("legal");
        PortShare {
            rule: rule(level),
            ..PortShare::blank(workspace, 3000)
        }
    }

    fn link(number: u8, expires: i64) -> ShareLink {
        ShareLink {
            id: LinkId::from_bytes([number; 16]),
            secret_hash: [number; 32],
            path: LinkPath::whole(),
            is_one_use: true,
            created_at: at(0),
            expires_at: at(expires),
            used_at: None,
        }
    }

    fn user(number: u8) -> UserId {
        UserId::from_bytes([number; 16])
    }

    #[test]
    fn links_end_with_the_level_that_they_need_and_never_come_back() {
        use SharingLevel::{Link, Members, Public};
        for (before, generation, after, stays) in [
            (Link, 3, Public, true),
            (Public, 3, Link, true),
            (Link, 3, Members, false),
            (Members, 3, Link, false),
            // The rule was of a start before this one, so its links were dead already.
            (Link, 2, Link, false),
        ] {
            let mut share = share(before);
            share.rule.generation = Some(Generation(generation));
            share.links = vec![link(1, 200), link(2, 99)];
            share.set_rule(rule(after), &moment());
            let left: Vec<LinkId> = share.links.iter().map(|link| link.id).collect();
            let expected = if stays { vec![link(1, 200).id] } else { vec![] };
            assert_eq!(left, expected, "{before:?} {after:?}");
        }
    }

    #[test]
    fn a_link_is_used_as_often_as_it_says_until_its_end() {
        let mut share = share(SharingLevel::Link);
        share.add_link(link(1, 200), at(100)).expect("room");
        let id = link(1, 200).id;
        assert!(share.links[0].is_usable(at(199)) && !share.links[0].is_usable(at(200)));
        assert!(share.use_link(id, at(110)));
        assert!(!share.use_link(id, at(120)), "once is remembered");
        assert!(!share.links[0].is_usable(at(120)), "it works once");
        assert!(share.links[0].is_alive(at(120)), "what it opened stays");
        share.links[0].is_one_use = false;
        assert!(share.links[0].is_usable(at(120)));
        assert!(share.revoke_link(id, at(130)) && !share.revoke_link(id, at(130)));
    }

    #[test]
    fn the_number_of_links_is_bounded_by_those_that_live() {
        let mut share = share(SharingLevel::Link);
        for number in 0..PortShare::LINK_LIMIT {
            let link = link(u8::try_from(number).expect("few"), 200);
            share.add_link(link, at(100)).expect("room");
        }
        assert_eq!(share.add_link(link(99, 300), at(100)), Err(TooManyLinks));
        assert_eq!(share.add_link(link(99, 300), at(200)), Ok(()));
        assert_eq!(share.links.len(), 1);
    }

    #[test]
    fn who_asks_is_noted_once_and_let_in_as_a_member() {
        let mut share = PortShare::blank(share(SharingLevel::Owner).workspace, 3000);
        assert_eq!(share.ask(user(1), at(1)), Asked::Noted);
        assert_eq!(share.ask(user(1), at(2)), Asked::Already);
        for number in 2..=20 {
            assert_eq!(share.ask(user(number), at(3)), Asked::Noted);
        }
        assert_eq!(share.ask(user(21), at(3)), Asked::Full);
        assert!(share.decline(user(20), at(4)) && !share.decline(user(20), at(4)));

        let rule = share.rule_with(user(1), &moment()).expect("room");
        assert_eq!(
            (rule.level, rule.generation),
            (SharingLevel::Members, Some(Generation(3)))
        );
        share.set_rule(rule, &moment());
        assert_eq!(share.rule.members, [user(1)]);
        assert!(!share.requests.iter().any(|request| request.user == user(1)));
        assert_eq!(share.requests.len(), 18);
    }

    #[test]
    fn letting_somebody_in_does_not_revive_what_is_over() {
        let mut share = share(SharingLevel::Public);
        share.rule.members = vec![user(7)];
        share.rule.expires_at = Some(at(100));
        let rule = share.rule_with(user(1), &moment()).expect("room");
        assert_eq!(rule.members, [user(1)]);
        assert_eq!((rule.level, rule.expires_at), (SharingLevel::Members, None));
        share.rule.expires_at = Some(at(101));
        let rule = share.rule_with(user(1), &moment()).expect("room");
        assert_eq!(rule.members, [user(1), user(7)]);
        assert_eq!(
            (rule.level, rule.expires_at),
            (SharingLevel::Public, Some(at(101)))
        );
        share.rule.members = (0..50).map(user).collect();
        assert_eq!(share.rule_with(user(99), &moment()), None);
        assert!(
            share.rule_with(user(9), &moment()).is_some(),
            "named already"
        );
    }

    #[test]
    fn what_shares_nothing_is_blank() {
        let mut share = share(SharingLevel::Public);
        assert!(!share.is_blank());
        share.set_rule(Rule::default(), &moment());
        assert!(share.is_blank());
        share.ask(user(1), at(1));
        assert!(!share.is_blank());
    }
}
