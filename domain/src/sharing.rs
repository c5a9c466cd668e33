//! Sharing of a workspace's ports: who beside its owner may visit one, and until when. Pure.
//!
//! The editor is never shared: whoever is in it runs code as the owner. A port is shared by one
//! [`Rule`], which web writes and the gateway applies to every request, by the same functions.
//! [`PortShare`] is what is remembered of a port: its rule, its links, and who asks to be let in.

mod path;
mod port;

use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use path::{InvalidLinkPath, LinkPath};
pub use port::{AccessRequest, Asked, PortShare, ShareLink, TooManyLinks};

use crate::Timestamp;
use crate::id::{Generation, LinkId, UserId};
use crate::workspace::UnknownChoice;

/// Most people that a port can name as its members.
pub const MEMBER_LIMIT: usize = 50;

/// Who may visit a port. Each level lets in everybody that the level before does.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum SharingLevel {
    /// The workspace's owner alone.
    #[default]
    Owner,
    /// People whom the owner has named.
    Members,
    /// Everybody of the workspace's organisation who is signed in.
    Organization,
    /// Whoever has an unguessable link that has neither expired nor been revoked.
    Link,
    /// Everybody who knows the address, without signing in.
    Public,
}

impl SharingLevel {
    /// Every level, the narrowest first.
    pub const ALL: [Self; 5] = [
        Self::Owner,
        Self::Members,
        Self::Organization,
        Self::Link,
        Self::Public,
    ];

    /// Returns the level's name as it stands in the API, the store and the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Members => "members",
            Self::Organization => "organization",
            Self::Link => "link",
            Self::Public => "public",
        }
    }
}

impl FromStr for SharingLevel {
    type Err = UnknownChoice;
    fn from_str(text: &str) -> Result<Self, UnknownChoice> {
        Self::ALL
            .into_iter()
            .find(|level| level.as_str() == text)
            .ok_or(UnknownChoice {
                what: "sharing level",
                expected: "owner, members, organization, link, public",
            })
    }
}

/// By what right somebody is let in to a surface of a workspace. Sessions carry it, so that it can
/// be held against the rule that is in force later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// The workspace is theirs.
    Owner(UserId),
    /// The owner has named them.
    Member(UserId),
    /// They belong to the workspace's organisation.
    Organization(UserId),
    /// They had a link. Who they are is not known.
    Link(LinkId),
}

impl Right {
    /// Returns the level that gives it.
    pub fn level(self) -> SharingLevel {
        match self {
            Self::Owner(_) => SharingLevel::Owner,
            Self::Member(_) => SharingLevel::Members,
            Self::Organization(_) => SharingLevel::Organization,
            Self::Link(_) => SharingLevel::Link,
        }
    }

    /// Returns the 16 bytes of whoever has it: a person's id, or a link's.
    pub fn subject(self) -> [u8; 16] {
        match self {
            Self::Owner(user) | Self::Member(user) | Self::Organization(user) => *user.as_bytes(),
            Self::Link(link) => *link.as_bytes(),
        }
    }

    /// Rebuilds a right from its level and its subject. `None` for the level that needs no right.
    pub fn from_parts(level: SharingLevel, subject: [u8; 16]) -> Option<Self> {
        let user = UserId::from_bytes(subject);
        match level {
            SharingLevel::Owner => Some(Self::Owner(user)),
            SharingLevel::Members => Some(Self::Member(user)),
            SharingLevel::Organization => Some(Self::Organization(user)),
            SharingLevel::Link => Some(Self::Link(LinkId::from_bytes(subject))),
            SharingLevel::Public => None,
        }
    }
}

/// What a rule is judged by beside itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time.
    pub now: Timestamp,
    /// The workspace's incarnation.
    pub generation: Generation,
    /// The widest level that this site allows.
    pub maximum: SharingLevel,
}

/// Who may visit a port, and how long that holds. The default shares nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rule {
    /// The widest circle that is let in.
    pub level: SharingLevel,
    /// The people who are named, at most [`MEMBER_LIMIT`], in order and each once.
    pub members: Vec<UserId>,
    /// When it ends by itself, if it does.
    pub expires_at: Option<Timestamp>,
    /// The one incarnation of the workspace that it holds for; `None` when it outlives restarts.
    pub generation: Option<Generation>,
}

impl Rule {
    /// Returns the level that is in force: the owner alone once it has expired or the workspace was
    /// started anew, and never more than the site allows.
    pub fn level_at(&self, moment: &Moment) -> SharingLevel {
        let is_over = self.expires_at.is_some_and(|end| end <= moment.now);
        let is_of_another_start = self
            .generation
            .is_some_and(|generation| generation != moment.generation);
        if is_over || is_of_another_start {
            SharingLevel::Owner
        } else {
            self.level.min(moment.maximum)
        }
    }

    /// Tells whether everybody may visit, without a session.
    pub fn is_public_at(&self, moment: &Moment) -> bool {
        self.level_at(moment) == SharingLevel::Public
    }

    /// Returns the right by which a person who is signed in, and is not the owner, may visit.
    pub fn right_of(&self, user: UserId, is_colleague: bool, moment: &Moment) -> Option<Right> {
        let level = self.level_at(moment);
        if level >= SharingLevel::Members && self.names(user) {
            Some(Right::Member(user))
        } else if level >= SharingLevel::Organization && is_colleague {
            Some(Right::Organization(user))
        } else {
            None
        }
    }

    /// Tells whether who was let in by `right` earlier may still visit. `None` is somebody without
    /// a session. An owner's right does not come from a rule, so no rule gives it.
    pub fn admits(
        &self,
        right: Option<Right>,
        moment: &Moment,
        is_link_alive: impl FnOnce(LinkId) -> bool,
    ) -> bool {
        let level = self.level_at(moment);
        match right {
            Some(Right::Owner(_)) => false,
            _ if level == SharingLevel::Public => true,
            Some(Right::Member(user)) => level >= SharingLevel::Members && self.names(user),
            Some(Right::Organization(user)) => {
                level >= SharingLevel::Organization
                    || (level >= SharingLevel::Members && self.names(user))
            }
            Some(Right::Link(link)) => level >= SharingLevel::Link && is_link_alive(link),
            None => false,
        }
    }

    fn names(&self, user: UserId) -> bool {
        self.members.contains(&user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("in range")
    }

    fn moment() -> Moment {
        Moment {
            now: at(100),
            generation: Generation(3),
            maximum: SharingLevel::Public,
        }
    }

    fn rule(level: SharingLevel) -> Rule {
        Rule {
            level,
            members: vec![named()],
            expires_at: None,
            generation: None,
        }
    }

    fn named() -> UserId {
        UserId::from_bytes([1; 16])
    }

    fn other() -> UserId {
        UserId::from_bytes([2; 16])
    }

    #[test]
    fn levels_are_ordered_and_read_back() {
        assert!(SharingLevel::ALL.is_sorted());
        for level in SharingLevel::ALL {
            assert_eq!(level.as_str().parse(), Ok(level));
        }
        assert!("org".parse::<SharingLevel>().is_err());
        assert_eq!(Rule::default().level, SharingLevel::Owner);
    }

    #[test]
    fn rights_are_rebuilt_from_their_parts() {
        for right in [
            Right::Owner(named()),
            Right::Member(named()),
            Right::Organization(other()),
            Right::Link(LinkId::from_bytes([7; 16])),
        ] {
            let rebuilt = Right::from_parts(right.level(), right.subject());
            assert_eq!(rebuilt, Some(right));
        }
        assert_eq!(Right::from_parts(SharingLevel::Public, [0; 16]), None);
    }

    #[test]
    fn a_rule_holds_until_its_end_for_its_start_and_up_to_the_maximum() {
        use SharingLevel::{Members, Organization, Owner, Public};
        let with = |expires_at: Option<i64>, generation: Option<u64>, maximum| {
            let rule = Rule {
                expires_at: expires_at.map(at),
                generation: generation.map(Generation),
                ..rule(Public)
            };
            rule.level_at(&Moment {
                maximum,
                ..moment()
            })
        };
        assert_eq!(with(None, None, Public), Public);
        assert_eq!(with(Some(101), Some(3), Public), Public);
        assert_eq!(with(Some(100), None, Public), Owner, "over");
        assert_eq!(with(None, Some(2), Public), Owner, "of the start before");
        assert_eq!(with(None, Some(4), Public), Owner, "of no start yet");
        assert_eq!(with(None, None, Organization), Organization);
        assert_eq!(with(None, None, Members), Members);
        assert_eq!(with(None, None, Owner), Owner);
    }

    /// Who is let in at each level: a named person, a colleague, somebody from elsewhere, a link
    /// that is alive, nobody in particular.
    #[test]
    fn the_table_of_levels_and_rights_is_exact() {
        let alive = LinkId::from_bytes([7; 16]);
        for (level, expected) in [
            (SharingLevel::Owner, [false, false, false, false, false]),
            (SharingLevel::Members, [true, false, false, false, false]),
            (
                SharingLevel::Organization,
                [true, true, false, false, false],
            ),
            (SharingLevel::Link, [true, true, false, true, false]),
            (SharingLevel::Public, [true, true, true, true, true]),
        ] {
            let rule = rule(level);
            let admits = |right| rule.admits(right, &moment(), |link| link == alive);
            let found = [
                admits(Some(Right::Member(named()))),
                admits(Some(Right::Organization(other()))),
                admits(Some(Right::Member(other()))),
                admits(Some(Right::Link(alive))),
                admits(None),
            ];
            assert_eq!(found, expected, "{level:?}");
            let dead = Right::Link(LinkId::from_bytes([8; 16]));
            assert_eq!(admits(Some(dead)), level == SharingLevel::Public);
            assert!(!admits(Some(Right::Owner(named()))), "no rule makes owners");
        }
    }

    #[test]
    fn a_colleague_who_is_named_stays_when_the_circle_becomes_narrower() {
        let narrowed = rule(SharingLevel::Members);
        let stays = |user| narrowed.admits(Some(Right::Organization(user)), &moment(), |_| false);
        assert!(stays(named()));
        assert!(!stays(other()));
    }

    #[test]
    fn a_person_is_given_the_narrowest_right_there_is() {
        let right = |level, user, is_colleague| rule(level).right_of(user, is_colleague, &moment());
        use SharingLevel::{Link, Members, Organization, Owner};
        assert_eq!(right(Owner, named(), true), None);
        assert_eq!(right(Members, named(), false), Some(Right::Member(named())));
        assert_eq!(right(Members, other(), true), None);
        assert_eq!(
            right(Organization, named(), true),
            Some(Right::Member(named()))
        );
        assert_eq!(
            right(Organization, other(), true),
            Some(Right::Organization(other()))
        );
        assert_eq!(right(Organization, other(), false), None);
        assert_eq!(
            right(Link, other(), true),
            Some(Right::Organization(other()))
        );
    }
}
