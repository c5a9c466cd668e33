//! What newer authorities can do and Pebble 2.4 cannot: renewal information (RFC 9773), profiles,
//! and being unwell. It stands before a real Pebble and passes everything else on.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::Pebble;

/// Largest message. Unit: bytes.
const LIMIT: usize = 1 << 20;

/// A shim before an authority.
#[derive(Debug)]
pub struct Shim {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    pebble: String,
    client: reqwest::Client,
    script: Mutex<Script>,
}

#[derive(Debug, Default)]
struct Script {
    window: Option<(String, String)>,
    trouble: Option<(StatusCode, Option<u64>, u32)>,
    replaced: Vec<String>,
    profiles: Vec<String>,
}

impl Shim {
    /// Puts one before `pebble`.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start(pebble: &Pebble) -> anyhow::Result<Self> {
        let folder = pebble.root_file();
        let folder = folder.parent().context("a folder")?;
        let chain = vec![CertificateDer::from_pem_file(folder.join("https.crt"))?];
        let key = PrivateKeyDer::from_pem_file(folder.join("https.key"))?;
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let root = std::fs::read(pebble.root_file())?;
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&root)?])
            .redirect(reqwest::redirect::Policy::none())
            // HTTP/2 would not let the host be another than the one connected to.
            .http1_only()
            .build()?;
        let directory = pebble.directory_url();
        let shared = Arc::new(Shared {
            address,
            pebble: directory.trim_end_matches("/dir").to_owned(),
            client,
            script: Mutex::default(),
        });
        let router = Router::new().fallback(pass).with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, router) = (acceptor.clone(), router.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = TowerToHyperService::new(router);
                    let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Self {
            address,
            shared,
            serving,
        })
    }

    /// Returns the URL of its directory.
    pub fn directory_url(&self) -> String {
        format!("https://localhost:{}/dir", self.address.port())
    }

    /// Says from now on that certificates should be replaced from `start` to `end` (RFC 3339).
    pub fn set_window(&self, start: &str, end: &str) {
        self.script().window = Some((start.to_owned(), end.to_owned()));
    }

    /// Answers the next `times` requests with `status`, and how many seconds to wait.
    pub fn be_unwell(&self, status: u16, retry_after: Option<u64>, times: u32) {
        let status = StatusCode::from_u16(status).expect("a status");
        self.script().trouble = Some((status, retry_after, times));
    }

    /// Returns what new orders said that they replace.
    pub fn replaced(&self) -> Vec<String> {
        self.script().replaced.clone()
    }

    /// Returns the profiles that new orders asked for.
    pub fn profiles(&self) -> Vec<String> {
        self.script().profiles.clone()
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.shared.script.lock().expect("no holder panics")
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    match answer(&shared, request).await {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
    }
}

async fn answer(shared: &Shared, request: Request) -> anyhow::Result<Response> {
    if let Some(response) = trouble(shared) {
        return Ok(response);
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LIMIT).await?;
    let path = parts.uri.path().to_owned();
    if parts.method == Method::GET && path.starts_with("/renewal-info/") {
        return Ok(renewal_info(shared));
    }
    let is_order = path.ends_with("/order-plz");
    let asked = if is_order {
        payload(&body)
    } else {
        Value::Null
    };
    // Pebble makes every URL of the host that it is asked by, so that all lead here.
    let host = format!("localhost:{}", shared.address.port());
    let mut forwarded = shared
        .client
        .request(parts.method, format!("{}{path}", shared.pebble))
        .header(header::HOST, host)
        .body(body);
    if let Some(kind) = parts.headers.get(header::CONTENT_TYPE) {
        forwarded = forwarded.header(header::CONTENT_TYPE, kind);
    }
    let answered = forwarded.send().await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answered.status();
    for (name, value) in answered.headers() {
        if name != header::CONTENT_LENGTH && name != header::TRANSFER_ENCODING {
            response.headers_mut().append(name, value.clone());
        }
    }
    let mut body = answered.bytes().await?.to_vec();
    if path == "/dir" {
        body = with_extensions(shared, &body)?;
    }
    if is_order && response.status().is_success() {
        body = with_echo(shared, &body, &asked)?;
    }
    *response.body_mut() = Body::from(body);
    Ok(response)
}

fn trouble(shared: &Shared) -> Option<Response> {
    let mut script = shared.script.lock().expect("no holder panics");
    let (status, retry_after, times) = script.trouble.take()?;
    if times > 1 {
        script.trouble = Some((status, retry_after, times - 1));
    }
    let mut response = (status, "unwell").into_response();
    if let Some(seconds) = retry_after {
        let value = HeaderValue::from(seconds);
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    Some(response)
}

fn renewal_info(shared: &Shared) -> Response {
    let script = shared.script.lock().expect("no holder panics");
    let Some((start, end)) = &script.window else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let body = json!({ "suggestedWindow": { "start": start, "end": end } }).to_string();
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::RETRY_AFTER, "21600"),
    ];
    (headers, body).into_response()
}

fn with_extensions(shared: &Shared, body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut directory: Value = serde_json::from_slice(body)?;
    let port = shared.address.port();
    directory["renewalInfo"] = json!(format!("https://localhost:{port}/renewal-info"));
    directory["meta"]["profiles"] = json!({ "classic": "as always", "shortlived": "six days" });
    Ok(serde_json::to_vec(&directory)?)
}

fn with_echo(shared: &Shared, body: &[u8], asked: &Value) -> anyhow::Result<Vec<u8>> {
    let mut order: Value = serde_json::from_slice(body)?;
    let mut script = shared.script.lock().expect("no holder panics");
    if let Some(replaces) = asked["replaces"].as_str() {
        order["replaces"] = json!(replaces);
        script.replaced.push(replaces.to_owned());
    }
    if let Some(profile) = asked["profile"].as_str() {
        order["profile"] = json!(profile);
        script.profiles.push(profile.to_owned());
    }
    Ok(serde_json::to_vec(&order)?)
}

/// Reads what a signed request says.
fn payload(body: &Bytes) -> Value {
    let signed: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = signed["payload"].as_str().unwrap_or_default();
    let decoded = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    serde_json::from_slice(&decoded).unwrap_or_default()
}
