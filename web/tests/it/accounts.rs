//! Setting the site up, signing in, people, tokens.

use serde_json::json;

use crate::support::{PASSWORD, Site};

fn setup(token: &str, email: &str) -> serde_json::Value {
    json!({"token": token, "email": email, "name": "Root", "password": PASSWORD})
}

#[tokio::test]
async fn a_site_is_set_up_once_whoever_asks_at_the_same_time() {
    let site = Site::start().await;
    let stranger = site.stranger();
    assert_eq!(
        stranger.get("/api/site").await.json()["setup_required"],
        true
    );

    let outdated = site.setup_secret().await.unwrap();
    let token = site.setup_secret().await.unwrap();
    for wrong in [outdated.as_str(), "", "x", &"a".repeat(5000)] {
        let answer = stranger
            .post("/api/setup", &setup(wrong, "a@example.com"))
            .await;
        assert_eq!(answer.outcome(), (403, "setup_token_invalid".to_owned()));
    }
    let weak = json!({"token": token, "email": "a@example.com", "name": "A", "password": "short"});
    let answer = stranger.post("/api/setup", &weak).await;
    assert_eq!(answer.outcome(), (400, "password_too_short".to_owned()));

    let (bodies, browser): (Vec<_>, _) = (
        (0..6)
            .map(|n| setup(&token, &format!("a{n}@example.com")))
            .collect(),
        stranger.clone(),
    );
    let answers =
        futures_util::future::join_all(bodies.iter().map(|body| browser.post("/api/setup", body)))
            .await;
    let made: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .collect();
    assert_eq!(made.len(), 1, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        let (status, code) = answer.outcome();
        assert!(
            [(409, "setup_done"), (403, "setup_token_invalid")].contains(&(status, &code)),
            "{answer:?}"
        );
    }
    let root = stranger.with_cookie_of(made[0]);
    assert_eq!(
        root.get("/api/session").await.json()["user"]["role"],
        "administrator"
    );
    assert_eq!(
        stranger.get("/api/site").await.json()["setup_required"],
        false
    );
    assert_eq!(site.setup_secret().await, None, "no further link");
    let late = stranger
        .post("/api/setup", &setup(&token, "b@example.com"))
        .await;
    assert_eq!(late.status, 409, "{late:?}");
}

#[tokio::test]
async fn the_session_cookie_is_bound_to_this_host_and_out_of_scripts_reach() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let answer = site
        .stranger()
        .post(
            "/api/session",
            &json!({"email": " ROOT@Example.com", "password": PASSWORD}),
        )
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.json()["user"]["email"], "root@example.com");
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-ksess=ks1_"), "{cookie}");
    for attribute in ["Secure", "HttpOnly", "Path=/", "SameSite=Lax"] {
        assert!(
            cookie.split("; ").any(|part| part == attribute),
            "{attribute} of {cookie}"
        );
    }
    assert!(!cookie.to_ascii_lowercase().contains("domain"), "{cookie}");
    let secret = root.headers["cookie"].to_str().unwrap();
    assert!(
        !answer.body.windows(4).any(|part| part == b"ks1_"),
        "the secret is in no body"
    );
    assert!(!cookie.contains(secret), "a new sign-in has a new secret");
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_get_the_same_answer() {
    let site = Site::start().await;
    site.administrator().await;
    let try_as = |email: &str| {
        let wish = json!({"email": email, "password": "wrong but long enough 1"});
        let browser = site.stranger();
        async move { browser.post("/api/session", &wish).await }
    };
    let known = try_as("root@example.com").await;
    let unknown = try_as("nobody@example.com").await;
    assert_eq!(known.outcome(), (401, "wrong_credentials".to_owned()));
    assert_eq!(known.status, unknown.status);
    assert_eq!(known.anonymous(), unknown.anonymous());
    assert_eq!(known.header("set-cookie"), None);
    let names = |answer: &crate::support::http::Answer| {
        answer
            .headers
            .keys()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&known), names(&unknown));
}

#[tokio::test]
async fn guessing_is_slowed_down_by_address_and_account() {
    let site = Site::start().await;
    site.administrator().await;
    let guess = |address: &'static str| {
        let wish = json!({"email": "root@example.com", "password": "wrong but long enough 1"});
        let browser = site.stranger().with("x-forwarded-for", address);
        async move { browser.post("/api/session", &wish).await }
    };
    let limit = usize::try_from(site.config.auth.sign_in_per_minute_pair).unwrap();
    for _ in 0..limit {
        assert_eq!(guess("192.0.2.1").await.status, 401);
    }
    let refused = guess("192.0.2.1").await;
    assert_eq!(refused.outcome(), (429, "too_many_attempts".to_owned()));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(
        guess("192.0.2.2").await.status,
        401,
        "another address is not held up"
    );
    // What the client claims of itself does not count: the last hop does.
    assert_eq!(guess("203.0.113.9, 192.0.2.1").await.status, 429);
}

#[tokio::test]
async fn only_administrators_make_people_and_nobody_makes_themselves_one() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let ada = site.member(&root, "ada").await;
    let wish = |role: &str| json!({"email": "eve@example.com", "name": "Eve", "password": PASSWORD, "role": role});
    assert_eq!(
        ada.post("/api/admin/users", &wish("administrator"))
            .await
            .outcome()
            .1,
        "forbidden"
    );
    assert_eq!(
        ada.get("/api/admin/users").await.outcome(),
        (403, "forbidden".to_owned())
    );
    assert_eq!(
        root.post("/api/admin/users", &wish("owner")).await.code(),
        "invalid_request"
    );
    let taken =
        json!({"email": "ADA@example.com", "name": "Ada", "password": PASSWORD, "role": "member"});
    assert_eq!(
        root.post("/api/admin/users", &taken).await.outcome(),
        (409, "email_taken".to_owned())
    );

    let first = root.get("/api/admin/users?limit=1").await.json();
    assert_eq!(first["users"][0]["email"], "root@example.com");
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = root
        .get(&format!("/api/admin/users?limit=1&cursor={cursor}"))
        .await
        .json();
    assert_eq!(second["users"][0]["email"], "ada@example.com");
    assert_eq!(second.get("next_cursor"), None);
    let text = first.to_string() + &second.to_string();
    assert!(
        !text.contains("argon2") && !text.contains("password"),
        "{text}"
    );
    let wrong = root.get("/api/admin/users?cursor=%00nonsense").await;
    assert_eq!(wrong.outcome(), (400, "invalid_cursor".to_owned()));
}

#[tokio::test]
async fn tokens_are_shown_once_work_until_revoked_and_belong_to_their_maker() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let ada = site.member(&root, "ada").await;
    let wish = json!({"name": "ci", "scopes": ["workspace:read"], "expires_in_days": 30});
    let made = ada.post("/api/tokens", &wish).await;
    assert_eq!(made.status, 201, "{made:?}");
    let (made, listed) = (made.json(), ada.get("/api/tokens").await.json());
    let text = made["token"].as_str().unwrap();
    assert!(text.starts_with("kp_"), "{text}");
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 1);
    assert_eq!(listed["tokens"][0]["id"], made["id"]);
    assert_eq!(listed["tokens"][0].get("token"), None, "shown once");
    assert_eq!(root.get("/api/tokens").await.json()["tokens"], json!([]));

    let program = site.stranger().with_token(text);
    assert_eq!(
        program.get("/api/session").await.json()["user"]["email"],
        "ada@example.com"
    );
    let path = format!("/api/tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(
        root.delete(&path).await.outcome(),
        (404, "token_not_found".to_owned())
    );
    let mut events = program.events().await;
    events.until_ready().await;
    assert_eq!(ada.delete(&path).await.status, 204);
    assert_eq!(events.next().await, None, "its stream ends with it");
    assert_eq!(
        program.get("/api/session").await.outcome(),
        (401, "unauthenticated".to_owned())
    );
    assert_eq!(ada.delete(&path).await.status, 404);
}

#[tokio::test]
async fn malformed_tokens_and_wishes_for_tokens_are_refused() {
    let site = Site::start().await;
    let root = site.administrator().await;
    for (wish, code) in [
        (
            json!({"name": "", "scopes": ["workspace:read"]}),
            "invalid_token_name",
        ),
        (json!({"name": "a", "scopes": []}), "invalid_token_scopes"),
        (
            json!({"name": "a", "scopes": ["everything"]}),
            "invalid_token_scopes",
        ),
        (
            json!({"name": "a", "scopes": ["workspace:read"], "expires_in_days": 0}),
            "invalid_token_lifetime",
        ),
        (
            json!({"name": "a", "scopes": ["workspace:read"], "expires_in_days": 4_000_000_000_u32}),
            "invalid_token_lifetime",
        ),
        (
            json!({"name": "a", "scopes": ["workspace:read"], "expires_in_days": -1}),
            "invalid_request",
        ),
        (
            json!({"name": "a", "scopes": ["workspace:read"], "user": "x"}),
            "invalid_request",
        ),
    ] {
        let answer = root.post("/api/tokens", &wish).await;
        assert_eq!(answer.outcome(), (400, code.to_owned()), "{wish}");
    }
    let good = root
        .post(
            "/api/tokens",
            &json!({"name": "a", "scopes": ["workspace:read"]}),
        )
        .await;
    let text = good.json()["token"].as_str().unwrap().to_owned();
    let last = if text.ends_with('0') { "1" } else { "0" };
    let tampered = format!("{}{last}", &text[..text.len() - 1]);
    for wrong in [tampered.as_str(), "kp_", "kp_x_y_z", "", &"a".repeat(8000)] {
        let answer = site
            .stranger()
            .with_token(wrong)
            .get("/api/workspaces")
            .await;
        assert_eq!(
            answer.outcome(),
            (401, "unauthenticated".to_owned()),
            "{wrong:.40}"
        );
    }
    // In the address a token is nothing but a parameter that we do not know.
    let answer = site
        .stranger()
        .get(&format!("/api/session?token={text}"))
        .await;
    assert_eq!(answer.status, 401);
    let basic = site.stranger().with("authorization", "Basic cm9vdDpyb290");
    assert_eq!(basic.get("/api/session").await.status, 401);
}
