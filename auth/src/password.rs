//! Passwords: what is good enough, and hashing that neither leaks nor overloads.
//!
//! Argon2id with the configured parameters, after NFKC so that one password typed on two keyboards
//! is one password. A hash takes tens of milliseconds of a whole core and its memory, so hashing
//! runs on as many threads as there are cores, a few more may wait, and the rest is told to come
//! back: else the sign-in page would be the way to stop the site.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{Semaphore, SemaphorePermit};
use unicode_normalization::UnicodeNormalization;
use zxcvbn::Score;

/// Longest password, as typed. Unit: bytes.
pub const LIMIT_BYTES: usize = 256;

/// Hashes that may wait for a free core.
const QUEUE: usize = 32;

/// When to come back after [`PasswordError::Overloaded`].
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Stored parameters beyond these were not written by us, and would cost more than a sign-in may.
const SANE_MEMORY_KIB: u32 = 1 << 20;
const SANE_PASSES: u32 = 64;
const SANE_LANES: u32 = 16;

/// Why a password is not good enough.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordProblem {
    /// It is too short.
    #[error("a password has at least {minimum} characters")]
    TooShort {
        /// Fewest characters.
        minimum: usize,
    },
    /// It is too long.
    #[error("a password has at most {LIMIT_BYTES} bytes")]
    TooLong,
    /// It would be guessed.
    #[error("this password is easy to guess{}", hint.as_deref().map(|hint| format!(": {hint}")).unwrap_or_default())]
    TooWeak {
        /// Why, in a sentence for people.
        hint: Option<String>,
    },
}

/// Why a password could not be hashed or compared.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// It is not good enough.
    #[error(transparent)]
    Problem(#[from] PasswordProblem),
    /// Too many are being hashed already.
    #[error("too many sign-ins at once")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The parameters are not ones that argon2id has.
    #[error("impossible password hash parameters")]
    Parameters,
    /// What is stored is not a password hash, or one of absurd cost.
    #[error("the stored password hash is unusable")]
    StoredHash,
    /// The hash could not be computed.
    #[error("the password could not be hashed")]
    Hash,
}

/// What comparing a password gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It is the one.
    Same {
        /// Its hash with today's parameters, when it is stored with others.
        upgraded: Option<PasswordHashText>,
    },
    /// It is another, or there is no account.
    Different,
}

/// A password's hash in PHC form. Not for logs: `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHashText(pub String);

impl std::fmt::Debug for PasswordHashText {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PasswordHashText(…)")
    }
}

/// Hashes and compares passwords.
#[derive(Clone)]
pub struct Passwords(Arc<Inner>);

struct Inner {
    argon2: Argon2<'static>,
    minimum: usize,
    /// Compared with when there is no account, so that this takes as long.
    dummy: String,
    admitted: Semaphore,
    running: Semaphore,
}

impl Passwords {
    /// Makes a hasher with the configured parameters. Computes one hash.
    ///
    /// # Errors
    /// [`PasswordError::Parameters`] when argon2id does not have them.
    pub fn new(settings: &kalpana_config::Auth) -> Result<Self, PasswordError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_threads(settings, cores, QUEUE)
    }

    fn with_threads(
        settings: &kalpana_config::Auth,
        threads: usize,
        queue: usize,
    ) -> Result<Self, PasswordError> {
        let params = Params::new(
            settings.argon2_memory_kib,
            settings.argon2_passes,
            1,
            Some(32),
        )
        .map_err(|_| PasswordError::Parameters)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let dummy = hash(&argon2, &crate::secret::random_text())?;
        Ok(Self(Arc::new(Inner {
            argon2,
            minimum: settings.password_min_length,
            dummy,
            admitted: Semaphore::new(threads + queue),
            running: Semaphore::new(threads),
        })))
    }

    /// Says whether `password` is good enough for the person that `about` is about: their name and
    /// e-mail address, which make bad passwords.
    ///
    /// # Errors
    /// [`PasswordProblem`] says what is wrong, in words for people.
    pub fn check(&self, password: &str, about: &[&str]) -> Result<(), PasswordProblem> {
        if password.len() > LIMIT_BYTES {
            return Err(PasswordProblem::TooLong);
        }
        let normal: String = password.nfkc().collect();
        let minimum = self.0.minimum;
        if normal.chars().count() < minimum {
            return Err(PasswordProblem::TooShort { minimum });
        }
        let parts = about
            .iter()
            .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
        let locals = about
            .iter()
            .filter_map(|text| Some(text.split_once('@')?.0));
        let known: Vec<&str> = about.iter().copied().chain(locals).chain(parts).collect();
        let strength = zxcvbn::zxcvbn(&normal, &known);
        if strength.score() >= Score::Three {
            return Ok(());
        }
        let hint = strength.feedback().and_then(|feedback| {
            let warning = feedback.warning().map(|warning| warning.to_string());
            warning.or_else(|| feedback.suggestions().first().map(ToString::to_string))
        });
        Err(PasswordProblem::TooWeak { hint })
    }

    /// Checks a new password and hashes it.
    ///
    /// # Errors
    /// [`PasswordError::Problem`] when it is not good enough; [`PasswordError::Overloaded`].
    pub async fn hash(
        &self,
        password: String,
        about: Vec<String>,
    ) -> Result<PasswordHashText, PasswordError> {
        self.compute(move |this| {
            let about: Vec<&str> = about.iter().map(String::as_str).collect();
            this.check(&password, &about)?;
            Ok(PasswordHashText(hash(&this.0.argon2, &password)?))
        })
        .await
    }

    /// Compares a password with a stored hash; without one, takes as long and finds it different.
    ///
    /// # Errors
    /// [`PasswordError::StoredHash`] when what is stored is unusable;
    /// [`PasswordError::Overloaded`].
    pub async fn compare(
        &self,
        password: String,
        stored: Option<String>,
    ) -> Result<Comparison, PasswordError> {
        self.compute(move |this| {
            // Nobody has a longer one, and its length should not buy a longer computation.
            let is_possible = stored.is_some() && password.len() <= LIMIT_BYTES;
            let password = if is_possible { password.as_str() } else { "" };
            let stored = stored.filter(|_| is_possible);
            let is_same = verify(password, stored.as_deref().unwrap_or(&this.0.dummy))?;
            match stored {
                Some(stored) if is_same => {
                    let is_current = has_params(&stored, this.0.argon2.params());
                    let upgraded = (!is_current).then(|| hash(&this.0.argon2, password));
                    Ok(Comparison::Same {
                        upgraded: upgraded.transpose()?.map(PasswordHashText),
                    })
                }
                _ => Ok(Comparison::Different),
            }
        })
        .await
    }

    /// Runs `work` on a blocking thread when its turn comes.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce(Self) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _admitted: SemaphorePermit<'_> =
            self.0
                .admitted
                .try_acquire()
                .map_err(|_| PasswordError::Overloaded {
                    retry_after: RETRY_AFTER,
                })?;
        let _turn = self
            .0
            .running
            .acquire()
            .await
            .map_err(|_| PasswordError::Hash)?;
        let this = self.clone();
        tokio::task::spawn_blocking(move || work(this))
            .await
            .map_err(|_| PasswordError::Hash)?
    }
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Passwords")
            .field("params", self.0.argon2.params())
            .finish()
    }
}

fn hash(argon2: &Argon2<'_>, password: &str) -> Result<String, PasswordError> {
    let normal: String = password.nfkc().collect();
    let hash: PasswordHash = argon2
        .hash_password(normal.as_bytes())
        .map_err(|_| PasswordError::Hash)?;
    Ok(hash.to_string())
}

fn verify(password: &str, stored: &str) -> Result<bool, PasswordError> {
    let stored = PasswordHash::new(stored).map_err(|_| PasswordError::StoredHash)?;
    let params = Params::try_from(&stored).map_err(|_| PasswordError::StoredHash)?;
    let is_sane = params.m_cost() <= SANE_MEMORY_KIB
        && params.t_cost() <= SANE_PASSES
        && params.p_cost() <= SANE_LANES
        && stored.hash.is_some()
        && stored.salt.is_some();
    if !is_sane || stored.algorithm.as_str() != "argon2id" {
        return Err(PasswordError::StoredHash);
    }
    let normal: String = password.nfkc().collect();
    match Argon2::default().verify_password(normal.as_bytes(), &stored) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(_) => Err(PasswordError::StoredHash),
    }
}

fn has_params(stored: &str, wanted: &Params) -> bool {
    let stored = PasswordHash::new(stored).ok();
    let params = stored
        .as_ref()
        .and_then(|stored| Params::try_from(stored).ok());
    params.is_some_and(|params| {
        (params.m_cost(), params.t_cost(), params.p_cost())
            == (wanted.m_cost(), wanted.t_cost(), wanted.p_cost())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const GOOD: &str = "correct horse battery staple";

    fn cheap(passes: u32) -> kalpana_config::Auth {
        kalpana_config::Auth {
            argon2_memory_kib: 64,
            argon2_passes: passes,
            ..Default::default()
        }
    }

    fn passwords() -> Passwords {
        Passwords::new(&cheap(2)).expect("legal parameters")
    }

    async fn hashed(passwords: &Passwords, password: &str) -> String {
        passwords
            .hash(password.to_owned(), vec![])
            .await
            .expect("good")
            .0
    }

    async fn compared(password: &str, stored: Option<&str>) -> Comparison {
        let stored = stored.map(str::to_owned);
        passwords()
            .compare(password.to_owned(), stored)
            .await
            .expect("compared")
    }

    #[tokio::test]
    async fn the_right_password_is_told_from_others() {
        let stored = hashed(&passwords(), GOOD).await;
        assert!(
            stored.starts_with("$argon2id$v=19$m=64,t=2,p=1$"),
            "{stored}"
        );
        assert_eq!(
            compared(GOOD, Some(&stored)).await,
            Comparison::Same { upgraded: None }
        );
        let long = "a".repeat(1 << 20);
        for other in [
            "",
            "Correct horse battery staple",
            &format!("{GOOD}\0"),
            &long,
        ] {
            assert_eq!(compared(other, Some(&stored)).await, Comparison::Different);
        }
        for password in ["", GOOD, &long] {
            assert_eq!(compared(password, None).await, Comparison::Different);
        }
    }

    #[tokio::test]
    async fn nothing_is_cut_off() {
        let base = format!("Zebra{}quartz", "ü!7".repeat(30));
        let with_nul = format!("{base}\0tail");
        let stored = hashed(&passwords(), &with_nul).await;
        assert_eq!(compared(&base, Some(&stored)).await, Comparison::Different);
        assert_eq!(
            compared(&with_nul, Some(&stored)).await,
            Comparison::Same { upgraded: None }
        );
    }

    #[tokio::test]
    async fn one_password_has_several_encodings() {
        let stored = hashed(&passwords(), "caf\u{e9} zwiebel kran 42").await;
        let decomposed = compared("cafe\u{301} zwiebel kran 42", Some(&stored)).await;
        assert_eq!(decomposed, Comparison::Same { upgraded: None });
    }

    #[tokio::test]
    async fn other_parameters_are_upgraded() {
        let old = Passwords::new(&cheap(3)).expect("legal parameters");
        let stored = hashed(&old, GOOD).await;
        let Comparison::Same {
            upgraded: Some(upgraded),
        } = compared(GOOD, Some(&stored)).await
        else {
            panic!("not upgraded");
        };
        assert!(upgraded.0.contains("t=2"), "{}", upgraded.0);
        assert!(!format!("{upgraded:?}").contains("argon2id"));
        assert_eq!(
            compared(GOOD, Some(&upgraded.0)).await,
            Comparison::Same { upgraded: None }
        );
    }

    #[tokio::test]
    async fn absurd_stored_hashes_are_refused_before_they_cost_anything() {
        let salt_and_hash = "c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
        for stored in [
            format!("$argon2id$v=19$m=4194304,t=2,p=1${salt_and_hash}"),
            format!("$argon2id$v=19$m=64,t=4294967295,p=1${salt_and_hash}"),
            format!("$argon2id$v=19$m=4096,t=2,p=100${salt_and_hash}"),
            format!("$argon2i$v=19$m=64,t=2,p=1${salt_and_hash}"),
            format!("$scrypt$ln=30,r=8,p=1${salt_and_hash}"),
            "$argon2id$v=19$m=64,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA".to_owned(),
            String::new(),
            "plain text".to_owned(),
        ] {
            let refused = passwords()
                .compare(GOOD.to_owned(), Some(stored.clone()))
                .await;
            assert!(
                matches!(refused, Err(PasswordError::StoredHash)),
                "{stored}: {refused:?}"
            );
        }
    }

    #[test]
    fn weak_passwords_are_named() {
        let passwords = passwords();
        let about = ["ada.lovelace@example.com", "Ada Lovelace"];
        assert_eq!(
            passwords.check("short", &about),
            Err(PasswordProblem::TooShort { minimum: 12 })
        );
        // Twelve bytes, four characters.
        assert_eq!(
            passwords.check("🦀🦀🦀", &about),
            Err(PasswordProblem::TooShort { minimum: 12 })
        );
        assert_eq!(
            passwords.check(&"x".repeat(257), &about),
            Err(PasswordProblem::TooLong)
        );
        for weak in [
            "password1234",
            "aaaaaaaaaaaaaaaa",
            "qwertyuiopas",
            "Ada Lovelace",
            "ada.lovelace",
        ] {
            let checked = passwords.check(weak, &about);
            assert!(
                matches!(checked, Err(PasswordProblem::TooWeak { .. })),
                "{weak}: {checked:?}"
            );
        }
        assert_eq!(passwords.check(GOOD, &about), Ok(()));
        assert_eq!(
            passwords.check(&"Zebra!quartz7 ".repeat(18)[..252], &about),
            Ok(())
        );
    }

    #[tokio::test]
    async fn too_many_at_once_are_sent_away() {
        let passwords = Passwords::with_threads(&cheap(2), 1, 1).expect("legal parameters");
        let (release, released) = mpsc::channel::<()>();
        let (started, has_started) = tokio::sync::oneshot::channel();
        let running = tokio::spawn({
            let passwords = passwords.clone();
            async move {
                passwords
                    .compute(move |_| {
                        let _ = started.send(());
                        released.recv().map_err(|_| PasswordError::Hash)
                    })
                    .await
            }
        });
        has_started.await.expect("started");
        let waiting = passwords.compute(|_| Ok(()));
        tokio::pin!(waiting);
        assert!(
            futures_poll(waiting.as_mut()).await.is_none(),
            "waits for its turn"
        );
        let refused = passwords.hash(GOOD.to_owned(), vec![]).await;
        assert!(
            matches!(refused, Err(PasswordError::Overloaded { .. })),
            "{refused:?}"
        );
        release.send(()).expect("received");
        running.await.expect("joined").expect("computed");
        waiting.await.expect("computed in its turn");
        hashed(&passwords, GOOD).await;
    }

    /// Polls once.
    async fn futures_poll<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut future).poll(context) {
                std::task::Poll::Ready(value) => Some(value),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
