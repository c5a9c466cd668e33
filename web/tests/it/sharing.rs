//! Sharing of ports: what the owner sets, what gateways are told, who is let in, and what nobody
//! else learns of it.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use http_body_util::BodyExt;
use kalpana_auth::nonce::Nonce;
use kalpana_auth::ticket::{Grant, TicketVerifier};
use kalpana_domain::clock::{Clock, SystemClock};
use kalpana_domain::sharing::{Right, SharingLevel};
use kalpana_link::Client;
use kalpana_protocol::feed::{Acknowledgement, Line};
use kalpana_protocol::sessions::{SessionChange, SessionLine, SessionState};
use kalpana_protocol::sharing::SharedPort;
use kalpana_store::PageRequest;
use serde_json::{Value, json};
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::io::StreamReader;
use url::Url;

use crate::support::http::{Answer, Browser};
use crate::support::{Site, in_time};

/// A site that allows everything, its administrator, a workspace's owner, somebody else, and the
/// workspace, which runs.
struct Stage {
    site: Site,
    root: Browser,
    ada: Browser,
    eve: Browser,
    id: String,
}

impl Stage {
    async fn start() -> Self {
        Self::with("public").await
    }

    async fn with(maximum: &'static str) -> Self {
        let site = Site::start_with(|config| config.web.sharing_maximum = maximum.to_owned()).await;
        let root = site.administrator().await;
        let ada = site.member(&root, "ada").await;
        let eve = site.member(&root, "eve").await;
        let id = site.workspace(&ada, "w").await;
        site.orchestrator().run(&id).await;
        Self {
            site,
            root,
            ada,
            eve,
            id,
        }
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/workspaces/{}{rest}", self.id)
    }

    async fn put(&self, wish: Value) -> Answer {
        let body = Some(wish.to_string().into());
        let path = self.path("/ports/3000/share");
        self.ada.send("PUT", &path, body).await
    }

    async fn share(&self, wish: Value) -> Value {
        let answer = self.put(wish).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    async fn link(&self, wish: Value) -> (String, String) {
        let answer = self.ada.post(&self.path("/ports/3000/links"), &wish).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let link = answer.json();
        let secret = link["url"]
            .as_str()
            .unwrap()
            .split_once("/share#")
            .unwrap()
            .1;
        (link["id"].as_str().unwrap().to_owned(), secret.to_owned())
    }

    async fn sharing(&self) -> Value {
        let answer = self.ada.get(&self.path("/sharing")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    fn label(&self) -> String {
        format!("3000-{}", self.id)
    }

    /// Goes to the port as the gateway sends a browser.
    async fn connect(&self, browser: &Browser, label: &str) -> Answer {
        let rid = Nonce::generate().rid();
        let path = format!("/auth/workspace?host={label}&rid={rid}&to=%2Fx");
        browser.navigating().get(&path).await
    }

    /// Returns what the ticket in an answer grants.
    async fn granted(&self, answer: &Answer) -> Grant {
        let target = location(answer);
        let host = format!("{}.kalpana.localhost:8443", self.label());
        assert_eq!(target.path(), "/.kalpana/cb", "{answer:?}");
        let text = target
            .query_pairs()
            .find(|(name, _)| name == "t")
            .unwrap()
            .1;
        let state = first_state(&self.site).await;
        let verifier = TicketVerifier::new(&state.ticket_keys).unwrap();
        verifier
            .verify(&text, &host, SystemClock.now())
            .unwrap()
            .grant
    }

    async fn actions(&self) -> Vec<(String, String)> {
        let log = self.site.store.audit_events(PageRequest::first()).await;
        let log = log.unwrap().items.into_iter();
        log.map(|event| (event.action.as_str().to_owned(), event.subject))
            .collect()
    }
}

fn location(answer: &Answer) -> Url {
    assert_eq!(answer.status, 303, "{answer:?}");
    let base = Url::parse("https://kalpana.localhost:8443").unwrap();
    base.join(answer.header("location").unwrap()).unwrap()
}

fn client(site: &Site) -> Client {
    let socket = site.site.web_internal_socket();
    Client::new("web", socket, Some(site.token.clone()))
}

async fn first_state(site: &Site) -> SessionState {
    let response = client(site).stream("/v1/sessions?reader=test", None).await;
    let frame = in_time(response.unwrap().into_body().frame()).await;
    let bytes = frame.unwrap().unwrap().into_data().unwrap();
    match serde_json::from_slice::<SessionLine>(&bytes).unwrap() {
        Line::Snapshot { state, .. } => state,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_owner_shares_changes_and_stops() {
    let stage = Stage::start().await;
    let fresh = stage.sharing().await;
    assert_eq!(
        fresh,
        json!({"maximum": "public", "ports": [], "requests": []})
    );
    let wish = json!({
        "level": "members", "members": ["Eve@Example.com", "ada@example.com", "eve@example.com"],
        "expires_in_seconds": 3600,
    });
    let share = stage.share(wish).await;
    assert_eq!(share["port"], 3000);
    assert_eq!(
        share["url"],
        format!("https://{}.kalpana.localhost:8443", stage.label())
    );
    assert_eq!(
        (&share["level"], &share["level_in_force"]),
        (&json!("members"), &json!("members"))
    );
    let names: Vec<_> = share["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["name"])
        .collect();
    assert_eq!(names, ["eve"], "once, and never the owner");
    assert_eq!(
        (&share["is_in_force"], &share["keep_after_restart"]),
        (&json!(true), &json!(false))
    );
    assert!(share["expires_at"].is_string());
    assert_eq!(stage.sharing().await["ports"], json!([share]));

    let share = stage
        .share(json!({"level": "organization", "keep_after_restart": true}))
        .await;
    assert_eq!(
        share["members"],
        json!([]),
        "what is left out counts as nothing"
    );
    assert_eq!(share["expires_at"], Value::Null);
    let token = stage.site.token_of(&stage.ada, &["workspace:write"]).await;
    let gone = token.delete(&stage.path("/ports/3000/share")).await;
    assert_eq!(gone.status, 204, "{gone:?}");
    assert_eq!(stage.sharing().await["ports"], json!([]));
    let label = stage.label();
    let changes: Vec<_> = stage.actions().await.into_iter().take(3).collect();
    let told = |level: &str| ("share.change".to_owned(), format!("{label} {level}"));
    assert_eq!(changes[0], told("owner"));
    assert!(changes.contains(&told("organization")), "{changes:?}");
}

#[tokio::test]
async fn wishes_that_cannot_be_are_refused_with_a_code() {
    let stage = Stage::start().await;
    let many: Vec<String> = (0..51).map(|n| format!("user{n}@example.com")).collect();
    for (wish, code) in [
        (json!({"level": "everybody"}), "invalid_level"),
        (json!({"level": "members"}), "no_members"),
        (
            json!({"level": "members", "members": ["ada@example.com"]}),
            "no_members",
        ),
        (
            json!({"level": "members", "members": ["nobody@example.com"]}),
            "unknown_member",
        ),
        (
            json!({"level": "members", "members": ["{\"$gt\":\"\"}"]}),
            "unknown_member",
        ),
        (
            json!({"level": "organization", "members": many}),
            "too_many_members",
        ),
        (
            json!({"level": "public", "expires_in_seconds": 59}),
            "invalid_expiry",
        ),
        (
            json!({"level": "public", "expires_in_seconds": u64::MAX}),
            "invalid_expiry",
        ),
        (json!({"level": "public", "port": 1}), "invalid_request"),
        (json!({}), "invalid_request"),
    ] {
        let answer = stage.put(wish.clone()).await;
        assert_eq!(answer.outcome(), (400, code.to_owned()), "{wish}");
    }
    for port in ["80", "0", "65536", "03000", "+3000", "x", "%00"] {
        let path = stage.path(&format!("/ports/{port}/share"));
        let body = Some(json!({"level": "public"}).to_string().into());
        let answer = stage.ada.send("PUT", &path, body).await;
        assert_eq!(answer.outcome(), (400, "invalid_port".to_owned()), "{port}");
    }
    let links = stage.path("/ports/3000/links");
    let link = async |wish: Value| stage.ada.post(&links, &wish).await.outcome();
    let hour = json!({"expires_in_seconds": 3600});
    assert_eq!(
        link(hour.clone()).await,
        (409, "port_not_shared_by_link".to_owned())
    );
    stage.share(json!({"level": "organization"})).await;
    assert_eq!(
        link(hour.clone()).await,
        (409, "port_not_shared_by_link".to_owned())
    );
    stage.share(json!({"level": "link"})).await;
    for (wish, code) in [
        (json!({"expires_in_seconds": 59}), "invalid_expiry"),
        (
            json!({"expires_in_seconds": 30 * 86_400 + 1}),
            "invalid_expiry",
        ),
        (
            json!({"expires_in_seconds": 60, "path": "/a/../b"}),
            "invalid_path",
        ),
        (
            json!({"expires_in_seconds": 60, "path": "//evil"}),
            "invalid_path",
        ),
        (json!({}), "invalid_request"),
    ] {
        assert_eq!(link(wish.clone()).await, (400, code.to_owned()), "{wish}");
    }
    for _ in 0..20 {
        assert_eq!(link(hour.clone()).await.0, 201);
    }
    assert_eq!(link(hour).await, (409, "too_many_links".to_owned()));
}

#[tokio::test]
async fn the_site_limits_how_widely_ports_are_shared() {
    let stage = Stage::with("organization").await;
    for level in ["link", "public"] {
        let answer = stage.put(json!({"level": level})).await;
        assert_eq!(answer.outcome(), (403, "sharing_not_allowed".to_owned()));
    }
    let hour = json!({"expires_in_seconds": 3600});
    let link = stage
        .ada
        .post(&stage.path("/ports/3000/links"), &hour)
        .await;
    assert_eq!(link.outcome(), (403, "sharing_not_allowed".to_owned()));
    stage.share(json!({"level": "organization"})).await;
    let answer = stage.connect(&stage.eve, &stage.label()).await;
    let right = stage.granted(&answer).await.right;
    assert_eq!(right.level(), SharingLevel::Organization);

    // Lowered later, it holds for what is shared already.
    let mut site = stage.site;
    site.stop_web().await;
    site.config.web.sharing_maximum = "members".to_owned();
    site.start_web().await;
    let stage = Stage { site, ..stage };
    assert_eq!(
        first_state(&stage.site).await.sharing.maximum.as_deref(),
        Some("members")
    );
    let shown = &stage.sharing().await["ports"][0];
    assert_eq!(
        (&shown["level"], &shown["level_in_force"]),
        (&json!("organization"), &json!("members"))
    );
    let answer = stage.connect(&stage.eve, &stage.label()).await;
    assert_eq!(location(&answer).path(), "/request-access");

    let mut site = stage.site;
    site.stop_web().await;
    site.config.web.sharing_maximum = "owner".to_owned();
    site.start_web().await;
    let stage = Stage { site, ..stage };
    let wish = json!({"host": stage.label()});
    let answer = stage.eve.post("/api/access-requests", &wish).await;
    assert_eq!(answer.outcome(), (403, "sharing_not_allowed".to_owned()));
}

#[tokio::test]
async fn gateways_hear_of_a_change_before_it_is_answered() {
    let stage = Stage::start().await;
    let gateway = client(&stage.site);
    let response = gateway.stream("/v1/sessions?reader=gateway-1", None).await;
    let bytes = response.unwrap().into_body().into_data_stream();
    let bytes = bytes.map_err(std::io::Error::other);
    let mut lines = FramedRead::new(StreamReader::new(bytes), LinesCodec::new());
    let mut next = async || {
        loop {
            let line = in_time(lines.next()).await.unwrap().unwrap();
            match serde_json::from_str::<SessionLine>(&line).unwrap() {
                Line::Heartbeat { .. } => {}
                other => return other,
            }
        }
    };
    let Line::Snapshot { epoch, state, .. } = next().await else {
        panic!("no snapshot");
    };
    assert_eq!(state.sharing.maximum.as_deref(), Some("public"));
    assert_eq!(state.sharing.ports, []);
    let (ada, path) = (stage.ada.clone(), stage.path("/ports/3000/share"));
    let wish = json!({"level": "public"}).to_string();
    let asked = tokio::spawn(async move { ada.send("PUT", &path, Some(wish.into())).await });
    let Line::Change { seq, change } = next().await else {
        panic!("no change");
    };
    let expected = SharedPort {
        workspace: stage.id.clone(),
        port: 3000,
        level: "public".to_owned(),
        members: Vec::new(),
        expires_at: None,
        generation: Some(1),
        links: Vec::new(),
    };
    assert_eq!(change, SessionChange::Shared { port: expected });
    assert!(!asked.is_finished(), "it waits for us");
    let heard = Acknowledgement {
        reader: "gateway-1".to_owned(),
        epoch,
        seq,
    };
    let (): () = gateway
        .call(http::Method::POST, "/v1/sessions/ack", None, Some(&heard))
        .await
        .unwrap();
    assert_eq!(in_time(asked).await.unwrap().status, 200);
    let stop = stage.ada.clone();
    let path = stage.path("/ports/3000/share");
    tokio::spawn(async move { stop.delete(&path).await });
    let Line::Change { change, .. } = next().await else {
        panic!("no change");
    };
    let workspace = stage.id.clone();
    assert_eq!(
        change,
        SessionChange::Unshared {
            workspace,
            port: 3000
        }
    );
}

#[tokio::test]
async fn another_web_process_tells_its_gateways_too() {
    let stage = Stage::start().await;
    let beside = stage.site.start_beside().await;
    stage.share(json!({"level": "organization"})).await;
    let told = async {
        loop {
            let ports = first_state(&beside).await.sharing.ports;
            if ports.iter().any(|port| port.workspace == stage.id) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    in_time(told).await;
}

#[tokio::test]
async fn people_are_let_in_by_what_is_shared_and_nobody_enters_the_editor() {
    let stage = Stage::start().await;
    let (label, id) = (stage.label(), stage.id.clone());
    let led_to = async |browser: &Browser, label: &str| {
        let answer = stage.connect(browser, label).await;
        let target = location(&answer);
        (
            target.path().to_owned(),
            target.query().unwrap_or_default().to_owned(),
        )
    };
    let asks = (
        "/request-access".to_owned(),
        format!("host={label}&to=%2Fx"),
    );
    assert_eq!(led_to(&stage.eve, &label).await, asks);
    assert_eq!(
        led_to(&stage.root, &label).await,
        asks,
        "an administrator too"
    );

    stage
        .share(json!({"level": "members", "members": ["eve@example.com"]}))
        .await;
    let grant = stage
        .granted(&stage.connect(&stage.eve, &label).await)
        .await;
    assert!(matches!(grant.right, Right::Member(_)), "{grant:?}");
    assert_eq!(grant.generation.0, 1);
    assert_eq!(led_to(&stage.root, &label).await, asks);
    for level in ["organization", "link", "public"] {
        stage.share(json!({"level": level})).await;
        let grant = stage
            .granted(&stage.connect(&stage.root, &label).await)
            .await;
        assert!(matches!(grant.right, Right::Organization(_)), "{grant:?}");
        // Neither the editor nor another port.
        assert_eq!(stage.connect(&stage.eve, &id).await.status, 404, "{level}");
        let other = format!("3001-{id}");
        let asks = (
            "/request-access".to_owned(),
            format!("host={other}&to=%2Fx"),
        );
        assert_eq!(led_to(&stage.eve, &other).await, asks);
    }
    let owner = stage
        .granted(&stage.connect(&stage.ada, &label).await)
        .await;
    assert!(matches!(owner.right, Right::Owner(_)));
    assert_eq!(led_to(&stage.site.stranger(), &label).await.0, "/login");
    let entered: Vec<_> = stage
        .actions()
        .await
        .into_iter()
        .map(|(action, _)| action)
        .collect();
    assert!(entered.iter().any(|action| action == "port.connect"));
}

#[tokio::test]
async fn a_start_ends_sharing_that_was_not_to_outlive_it() {
    let stage = Stage::start().await;
    for (is_kept, path) in [(false, "/request-access"), (true, "/.kalpana/cb")] {
        stage
            .share(json!({"level": "organization", "keep_after_restart": is_kept}))
            .await;
        let orchestrator = stage.site.orchestrator();
        orchestrator
            .change(&stage.id, |row| row.generation = row.generation.next())
            .await;
        let answer = stage.connect(&stage.eve, &stage.label()).await;
        assert_eq!(location(&answer).path(), path, "kept: {is_kept}");
        let shown = &stage.sharing().await["ports"][0];
        assert_eq!(shown["is_in_force"], json!(is_kept));
    }
    // What is shared while the workspace does not run is for its next start.
    let orchestrator = stage.site.orchestrator();
    orchestrator
        .change(&stage.id, |row| {
            row.lifecycle = kalpana_domain::lifecycle::Lifecycle::Stopped;
        })
        .await;
    let share = stage.share(json!({"level": "organization"})).await;
    assert_eq!(share["is_in_force"], json!(true));
    orchestrator
        .change(&stage.id, |row| row.generation = row.generation.next())
        .await;
    orchestrator.run(&stage.id).await;
    let answer = stage.connect(&stage.eve, &stage.label()).await;
    assert_eq!(location(&answer).path(), "/.kalpana/cb");
}

#[tokio::test]
async fn a_link_leads_whoever_has_it_to_the_port_until_it_is_revoked() {
    let stage = Stage::start().await;
    stage.share(json!({"level": "link"})).await;
    let (id, secret) = stage
        .link(json!({"expires_in_seconds": 3600, "path": "/docs/"}))
        .await;
    let stored = stage.site.store.all_port_shares().await.unwrap();
    assert!(!format!("{stored:?}").contains(&secret));
    let stranger = stage.site.stranger();
    let redeem = async |secret: &str| {
        let wish = json!({"secret": secret});
        stranger.post("/api/share-links/redeem", &wish).await
    };
    let answer = redeem(&secret).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let origin = format!("https://{}.kalpana.localhost:8443", stage.label());
    assert_eq!(answer.json(), json!({"url": format!("{origin}/docs")}));
    let cookie = answer.header("set-cookie").unwrap();
    assert!(
        cookie.starts_with("__Host-ksl=ksl_") && cookie.contains("HttpOnly"),
        "{cookie}"
    );

    let carrying = stranger.with_cookie_of(&answer);
    let passed = stage.connect(&carrying, &stage.label()).await;
    let cleared = passed.header("set-cookie").unwrap();
    assert!(cleared.starts_with("__Host-ksl=;"), "{cleared}");
    let grant = stage.granted(&passed).await;
    assert_eq!(grant.right, Right::Link(id.parse().unwrap()));
    // To that port and nothing else.
    for label in [
        stage.id.clone(),
        format!("3001-{}", stage.id),
        "x".to_owned(),
    ] {
        let answer = stage.connect(&carrying, &label).await;
        assert_eq!(location(&answer).path(), "/login", "{label}");
    }
    for wrong in [
        "",
        "ksl_",
        &secret.replace("ksl_", "ks1_"),
        &format!("ksl_{}", "A".repeat(43)),
    ] {
        assert_eq!(
            redeem(wrong).await.outcome(),
            (410, "link_gone".to_owned()),
            "{wrong}"
        );
    }
    let path = stage.path(&format!("/ports/3000/links/{id}"));
    assert_eq!(stage.ada.delete(&path).await.status, 204);
    assert_eq!(
        redeem(&secret).await.outcome(),
        (410, "link_gone".to_owned())
    );
    let answer = stage.connect(&carrying, &stage.label()).await;
    assert_eq!(location(&answer).path(), "/login");
    let again = stage.ada.delete(&path).await;
    assert_eq!(again.outcome(), (404, "link_not_found".to_owned()));
    let actions = stage.actions().await;
    let about = |action: &str| actions.iter().filter(|(name, _)| name == action).count();
    assert_eq!(
        (
            about("share_link.create"),
            about("port.connect"),
            about("share_link.revoke")
        ),
        (1, 1, 1)
    );
    assert!(!actions.iter().any(|(_, subject)| subject.contains("ksl_")));
}

#[tokio::test]
async fn a_link_for_one_use_opens_the_port_for_one_of_many() {
    let stage = Stage::start().await;
    stage.share(json!({"level": "link"})).await;
    let (id, secret) = stage
        .link(json!({"expires_in_seconds": 3600, "one_use": true}))
        .await;
    let wish = json!({"secret": secret});
    let mut carrying = Vec::new();
    for _ in 0..4 {
        // Looking where it leads does not use it up.
        let answer = stage
            .site
            .stranger()
            .post("/api/share-links/redeem", &wish)
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        carrying.push(stage.site.stranger().with_cookie_of(&answer));
    }
    let label = stage.label();
    let tries = carrying
        .iter()
        .map(|browser| stage.connect(browser, &label));
    let answers = futures_util::future::join_all(tries).await;
    let passed = answers
        .iter()
        .filter(|answer| location(answer).path() == "/.kalpana/cb");
    assert_eq!(passed.count(), 1);
    let answer = stage
        .site
        .stranger()
        .post("/api/share-links/redeem", &wish)
        .await;
    assert_eq!(answer.outcome(), (410, "link_gone".to_owned()));
    // What it opened stays open: gateways still know it.
    let ports = first_state(&stage.site).await.sharing.ports;
    assert_eq!(ports[0].links[0].id, id);
    let shown = &stage.sharing().await["ports"][0]["links"][0];
    assert!(shown["used_at"].is_string(), "{shown}");
}

#[tokio::test]
async fn a_link_that_lost_its_effect_never_gets_it_back() {
    let stage = Stage::start().await;
    stage.share(json!({"level": "link"})).await;
    let (_, secret) = stage.link(json!({"expires_in_seconds": 3600})).await;
    stage.share(json!({"level": "public"})).await;
    let wish = json!({"secret": secret});
    let redeem = async || {
        stage
            .site
            .stranger()
            .post("/api/share-links/redeem", &wish)
            .await
            .status
    };
    assert_eq!(redeem().await, 200, "wider is as good");
    stage
        .share(json!({"level": "members", "members": ["eve@example.com"]}))
        .await;
    assert_eq!(redeem().await, 410);
    stage.share(json!({"level": "link"})).await;
    assert_eq!(redeem().await, 410);
}

#[tokio::test]
async fn somebody_asks_and_is_let_in_or_not() {
    let stage = Stage::start().await;
    let wish = json!({"host": stage.label()});
    let ask = async |browser: &Browser| browser.post("/api/access-requests", &wish).await;
    assert_eq!(ask(&stage.eve).await.status, 204);
    assert_eq!(ask(&stage.eve).await.status, 204, "again changes nothing");
    assert_eq!(ask(&stage.root).await.status, 204);
    assert_eq!(
        ask(&stage.ada).await.status,
        204,
        "the owner has it already"
    );
    let sharing = stage.sharing().await;
    let requests = sharing["requests"].as_array().unwrap();
    let asking: Vec<_> = requests
        .iter()
        .map(|request| &request["user"]["name"])
        .collect();
    assert_eq!(asking, ["eve", "Root"]);
    assert_eq!(sharing["ports"], json!([]), "asking shares nothing");
    let answer = |request: &Value| {
        let user = request["user"]["id"].as_str().unwrap();
        stage.path(&format!("/ports/3000/requests/{user}"))
    };
    let (eves, roots) = (answer(&requests[0]), answer(&requests[1]));
    assert_eq!(stage.ada.post(&eves, &json!({})).await.status, 204);
    assert_eq!(stage.ada.delete(&roots).await.status, 204);
    for path in [&eves, &roots] {
        let again = stage.ada.post(path, &json!({})).await;
        assert_eq!(
            again.outcome(),
            (404, "access_request_not_found".to_owned())
        );
        assert_eq!(stage.ada.delete(path).await.status, 404);
    }
    let sharing = stage.sharing().await;
    assert_eq!(sharing["requests"], json!([]));
    assert_eq!(sharing["ports"][0]["level"], "members");
    assert_eq!(sharing["ports"][0]["members"][0]["name"], "eve");
    let granted = stage
        .granted(&stage.connect(&stage.eve, &stage.label()).await)
        .await;
    assert!(matches!(granted.right, Right::Member(_)));
    let answer = stage.connect(&stage.root, &stage.label()).await;
    assert_eq!(location(&answer).path(), "/request-access");
}

#[tokio::test]
async fn asking_tells_nothing_of_what_there_is() {
    let stage = Stage::start().await;
    let ask = async |host: &str| {
        let answer = stage
            .eve
            .post("/api/access-requests", &json!({"host": host}))
            .await;
        let names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
        (answer.status, names, answer.body)
    };
    let known = ask(&stage.label()).await;
    assert_eq!(known.0, 204);
    for host in ["3000-zzzzzzzzzzzz", "65535-abcdefghij01"] {
        assert_eq!(ask(host).await, known, "{host}");
    }
    for host in [
        "",
        "x",
        &stage.id,
        "80-abcdefghij01",
        "3000-abcdefghij01.evil",
    ] {
        let answer = stage
            .eve
            .post("/api/access-requests", &json!({"host": host}))
            .await;
        assert_eq!(
            answer.outcome(),
            (400, "invalid_address".to_owned()),
            "{host}"
        );
    }
    let to_known = location(&stage.connect(&stage.eve, &stage.label()).await);
    let to_unknown = location(&stage.connect(&stage.eve, "3000-zzzzzzzzzzzz").await);
    assert_eq!(to_known.path(), to_unknown.path());
    assert_eq!(to_known.as_str().len(), to_unknown.as_str().len());
    for _ in 0..17 {
        ask("3000-zzzzzzzzzzzz").await;
    }
    let answer = stage
        .eve
        .post("/api/access-requests", &json!({"host": stage.label()}))
        .await;
    assert_eq!(answer.outcome(), (429, "too_many_requests".to_owned()));
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn people_are_found_by_part_of_their_name_or_address() {
    let stage = Stage::start().await;
    let found = async |browser: &Browser, search: &str| {
        let answer = browser.get(&format!("/api/people?search={search}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let people = answer.json()["people"].as_array().unwrap().clone();
        let names = people
            .iter()
            .map(|person| person["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(found(&stage.ada, "EV").await, ["eve"]);
    assert_eq!(
        found(&stage.ada, "example.com").await,
        ["Root", "eve"],
        "oneself left out"
    );
    assert_eq!(found(&stage.ada, "%24where").await, [""; 0]);
    for search in ["e", "", "%20%20e%20", &"x".repeat(101)] {
        let answer = stage.ada.get(&format!("/api/people?search={search}")).await;
        assert_eq!(answer.status, 400, "{search}");
    }
}

#[tokio::test]
async fn nobody_but_the_owner_sees_or_changes_sharing() {
    let stage = Stage::start().await;
    stage.share(json!({"level": "link"})).await;
    let (link, _) = stage.link(json!({"expires_in_seconds": 3600})).await;
    stage
        .eve
        .post("/api/access-requests", &json!({"host": stage.label()}))
        .await;
    let eve = stage.sharing().await["requests"][0]["user"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let before = stage.sharing().await;
    let share = json!({"level": "public"});
    let calls = [
        ("GET", "/sharing".to_owned(), None),
        ("PUT", "/ports/3000/share".to_owned(), Some(&share)),
        ("DELETE", "/ports/3000/share".to_owned(), None),
        ("POST", "/ports/3000/links".to_owned(), Some(&share)),
        ("DELETE", format!("/ports/3000/links/{link}"), None),
        ("POST", format!("/ports/3000/requests/{eve}"), None),
        ("DELETE", format!("/ports/3000/requests/{eve}"), None),
    ];
    for (method, rest, body) in calls {
        let send = async |browser: &Browser, id: &str| {
            let path = format!("/api/workspaces/{id}{rest}");
            let body = body.map(|body| body.to_string().into());
            browser.send(method, &path, body).await
        };
        let foreign = send(&stage.eve, &stage.id).await;
        let missing = send(&stage.eve, "zzzzzzzzzzzz").await;
        assert_eq!(
            foreign.outcome(),
            (404, "workspace_not_found".to_owned()),
            "{method} {rest}"
        );
        assert_eq!(foreign.anonymous(), missing.anonymous(), "{method} {rest}");
        let administrator = send(&stage.root, &stage.id).await;
        assert_eq!(
            administrator.outcome(),
            (403, "forbidden".to_owned()),
            "{method} {rest}"
        );
        let stranger = send(&stage.site.stranger(), &stage.id).await;
        assert_eq!(stranger.status, 401, "{method} {rest}");
    }
    assert_eq!(stage.sharing().await, before);
}
