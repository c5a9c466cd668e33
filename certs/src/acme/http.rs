//! Speaks HTTP with the authority: with deadlines, bounded answers, and an ear for what
//! `instant-acme` does not pass on.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LINK, RETRY_AFTER};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use kalpana_config::Acme;

use super::problem::{Failure, Unwell};

/// Longest time of one request.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// Longest time until a connection is made.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Largest answer. A chain has some 6 kB. Unit: bytes.
const ANSWER_LIMIT: usize = 1 << 20;

/// One conversation with the authority. Clones note into the same place.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: reqwest::Client,
    noted: Arc<Mutex<Noted>>,
}

#[derive(Debug, Default)]
struct Noted {
    retry_after: Option<Duration>,
    alternates: Vec<String>,
    chain: Option<String>,
}

impl Http {
    /// Prepares to speak with the authority that `config` names.
    pub(crate) fn new(config: &Acme) -> Result<Self, Failure> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("kalpana/", env!("CARGO_PKG_VERSION")))
            .timeout(REQUEST_LIMIT)
            .connect_timeout(CONNECT_LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .https_only(true);
        if let Some(path) = &config.root_file {
            let unusable = |why: String| Failure::root_file(path, &why);
            let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
            let roots = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| unusable(error.to_string()))?;
            if roots.is_empty() {
                return Err(unusable("it holds no certificate".to_owned()));
            }
            builder = builder.tls_certs_only(roots);
        }
        let client = builder.build().map_err(|error| Failure::internal(&error))?;
        Ok(Self {
            client,
            noted: Arc::default(),
        })
    }

    /// Returns for how long the authority wants to be left alone, if it said so last.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.lock().retry_after
    }

    /// Returns the URLs of other chains for the certificate that was fetched last.
    pub(crate) fn alternates(&self) -> Vec<String> {
        self.lock().alternates.clone()
    }

    /// Returns the chain that was fetched last.
    pub(crate) fn take_chain(&self) -> Option<String> {
        self.lock().chain.take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.noted.lock().expect("no holder panics")
    }

    async fn send(
        self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<BytesResponse, instant_acme::Error> {
        let other = |error: reqwest::Error| instant_acme::Error::Other(Box::new(error));
        let (parts, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(never) => match never {},
        };
        let url = parts.uri.to_string();
        let mut answer = self
            .client
            .request(parts.method, url)
            .headers(parts.headers)
            .body(body)
            .send()
            .await
            .map_err(other)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(other)? {
            if body.len() + chunk.len() > ANSWER_LIMIT {
                return Err(instant_acme::Error::Str("an answer of at most 1 MiB"));
            }
            body.extend_from_slice(&chunk);
        }
        self.note(status, &headers, &body);
        let is_problem = content_type(&headers).starts_with("application/problem+json");
        if (status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS) && !is_problem {
            let unwell = Unwell { status };
            return Err(instant_acme::Error::Other(Box::new(unwell)));
        }
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(BytesResponse::from(response))
    }

    fn note(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) {
        let mut noted = self.lock();
        if !status.is_success() {
            noted.retry_after = headers.get(RETRY_AFTER).and_then(|value| {
                let seconds = value.to_str().ok()?.trim().parse().ok()?;
                Some(Duration::from_secs(seconds))
            });
        }
        if content_type(headers).starts_with("application/pem-certificate-chain") {
            noted.alternates = alternates(headers);
            noted.chain = String::from_utf8(body.to_vec()).ok();
        }
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        Box::pin(self.clone().send(request))
    }
}

fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE);
    value.and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// Reads the targets of `Link: <url>;rel="alternate"` (RFC 8555, 7.4.2).
fn alternates(headers: &HeaderMap) -> Vec<String> {
    let links = headers.get_all(LINK).into_iter();
    let links = links.filter_map(|value| value.to_str().ok());
    links
        .flat_map(|value| value.split(','))
        .filter_map(|link| {
            let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
            let is_alternate = parameters.split(';').any(|parameter| {
                let parameter = parameter.trim();
                parameter == "rel=\"alternate\"" || parameter == "rel=alternate"
            });
            is_alternate.then(|| target.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_chains_are_found_among_the_links() {
        let mut headers = HeaderMap::new();
        headers.append(LINK, "<https://ca.test/dir>;rel=\"index\"".parse().unwrap());
        headers.append(
            LINK,
            "<https://ca.test/c/1>;rel=\"alternate\", <https://ca.test/c/2>; rel=alternate"
                .parse()
                .unwrap(),
        );
        assert_eq!(
            alternates(&headers),
            ["https://ca.test/c/1", "https://ca.test/c/2"]
        );
    }
}
