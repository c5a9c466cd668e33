//! Control sessions: the secret in the browser's cookie, and how long it is good for; the other
//! secrets of the same form.

use std::time::Duration;

use kalpana_domain::Timestamp;

crate::secret::opaque_secret!(
    /// The secret of a control session, `ks1_` and 256 random bits. The store has its hash only.
    SessionSecret,
    "ks1_"
);

crate::secret::opaque_secret!(
    /// The secret of the one-time setup link, `kset_` and 256 random bits.
    SetupSecret,
    "kset_"
);

crate::secret::opaque_secret!(
    /// The secret of a link to a port, `ksl_` and 256 random bits. The store has its hash only.
    LinkSecret,
    "ksl_"
);

/// How long sessions last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionPolicy {
    /// Without use. Default: 7 days.
    pub idle: Duration,
    /// At most, whatever happens. Default: 30 days.
    pub absolute: Duration,
}

impl SessionPolicy {
    /// A use is written down when the last one written is older than this, so that reading a page
    /// is not a write. Well under any idle time that configuration allows to matter.
    const TOUCH_AFTER: Duration = Duration::from_secs(300);

    /// Returns when a session made at `now` ends whatever happens.
    pub fn end(&self, now: Timestamp) -> Timestamp {
        now.checked_add(self.absolute).unwrap_or(Timestamp::MAX)
    }

    /// Returns when a session must have been used last to be alive at `now`.
    pub fn idle_since(&self, now: Timestamp) -> Timestamp {
        now.checked_sub(self.idle).unwrap_or(Timestamp::MIN)
    }

    /// Tells whether a use at `now` should be written down.
    pub fn needs_touch(&self, last_used_at: Timestamp, now: Timestamp) -> bool {
        let pause = Self::TOUCH_AFTER.min(self.idle / 4);
        now.duration_since(last_used_at).unsigned_abs() > pause && now > last_used_at
    }
}

impl From<&kalpana_config::Auth> for SessionPolicy {
    fn from(settings: &kalpana_config::Auth) -> Self {
        Self {
            idle: settings.session_idle.0,
            absolute: settings.session_absolute.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_back_and_never_shows() {
        let secret = SessionSecret::generate();
        let text = secret.expose().to_owned();
        assert_eq!(text.len(), 47);
        assert_eq!(
            SessionSecret::parse(text.as_bytes()).expect("own").hash(),
            secret.hash()
        );
        assert_ne!(SessionSecret::generate().hash(), secret.hash());
        assert!(!format!("{secret:?}").contains(&text[4..]));
    }

    #[test]
    fn other_texts_are_no_secret() {
        let text = SessionSecret::generate().expose().to_owned();
        let setup = SetupSecret::generate();
        for other in [
            "",
            "ks1_",
            &text[..46],
            &format!("{text}A"),
            &text.replace("ks1", "ks2"),
            setup.expose(),
        ] {
            assert!(SessionSecret::parse(other.as_bytes()).is_none(), "{other}");
        }
        assert!(SessionSecret::parse(&[0xff; 47]).is_none());
    }

    #[test]
    fn a_use_is_written_every_few_minutes() {
        let policy = SessionPolicy {
            idle: Duration::from_secs(86_400),
            absolute: Duration::from_secs(1),
        };
        let start = Timestamp::UNIX_EPOCH;
        assert!(!policy.needs_touch(start, start + Duration::from_secs(300)));
        assert!(policy.needs_touch(start, start + Duration::from_secs(301)));
        assert!(!policy.needs_touch(start + Duration::from_secs(301), start));
        let short = SessionPolicy {
            idle: Duration::from_secs(40),
            ..policy
        };
        assert!(short.needs_touch(start, start + Duration::from_secs(11)));
    }
}
