//! Accounts over a real store: what a person can and cannot do, and what is never written down.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use kalpana_auth::{
    Accounts, AuthError, Authenticated, Client, NewAccount, NewPassword, NewToken, SignedIn,
    TokenText,
};
use kalpana_domain::Timestamp;
use kalpana_domain::audit::{Actor, AuditAction, AuditEvent};
use kalpana_domain::clock::{Clock as _, ManualClock};
use kalpana_domain::id::{TokenId, WorkspaceId};
use kalpana_domain::user::{Credential, EmailAddress, Principal, Role, Scope};
use kalpana_store::sqlite::{OpenMode, SqliteStore};
use kalpana_store::transfer::{Freeze, MoveId};
use kalpana_store::{PageRequest, Store};

const PASSWORD: &str = "canary Zwiebel kran 42 voyage";
const DAY: SignedDuration = SignedDuration::from_hours(24);

struct Site {
    directory: tempfile::TempDir,
    store: Store,
    clock: Arc<ManualClock>,
    accounts: Accounts,
}

fn cheap() -> kalpana_config::Auth {
    kalpana_config::Auth {
        argon2_memory_kib: 64,
        sign_in_per_minute_pair: 1000,
        sign_in_per_minute_address: 1000,
        ..Default::default()
    }
}

async fn site_with(settings: kalpana_config::Auth) -> Site {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("kalpana.sqlite3");
    let store =
        SqliteStore::open(&path, &kalpana_config::Store::default(), OpenMode::Migrate).await;
    let store: Store = Arc::new(store.expect("a store that opens"));
    let start = Timestamp::from_second(1_800_000_000).expect("in range");
    let clock = Arc::new(ManualClock::new(start));
    let accounts = Accounts::new(store.clone(), &settings, clock.clone()).expect("accounts");
    Site {
        directory,
        store,
        clock,
        accounts,
    }
}

async fn site() -> Site {
    site_with(cheap()).await
}

fn client() -> Client {
    Client {
        address: Some(IpAddr::from([192, 0, 2, 1])),
        user_agent: Some("browser".to_owned()),
        request_id: Some("request".to_owned()),
    }
}

fn account(name: &str) -> NewAccount {
    NewAccount {
        email: format!("{name}@example.com"),
        name: name.to_owned(),
        password: PASSWORD.to_owned(),
    }
}

impl Site {
    /// Sets the site up; returns its administrator.
    async fn administrator(&self) -> SignedIn {
        let secret = self
            .accounts
            .setup_secret()
            .await
            .expect("drawn")
            .expect("required");
        self.accounts
            .complete_setup(secret.expose(), account("ada"), &client())
            .await
            .expect("set up")
    }

    async fn authenticate(&self, signed_in: &SignedIn) -> Result<Authenticated, AuthError> {
        self.accounts
            .authenticate_session(signed_in.secret.expose().as_bytes())
            .await
    }

    async fn log(&self) -> Vec<AuditEvent> {
        self.store
            .audit_events(PageRequest::first())
            .await
            .expect("listed")
            .items
    }
}

fn code<T>(result: Result<T, AuthError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(error) => error.code(),
    }
}

#[tokio::test]
async fn the_first_administrator_comes_through_the_latest_setup_link() {
    let site = site().await;
    assert!(site.accounts.is_setup_required().await.expect("read"));
    let first = site
        .accounts
        .setup_secret()
        .await
        .expect("drawn")
        .expect("required");
    let latest = site
        .accounts
        .setup_secret()
        .await
        .expect("drawn")
        .expect("required");
    for token in ["", "kset_", first.expose()] {
        let refused = site
            .accounts
            .complete_setup(token, account("eve"), &client())
            .await;
        assert_eq!(code(refused), "setup_token_invalid", "{token:?}");
    }
    let setup = site
        .accounts
        .complete_setup(latest.expose(), account("ada"), &client())
        .await;
    let ada = setup.expect("set up");
    assert_eq!(ada.user.role, Role::Administrator);
    assert_eq!(
        site.authenticate(&ada).await.expect("signed in").user,
        ada.user
    );
    assert!(site.accounts.setup_secret().await.expect("drawn").is_none());
    let again = site
        .accounts
        .complete_setup(latest.expose(), account("eve"), &client())
        .await;
    assert_eq!(code(again), "setup_done");
    let actions: Vec<_> = site
        .log()
        .await
        .into_iter()
        .map(|event| event.action)
        .collect();
    assert_eq!(
        actions,
        [AuditAction::SessionCreate, AuditAction::SiteSetup]
    );
}

#[tokio::test]
async fn a_setup_link_used_by_many_at_once_makes_one_administrator() {
    let site = site().await;
    let secret = site
        .accounts
        .setup_secret()
        .await
        .expect("drawn")
        .expect("required");
    let attempts: Vec<_> = (0..10)
        .map(|number| {
            let (accounts, secret) = (site.accounts.clone(), secret.clone());
            tokio::spawn(async move {
                let account = account(&format!("user{number}"));
                code(
                    accounts
                        .complete_setup(secret.expose(), account, &client())
                        .await,
                )
            })
        })
        .collect();
    let mut codes = Vec::new();
    for attempt in attempts {
        codes.push(attempt.await.expect("joined"));
    }
    codes.sort_unstable();
    let expected: Vec<_> = std::iter::once("ok")
        .chain(std::iter::repeat_n("setup_done", 9))
        .collect();
    assert_eq!(codes, expected);
}

#[tokio::test]
async fn a_person_signs_in_and_out() {
    let site = site().await;
    let ada = site.administrator().await.user;
    let signed_in = site
        .accounts
        .sign_in(" ADA@example.com", PASSWORD, &client())
        .await
        .expect("signed in");
    assert_eq!(signed_in.user, ada);
    let who = site.authenticate(&signed_in).await.expect("signed in");
    assert_eq!(
        who.principal.credential,
        Credential::Session(signed_in.session.id)
    );
    assert_eq!(who.expires_at, signed_in.session.expires_at);
    assert!(
        site.accounts
            .sign_out(&who.principal, &client())
            .await
            .expect("ended")
    );
    assert!(
        !site
            .accounts
            .sign_out(&who.principal, &client())
            .await
            .expect("over already")
    );
    assert_eq!(code(site.authenticate(&signed_in).await), "unauthenticated");
    let event = site.log().await.remove(0);
    let session = signed_in.session.id;
    assert_eq!(event.action, AuditAction::SessionEnd);
    assert_eq!(
        event.actor,
        Actor::Session {
            user: ada.id,
            session
        }
    );
    assert_eq!(
        (event.subject, event.organization),
        (session.to_string(), Some(ada.organization))
    );
    assert_eq!(event.address.as_deref(), Some("192.0.2.1"));
}

#[tokio::test]
async fn an_unknown_address_and_a_wrong_password_look_the_same() {
    let site = site().await;
    site.administrator().await;
    let before = site.log().await.len();
    let long = "x".repeat(1 << 20);
    let attempts = [
        ("ada@example.com", "wrong"),
        ("ada@example.com", ""),
        ("ada@example.com", long.as_str()),
        ("ada@example.com", "canary Zwiebel kran 42 voyage\0"),
        ("nobody@example.com", PASSWORD),
        ("not an address", PASSWORD),
        ("", ""),
    ];
    for (email, password) in attempts {
        let error = site
            .accounts
            .sign_in(email, password, &client())
            .await
            .expect_err(email);
        assert!(
            matches!(error, AuthError::WrongCredentials),
            "{email:?}: {error:?}"
        );
    }
    let log = site.log().await;
    assert_eq!(log.len() - before, attempts.len());
    assert!(
        log[..attempts.len()]
            .iter()
            .all(|event| event.action == AuditAction::SessionRefuse)
    );
    assert!(!format!("{log:?}").contains("nobody@") && !format!("{log:?}").contains("canary"));
}

#[tokio::test]
async fn an_unknown_address_costs_as_much_as_a_known_one() {
    let site = site_with(kalpana_config::Auth {
        argon2_memory_kib: 19_456,
        ..cheap()
    })
    .await;
    site.administrator().await;
    let median = async |email: &str| {
        let mut times = Vec::new();
        for _ in 0..5 {
            let start = Instant::now();
            assert_eq!(
                code(site.accounts.sign_in(email, "wrong", &client()).await),
                "wrong_credentials"
            );
            times.push(start.elapsed());
        }
        times.sort_unstable();
        times[2]
    };
    let (known, unknown) = (
        median("ada@example.com").await,
        median("nobody@example.com").await,
    );
    let ratio = unknown.as_secs_f64() / known.as_secs_f64();
    // Without the hash the ratio would be a hundredth. A busy machine needs some room.
    assert!((0.3..3.0).contains(&ratio), "{known:?} {unknown:?}");
}

#[tokio::test]
async fn right_passwords_do_not_use_up_the_attempts_of_an_account() {
    let site = site_with(kalpana_config::Auth {
        sign_in_per_minute_pair: 5,
        ..cheap()
    })
    .await;
    site.administrator().await;
    let sign_in = async |password| {
        let accounts = &site.accounts;
        code(
            accounts
                .sign_in("ada@example.com", password, &client())
                .await,
        )
    };
    for _ in 0..4 {
        assert_eq!(sign_in("x").await, "wrong_credentials");
    }
    for _ in 0..10 {
        assert_eq!(sign_in(PASSWORD).await, "ok");
    }
    assert_eq!(sign_in("x").await, "wrong_credentials");
    assert_eq!(sign_in(PASSWORD).await, "too_many_attempts");
}

#[tokio::test]
async fn wrong_guesses_in_parallel_do_not_pass_the_limit() {
    let site = site_with(kalpana_config::Auth {
        sign_in_per_minute_pair: 5,
        ..cheap()
    })
    .await;
    site.administrator().await;
    let guesses: Vec<_> = (0..20)
        .map(|number| {
            let accounts = site.accounts.clone();
            tokio::spawn(async move {
                // The owner signs in from the same place meanwhile.
                let password = if number == 0 { PASSWORD } else { "x" };
                code(
                    accounts
                        .sign_in("ada@example.com", password, &client())
                        .await,
                )
            })
        })
        .collect();
    let mut codes = Vec::new();
    for guess in guesses {
        codes.push(guess.await.expect("joined"));
    }
    let looked_at = codes.iter().filter(|code| **code == "wrong_credentials");
    assert!(looked_at.count() <= 5, "{codes:?}");
    assert!(codes.contains(&"too_many_attempts"), "{codes:?}");
}

#[tokio::test]
async fn a_frozen_store_is_named_and_its_refusals_cost_no_attempts() {
    let site = site_with(kalpana_config::Auth {
        sign_in_per_minute_pair: 5,
        ..cheap()
    })
    .await;
    let ada = site.administrator().await;
    let freeze = Freeze {
        by: MoveId::new_v4(),
        until: Timestamp::MAX,
    };
    let now = site.clock.now();
    site.store.freeze(freeze, now).await.expect("frozen");
    let sign_in = async || {
        let accounts = &site.accounts;
        code(
            accounts
                .sign_in("ada@example.com", PASSWORD, &client())
                .await,
        )
    };
    for _ in 0..10 {
        assert_eq!(sign_in().await, "store_frozen");
    }
    let cookie = ada.secret.expose().as_bytes().to_vec();
    let here = site.accounts.authenticate_session(&cookie).await;
    assert_eq!(code(here), "ok", "who is signed in stays so");
    assert!(site.store.thaw(freeze.by).await.expect("asked"));
    assert_eq!(sign_in().await, "ok");
}

#[tokio::test]
async fn too_many_attempts_are_refused_before_the_password_is_looked_at() {
    let site = site_with(kalpana_config::Auth {
        sign_in_per_minute_pair: 5,
        ..cheap()
    })
    .await;
    site.administrator().await;
    for _ in 0..5 {
        assert_eq!(
            code(
                site.accounts
                    .sign_in("ada@example.com", "x", &client())
                    .await
            ),
            "wrong_credentials"
        );
    }
    let before = site.log().await;
    let error = site
        .accounts
        .sign_in("Ada@Example.com", PASSWORD, &client())
        .await;
    let error = error.expect_err("refused");
    assert_eq!(error.code(), "too_many_attempts");
    assert!(
        error
            .retry_after()
            .is_some_and(|after| after <= Duration::from_secs(12)),
        "{error:?}"
    );
    assert_eq!(site.log().await, before, "an attacker cannot fill the log");
    let elsewhere = Client {
        address: Some(IpAddr::from([192, 0, 2, 2])),
        ..client()
    };
    assert_eq!(
        code(
            site.accounts
                .sign_in("ada@example.com", PASSWORD, &elsewhere)
                .await
        ),
        "ok"
    );
}

#[tokio::test]
async fn a_session_slides_and_still_ends() {
    let site = site().await;
    let ada = site.administrator().await;
    for _ in 0..4 {
        site.clock.advance(DAY * 7);
        site.authenticate(&ada).await.expect("used within a week");
    }
    site.clock.advance(DAY * 2);
    assert_eq!(
        code(site.authenticate(&ada).await),
        "unauthenticated",
        "30 days are over"
    );

    let ada = site
        .accounts
        .sign_in("ada@example.com", PASSWORD, &client())
        .await
        .expect("in");
    site.clock.advance(DAY * 7 + SignedDuration::from_secs(1));
    assert_eq!(
        code(site.authenticate(&ada).await),
        "unauthenticated",
        "unused for a week"
    );
    for cookie in [b"".as_slice(), b"ks1_", b"\xff\xfe", &[b'A'; 1 << 16]] {
        assert_eq!(
            code(site.accounts.authenticate_session(cookie).await),
            "unauthenticated"
        );
    }
}

#[tokio::test]
async fn a_password_hashed_with_older_parameters_is_hashed_anew() {
    let site = site().await;
    let ada = site.administrator().await.user;
    let stored = async || {
        let email = EmailAddress::parse("ada@example.com").expect("legal");
        site.store
            .user_by_email(&email)
            .await
            .expect("read")
            .expect("there")
            .password_hash
    };
    let before = stored().await;
    let settings = kalpana_config::Auth {
        argon2_passes: 3,
        ..cheap()
    };
    let accounts =
        Accounts::new(site.store.clone(), &settings, site.clock.clone()).expect("accounts");
    assert_eq!(
        code(
            accounts
                .sign_in("ada@example.com", "wrong", &client())
                .await
        ),
        "wrong_credentials"
    );
    assert_eq!(stored().await, before);
    accounts
        .sign_in("ada@example.com", PASSWORD, &client())
        .await
        .expect("signed in");
    let after = stored().await;
    assert!(
        before.contains("t=2") && after.contains("t=3"),
        "{before} {after}"
    );
    accounts
        .sign_in("ada@example.com", PASSWORD, &client())
        .await
        .expect("signed in");
    assert_eq!(stored().await, after);

    let absurd = before.replace("m=64,", "m=4194304,");
    site.store
        .upgrade_password_hash(ada.id, after, absurd)
        .await
        .expect("replaced");
    let refused = accounts
        .sign_in("ada@example.com", PASSWORD, &client())
        .await;
    assert_eq!(code(refused), "internal");
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_it_with_a_session() {
    let site = site().await;
    let ada = site.administrator().await;
    let by = site.authenticate(&ada).await.expect("signed in").principal;
    let elsewhere = site
        .accounts
        .sign_in("ada@example.com", PASSWORD, &client())
        .await
        .expect("signed in");
    let change = async |by: &Principal, current: &str, new: &str| {
        let wish = NewPassword {
            current: current.to_owned(),
            new: new.to_owned(),
            revoke_tokens: false,
        };
        assert!(!format!("{wish:?}").contains(PASSWORD));
        site.accounts.change_password(by, wish, &client()).await
    };
    let token = Principal {
        credential: Credential::Token {
            id: TokenId::generate(),
            scopes: Scope::ALL.to_vec(),
        },
        ..by.clone()
    };
    let new = "canary Zwiebel kran 43 voyage";
    for (by, current, wish, expected) in [
        (&token, PASSWORD, new, "forbidden"),
        (&by, "another one than that 1", new, "wrong_password"),
        (&by, PASSWORD, "short", "password_too_short"),
        (&by, PASSWORD, "ada@example.com", "password_too_weak"),
        (&by, PASSWORD, PASSWORD, "password_unchanged"),
    ] {
        assert_eq!(code(change(by, current, wish).await), expected);
    }
    assert!(site.authenticate(&elsewhere).await.is_ok());
    assert_eq!(code(site.accounts.sessions(&token).await), "forbidden");
    let others = site.accounts.end_other_sessions(&token, &client()).await;
    assert_eq!(code(others), "forbidden");
    let (own, client) = (ada.session.id, client());
    let one = site.accounts.end_session(&token, own, &client).await;
    assert_eq!(code(one), "forbidden");

    let ended = change(&by, PASSWORD, new).await.expect("changed");
    assert_eq!(ended.sessions, [elsewhere.session.id]);
    assert_eq!(code(site.authenticate(&elsewhere).await), "unauthenticated");
    assert!(site.authenticate(&ada).await.is_ok());
    assert!(
        !format!("{:?}", site.log().await).contains("Zwiebel"),
        "no password is written down"
    );
}

/// What signs in with the old password while it is changed ends with the others, or is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_sign_in_with_the_old_password_outlives_its_change() {
    let site = site().await;
    let ada = site.administrator().await;
    let by = site.authenticate(&ada).await.expect("signed in").principal;
    for round in 0..8 {
        let password = |number: i32| format!("canary Zwiebel kran {number} voyage");
        let (old, new) = match round {
            0 => (PASSWORD.to_owned(), password(100)),
            _ => (password(99 + round), password(100 + round)),
        };
        let sign_ins: Vec<_> = (0..6)
            .map(|_| {
                let (accounts, old) = (site.accounts.clone(), old.clone());
                tokio::spawn(
                    async move { accounts.sign_in("ada@example.com", &old, &client()).await },
                )
            })
            .collect();
        let wish = NewPassword {
            current: old,
            new,
            revoke_tokens: false,
        };
        let changed = site.accounts.change_password(&by, wish, &client()).await;
        changed.expect("changed");
        for sign_in in sign_ins {
            match sign_in.await.expect("joined") {
                Ok(made) => {
                    assert_eq!(code(site.authenticate(&made).await), "unauthenticated");
                }
                Err(refused) => assert_eq!(refused.code(), "wrong_credentials"),
            }
        }
        let left = site.accounts.sessions(&by).await.expect("listed");
        let left: Vec<_> = left.iter().map(|session| session.id).collect();
        assert_eq!(left, [ada.session.id], "round {round}");
    }
}

#[tokio::test]
async fn only_administrators_make_people() {
    let site = site().await;
    let ada = site.administrator().await;
    let ada = site.authenticate(&ada).await.expect("signed in").principal;
    let create = async |by, account| {
        site.accounts
            .create_user(by, account, Role::Member, &client())
            .await
    };
    let bob = create(&ada, account("bob")).await.expect("made");
    assert_eq!(
        (bob.role, bob.organization),
        (Role::Member, ada.organization)
    );
    assert_eq!(code(create(&ada, account("BOB")).await), "email_taken");
    let wrong = [
        (
            NewAccount {
                email: "nonsense".to_owned(),
                ..account("x")
            },
            "invalid_email",
        ),
        (
            NewAccount {
                name: " ".to_owned(),
                ..account("x")
            },
            "invalid_name",
        ),
        (
            NewAccount {
                name: "x".repeat(101),
                ..account("x")
            },
            "invalid_name",
        ),
        (
            NewAccount {
                name: "nul\0".to_owned(),
                ..account("x")
            },
            "invalid_name",
        ),
        (
            NewAccount {
                password: "short".to_owned(),
                ..account("x")
            },
            "password_too_short",
        ),
        (
            NewAccount {
                password: "x".repeat(257),
                ..account("x")
            },
            "password_too_long",
        ),
        (
            NewAccount {
                password: "password1234".to_owned(),
                ..account("x")
            },
            "password_too_weak",
        ),
        (
            NewAccount {
                email: "grace.hopper@example.com".to_owned(),
                name: "Grace Hopper".to_owned(),
                password: "grace.hopper".to_owned(),
            },
            "password_too_weak",
        ),
    ];
    for (account, expected) in wrong {
        assert_eq!(
            code(create(&ada, account.clone()).await),
            expected,
            "{account:?}"
        );
    }

    let bob = site
        .accounts
        .sign_in("bob@example.com", PASSWORD, &client())
        .await
        .expect("in");
    let bob = site.authenticate(&bob).await.expect("signed in").principal;
    assert_eq!(code(create(&bob, account("eve")).await), "forbidden");
    assert_eq!(
        code(site.accounts.users(&bob, PageRequest::first()).await),
        "forbidden"
    );
    let people = site
        .accounts
        .users(&ada, PageRequest::first())
        .await
        .expect("listed")
        .items;
    let names: Vec<_> = people.into_iter().map(|user| user.name).collect();
    assert_eq!(names, ["ada", "bob"]);

    let root = site
        .accounts
        .create_user_at_console(account("root"), Role::Administrator)
        .await;
    assert_eq!(root.expect("made").role, Role::Administrator);
    assert_eq!(site.log().await[0].actor, Actor::Console);
}

#[tokio::test]
async fn a_token_speaks_for_its_maker_within_its_scopes() {
    let site = site().await;
    let ada = site.administrator().await;
    let by = site.authenticate(&ada).await.expect("signed in").principal;
    let new = |name: &str, scopes: &[Scope], lifetime| NewToken {
        name: name.to_owned(),
        scopes: scopes.to_vec(),
        lifetime,
    };
    let both = [
        Scope::WorkspaceWrite,
        Scope::WorkspaceRead,
        Scope::WorkspaceWrite,
    ];
    let issued = site
        .accounts
        .create_token(&by, new("deploy", &both, None), &client())
        .await
        .expect("made");
    let scopes = vec![Scope::WorkspaceRead, Scope::WorkspaceWrite];
    let who = site
        .accounts
        .authenticate_token(issued.text.expose())
        .await
        .expect("accepted");
    let credential = Credential::Token {
        id: issued.token.id,
        scopes,
    };
    assert_eq!(
        (who.user, who.principal.credential.clone()),
        (ada.user, credential)
    );
    assert_eq!(who.expires_at, site_time(&site) + DAY * 90);
    let listed = site.accounts.tokens(&by).await.expect("listed");
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].last_used_at, Some(site_time(&site)));

    // The id of a token does not make one, and neither does a secret of another.
    let guess = TokenText::generate(issued.token.id);
    let other = TokenText::generate(TokenId::generate());
    for text in [guess.expose(), other.expose(), "", "kp_", "Bearer x"] {
        assert_eq!(
            code(site.accounts.authenticate_token(text).await),
            "unauthenticated"
        );
    }

    let token = who.principal;
    let wider = new("wider", &Scope::ALL, None);
    assert_eq!(
        code(site.accounts.create_token(&token, wider, &client()).await),
        "forbidden"
    );
    assert_eq!(code(site.accounts.tokens(&token).await), "forbidden");
    let revoked = site
        .accounts
        .revoke_token(&token, issued.token.id, &client())
        .await;
    assert_eq!(code(revoked), "forbidden");
    assert_eq!(
        code(site.accounts.sign_out(&token, &client()).await),
        "forbidden"
    );
    let made = site
        .accounts
        .create_user(&token, account("eve"), Role::Member, &client())
        .await;
    assert_eq!(code(made), "forbidden");

    let day = Duration::from_secs(86_400);
    let read = [Scope::WorkspaceRead];
    let wrong = [
        (new("", &read, None), "invalid_token_name"),
        (new("a\nb", &read, None), "invalid_token_name"),
        (new("x", &[], None), "invalid_token_scopes"),
        (
            new("x", &read, Some(Duration::ZERO)),
            "invalid_token_lifetime",
        ),
        (new("x", &read, Some(day * 366)), "invalid_token_lifetime"),
        (
            new("x", &read, Some(Duration::MAX)),
            "invalid_token_lifetime",
        ),
    ];
    for (new, expected) in wrong {
        let refused = site
            .accounts
            .create_token(&by, new.clone(), &client())
            .await;
        assert_eq!(code(refused), expected, "{new:?}");
    }
    let short = new("short", &read, Some(day));
    let short = site
        .accounts
        .create_token(&by, short, &client())
        .await
        .expect("made");
    site.clock.advance(DAY);
    assert_eq!(
        code(site.accounts.authenticate_token(short.text.expose()).await),
        "unauthenticated"
    );

    let revoke = async || {
        site.accounts
            .revoke_token(&by, issued.token.id, &client())
            .await
    };
    assert_eq!(code(revoke().await), "ok");
    assert_eq!(code(revoke().await), "token_not_found");
    assert_eq!(
        code(site.accounts.authenticate_token(issued.text.expose()).await),
        "unauthenticated"
    );
}

fn site_time(site: &Site) -> Timestamp {
    use kalpana_domain::clock::Clock;
    site.clock.now()
}

#[tokio::test]
async fn a_tokens_revocation_is_its_owners() {
    let site = site().await;
    let ada = site.administrator().await;
    let ada = site.authenticate(&ada).await.expect("signed in").principal;
    site.accounts
        .create_user(&ada, account("bob"), Role::Member, &client())
        .await
        .expect("made");
    let bob = site
        .accounts
        .sign_in("bob@example.com", PASSWORD, &client())
        .await
        .expect("in");
    let bob = site.authenticate(&bob).await.expect("signed in").principal;
    let new = NewToken {
        name: "x".to_owned(),
        scopes: vec![Scope::WorkspaceRead],
        lifetime: None,
    };
    let issued = site
        .accounts
        .create_token(&bob, new, &client())
        .await
        .expect("made");
    let foreign = site
        .accounts
        .revoke_token(&ada, issued.token.id, &client())
        .await;
    assert_eq!(code(foreign), "token_not_found");
    assert_eq!(
        code(site.accounts.authenticate_token(issued.text.expose()).await),
        "ok"
    );
}

#[tokio::test]
async fn entering_a_workspace_is_written_down() {
    let site = site().await;
    let ada = site.administrator().await;
    let by = site.authenticate(&ada).await.expect("signed in").principal;
    let workspace = WorkspaceId::parse("abcdefghij01").expect("legal");
    site.accounts
        .record_connect(&by, workspace, &client())
        .await
        .expect("written");
    let event = site.log().await.remove(0);
    let expected = (
        AuditAction::WorkspaceConnect,
        "abcdefghij01".to_owned(),
        Actor::from(&by),
    );
    assert_eq!((event.action, event.subject, event.actor), expected);
}

#[tokio::test]
async fn no_secret_shows_or_is_stored() {
    let site = site().await;
    let setup = site
        .accounts
        .setup_secret()
        .await
        .expect("drawn")
        .expect("required");
    let new = account("ada");
    let shown_before = format!("{new:?} {setup:?} {:?}", site.accounts);
    let signed_in = site
        .accounts
        .complete_setup(setup.expose(), new, &client())
        .await
        .expect("set up");
    let by = site
        .authenticate(&signed_in)
        .await
        .expect("signed in")
        .principal;
    let new = NewToken {
        name: "x".to_owned(),
        scopes: vec![Scope::WorkspaceRead],
        lifetime: None,
    };
    let issued = site
        .accounts
        .create_token(&by, new, &client())
        .await
        .expect("made");
    let error = site
        .accounts
        .sign_in("ada@example.com", "canary wrong", &client())
        .await;
    let error = error.expect_err("refused");

    let secret_part = |text: &str| text.split_once('_').expect("has a prefix").1.to_owned();
    let secrets = [
        PASSWORD.to_owned(),
        "canary".to_owned(),
        secret_part(setup.expose()),
        secret_part(signed_in.secret.expose()),
        issued.text.expose()[36..79].to_owned(),
    ];
    let shown = format!("{shown_before} {signed_in:?} {issued:?} {by:?} {error} {error:?}");
    let mut stored = Vec::new();
    for entry in std::fs::read_dir(site.directory.path()).expect("listed") {
        stored.extend(std::fs::read(entry.expect("entry").path()).expect("read"));
    }
    assert!(
        stored.windows(9).any(|part| part == b"$argon2id"),
        "the store was looked at"
    );
    for secret in secrets {
        assert!(!shown.contains(&secret), "shown: {secret}");
        let is_stored = stored
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!is_stored, "stored: {secret}");
    }
}
