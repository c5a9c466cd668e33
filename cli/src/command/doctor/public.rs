//! Whether visitors reach this site, and whether a WebSocket of theirs does.
//!
//! Nothing secret is sent, so whoever answers is taken; `certificates` says whether browsers would.

use std::time::Duration;

use kalpana_config::{Config, Site};
use reqwest::{Client, Response};
use serde_json::Value;

use super::verdict::Verdict;
use crate::command::certs::check::judge::Finding;
use crate::command::certs::check::made_up_host;
use crate::command::certs::check::probe::resolve;

const URL: &str = "public_url";
const WEBSOCKET: &str = "websocket";

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(8);

/// Largest answer that is looked at. Unit: bytes.
const ANSWER_LIMIT: usize = 64 << 10;

/// What was answered.
#[derive(Debug, Clone, Default, PartialEq)]
struct Answered {
    status: u16,
    /// Who says to have answered, if anybody does.
    server: Option<String>,
    /// Whether it has the id that our gateway gives to every request.
    has_request_id: bool,
    body: Value,
}

/// Asks for what anybody may know of the site.
pub(super) async fn look(site: &Site) -> Vec<Verdict> {
    let answered = ask(&site.domain, site.port, "/api/site", &[]).await;
    vec![judge_url(site, answered)]
}

/// Asks for a WebSocket to a made-up workspace, which only our gateway refuses as it does.
pub(super) async fn look_at_websocket(config: &Config, site: &Site) -> Vec<Verdict> {
    let Some(host) = made_up_host(config, site) else {
        return vec![Verdict::skipped(
            WEBSOCKET,
            "no_wildcard",
            "each workspace has a certificate of its own, and a made-up one has none",
            "Open a workspace: its editor connects by a WebSocket.",
        )];
    };
    // As a navigation, which the gateway sends to the sign-in page, unless it sees that a
    // WebSocket is asked for.
    let headers = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "ZG9jdG9yIGxvb2tzIGF0IA=="),
        ("sec-fetch-mode", "navigate"),
    ];
    let answered = ask(&host, site.port, "/", &headers).await;
    vec![judge_websocket(answered)]
}

async fn ask(
    host: &str,
    port: u16,
    path: &str,
    headers: &[(&'static str, &'static str)],
) -> Result<Answered, Finding> {
    let addresses = resolve(host, port).await?;
    let unreachable = |error: reqwest::Error| {
        let mut why = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            why = format!("{why}: {cause}");
            source = cause.source();
        }
        Finding::new(
            "unreachable",
            why,
            "Is Kalpana running? A firewall, or a router that does not lead back to this machine, \
             may be in the way.",
        )
    };
    let client = Client::builder()
        .no_proxy()
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .tls_danger_accept_invalid_certs(true)
        .resolve_to_addrs(host, &addresses)
        .timeout(LIMIT)
        .build()
        .map_err(unreachable)?;
    let mut request = client.get(format!("https://{host}:{port}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.map_err(unreachable)?;
    Ok(read(answer).await)
}

async fn read(mut answer: Response) -> Answered {
    let header = |name: &str| answer.headers().get(name).cloned();
    let server = header("server").map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned());
    let has_request_id = header("x-request-id").is_some();
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    if status != 101 {
        while let Ok(Some(part)) = answer.chunk().await {
            body.extend_from_slice(&part);
            if body.len() > ANSWER_LIMIT {
                break;
            }
        }
    }
    Answered {
        status,
        server,
        has_request_id,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    }
}

fn who(answered: &Answered) -> String {
    let server = answered.server.as_deref();
    let server = server.map_or(String::new(), |name| format!(" by {name}"));
    format!("status {}{server}", answered.status)
}

fn judge_url(site: &Site, answered: Result<Answered, Finding>) -> Verdict {
    let url = format!("{}/api/site", site.base_url());
    let answered = match answered {
        Ok(answered) => answered,
        Err(finding) => {
            let message = format!("{url} cannot be reached: {}", finding.message);
            return Verdict::failed(URL, finding.code, message, finding.fix);
        }
    };
    match (answered.status, answered.body["base_url"].as_str()) {
        (200, Some(base_url)) if base_url == site.base_url() => {
            Verdict::ok(URL, format!("{url} is answered by this site"))
        }
        (200, Some(base_url)) => Verdict::failed(
            URL,
            "public_url_other_site",
            format!("{url} is answered by the site {base_url}"),
            "Correct the DNS record, or server.domain and server.public_port.",
        ),
        (500.., _) if answered.has_request_id => Verdict::failed(
            URL,
            "control_plane_away",
            format!(
                "{url} reaches the gateway, which gets no answer from web ({})",
                who(&answered)
            ),
            "See what is said of the role of web and of the store.",
        ),
        _ => Verdict::failed(
            URL,
            "public_url_foreign",
            format!("{url} is answered by somebody else ({})", who(&answered)),
            "Another program has the port, or a proxy in between answers by itself: let it pass \
             everything on, Host header included.",
        ),
    }
}

fn judge_websocket(answered: Result<Answered, Finding>) -> Verdict {
    let answered = match answered {
        Ok(answered) => answered,
        Err(finding) => {
            let message = format!("no workspace's host can be reached: {}", finding.message);
            return Verdict::failed(WEBSOCKET, finding.code, message, finding.fix);
        }
    };
    match answered.status {
        // Whoever has no session may open none: the gateway has seen what was asked for.
        401 if answered.has_request_id => Verdict::ok(
            WEBSOCKET,
            "requests for WebSockets reach the gateway as they are",
        ),
        303 if answered.has_request_id => Verdict::failed(
            WEBSOCKET,
            "websocket_upgrade_lost",
            "a request for a WebSocket reaches the gateway as a plain one: something in between \
             takes its Upgrade header away",
            "Let the proxy pass on Upgrade and Connection. In nginx: proxy_http_version 1.1; \
             proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";",
        ),
        503 if answered.has_request_id => Verdict::failed(
            WEBSOCKET,
            "gateway_not_ready",
            "the gateway has not heard all routes and ended sessions yet",
            "See what is said of web and of the orchestrator; right after a start, wait a moment.",
        ),
        _ if answered.has_request_id => Verdict::failed(
            WEBSOCKET,
            "websocket_refused",
            format!(
                "the gateway does not take a workspace's host for one ({})",
                who(&answered)
            ),
            "Let the proxy in between pass the Host header on as it came. In nginx: \
             proxy_set_header Host $http_host;",
        ),
        _ => Verdict::failed(
            WEBSOCKET,
            "websocket_swallowed",
            format!(
                "somebody else answers a request for a WebSocket ({})",
                who(&answered)
            ),
            "Let whatever is in between pass the hosts of workspaces on, WebSockets included.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answered(status: u16, has_request_id: bool, body: Value) -> Result<Answered, Finding> {
        Ok(Answered {
            status,
            server: Some("nginx".to_owned()),
            has_request_id,
            body,
        })
    }

    #[test]
    fn only_this_site_answers_as_this_site() {
        let mut config = Config::default();
        config.server.data_dir = Some("/d".into());
        let site = Site::resolve(&config, false, None).expect("resolved");
        let judge = |status, is_ours, body| judge_url(&site, answered(status, is_ours, body));
        let own = json!({ "base_url": site.base_url() });
        assert_eq!(judge(200, true, own).code, None);
        let other = json!({ "base_url": "https://other.example" });
        assert!(judge(200, true, other).is("public_url_other_site"));
        assert!(judge(503, true, Value::Null).is("control_plane_away"));
        let foreign = judge(502, false, Value::Null);
        assert!(foreign.is("public_url_foreign") && foreign.message.contains("nginx"));
        let nobody = Err(Finding::new("unreachable", "refused".to_owned(), "f"));
        assert!(judge_url(&site, nobody).is("unreachable"));
    }

    #[test]
    fn a_websocket_that_is_swallowed_is_told_from_one_that_is_refused() {
        let judge = |status, is_ours| judge_websocket(answered(status, is_ours, Value::Null));
        assert_eq!(judge(401, true).code, None);
        assert!(judge(401, false).is("websocket_swallowed"));
        assert!(judge(303, true).is("websocket_upgrade_lost"));
        assert!(judge(503, true).is("gateway_not_ready"));
        assert!(judge(421, true).is("websocket_refused"));
        assert!(judge(200, false).is("websocket_swallowed"));
    }
}
