//! The plain listener: sends people to https, answers authorities that look whether a name is ours,
//! and serves nothing else.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, LOCATION};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use kalpana_certs::Answers;
use kalpana_config::Site;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::headers;
use crate::host::{Host, Hosts, Ports};
use crate::listener::Ending;

/// Longest wait for a request's head.
const HEAD_LIMIT: Duration = Duration::from_secs(10);

/// Longest life of a connection, which is for one answer.
const CONNECTION_LIMIT: Duration = Duration::from_secs(20);

/// Largest head, in bytes. The least that hyper can be told.
const HEAD_BYTES: usize = 8192;

/// Where an authority looks for the proof of HTTP-01 (RFC 8555, 8.3).
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// What the plain listener knows.
#[derive(Debug)]
pub struct Plain {
    hosts: Hosts,
    site: Site,
    answers: Arc<Answers>,
}

impl Plain {
    /// Redirects to the hosts of `site`, and gives `answers` to authorities.
    pub fn new(site: Site, answers: Arc<Answers>) -> Self {
        Self {
            hosts: Hosts::new(&site),
            site,
            answers,
        }
    }

    /// Answers one request.
    async fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        match request.uri().path().strip_prefix(CHALLENGES) {
            Some(token) => self.prove(token).await,
            None => self.redirect(request),
        }
    }

    /// Sends a reader to https.
    ///
    /// Only reading is redirected: to repeat anything else in the clear first would teach people
    /// that it works.
    fn redirect<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let Some(host) = headers::requested_host(request.headers(), request.uri()) else {
            return say(StatusCode::BAD_REQUEST, "the request must name one host");
        };
        let host = match self.hosts.parse(host, Ports::Any) {
            Host::App => self.site.base_host(),
            Host::Workspace(address) => self.site.workspace_host(&address.to_string()),
            Host::Bad => return say(StatusCode::BAD_REQUEST, "the host is not a host name"),
            Host::Unknown | Host::Foreign => {
                return say(
                    StatusCode::MISDIRECTED_REQUEST,
                    "this host is not served here",
                );
            }
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return say(StatusCode::BAD_REQUEST, "use https");
        }
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let Ok(location) = HeaderValue::from_str(&format!("https://{host}{path}")) else {
            return say(StatusCode::BAD_REQUEST, "the path is not one");
        };
        let mut response = say(StatusCode::PERMANENT_REDIRECT, "use https");
        response.headers_mut().insert(LOCATION, location);
        response
    }

    /// Answers an authority, whatever host it asks for: the token alone is what counts.
    async fn prove(&self, token: &str) -> Response<Full<Bytes>> {
        match self.answers.find_http(token).await {
            Some(text) => say(StatusCode::OK, text),
            None => say(StatusCode::NOT_FOUND, "no order waits for this"),
        }
    }
}

fn say(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert("content-type", HeaderValue::from_static("text/plain"));
    headers.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// Answers on `listener` until `shutdown`.
pub async fn serve(listener: TcpListener, plain: Arc<Plain>, ending: Ending) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = ending.begun() => return,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::error!(%error, "could not accept a plain connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let plain = Arc::clone(&plain);
        connections.spawn(async move {
            let service = hyper::service::service_fn(|request: Request<Incoming>| {
                let plain = Arc::clone(&plain);
                async move { Ok::<_, Infallible>(plain.answer(&request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_LIMIT)
                .max_buf_size(HEAD_BYTES)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(CONNECTION_LIMIT, connection).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use http::header::HOST;
    use kalpana_config::Config;

    use super::*;

    fn answer(method: &str, host: &str, target: &str) -> (u16, Option<String>) {
        let mut config = Config::default();
        config.server.data_dir = Some("/data".into());
        let plain = Plain::new(Site::resolve(&config, false, None).unwrap(), Arc::default());
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(HOST, host)
            .body(())
            .unwrap();
        let response = plain.redirect(&request);
        let location = response.headers().get(LOCATION);
        let location = location.map(|location| location.to_str().unwrap().to_owned());
        (response.status().as_u16(), location)
    }

    #[test]
    fn reading_our_hosts_is_redirected_and_nothing_else() {
        let base = "https://kalpana.localhost:8443";
        for (host, target, location) in [
            ("kalpana.localhost:8080", "/", format!("{base}/")),
            ("KALPANA.localhost.", "/a?b=c", format!("{base}/a?b=c")),
            (
                "3000-abcdefghij01.kalpana.localhost:8080",
                "/x",
                "https://3000-abcdefghij01.kalpana.localhost:8443/x".to_owned(),
            ),
        ] {
            assert_eq!(answer("GET", host, target), (308, Some(location.clone())));
            assert_eq!(answer("HEAD", host, target), (308, Some(location)));
            assert_eq!(answer("POST", host, target), (400, None));
        }
        assert_eq!(answer("GET", "evil.example", "/"), (421, None));
        assert_eq!(answer("GET", "x.kalpana.localhost", "/"), (421, None));
        assert_eq!(answer("GET", "a@kalpana.localhost", "/"), (400, None));
        assert_eq!(
            answer("GET", "kalpana.localhost", "http://evil.example/"),
            (400, None)
        );
    }
}
