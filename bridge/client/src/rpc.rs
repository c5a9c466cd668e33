//! JSON-RPC with a bridge: requests that are answered, cancelled or given up, and what the bridge
//! says unasked.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use kalpana_protocol::bridge::{
    Activity, Cancel, EnvironmentInfo, FRAME_LIMIT, IN_FLIGHT_LIMIT, Incoming, Initialize,
    Initialized, LogLine, Outgoing, Phase, RequestId, RpcError, SUBPROTOCOL, WorkSummary, method,
    notification,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::dial::Bridge;
use crate::error::{CallError, ConnectError};

/// Notifications that may wait for whoever reads them.
const NOTIFICATION_QUEUE: usize = 256;

/// How long a phase may wait for whoever reads it before the connection is given up.
const READER_DEADLINE: Duration = Duration::from_secs(10);

/// How long a message may wait for the bridge to take it.
const SEND_DEADLINE: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<UnixStream>;
type Answer = oneshot::Sender<Result<Value, RpcError>>;

/// Asks a bridge. Clones share the connection, which ends with the last of them.
#[derive(Debug, Clone)]
pub struct RpcClient {
    caller: Caller,
    initialized: Arc<Initialized>,
}

/// The asking end of a connection.
#[derive(Debug, Clone)]
struct Caller {
    commands: mpsc::UnboundedSender<Command>,
    next_id: Arc<AtomicU64>,
    /// Bounds the requests in flight and with them the commands in the queue.
    places: Arc<Semaphore>,
}

/// What a bridge says unasked. When it ends, the connection has.
///
/// Lines of the log are left out while nobody reads; phases never are.
#[derive(Debug)]
pub struct Notifications(mpsc::Receiver<Notification>);

/// Something a bridge said unasked. Not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notification {
    /// A phase began, went on or ended.
    Phase(Phase),
    /// A child of the bridge wrote a line.
    Log(LogLine),
}

#[derive(Debug)]
enum Command {
    Ask {
        id: u64,
        text: String,
        answer: Answer,
    },
    Cancel {
        id: u64,
    },
}

/// Opens the conversation on a stream that the bridge has let in.
pub(crate) async fn open(
    stream: UnixStream,
    bridge: &Bridge,
    client: &str,
) -> Result<(RpcClient, Notifications), ConnectError> {
    let protocol = |reason| ConnectError::Protocol { reason };
    let socket = handshake(stream).await.ok_or(protocol("no WebSocket"))?;
    let (commands, queue) = mpsc::unbounded_channel();
    let (sender, notifications) = mpsc::channel(NOTIFICATION_QUEUE);
    tokio::spawn(drive(socket, queue, sender));
    let caller = Caller {
        commands,
        next_id: Arc::default(),
        places: Arc::new(Semaphore::new(IN_FLIGHT_LIMIT)),
    };
    let hello = Initialize {
        protocol: SUBPROTOCOL.to_owned(),
        client: client.to_owned(),
    };
    // The caller's own deadline is the shorter one.
    let asked = caller
        .request(method::INITIALIZE, &hello, Duration::MAX)
        .await;
    let initialized: Initialized = asked.map_err(|error| match error {
        CallError::Timeout => ConnectError::Timeout,
        CallError::Rpc(_) => protocol("it refused to initialize"),
        CallError::Closed => protocol("it hung up before it initialized"),
        CallError::Answer(_) | CallError::TooLong { .. } => protocol("no answer to initialize"),
    })?;
    if initialized.protocol != SUBPROTOCOL {
        return Err(protocol("it speaks another version"));
    }
    if initialized.workspace != bridge.workspace || initialized.generation != bridge.generation {
        return Err(protocol("it serves another workspace"));
    }
    let client = RpcClient {
        caller,
        initialized: Arc::new(initialized),
    };
    Ok((client, Notifications(notifications)))
}

async fn handshake(stream: UnixStream) -> Option<Socket> {
    let mut request = "ws://bridge/".into_client_request().ok()?;
    let protocol = HeaderValue::from_static(SUBPROTOCOL);
    request
        .headers_mut()
        .insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    let config = WebSocketConfig::default()
        .max_message_size(Some(FRAME_LIMIT))
        .max_frame_size(Some(FRAME_LIMIT))
        .read_buffer_size(16 << 10)
        .write_buffer_size(0);
    let opening = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
    opening.await.ok().map(|(socket, _)| socket)
}

impl RpcClient {
    /// Returns what the bridge said about itself, the phases up to then among it.
    pub fn initialized(&self) -> &Initialized {
        &self.initialized
    }

    /// Asks what goes on in the container.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn activity(&self, limit: Duration) -> Result<Activity, CallError> {
        self.request(method::ACTIVITY, &Value::Null, limit).await
    }

    /// Asks what the container is.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn environment_info(&self, limit: Duration) -> Result<EnvironmentInfo, CallError> {
        self.request(method::ENVIRONMENT_INFO, &Value::Null, limit)
            .await
    }

    /// Asks what of the workspace's repositories exists nowhere else. That takes up to
    /// [`LONGEST_ANSWER`](kalpana_protocol::bridge::work::LONGEST_ANSWER).
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn work_summary(&self, limit: Duration) -> Result<WorkSummary, CallError> {
        self.request(method::WORK_SUMMARY, &Value::Null, limit)
            .await
    }

    /// Asks for anything. Dropping the future cancels the request.
    ///
    /// Unit of `limit`: wall-clock time until the answer; waiting for one of the
    /// [`IN_FLIGHT_LIMIT`] places counts.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn request<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &(impl Serialize + Sync),
        limit: Duration,
    ) -> Result<T, CallError> {
        self.caller.request(method, params, limit).await
    }
}

impl Caller {
    async fn request<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &(impl Serialize + Sync),
        limit: Duration,
    ) -> Result<T, CallError> {
        let params = serde_json::to_value(params).map_err(CallError::Answer)?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let text = Outgoing::request(RequestId::Number(id), method, params).to_text();
        if text.len() > FRAME_LIMIT {
            return Err(CallError::TooLong { length: text.len() });
        }
        let asking = async {
            let _place = self.places.acquire().await.map_err(|_| CallError::Closed)?;
            let (answer, answered) = oneshot::channel();
            let command = Command::Ask { id, text, answer };
            self.commands.send(command).map_err(|_| CallError::Closed)?;
            let mut guard = CancelOnDrop {
                id,
                commands: Some(&self.commands),
            };
            let outcome = answered.await;
            guard.commands = None;
            outcome
                .map_err(|_| CallError::Closed)?
                .map_err(CallError::Rpc)
        };
        let result = match tokio::time::timeout(limit, asking).await {
            Ok(outcome) => outcome?,
            Err(_) => return Err(CallError::Timeout),
        };
        serde_json::from_value(result).map_err(CallError::Answer)
    }
}

impl Notifications {
    /// Returns the next one, or `None` when the connection has ended.
    pub async fn next(&mut self) -> Option<Notification> {
        self.0.recv().await
    }
}

/// Tells the bridge to give up on a request that nobody waits for any more.
struct CancelOnDrop<'a> {
    id: u64,
    commands: Option<&'a mpsc::UnboundedSender<Command>>,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(commands) = self.commands {
            // A connection that has ended needs no telling.
            let _ = commands.send(Command::Cancel { id: self.id });
        }
    }
}

/// Carries messages until either side leaves. Unanswered requests end with it.
async fn drive(
    mut socket: Socket,
    mut commands: mpsc::UnboundedReceiver<Command>,
    notifications: mpsc::Sender<Notification>,
) {
    let mut waiting: HashMap<u64, Answer> = HashMap::new();
    loop {
        let keeps_going = tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Ask { id, text, answer }) => {
                    waiting.insert(id, answer);
                    send(&mut socket, text).await
                }
                Some(Command::Cancel { id }) if waiting.remove(&id).is_some() => {
                    send(&mut socket, cancel(id)).await
                }
                Some(Command::Cancel { .. }) => true,
                None => {
                    // The bridge may be gone, or not listen any more.
                    let _ = tokio::time::timeout(SEND_DEADLINE, socket.close(None)).await;
                    false
                }
            },
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => on_text(&text, &mut waiting, &notifications).await,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => true,
                // Binary frames were not agreed on.
                Some(Ok(Message::Binary(_) | Message::Close(_)) | Err(_)) | None => false,
            },
        };
        if !keeps_going {
            return;
        }
    }
}

async fn send(socket: &mut Socket, text: String) -> bool {
    let sending = socket.send(Message::text(text));
    matches!(
        tokio::time::timeout(SEND_DEADLINE, sending).await,
        Ok(Ok(()))
    )
}

fn cancel(id: u64) -> String {
    let params = serde_json::to_value(Cancel {
        id: RequestId::Number(id),
    });
    Outgoing::notification(method::CANCEL, params.unwrap_or_default()).to_text()
}

/// Returns whether the other side still speaks as a bridge does.
async fn on_text(
    text: &str,
    waiting: &mut HashMap<u64, Answer>,
    notifications: &mpsc::Sender<Notification>,
) -> bool {
    match Incoming::parse(text) {
        Ok(Incoming::Reply {
            id: Some(RequestId::Number(id)),
            outcome,
        }) => {
            if let Some(answer) = waiting.remove(&id) {
                // Whoever asked may have lost interest.
                let _ = answer.send(outcome);
            }
            true
        }
        // An answer to nothing of ours.
        Ok(Incoming::Reply { .. }) => true,
        Ok(Incoming::Notification { method, params }) => {
            on_notification(&method, params, notifications).await
        }
        Ok(Incoming::Request { .. }) | Err(_) => false,
    }
}

async fn on_notification(
    method: &str,
    params: Value,
    notifications: &mpsc::Sender<Notification>,
) -> bool {
    match method {
        notification::PHASE => {
            let Ok(phase) = serde_json::from_value(params) else {
                return false;
            };
            let telling = notifications.send(Notification::Phase(phase));
            // If nobody wants notifications, that is no reason to hang up.
            tokio::time::timeout(READER_DEADLINE, telling).await.is_ok()
        }
        notification::LOG => {
            let Ok(line) = serde_json::from_value(params) else {
                return false;
            };
            let _ = notifications.try_send(Notification::Log(line));
            true
        }
        // A newer bridge says more than we know.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use kalpana_protocol::bridge::{Limits, PhaseName};
    use kalpana_protocol::preamble::{Audience, ConnectKey};
    use tokio::io::AsyncWriteExt as _;
    use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn bridge() -> Bridge {
        Bridge {
            socket: "/nonexistent".into(),
            peer_uid: 0,
            workspace: "abcdefghijk1".into(),
            generation: 4,
            audience: Audience::Orchestrator,
            key: ConnectKey::from_bytes([1; 32]),
        }
    }

    fn initialized() -> Initialized {
        Initialized {
            protocol: SUBPROTOCOL.into(),
            version: "0.1.0".into(),
            workspace: "abcdefghijk1".into(),
            generation: 4,
            limits: Limits {
                frame_bytes: 1,
                requests_in_flight: 1,
            },
            methods: Vec::new(),
            phases: Vec::new(),
        }
    }

    /// Accepts the WebSocket as a bridge does.
    async fn accepted(stream: UnixStream) -> Socket {
        #[expect(clippy::result_large_err, reason = "the signature is the library's")]
        fn accept(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
            let protocol = HeaderValue::from_static(SUBPROTOCOL);
            response
                .headers_mut()
                .insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
            Ok(response)
        }
        tokio_tungstenite::accept_hdr_async(stream, accept)
            .await
            .unwrap()
    }

    async fn text(socket: &mut Socket) -> Incoming {
        let message = socket.next().await.unwrap().unwrap();
        Incoming::parse(message.to_text().unwrap()).unwrap()
    }

    async fn answer(socket: &mut Socket, result: Value) {
        let Incoming::Request { id, .. } = text(socket).await else {
            panic!("not a request")
        };
        let reply = Outgoing::reply(id, Ok(result)).to_text();
        socket.send(Message::text(reply)).await.unwrap();
    }

    /// Opens a conversation with a bridge that gives `hello` as its answer to `initialize`.
    async fn opened(hello: Value) -> (Result<(RpcClient, Notifications), ConnectError>, Socket) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let serving = tokio::spawn(async move {
            let mut socket = accepted(theirs).await;
            answer(&mut socket, hello).await;
            socket
        });
        let outcome = open(ours, &bridge(), "test 1").await;
        (outcome, serving.await.unwrap())
    }

    fn json(value: impl Serialize) -> Value {
        serde_json::to_value(value).unwrap()
    }

    #[tokio::test]
    async fn bridge_of_another_workspace_or_version_is_left() {
        for hello in [
            json(Initialized {
                workspace: "abcdefghijk2".into(),
                ..initialized()
            }),
            json(Initialized {
                generation: 5,
                ..initialized()
            }),
            json(Initialized {
                protocol: "kalpana.bridge.v2".into(),
                ..initialized()
            }),
            json("nonsense"),
        ] {
            let (outcome, mut socket) = opened(hello).await;
            assert!(
                matches!(outcome, Err(ConnectError::Protocol { .. })),
                "{outcome:?}"
            );
            // The connection is closed, not left behind.
            assert!(!matches!(socket.next().await, Some(Ok(Message::Text(_)))));
        }
    }

    #[tokio::test]
    async fn redirect_is_no_handshake() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let redirect = b"HTTP/1.1 302 Found\r\nlocation: ws://other/\r\n\r\n";
        theirs.write_all(redirect).await.unwrap();
        let outcome = open(ours, &bridge(), "test 1").await;
        assert!(
            matches!(outcome, Err(ConnectError::Protocol { .. })),
            "{outcome:?}"
        );
    }

    #[tokio::test]
    async fn request_that_nobody_waits_for_is_cancelled() {
        let (outcome, mut socket) = opened(json(initialized())).await;
        let (client, _notifications) = outcome.unwrap();
        let asked = client.environment_info(Duration::from_millis(20)).await;
        assert!(matches!(asked, Err(CallError::Timeout)), "{asked:?}");
        let Incoming::Request { id, method, .. } = text(&mut socket).await else {
            panic!()
        };
        assert_eq!(method, method::ENVIRONMENT_INFO);
        assert_eq!(
            text(&mut socket).await,
            Incoming::Notification {
                method: method::CANCEL.into(),
                params: json(Cancel { id })
            }
        );
    }

    #[tokio::test]
    async fn answers_find_their_requests_in_any_order() {
        let (outcome, mut socket) = opened(json(initialized())).await;
        let (client, _notifications) = outcome.unwrap();
        let asking = async {
            tokio::join!(
                client.request::<String>("a", &Value::Null, LIMIT),
                client.request::<String>("b", &Value::Null, LIMIT),
            )
        };
        let answering = async {
            let (first, second) = (text(&mut socket).await, text(&mut socket).await);
            for request in [second, first] {
                let Incoming::Request { id, method, .. } = request else {
                    panic!()
                };
                let reply = Outgoing::reply(id, Ok(method.into())).to_text();
                socket.send(Message::text(reply)).await.unwrap();
            }
        };
        let ((a, b), ()) = tokio::join!(asking, answering);
        assert_eq!((a.unwrap().as_str(), b.unwrap().as_str()), ("a", "b"));
    }

    #[tokio::test]
    async fn garbage_ends_the_connection_and_all_requests() {
        let garbage = [
            Message::text("garbage"),
            Message::binary(vec![1]),
            Message::text(r#"{"jsonrpc":"2.0","method":"phase","params":{"name":"other"}}"#),
            Message::text("x".repeat(FRAME_LIMIT + 1)),
        ];
        for message in garbage {
            let (outcome, mut socket) = opened(json(initialized())).await;
            let (client, mut notifications) = outcome.unwrap();
            let answering = async {
                text(&mut socket).await;
                // The other side may hang up before it has taken all of it.
                let _ = socket.send(message).await;
            };
            let (asked, ()) = tokio::join!(client.environment_info(LIMIT), answering);
            assert!(matches!(asked, Err(CallError::Closed)), "{asked:?}");
            assert_eq!(notifications.next().await, None);
        }
    }

    #[tokio::test]
    async fn flood_of_log_lines_delays_nothing() {
        let (outcome, mut socket) = opened(json(initialized())).await;
        let (client, mut notifications) = outcome.unwrap();
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        let source = kalpana_protocol::bridge::LogSource::Git;
        let line = LogLine {
            at,
            source,
            text: "x".into(),
        };
        let flood = Outgoing::notification(notification::LOG, json(line)).to_text();
        for _ in 0..4 * NOTIFICATION_QUEUE {
            socket.send(Message::text(flood.clone())).await.unwrap();
        }
        let answering = answer(&mut socket, json("done"));
        let (asked, ()) = tokio::join!(
            client.request::<String>("a", &Value::Null, LIMIT),
            answering
        );
        assert_eq!(asked.unwrap(), "done");
        let phase = Phase::done(PhaseName::Boot, at);
        let told = Outgoing::notification(notification::PHASE, json(&phase)).to_text();
        socket.send(Message::text(told)).await.unwrap();
        let mut lines = 0;
        while let Some(Notification::Log(_)) = notifications.next().await {
            lines += 1;
        }
        assert_eq!(lines, NOTIFICATION_QUEUE);
    }
}
