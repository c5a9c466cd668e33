//! Speaks HTTP to the web service as the gateway does: over its socket, with the internal token.

use std::path::PathBuf;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use kalpana_link::{InternalToken, PeerPolicy};
use serde_json::Value;
use tokio::net::UnixStream;

use super::in_time;

/// Somebody's browser, or a program with a token.
#[derive(Debug, Clone)]
pub(crate) struct Browser {
    socket: PathBuf,
    host: String,
    internal: String,
    pub(crate) headers: HeaderMap,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Returns the error's code.
    pub(crate) fn code(&self) -> String {
        let json = self.json();
        let error = &json["error"];
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| text.ends_with('.')),
            "{self:?}"
        );
        assert_eq!(
            error["request_id"].as_str(),
            self.header("x-request-id"),
            "{self:?}"
        );
        error["code"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns status and error code, or `-` for a success.
    pub(crate) fn outcome(&self) -> (u16, String) {
        let code = if self.status < 400 {
            "-".to_owned()
        } else {
            self.code()
        };
        (self.status, code)
    }

    /// Returns what is said of an error, but for the request's id.
    pub(crate) fn anonymous(&self) -> Value {
        let mut json = self.json();
        json["error"].as_object_mut().unwrap().remove("request_id");
        json
    }
}

impl Browser {
    pub(crate) fn new(socket: PathBuf, origin: &str, token: &InternalToken) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
        headers.insert("sec-fetch-mode", HeaderValue::from_static("cors"));
        Self {
            socket,
            host: origin.trim_start_matches("https://").to_owned(),
            internal: format!("Bearer {}", token.expose()),
            headers,
        }
    }

    /// Returns the browser with a header set, or taken away when empty.
    pub(crate) fn with(&self, name: &'static str, value: &str) -> Self {
        let mut other = self.clone();
        if value.is_empty() {
            other.headers.remove(name);
        } else {
            other.headers.insert(name, value.parse().unwrap());
        }
        other
    }

    /// Returns the browser after it took the cookie of an answer.
    pub(crate) fn with_cookie_of(&self, answer: &Answer) -> Self {
        let cookie = answer.header("set-cookie").expect("a cookie");
        self.with("cookie", cookie.split(';').next().unwrap())
    }

    /// Returns a program that sends a token, and nothing that browsers send.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        self.with("sec-fetch-site", "")
            .with("sec-fetch-mode", "")
            .with("authorization", &format!("Bearer {token}"))
    }

    /// Returns the browser as it is when a person types an address.
    pub(crate) fn navigating(&self) -> Self {
        self.with("sec-fetch-mode", "navigate")
            .with("sec-fetch-site", "same-site")
            .with("accept", "text/html")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(body.to_string().into())).await
    }

    /// Sends a request, a body as JSON, and reads the whole answer.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<Bytes>) -> Answer {
        let exchange = async {
            let response = self.open(method, path, body).await;
            let (parts, body) = response.into_parts();
            Answer {
                status: parts.status.as_u16(),
                headers: parts.headers,
                body: body.collect().await.unwrap().to_bytes(),
            }
        };
        in_time(exchange).await
    }

    /// Sends a request and returns the answer with its body still coming.
    pub(crate) async fn open(
        &self,
        method: &str,
        path: &str,
        body: Option<Bytes>,
    ) -> http::Response<Incoming> {
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(path)
            .header("host", &self.host)
            .header(HeaderName::from_static(PeerPolicy::HEADER), &self.internal);
        if body.is_some() && !self.headers.contains_key("content-type") {
            request = request.header("content-type", "application/json");
        }
        let mut request = request.body(Full::new(body.unwrap_or_default())).unwrap();
        request.headers_mut().extend(self.headers.clone());
        sender.send_request(request).await.unwrap()
    }

    /// Opens a stream of server-sent events.
    pub(crate) async fn events(&self) -> Events {
        let response = in_time(self.open("GET", "/api/events", None)).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events {
            body: response.into_body(),
            buffer: String::new(),
        }
    }
}

/// An open stream of server-sent events.
#[derive(Debug)]
pub(crate) struct Events {
    body: Incoming,
    buffer: String,
}

impl Events {
    /// Returns the next event's name and data, or nothing at the end.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let field = |name: &str| {
                    let prefix = format!("{name}: ");
                    block
                        .lines()
                        .find_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
                };
                let event = field("event");
                let data = field("data");
                self.buffer = rest.to_owned();
                if let (Some(event), Some(data)) = (event, data) {
                    return Some((event, serde_json::from_str(&data).unwrap()));
                }
            }
            let frame = in_time(self.body.frame()).await?.ok()?;
            let data = frame.into_data().ok()?;
            self.buffer.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// Reads up to `ready` and returns the ids told of, sorted.
    pub(crate) async fn until_ready(&mut self) -> Vec<String> {
        let mut ids = Vec::new();
        loop {
            let (event, data) = self.next().await.expect("not the end yet");
            match event.as_str() {
                "ready" => break,
                "workspace" => ids.push(data["id"].as_str().unwrap().to_owned()),
                other => panic!("{other}: {data}"),
            }
        }
        ids.sort();
        ids
    }

    /// Reads until a workspace is told of that is as wanted, and returns it.
    pub(crate) async fn until_told(&mut self, is_wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let (event, data) = self.next().await.expect("not the end yet");
            if event == "workspace" && is_wanted(&data) {
                return data;
            }
        }
    }

    /// Reads until an event about `id`, and returns all that came, it included.
    pub(crate) async fn until(&mut self, name: &str, id: &str) -> Vec<(String, Value)> {
        let mut seen = Vec::new();
        loop {
            let (event, data) = self.next().await.expect("not the end yet");
            let is_it = event == name && data["id"] == id;
            seen.push((event, data));
            if is_it {
                return seen;
            }
        }
    }
}
