//! A client that trusts the local authority, speaks HTTP/1, HTTP/2 and raw bytes, and can sign in.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{COOKIE, HOST, LOCATION, SET_COOKIE};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::form_urlencoded;

use crate::world::{World, patient};

pub(crate) type Stream = TlsStream<TcpStream>;
pub(crate) type Answer = Response<Bytes>;

impl World {
    pub(crate) async fn tls(&self, name: &str, protocol: &[u8]) -> Stream {
        self.tls_with(
            name,
            protocol,
            rustls::crypto::aws_lc_rs::default_provider(),
        )
        .await
        .unwrap()
    }

    pub(crate) async fn tls_with(
        &self,
        name: &str,
        protocol: &[u8],
        provider: rustls::crypto::CryptoProvider,
    ) -> std::io::Result<Stream> {
        let stream = TcpStream::connect(self.bound.tls).await.unwrap();
        self.tls_over(stream, name, protocol, provider).await
    }

    /// Shakes hands over a connection on which something may have been said already.
    pub(crate) async fn tls_over(
        &self,
        stream: TcpStream,
        name: &str,
        protocol: &[u8],
        provider: rustls::crypto::CryptoProvider,
    ) -> std::io::Result<Stream> {
        let config = self.tls_config(protocol, provider);
        self.tls_by(Arc::new(config), stream, name).await
    }

    /// Shakes hands as `config` says, which remembers what it was given to resume with.
    pub(crate) async fn tls_by(
        &self,
        config: Arc<ClientConfig>,
        stream: TcpStream,
        name: &str,
    ) -> std::io::Result<Stream> {
        // As browsers do: what is short waits for nobody's acknowledgement.
        stream.set_nodelay(true)?;
        let name = name.split(':').next().unwrap().to_owned();
        let connector = TlsConnector::from(config);
        patient(connector.connect(ServerName::try_from(name).unwrap(), stream)).await
    }

    /// Trusts the local authority.
    pub(crate) fn tls_config(
        &self,
        protocol: &[u8],
        provider: rustls::crypto::CryptoProvider,
    ) -> ClientConfig {
        let authority = CertificateDer::from_pem_file(self.site.authority_certificate()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(authority).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        config
    }

    /// Opens an HTTP/1 connection for requests to `host`.
    pub(crate) async fn h1(&self, host: &str) -> http1::SendRequest<Full<Bytes>> {
        let stream = self.tls(host, b"http/1.1").await;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// Opens an HTTP/2 connection.
    pub(crate) async fn h2(&self, host: &str) -> http2::SendRequest<Full<Bytes>> {
        let stream = self.tls(host, b"h2").await;
        let executor = TokioExecutor::new();
        let (sender, connection) = http2::handshake(executor, TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        sender
    }

    /// Sends one request over HTTP/1 on a connection of its own.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let host = request.headers()[HOST].to_str().unwrap().to_owned();
        let mut sender = self.h1(&host).await;
        whole(patient(sender.send_request(request)).await.unwrap()).await
    }

    /// Sends bytes as they are; returns the answer up to the end of its head.
    pub(crate) async fn raw(&self, name: &str, bytes: &[u8]) -> String {
        let mut stream = self.tls(name, b"http/1.1").await;
        stream.write_all(bytes).await.unwrap();
        read_head(&mut stream).await
    }

    /// Signs in to a workspace host as a browser does. Returns the `Cookie` header to send.
    pub(crate) async fn sign_in(&self, label: &str, generation: u64) -> String {
        let (rid, nonce) = self.begin_sign_in(label).await;
        let ticket = self.sign(&self.grant(label, &rid, generation));
        let answer = self.call_back(label, &ticket, "/", &nonce).await;
        assert_eq!(answer.status(), 303, "{answer:?}");
        cookie(&answer, "__Host-kws").unwrap()
    }

    /// Navigates to a workspace host without a session. Returns the nonce's hash and its cookie.
    pub(crate) async fn begin_sign_in(&self, label: &str) -> (String, String) {
        let answer = self.send(navigate(&self.host(label), "/")).await;
        assert_eq!(answer.status(), 303, "{answer:?}");
        let rid = query(location(&answer), "rid").unwrap();
        (rid, cookie(&answer, "__Host-kwn").unwrap())
    }

    pub(crate) async fn call_back(
        &self,
        label: &str,
        ticket: &str,
        to: &str,
        nonce: &str,
    ) -> Answer {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("t", ticket)
            .append_pair("to", to)
            .finish();
        let mut request = navigate(&self.host(label), &format!("/.kalpana/cb?{query}"));
        if !nonce.is_empty() {
            request.headers_mut().insert(COOKIE, nonce.parse().unwrap());
        }
        self.send(request).await
    }
}

pub(crate) fn request(
    method: &str,
    host: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Request<Full<Bytes>> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, host);
    for (name, value) in headers {
        // Browsers send bytes beyond ASCII in cookies; strings would not be let through.
        request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    request.body(Full::default()).unwrap()
}

pub(crate) fn get(host: &str, path: &str, cookie: &str) -> Request<Full<Bytes>> {
    request("GET", host, path, &[("cookie", cookie)])
}

pub(crate) fn navigate(host: &str, path: &str) -> Request<Full<Bytes>> {
    let headers = [("sec-fetch-mode", "navigate"), ("accept", "text/html")];
    request("GET", host, path, &headers)
}

pub(crate) async fn whole(response: Response<hyper::body::Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let body = patient(body.collect()).await.unwrap().to_bytes();
    Response::from_parts(head, body)
}

pub(crate) fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(answer.body()).into_owned()
}

pub(crate) fn location(answer: &Answer) -> &str {
    answer.headers()[LOCATION].to_str().unwrap()
}

pub(crate) fn query(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let mut fields = form_urlencoded::parse(query.as_bytes());
    fields
        .find(|(field, _)| field == name)
        .map(|(_, value)| value.into_owned())
}

/// The `name=value` of a cookie that an answer sets; `None` if it sets none or clears it.
pub(crate) fn cookie(answer: &Answer, name: &str) -> Option<String> {
    let set = answer.headers().get_all(SET_COOKIE).iter();
    let set = set.map(|value| value.to_str().unwrap());
    let pair = set.filter_map(|value| value.split(';').next());
    pair.filter(|pair| !pair.ends_with('='))
        .find(|pair| pair.starts_with(&format!("{name}=")))
        .map(ToOwned::to_owned)
}

/// The stable code of an answer for programs.
pub(crate) fn code(answer: &Answer) -> String {
    let error: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    error["error"]["code"].as_str().unwrap().to_owned()
}

pub(crate) async fn read_head(stream: &mut Stream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match patient(stream.read_u8()).await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}
