//! People at work while the database is away: an editor, a WebSocket, and somebody who saves.

use std::time::Duration;

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use kalpana_tests::Browser;
use kalpana_tests::client::Socket;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

/// How often each of them does something.
const PACE: Duration = Duration::from_millis(200);

/// How long a message over the WebSocket may take there and back.
const ECHO_LIMIT: Duration = Duration::from_secs(10);

/// People at work.
pub(super) struct Busy {
    stop: CancellationToken,
    visitor: JoinHandle<anyhow::Result<Seen>>,
    talker: JoinHandle<anyhow::Result<Seen>>,
    writer: JoinHandle<anyhow::Result<Vec<String>>>,
}

/// How often something went well, and what went wrong.
#[derive(Debug, Default)]
struct Seen {
    successes: usize,
    failures: Vec<String>,
}

/// What became of it all.
pub(super) struct Done {
    requests: Seen,
    messages: Seen,
    /// Names of the tokens whose creation was acknowledged.
    pub(super) acknowledged: Vec<String>,
}

impl Busy {
    /// Opens an editor and a WebSocket to the echo server of a workspace, and starts to save.
    pub(super) async fn start(browser: &Browser, workspace: &str) -> anyhow::Result<Self> {
        let editor = format!("{}/", browser.origin(workspace));
        let (url, page) = browser.navigate(&editor).await?;
        anyhow::ensure!(page.body.contains("workbench"), "{url}: {}", page.body);
        let port = browser.origin(&format!("3000-{workspace}"));
        let (url, page) = browser.navigate(&format!("{port}/")).await?;
        anyhow::ensure!(page.status == 200, "{url}: {page:?}");
        let mut socket = browser
            .websocket(&format!("{port}/ws"), Some(&port))
            .await?;
        socket.next().await.context("what it heard")??;
        let stop = CancellationToken::new();
        let visit = visit(browser.clone(), editor, format!("{port}/"), stop.clone());
        Ok(Self {
            visitor: tokio::spawn(visit),
            talker: tokio::spawn(talk(socket, stop.clone())),
            writer: tokio::spawn(write(browser.clone(), stop.clone())),
            stop,
        })
    }

    /// Lets everybody finish what they are at.
    pub(super) async fn stop(self) -> anyhow::Result<Done> {
        self.stop.cancel();
        Ok(Done {
            requests: self.visitor.await??,
            messages: self.talker.await??,
            acknowledged: self.writer.await??,
        })
    }
}

impl Done {
    /// Demands that whoever had a way into their workspace never noticed anything.
    pub(super) fn demand_no_failure(&self) {
        for (what, seen) in [("requests", &self.requests), ("messages", &self.messages)] {
            assert!(seen.successes > 0, "{what}");
            assert_eq!(seen.failures, Vec::<String>::new(), "{what}: {seen:?}");
        }
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} requests to workspaces, {} failures; {} messages over one WebSocket, {} failures; \
             {} writes acknowledged",
            self.requests.successes,
            self.requests.failures.len(),
            self.messages.successes,
            self.messages.failures.len(),
            self.acknowledged.len(),
        )
    }
}

/// Uses the editor and a port, over established routes.
async fn visit(
    browser: Browser,
    editor: String,
    port: String,
    stop: CancellationToken,
) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut pace = tokio::time::interval(PACE);
    while !stop.is_cancelled() {
        pace.tick().await;
        for url in [&editor, &port] {
            match browser.navigate_once(url).await {
                // An editor without a folder sends its visitors to the one it knows.
                Ok(answer) if matches!(answer.status, 200 | 302) => seen.successes += 1,
                Ok(answer) => seen.failures.push(format!("{url}: {answer:?}")),
                Err(error) => seen.failures.push(format!("{url}: {error:#}")),
            }
        }
    }
    Ok(seen)
}

/// Sends messages over one WebSocket and hears each come back.
async fn talk(mut socket: Socket, stop: CancellationToken) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut pace = tokio::time::interval(PACE);
    while !stop.is_cancelled() && seen.failures.is_empty() {
        pace.tick().await;
        let text = format!("message {}", seen.successes);
        match tokio::time::timeout(ECHO_LIMIT, echo(&mut socket, &text)).await {
            Ok(Ok(answer)) if answer == text => seen.successes += 1,
            other => seen.failures.push(format!("{text}: {other:?}")),
        }
    }
    Ok(seen)
}

async fn echo(socket: &mut Socket, text: &str) -> anyhow::Result<String> {
    socket.send(Message::text(text)).await?;
    let answer = socket.next().await.context("the socket is open")??;
    Ok(answer.into_text()?.to_string())
}

/// Makes tokens all the time, and notes those that were acknowledged.
async fn write(browser: Browser, stop: CancellationToken) -> anyhow::Result<Vec<String>> {
    let mut acknowledged = Vec::new();
    let mut pace = tokio::time::interval(PACE);
    for number in 0.. {
        if stop.is_cancelled() {
            break;
        }
        pace.tick().await;
        let name = format!("token {number}");
        let body = json!({ "name": name, "scopes": ["workspace:read"] });
        let answer = browser.post("/api/tokens", &body).await?;
        match answer.status {
            201 => acknowledged.push(name),
            503 => {
                let wait = answer.header("retry-after");
                anyhow::ensure!(wait.is_some(), "a write put off for no time: {answer:?}");
            }
            status => anyhow::bail!("a write was answered with {status}: {}", answer.body),
        }
    }
    Ok(acknowledged)
}
