//! The gateway's certificates, as administrators see them and everybody else does not.

use kalpana_domain::audit::{Actor, AuditAction, AuditEvent};
use kalpana_store::PageRequest;
use serde_json::json;

use crate::support::Site;
use crate::support::gateway::{Gateway, problem};

const LIST: &str = "/api/admin/certificates";
const RENEW: &str = "/api/admin/certificates/_.kalpana.localhost/renew";
const REVOKE: &str = "/api/admin/certificates/_.kalpana.localhost/revoke";

async fn audited(site: &Site) -> Vec<AuditEvent> {
    let page = PageRequest {
        after: None,
        limit: PageRequest::LIMIT,
    };
    let mut events = site.store.audit_events(page).await.unwrap().items;
    events.retain(|event| {
        matches!(
            event.action,
            AuditAction::CertificateRenew | AuditAction::CertificateRevoke
        )
    });
    events.sort_by_key(|event| event.id);
    events
}

#[tokio::test]
async fn an_administrator_sees_what_the_gateway_says() {
    let site = Site::start().await;
    let gateway = Gateway::start(&site.site);
    let root = site.administrator().await;
    let answer = root.get(LIST).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.json(),
        json!({
            "certificates": [
                {
                    "id": "_.kalpana.localhost",
                    "names": ["*.kalpana.localhost"],
                    "source": "acme",
                    "state": "failing",
                    "served": {
                        "issuer": "R11",
                        "serial": "0a",
                        "not_before": "2026-09-01T00:00:00Z",
                        "not_after": "2026-12-01T00:00:00Z",
                        "fingerprint": "ff",
                    },
                    "next_renewal": "2026-11-02T00:00:00Z",
                    "step": "the authority looks for the record",
                    "problem": {
                        "code": "acme_caa",
                        "message": "a CAA record forbids this authority",
                        "next_step": "Add the authority to the CAA records.",
                        "at": "2026-11-01T00:00:00Z",
                        "failures": 3,
                        "retry_at": "2026-11-02T00:00:00Z",
                    },
                },
                {
                    "id": "abcdefghij01.kalpana.localhost",
                    "names": ["abcdefghij01.kalpana.localhost"],
                    "source": "acme",
                    "state": "missing",
                },
            ],
            "on_demand_left": 44,
        })
    );
    assert_eq!(audited(&site).await, [], "to look is not to change");
    gateway.stop().await;
}

#[tokio::test]
async fn a_change_is_passed_on_and_in_the_audit_log() {
    let site = Site::start().await;
    let gateway = Gateway::start(&site.site);
    let root = site.administrator().await;
    let request_id = "01938f2e-1111-7000-8000-000000000000";
    let browser = root
        .with("x-request-id", request_id)
        .with("x-forwarded-for", "198.51.100.7");
    for path in [RENEW, REVOKE] {
        let answer = browser.send("POST", path, None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["id"], "_.kalpana.localhost");
        assert_eq!(answer.json()["state"], "good");
    }
    let passed_on = |what| {
        let path = format!("POST /v1/certificates/_.kalpana.localhost/{what}?by=web");
        (path, request_id.to_owned())
    };
    assert_eq!(gateway.calls(), [passed_on("renew"), passed_on("revoke")]);
    let events = audited(&site).await;
    let [renewed, revoked] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(renewed.action.as_str(), "certificate.renew");
    assert_eq!(revoked.action.as_str(), "certificate.revoke");
    for event in &events {
        assert_eq!(event.subject, "_.kalpana.localhost");
        assert_eq!(event.address.as_deref(), Some("198.51.100.7"));
        assert_eq!(event.request_id.as_deref(), Some(request_id));
        assert!(matches!(event.actor, Actor::Session { .. }), "{event:?}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn members_and_strangers_learn_nothing_and_change_nothing() {
    let site = Site::start().await;
    let gateway = Gateway::start(&site.site);
    let root = site.administrator().await;
    let ada = site.member(&root, "ada").await;
    let weak = site.token_of(&root, &["workspace:read"]).await;
    for (method, path) in [("GET", LIST), ("POST", RENEW), ("POST", REVOKE)] {
        for (browser, expected) in [
            (&site.stranger(), (401, "unauthenticated")),
            (&ada, (403, "forbidden")),
            (&weak, (403, "insufficient_scope")),
        ] {
            let (status, code) = browser.send(method, path, None).await.outcome();
            assert_eq!((status, code.as_str()), expected, "{method} {path}");
        }
        if method == "GET" {
            continue;
        }
        // A page of a workspace has the administrator's browser ask for a change.
        let foreign = root.with("sec-fetch-site", "same-site");
        let (status, _) = foreign.send(method, path, None).await.outcome();
        assert_eq!(status, 403, "{method} {path}");
    }
    assert_eq!(gateway.calls(), []);
    assert_eq!(audited(&site).await, []);
    gateway.stop().await;
}

#[tokio::test]
async fn while_the_gateway_does_not_answer_one_is_asked_to_come_back() {
    let site = Site::start().await;
    let root = site.administrator().await;
    for (method, path) in [("GET", LIST), ("POST", RENEW), ("POST", REVOKE)] {
        let answer = root.send(method, path, None).await;
        assert_eq!(answer.outcome(), (503, "gateway_unavailable".to_owned()));
        assert_eq!(answer.header("retry-after"), Some("2"), "{method} {path}");
    }
    let gateway = Gateway::start(&site.site);
    assert_eq!(root.get(LIST).await.status, 200, "found again by itself");
    gateway.stop().await;
}

#[tokio::test]
async fn what_the_gateway_refuses_keeps_its_sentence_and_its_next_step() {
    let site = Site::start().await;
    let gateway = Gateway::start(&site.site);
    let root = site.administrator().await;
    for (status, code, expected) in [
        (404, "certificate_unknown", (404, "certificate_not_found")),
        (
            409,
            "certificate_not_acme",
            (409, "certificate_not_ordered"),
        ),
        (429, "certificate_budget", (429, "certificate_refused")),
        (502, "acme_caa", (502, "certificate_refused")),
    ] {
        gateway.refuse(status, json!(problem(code)).to_string());
        let answer = root.send("POST", RENEW, None).await;
        let (status, code) = answer.outcome();
        assert_eq!((status, code.as_str()), expected);
        let error = &answer.json()["error"];
        assert_eq!(error["message"], "A CAA record forbids this authority.");
        assert_eq!(error["hint"], "Add the authority to the CAA records.");
    }
    gateway.refuse(500, "secret /var/lib/path".to_owned());
    let answer = root.send("POST", RENEW, None).await;
    assert_eq!(answer.outcome(), (500, "internal".to_owned()));
    assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_no_name_of_a_certificate_reaches_nobody() {
    let site = Site::start().await;
    let gateway = Gateway::start(&site.site);
    let root = site.administrator().await;
    let long = "a".repeat(256);
    for id in ["..%2F..%2Fv1", "a%20b", "%00", "a%0d%0aX:1", "*.x", &long] {
        let path = format!("/api/admin/certificates/{id}/renew");
        let (status, code) = root.send("POST", &path, None).await.outcome();
        assert_eq!((status, code.as_str()), (400, "invalid_request"), "{id}");
    }
    let body = json!({"force": true});
    let answer = root.post(RENEW, &body).await;
    assert_eq!(answer.outcome(), (400, "invalid_request".to_owned()));
    assert_eq!(gateway.calls(), []);
    assert_eq!(audited(&site).await, [], "nothing was asked for");
    gateway.stop().await;
}
