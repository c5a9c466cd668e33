//! JSON-RPC over a WebSocket, for one client.

mod methods;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use kalpana_protocol::bridge::{
    Cancel, FRAME_LIMIT, IN_FLIGHT_LIMIT, Incoming, Initialize, Outgoing, RequestId, RpcError,
    SUBPROTOCOL, method,
};
use serde::Deserialize as _;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::sync::broadcast;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Shared;

/// How long the WebSocket handshake may take.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);

/// How long a client may leave a message untaken.
const SEND_DEADLINE: Duration = Duration::from_secs(10);

/// Serves one client until it leaves or misbehaves.
pub(super) async fn serve(shared: &Arc<Shared>, stream: UnixStream) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(FRAME_LIMIT))
        .max_frame_size(Some(FRAME_LIMIT))
        .read_buffer_size(16 << 10)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * FRAME_LIMIT);
    let accepting = tokio_tungstenite::accept_hdr_async_with_config(stream, accept, Some(config));
    let Ok(Ok(socket)) = tokio::time::timeout(HANDSHAKE_DEADLINE, accepting).await else {
        return;
    };
    let mut connection = Connection {
        shared: Arc::clone(shared),
        socket,
        notifications: None,
        calls: JoinSet::new(),
        in_flight: HashMap::new(),
    };
    if let Err(End::Because(code, reason)) = connection.run().await {
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        let closing = connection.socket.close(Some(frame));
        // The client may be gone, or not listen any more.
        let _ = tokio::time::timeout(SEND_DEADLINE, closing).await;
    }
}

/// Admits programs that speak our protocol, and no browser: only those send an origin.
#[expect(clippy::result_large_err, reason = "the signature is the library's")]
fn accept(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let refuse = |status, reason: &str| {
        let mut response = ErrorResponse::new(Some(reason.to_owned()));
        *response.status_mut() = status;
        Err(response)
    };
    if request.headers().contains_key(header::ORIGIN) {
        return refuse(StatusCode::FORBIDDEN, "browsers are not served here");
    }
    let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let is_ours = offered
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|name| name.trim() == SUBPROTOCOL));
    if !is_ours {
        return refuse(
            StatusCode::BAD_REQUEST,
            "expected the subprotocol kalpana.bridge.v1",
        );
    }
    response.headers_mut().insert(
        header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(SUBPROTOCOL),
    );
    Ok(response)
}

/// Why a connection ends.
enum End {
    /// The client left, or cannot be reached any more.
    Gone,
    /// The client is told why.
    Because(CloseCode, &'static str),
}

struct Connection {
    shared: Arc<Shared>,
    socket: WebSocketStream<UnixStream>,
    /// What the client is told unasked, once it has introduced itself.
    notifications: Option<broadcast::Receiver<Arc<str>>>,
    calls: JoinSet<Result<Value, RpcError>>,
    in_flight: HashMap<Id, (RequestId, AbortHandle)>,
}

impl Connection {
    async fn run(&mut self) -> Result<(), End> {
        loop {
            tokio::select! {
                message = self.socket.next() => match message {
                    Some(Ok(Message::Text(text))) => self.on_text(&text).await?,
                    Some(Ok(Message::Binary(_))) => {
                        return Err(End::Because(CloseCode::Unsupported, "binary frames were not agreed on"));
                    }
                    // The library answers pings and closes by itself.
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                    Some(Ok(Message::Close(_))) | None => return Err(End::Gone),
                    Some(Err(Error::Capacity(_))) => {
                        return Err(End::Because(CloseCode::Size, "the frame is too long"));
                    }
                    Some(Err(_)) => return Err(End::Because(CloseCode::Protocol, "not a WebSocket frame")),
                },
                notification = next(&mut self.notifications) => match notification {
                    Ok(text) => self.send(Message::text(&*text)).await?,
                    Err(_) => return Err(End::Because(CloseCode::Policy, "the client reads too slowly")),
                },
                Some(finished) = self.calls.join_next_with_id() => self.on_finished(finished).await?,
            }
        }
    }

    async fn on_text(&mut self, text: &str) -> Result<(), End> {
        match Incoming::parse(text) {
            Ok(Incoming::Request { id, method, params }) => {
                self.on_request(id, &method, params).await
            }
            Ok(Incoming::Notification { method, params }) => {
                if method == method::CANCEL
                    && let Ok(Cancel { id }) = Cancel::deserialize(params)
                    && let Some((_, call)) = self.in_flight.values().find(|(known, _)| *known == id)
                {
                    call.abort();
                }
                Ok(())
            }
            // We ask nothing, so that there is nothing to answer.
            Ok(Incoming::Reply { .. }) => Ok(()),
            Err((id, error)) => self.reply(Outgoing::failure(id, error)).await,
        }
    }

    async fn on_request(&mut self, id: RequestId, method: &str, params: Value) -> Result<(), End> {
        let outcome = if method == method::INITIALIZE {
            self.initialize(params)
        } else if self.notifications.is_none() {
            Err(RpcError::new(
                RpcError::NOT_INITIALIZED,
                "initialize must come first",
            ))
        } else if self.in_flight.values().any(|(known, _)| *known == id) {
            Err(RpcError::invalid_request(
                "a request with this id is still in flight",
            ))
        } else if self.in_flight.len() >= IN_FLIGHT_LIMIT {
            Err(RpcError::new(
                RpcError::OVERLOADED,
                "too many requests in flight",
            ))
        } else if let Some(call) = methods::find(method) {
            let call = self.calls.spawn(call(Arc::clone(&self.shared), params));
            self.in_flight.insert(call.id(), (id, call));
            return Ok(());
        } else {
            Err(RpcError::new(RpcError::METHOD_NOT_FOUND, "no such method"))
        };
        self.reply(Outgoing::reply(id, outcome)).await
    }

    fn initialize(&mut self, params: Value) -> Result<Value, RpcError> {
        if self.notifications.is_some() {
            return Err(RpcError::invalid_request("initialize was done already"));
        }
        let Initialize { protocol, client } = Initialize::deserialize(params)
            .map_err(|_| RpcError::new(RpcError::INVALID_PARAMS, "expected protocol and client"))?;
        if protocol != SUBPROTOCOL {
            let mut error =
                RpcError::new(RpcError::INVALID_PARAMS, "another protocol is spoken here");
            error.data = Some(serde_json::json!({ "protocol": SUBPROTOCOL }));
            return Err(error);
        }
        let (phases, notifications) = self.shared.events.follow();
        self.notifications = Some(notifications);
        methods::initialized(&self.shared, &client, phases)
    }

    async fn on_finished(
        &mut self,
        finished: Result<(Id, Result<Value, RpcError>), JoinError>,
    ) -> Result<(), End> {
        let (task, outcome) = match finished {
            Ok((task, outcome)) => (task, outcome),
            Err(error) if error.is_cancelled() => (
                error.id(),
                Err(RpcError::new(RpcError::CANCELLED, "cancelled")),
            ),
            Err(error) => (
                error.id(),
                Err(RpcError::new(RpcError::INTERNAL_ERROR, "the method failed")),
            ),
        };
        match self.in_flight.remove(&task) {
            Some((id, _)) => self.reply(Outgoing::reply(id, outcome)).await,
            None => Ok(()),
        }
    }

    async fn reply(&mut self, message: Outgoing) -> Result<(), End> {
        self.send(Message::text(message.to_text())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match tokio::time::timeout(SEND_DEADLINE, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }
}

async fn next(
    notifications: &mut Option<broadcast::Receiver<Arc<str>>>,
) -> Result<Arc<str>, broadcast::error::RecvError> {
    match notifications {
        Some(notifications) => notifications.recv().await,
        None => std::future::pending().await,
    }
}
