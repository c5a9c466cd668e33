//! What happened to certificates is in the audit log once, whoever tells it how often.

use http::{Method, StatusCode};
use kalpana_domain::audit::{Actor, AuditEvent};
use kalpana_domain::clock::{Clock, SystemClock};
use kalpana_domain::id::AuditId;
use kalpana_link::{CallError, Client};
use kalpana_protocol::certificates::{HAPPENED_PATH, Happened, Happening};
use kalpana_store::PageRequest;
use kalpana_test_mongodb::Database;

use crate::support::Site;

fn happened(what: Happening, detail: Option<&str>) -> Happened {
    Happened {
        id: AuditId::generate().to_string(),
        at: SystemClock.now(),
        what,
        certificate: "_.example.test".to_owned(),
        detail: detail.map(ToOwned::to_owned),
    }
}

fn client(site: &Site) -> Client {
    let token = Some(site.token.clone());
    Client::new("web", site.site.web_internal_socket(), token)
}

async fn tell(client: &Client, happened: &Happened) -> Result<(), StatusCode> {
    match client
        .call(Method::POST, HAPPENED_PATH, None, Some(happened))
        .await
    {
        Ok(()) => Ok(()),
        Err(CallError::Refused { status, .. }) => Err(status),
        Err(error) => panic!("{error}"),
    }
}

/// Returns what the log has of certificates, the earliest first.
async fn audited(site: &Site) -> Vec<AuditEvent> {
    let page = PageRequest {
        after: None,
        limit: PageRequest::LIMIT,
    };
    let mut events = site.store.audit_events(page).await.expect("read").items;
    events.retain(|event| event.action.as_str().starts_with("certificate."));
    events.reverse();
    events
}

async fn what_happened_is_kept_once(site: &Site) {
    let client = client(site);
    let all = [
        (Happening::OrderAsked, None, "certificate.order"),
        (Happening::RenewalAsked, None, "certificate.renew"),
        (Happening::RevocationAsked, None, "certificate.revoke"),
        (Happening::Replaced, Some("03af"), "certificate.replace"),
        (Happening::Revoked, Some("03af"), "certificate.void"),
        (Happening::Failed, Some("acme_caa"), "certificate.fail"),
        (Happening::Ending, Some("2026-12-24"), "certificate.end"),
    ];
    for (index, (what, detail, action)) in all.into_iter().enumerate() {
        let event = happened(what, detail);
        for _ in 0..3 {
            assert_eq!(tell(&client, &event).await, Ok(()));
        }
        let audited = audited(site).await;
        assert_eq!(audited.len(), index + 1, "{what:?}");
        let last = audited.last().expect("an event");
        assert_eq!(last.action.as_str(), action);
        let actor = match detail {
            None => Actor::Console,
            Some(_) => Actor::System,
        };
        assert_eq!(last.actor, actor);
        let detail = detail.map_or(String::new(), |detail| format!(" {detail}"));
        assert_eq!(last.subject, format!("_.example.test{detail}"));
        assert_eq!(last.id.to_string(), event.id);
    }
}

#[tokio::test]
async fn what_happened_to_certificates_is_kept_once_in_sqlite() {
    what_happened_is_kept_once(&Site::start().await).await;
}

#[tokio::test]
async fn what_happened_to_certificates_is_kept_once_in_mongodb() {
    let database = Database::fresh().await.expect("a MongoDB server");
    what_happened_is_kept_once(&Site::start_on(&database).await).await;
}

#[tokio::test]
async fn what_is_no_event_is_refused_and_so_is_who_has_no_token() {
    let site = Site::start().await;
    let told = client(&site);
    let event = happened(Happening::Replaced, Some("03af"));
    for wrong in [
        Happened {
            id: "1".to_owned(),
            ..event.clone()
        },
        Happened {
            certificate: "a\nb".to_owned(),
            ..event.clone()
        },
        Happened {
            detail: Some("x".repeat(2000)),
            ..event.clone()
        },
    ] {
        let refused = tell(&told, &wrong).await;
        assert_eq!(refused, Err(StatusCode::BAD_REQUEST), "{wrong:?}");
    }
    let stranger = Client::new("web", site.site.web_internal_socket(), None);
    let refused = tell(&stranger, &event).await;
    assert_eq!(refused, Err(StatusCode::UNAUTHORIZED));
    assert_eq!(audited(&site).await, []);
}
