//! Asks a workspace for a WebSocket, and reads what it says to that.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use pingora_http::{RequestHeader, ResponseHeader};
use tokio::net::UnixStream;

use crate::headers;

/// Longest wait for the answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Most header fields of an answer.
const FIELD_LIMIT: usize = 256;

/// What a workspace says to an upgrade.
#[derive(Debug)]
pub(super) enum Answer {
    /// It agrees, and may have gone on to speak.
    Switched(ResponseHeader, UnixStream, Bytes),
    /// It answers as to any other request.
    Declined(ResponseHeader, Incoming),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// None came in time.
    #[error("no answer to the upgrade within {} s", ANSWER_LIMIT.as_secs())]
    Timeout,
    /// What came was not HTTP, or was not an answer to this.
    #[error("the answer to the upgrade cannot be used: {0}")]
    Unusable(&'static str),
    /// The connection failed.
    #[error("the connection failed during the upgrade: {0}")]
    Failed(#[from] hyper::Error),
}

/// Sends `head`, which [`headers::to_workspace`] has rewritten, and waits for the answer.
pub(super) async fn open(stream: UnixStream, head: &RequestHeader) -> Result<Answer, OpenError> {
    tokio::time::timeout(ANSWER_LIMIT, ask(stream, head))
        .await
        .map_err(|_| OpenError::Timeout)?
}

async fn ask(stream: UnixStream, head: &RequestHeader) -> Result<Answer, OpenError> {
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = head.uri.clone();
    *request.headers_mut() = head.headers.clone();
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));

    let (mut sender, connection) = http1::Builder::new()
        .max_headers(FIELD_LIMIT)
        .title_case_headers(true)
        .handshake(TokioIo::new(stream))
        .await?;
    let mut connection = Box::pin(connection.with_upgrades());
    let mut sending = Box::pin(sender.send_request(request));
    let mut is_over = false;
    let mut response = loop {
        tokio::select! {
            biased;
            response = &mut sending => break response?,
            // It has read the answer to the end when it ends, and the answer is there.
            ended = &mut connection, if !is_over => {
                ended?;
                is_over = true;
            }
        }
    };
    let head = to_header(&response)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        // Ends by itself once the body was read or dropped.
        if !is_over {
            tokio::spawn(connection);
        }
        return Ok(Answer::Declined(head, response.into_body()));
    }
    let is_websocket = response
        .headers()
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !is_websocket {
        return Err(OpenError::Unusable("it switched to another protocol"));
    }
    let upgraded = hyper::upgrade::on(&mut response);
    if !is_over {
        connection.await?;
    }
    let parts = upgraded
        .await?
        .downcast::<TokioIo<UnixStream>>()
        .map_err(|_| OpenError::Unusable("it is another stream"))?;
    let (stream, early) = (parts.io.into_inner(), parts.read_buf);
    Ok(Answer::Switched(head, stream, early))
}

fn to_header(response: &http::Response<Incoming>) -> Result<ResponseHeader, OpenError> {
    let unusable = |_| OpenError::Unusable("its head cannot be passed on");
    let mut head = ResponseHeader::build(response.status(), Some(response.headers().len()))
        .map_err(unusable)?;
    for (name, value) in response.headers() {
        head.append_header(name.clone(), value.clone())
            .map_err(unusable)?;
    }
    headers::strip_hop_by_hop_of_answer(&mut head);
    Ok(head)
}
