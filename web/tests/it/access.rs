//! Who may do what: every call for every kind of caller, and every id for those it is not for.

use serde_json::{Value, json};

use crate::support::http::Browser;
use crate::support::{PASSWORD, Site};

/// What each kind of caller gets: status, and the code where it is an error.
struct Row {
    method: &'static str,
    path: &'static str,
    body: Option<Value>,
    expected: [(u16, &'static str); 6],
}

const CALLERS: [&str; 6] = [
    "nobody",
    "another member",
    "the owner",
    "an administrator",
    "the owner's token with every scope",
    "the owner's token without the scope",
];

const OK: (u16, &str) = (200, "-");
const DONE: (u16, &str) = (204, "-");
const ASKED: (u16, &str) = (202, "-");
const ABSENT: (u16, &str) = (404, "workspace_not_found");
const NOBODY: (u16, &str) = (401, "unauthenticated");
const SCOPE: (u16, &str) = (403, "insufficient_scope");
const SESSION: (u16, &str) = (403, "session_required");
const FORBIDDEN: (u16, &str) = (403, "forbidden");

fn rows() -> Vec<Row> {
    let row = |method, path, body, expected| Row {
        method,
        path,
        body,
        expected,
    };
    let user = json!({"email": "x", "name": "X", "password": PASSWORD, "role": "member"});
    let not_an_address = (400, "invalid_email");
    let token = json!({"name": "", "scopes": ["workspace:read"]});
    let nameless = (400, "invalid_token_name");
    let no_session = (404, "session_not_found");
    let wrong_password = (403, "wrong_password");
    let no_level = (400, "invalid_level");
    let no_links = (403, "sharing_not_allowed");
    let no_link = (404, "link_not_found");
    let nobody_asks = (404, "access_request_not_found");
    let no_port = (400, "invalid_address");
    let no_gateway = (503, "gateway_unavailable");
    vec![
        row("GET", "/api/health", None, [OK; 6]),
        row("GET", "/api/site", None, [OK; 6]),
        row("GET", "/api/openapi.json", None, [OK; 6]),
        row("GET", "/api/session", None, [NOBODY, OK, OK, OK, OK, OK]),
        row(
            "GET",
            "/api/sessions",
            None,
            [NOBODY, OK, OK, OK, SESSION, SESSION],
        ),
        row(
            "DELETE",
            "/api/sessions",
            None,
            [NOBODY, DONE, DONE, DONE, SESSION, SESSION],
        ),
        row(
            "DELETE",
            "/api/sessions/01938f2e-0000-7000-8000-000000000000",
            None,
            [NOBODY, no_session, no_session, no_session, SESSION, SESSION],
        ),
        row(
            "PUT",
            "/api/password",
            Some(json!({"current": "x", "new": "x"})),
            [
                NOBODY,
                wrong_password,
                wrong_password,
                wrong_password,
                SESSION,
                SESSION,
            ],
        ),
        row(
            "GET",
            "/api/tokens",
            None,
            [NOBODY, OK, OK, OK, SESSION, SESSION],
        ),
        // Bodies that are refused at the very end, so that nothing is made on the way.
        row(
            "POST",
            "/api/tokens",
            Some(token),
            [NOBODY, nameless, nameless, nameless, SESSION, SESSION],
        ),
        row(
            "DELETE",
            "/api/tokens/01938f2e-0000-7000-8000-000000000000",
            None,
            [
                NOBODY,
                (404, "token_not_found"),
                (404, "token_not_found"),
                (404, "token_not_found"),
                SESSION,
                SESSION,
            ],
        ),
        row(
            "GET",
            "/api/admin/users",
            None,
            [NOBODY, FORBIDDEN, FORBIDDEN, OK, FORBIDDEN, FORBIDDEN],
        ),
        row(
            "POST",
            "/api/admin/users",
            Some(user),
            [
                NOBODY,
                FORBIDDEN,
                FORBIDDEN,
                not_an_address,
                FORBIDDEN,
                FORBIDDEN,
            ],
        ),
        // Who is let in finds nobody at the gateway's socket here.
        row(
            "GET",
            "/api/admin/certificates",
            None,
            [
                NOBODY, FORBIDDEN, FORBIDDEN, no_gateway, FORBIDDEN, FORBIDDEN,
            ],
        ),
        row(
            "POST",
            "/api/admin/certificates/{id}/renew",
            None,
            [
                NOBODY, FORBIDDEN, FORBIDDEN, no_gateway, FORBIDDEN, FORBIDDEN,
            ],
        ),
        row(
            "POST",
            "/api/admin/certificates/{id}/revoke",
            None,
            [
                NOBODY, FORBIDDEN, FORBIDDEN, no_gateway, FORBIDDEN, FORBIDDEN,
            ],
        ),
        row(
            "GET",
            "/api/workspaces",
            None,
            [NOBODY, OK, OK, OK, OK, SCOPE],
        ),
        row(
            "POST",
            "/api/workspaces",
            Some(json!({"name": "x"})),
            [NOBODY, ASKED, ASKED, ASKED, ASKED, SCOPE],
        ),
        row(
            "GET",
            "/api/workspaces/{id}",
            None,
            [NOBODY, ABSENT, OK, OK, OK, SCOPE],
        ),
        row(
            "GET",
            "/api/workspaces/{id}/logs",
            None,
            [NOBODY, ABSENT, OK, OK, OK, SCOPE],
        ),
        row(
            "GET",
            "/api/workspaces/{id}/figures",
            None,
            [NOBODY, ABSENT, OK, OK, OK, SCOPE],
        ),
        row(
            "GET",
            "/api/workspaces/{id}/figures/live",
            None,
            [NOBODY, ABSENT, OK, OK, OK, SCOPE],
        ),
        row(
            "GET",
            "/api/workspaces/{id}/activity",
            None,
            [NOBODY, ABSENT, OK, OK, OK, SCOPE],
        ),
        row(
            "GET",
            "/api/workspaces/{id}/work",
            None,
            [NOBODY, ABSENT, OK, OK, OK, SCOPE],
        ),
        row(
            "PUT",
            "/api/workspaces/{id}/sleep",
            Some(json!({ "pause_after_seconds": 900, "stop_after_seconds": 0 })),
            [NOBODY, ABSENT, ASKED, FORBIDDEN, ASKED, SCOPE],
        ),
        row(
            "GET",
            "/api/workspaces/{id}/snapshots",
            None,
            [NOBODY, ABSENT, OK, FORBIDDEN, OK, SCOPE],
        ),
        row(
            "POST",
            "/api/workspaces/{id}/snapshots",
            Some(json!({"note": "x"})),
            [NOBODY, ABSENT, ASKED, FORBIDDEN, ASKED, SCOPE],
        ),
        row(
            "POST",
            "/api/workspaces/{id}/archive",
            None,
            [NOBODY, ABSENT, ASKED, FORBIDDEN, ASKED, SCOPE],
        ),
        row(
            "POST",
            "/api/workspaces/{id}/snapshots/{snapshot}/restore",
            None,
            [NOBODY, ABSENT, ASKED, FORBIDDEN, ASKED, SCOPE],
        ),
        row(
            "GET",
            "/api/workspaces/{id}/snapshots/{snapshot}/content",
            None,
            [NOBODY, ABSENT, OK, FORBIDDEN, OK, SCOPE],
        ),
        row(
            "DELETE",
            "/api/workspaces/{id}/snapshots/{snapshot}",
            None,
            [NOBODY, ABSENT, DONE, FORBIDDEN, DONE, SCOPE],
        ),
        row(
            "POST",
            "/api/workspaces/{id}/pause",
            None,
            [NOBODY, ABSENT, ASKED, ASKED, ASKED, SCOPE],
        ),
        row(
            "POST",
            "/api/workspaces/{id}/stop",
            None,
            [NOBODY, ABSENT, ASKED, ASKED, ASKED, SCOPE],
        ),
        row(
            "POST",
            "/api/workspaces/{id}/start",
            None,
            [NOBODY, ABSENT, ASKED, FORBIDDEN, ASKED, SCOPE],
        ),
        row(
            "GET",
            "/api/workspaces/{id}/sharing",
            None,
            [NOBODY, ABSENT, OK, FORBIDDEN, OK, SCOPE],
        ),
        row(
            "PUT",
            "/api/workspaces/{id}/ports/{port}/share",
            Some(json!({"level": "everybody"})),
            [NOBODY, ABSENT, no_level, FORBIDDEN, no_level, SCOPE],
        ),
        row(
            "DELETE",
            "/api/workspaces/{id}/ports/{port}/share",
            None,
            [NOBODY, ABSENT, DONE, FORBIDDEN, DONE, SCOPE],
        ),
        row(
            "POST",
            "/api/workspaces/{id}/ports/{port}/links",
            Some(json!({"expires_in_seconds": 3600})),
            [NOBODY, ABSENT, no_links, FORBIDDEN, no_links, SCOPE],
        ),
        row(
            "DELETE",
            "/api/workspaces/{id}/ports/{port}/links/{link}",
            None,
            [NOBODY, ABSENT, no_link, FORBIDDEN, no_link, SCOPE],
        ),
        row(
            "POST",
            "/api/workspaces/{id}/ports/{port}/requests/{user}",
            None,
            [NOBODY, ABSENT, nobody_asks, FORBIDDEN, nobody_asks, SCOPE],
        ),
        row(
            "DELETE",
            "/api/workspaces/{id}/ports/{port}/requests/{user}",
            None,
            [NOBODY, ABSENT, nobody_asks, FORBIDDEN, nobody_asks, SCOPE],
        ),
        row(
            "POST",
            "/api/access-requests",
            Some(json!({"host": "x"})),
            [NOBODY, no_port, no_port, no_port, SESSION, SESSION],
        ),
        row(
            "GET",
            "/api/people?search=zz",
            None,
            [NOBODY, OK, OK, OK, OK, SCOPE],
        ),
        row(
            "POST",
            "/api/share-links/redeem",
            Some(json!({"secret": "x"})),
            [(410, "link_gone"); 6],
        ),
        row(
            "DELETE",
            "/api/workspaces/{id}",
            None,
            [NOBODY, ABSENT, ASKED, ASKED, ASKED, SCOPE],
        ),
        row(
            "GET",
            "/api/deleted-workspaces",
            None,
            [NOBODY, OK, OK, OK, OK, SCOPE],
        ),
        row(
            "POST",
            "/api/deleted-workspaces/{id}/restore",
            None,
            [NOBODY, ABSENT, ASKED, ASKED, ASKED, SCOPE],
        ),
        row(
            "DELETE",
            "/api/deleted-workspaces/{id}",
            None,
            [NOBODY, ABSENT, DONE, FORBIDDEN, DONE, SCOPE],
        ),
    ]
}

/// An id that nothing has.
const SOME_ID: &str = "01938f2e-0000-7000-8000-000000000000";

/// Puts names in the places of a path.
fn filled(path: &str, id: &str) -> String {
    path.replace("{id}", id)
        .replace("{port}", "3000")
        .replace("{link}", SOME_ID)
        .replace("{user}", SOME_ID)
        .replace("{snapshot}", SOME_ID)
}

#[tokio::test]
async fn every_call_lets_in_those_it_is_for_and_nobody_else() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let ada = site.member(&root, "ada").await;
    let eve = site.member(&root, "eve").await;
    let all = [
        "workspace:read",
        "workspace:write",
        "workspace:delete",
        "users:write",
    ];
    let every_scope = site.token_of(&ada, &all).await;
    for row in rows() {
        let needed = match (row.method, row.path) {
            (_, path) if path.ends_with("/content") => "workspace:write",
            (_, path) if path.contains("/ports/") || path.contains("/people") => "workspace:write",
            ("GET", _) => "workspace:read",
            ("DELETE", _) => "workspace:delete",
            _ => "workspace:write",
        };
        let others: Vec<&str> = all.into_iter().filter(|scope| *scope != needed).collect();
        let lacking = site.token_of(&ada, &others).await;
        let callers: [&Browser; 6] = [&site.stranger(), &eve, &ada, &root, &every_scope, &lacking];
        for ((caller, browser), expected) in CALLERS.iter().zip(callers).zip(row.expected) {
            let id = site.workspace(&ada, "mine").await;
            if row.path.starts_with("/api/deleted-workspaces/") {
                site.orchestrator().remove(&id).await;
            }
            match row.path.rsplit('/').next() {
                Some("start") => {
                    site.orchestrator()
                        .change(&id, |row| {
                            row.lifecycle = kalpana_domain::lifecycle::Lifecycle::Stopped;
                        })
                        .await;
                }
                Some("pause" | "stop") => site.orchestrator().run(&id).await,
                _ => {}
            }
            let body = row.body.as_ref().map(|body| body.to_string().into());
            let answer = browser.send(row.method, &filled(row.path, &id), body).await;
            let (status, code) = answer.outcome();
            assert_eq!(
                (status, code.as_str()),
                expected,
                "{} {} by {caller}",
                row.method,
                row.path
            );
        }
    }
    // Every call of the description is in the table, but those that anybody may try and the two
    // that other tests are about.
    let openapi: Value = serde_json::from_slice(&kalpana_web::openapi_json().unwrap()).unwrap();
    for (path, item) in openapi["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let is_tried = rows().iter().any(|row| {
                let tried = row.path.replace(SOME_ID, "{id}");
                let tried = tried.split('?').next();
                tried == Some(path.as_str()) && row.method.eq_ignore_ascii_case(method)
            });
            let elsewhere = [
                ("/api/setup", "post"),
                ("/api/session", "post"),
                ("/api/session", "delete"),
                ("/api/events", "get"),
            ];
            assert!(
                is_tried || elsewhere.contains(&(path.as_str(), method.as_str())),
                "{method} {path} has no row"
            );
        }
    }
}

#[tokio::test]
async fn an_id_of_somebody_else_is_like_one_that_does_not_exist_on_every_call_that_takes_one() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let ada = site.member(&root, "ada").await;
    let eve = site.member(&root, "eve").await;
    let foreign = site.workspace(&ada, "secret-name").await;
    let deleted = site.workspace(&eve, "gone").await;
    site.orchestrator().remove(&deleted).await;
    let foreign_deleted = site.workspace(&ada, "gone").await;
    site.orchestrator().remove(&foreign_deleted).await;
    let token = ada
        .post(
            "/api/tokens",
            &json!({"name": "t", "scopes": ["workspace:read"]}),
        )
        .await;
    let foreign_token = token.json()["id"].as_str().unwrap().to_owned();
    let places = ada.get("/api/sessions").await.json();
    let foreign_session = places["sessions"][0]["id"].as_str().unwrap().to_owned();
    let eves_token = site
        .token_of(
            &eve,
            &["workspace:read", "workspace:write", "workspace:delete"],
        )
        .await;
    let asked_before = site.orchestrator().calls().len();

    let openapi: Value = serde_json::from_slice(&kalpana_web::openapi_json().unwrap()).unwrap();
    let mut tried = 0;
    for (path, item) in openapi["paths"].as_object().unwrap() {
        // Those are no things of somebody's: members are told that they are for administrators.
        if path.starts_with("/api/admin/") {
            continue;
        }
        if !path.contains("{id}") {
            assert!(
                !path.contains('{'),
                "{path} takes an id of another name: add it to `filled`"
            );
            continue;
        }
        for method in item.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let foreign_credential = match path.split('/').nth(2) {
                Some("tokens") => Some(&foreign_token),
                Some("sessions") => Some(&foreign_session),
                _ => None,
            };
            let ids = if let Some(foreign) = foreign_credential {
                [
                    foreign.as_str(),
                    SOME_ID,
                    "01938F2E-0000-7000-8000-000000000000",
                    "x",
                    "%00",
                ]
            } else {
                [
                    foreign.as_str(),
                    "zzzzzzzzzzzz",
                    // One's own is there where deleted ones are asked for.
                    match path.starts_with("/api/deleted-workspaces/") {
                        true => foreign_deleted.as_str(),
                        false => deleted.as_str(),
                    },
                    "ZZZ%27--",
                    "..%2F..%2Fetc",
                ]
            };
            // A token is told that it needs a session, whatever the id.
            let callers = if foreign_credential.is_some() {
                vec![&eve]
            } else {
                vec![&eve, &eves_token]
            };
            for caller in callers {
                let mut answers = Vec::new();
                for id in ids {
                    let path = filled(path, id);
                    assert!(!path.contains('{'), "{path}: add it to `filled`");
                    let answer = caller.send(&method, &path, None).await;
                    assert_eq!(answer.status, 404, "{method} {path} with {id}");
                    let headers: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
                    answers.push((answer.anonymous(), headers));
                }
                tried += 1;
                assert!(
                    answers.iter().all(|answer| *answer == answers[0]),
                    "{method} {path} tells ids apart: {answers:?}"
                );
            }
        }
    }
    assert_eq!(
        tried, 54,
        "twenty-six calls on workspaces by two callers, one each on tokens and sessions"
    );
    assert_eq!(
        site.orchestrator().calls().len(),
        asked_before,
        "nothing of it reached anybody"
    );
    assert_eq!(
        ada.get(&format!("/api/workspaces/{foreign}")).await.status,
        200
    );
    assert_eq!(
        ada.get("/api/tokens").await.json()["tokens"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn lists_show_members_their_own_and_administrators_all_page_by_page() {
    let site = Site::start().await;
    let root = site.administrator().await;
    let ada = site.member(&root, "ada").await;
    let eve = site.member(&root, "eve").await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(site.workspace(&ada, &format!("ada {n}")).await);
    }
    let other = site.workspace(&eve, "eve").await;
    let mut seen = Vec::new();
    let mut path = "/api/workspaces?limit=2".to_owned();
    loop {
        let page = ada.get(&path).await.json();
        let rows = page["workspaces"].as_array().unwrap();
        assert!(rows.len() <= 2);
        seen.extend(
            rows.iter()
                .map(|row| row["id"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/workspaces?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    ids.reverse();
    assert_eq!(seen, ids, "newest first, each once");
    let all = root.get("/api/workspaces").await.json();
    assert_eq!(all["workspaces"].as_array().unwrap().len(), 6);
    assert_eq!(all["workspaces"][0]["id"], other.as_str());
    assert_eq!(all["workspaces"][0]["owner"]["name"], "eve");
    for query in [
        "limit=0",
        "limit=201",
        "limit=x",
        "cursor=%27--",
        "unknown=1",
        "limit=1&limit=2",
    ] {
        let answer = ada.get(&format!("/api/workspaces?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
    }
}
