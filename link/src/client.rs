//! Calls another of our processes over its Unix socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::REQUEST_ID_HEADER;
use crate::peer::{InternalToken, PeerPolicy};

/// Largest answer read into memory, in bytes.
const ANSWER_LIMIT: usize = 16 << 20;

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The process is not there, or did not answer in time.
    #[error("{peer} is not available")]
    Unavailable {
        /// The process's name.
        peer: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answered with an error status.
    #[error("{peer} refused: {status}")]
    Refused {
        /// The process's name.
        peer: &'static str,
        /// The status.
        status: StatusCode,
        /// The body, which internal APIs fill with their error type.
        body: Bytes,
    },
    /// Its answer is not what it should be.
    #[error("{peer} gave an unreadable answer")]
    Unreadable {
        /// The process's name.
        peer: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Calls one process. Cheap to clone; every call opens its own connection, so that a restarted
/// process is found again by itself.
#[derive(Debug, Clone)]
pub struct Client {
    peer: &'static str,
    socket: PathBuf,
    token: Option<InternalToken>,
    timeout: Duration,
}

impl Client {
    /// Makes a client for the process `peer` (its name, for messages) behind `socket`.
    pub fn new(
        peer: &'static str,
        socket: impl Into<PathBuf>,
        token: Option<InternalToken>,
    ) -> Self {
        Self {
            peer,
            socket: socket.into(),
            token,
            timeout: Duration::from_secs(10),
        }
    }

    /// Returns the client with another deadline for calls (default: 10 s). For streams it bounds
    /// the wait for the answer's head only.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Returns the socket called.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Calls with a JSON body, or none, and reads a JSON answer. `()` reads an empty answer.
    ///
    /// # Errors
    /// [`CallError`], of any kind.
    pub async fn call<Answer: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        request_id: Option<&str>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Answer, CallError> {
        let exchange = async {
            let response = self.send(method, path, request_id, body).await?;
            let status = response.status();
            let bytes = Limited::new(response.into_body(), ANSWER_LIMIT)
                .collect()
                .await
                .map_err(|source| self.unavailable(source))?
                .to_bytes();
            if !status.is_success() {
                return Err(CallError::Refused {
                    peer: self.peer,
                    status,
                    body: bytes,
                });
            }
            let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
            serde_json::from_slice(text).map_err(|source| CallError::Unreadable {
                peer: self.peer,
                source: source.into(),
            })
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(self.unavailable(elapsed)),
        }
    }

    /// Calls without a body and hands out the answer's body as a stream.
    ///
    /// # Errors
    /// [`CallError`], of any kind.
    pub async fn stream(
        &self,
        path: &str,
        request_id: Option<&str>,
    ) -> Result<Response<Incoming>, CallError> {
        self.open(Method::GET, path, request_id, None::<&()>).await
    }

    /// Calls and hands out the answer's body as a stream.
    ///
    /// # Errors
    /// [`CallError`], of any kind.
    pub async fn open(
        &self,
        method: Method,
        path: &str,
        request_id: Option<&str>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Response<Incoming>, CallError> {
        let exchange = self.send(method, path, request_id, body);
        let response = match tokio::time::timeout(self.timeout, exchange).await {
            Ok(response) => response?,
            Err(elapsed) => return Err(self.unavailable(elapsed)),
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_LIMIT);
        let body = match tokio::time::timeout(self.timeout, body.collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            _ => Bytes::new(),
        };
        Err(CallError::Refused {
            peer: self.peer,
            status,
            body,
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        request_id: Option<&str>,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Response<Incoming>, CallError> {
        let unreadable = |source: Box<dyn std::error::Error + Send + Sync>| CallError::Unreadable {
            peer: self.peer,
            source,
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "internal")
            .header(http::header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(PeerPolicy::HEADER, format!("Bearer {}", token.expose()));
        }
        if let Some(id) = request_id {
            request = request.header(REQUEST_ID_HEADER, id);
        }
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(|error| unreadable(error.into()))?,
            None => Vec::new(),
        };
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| unreadable(error.into()))?;
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| self.unavailable(source))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|source| self.unavailable(source))?;
        // Ends by itself when the answer's body is read or dropped.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an internal call's connection ended early: {error}");
            }
        });
        sender
            .send_request(request)
            .await
            .map_err(|source| self.unavailable(source))
    }

    pub(crate) fn unavailable(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> CallError {
        CallError::Unavailable {
            peer: self.peer,
            source: source.into(),
        }
    }

    pub(crate) fn peer(&self) -> &'static str {
        self.peer
    }
}
