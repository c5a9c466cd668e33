//! A person's browser without the pixels: cookies, redirects one at a time, WebSockets.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::StreamExt;
use reqwest::cookie::{CookieStore, Jar};
use reqwest::{Client, Method, Response, Url, redirect};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::wait::until;

/// How long a workspace may take to be where a test wants it.
const STATE_LIMIT: Duration = Duration::from_secs(90);

/// An open WebSocket.
pub type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// A browser with its own cookies, which resolves everything to this machine and trusts the
/// site's authority.
#[derive(Debug, Clone)]
pub struct Browser {
    client: Client,
    jar: Arc<Jar>,
    port: u16,
    tls: Arc<rustls::ClientConfig>,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, with lower-case names.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// Returns the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Reads the body as JSON.
    ///
    /// # Errors
    /// If it is something else.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("{} {}", self.status, self.body))
    }
}

impl Browser {
    /// Makes a browser for the site behind `port`, trusting `authority` (PEM).
    ///
    /// # Errors
    /// If the certificate is unreadable.
    pub fn new(port: u16, authority: &[u8]) -> anyhow::Result<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let jar = Arc::new(Jar::default());
        let client = Client::builder()
            .add_root_certificate(reqwest::Certificate::from_pem(authority)?)
            .cookie_provider(Arc::clone(&jar))
            .redirect(redirect::Policy::none())
            .dns_resolver(Arc::new(Here))
            .timeout(Duration::from_secs(60))
            .build()?;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority)?)?;
        let tls = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            client,
            jar,
            port,
            tls: Arc::new(tls),
        })
    }

    /// Returns the origin of a label below the site's domain, or of the site itself for `""`.
    pub fn origin(&self, label: &str) -> String {
        let dot = if label.is_empty() { "" } else { "." };
        format!("https://{label}{dot}kalpana.localhost:{}", self.port)
    }

    /// Sends a request as a page of the same origin would.
    ///
    /// # Errors
    /// If no answer comes.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let mut request = self
            .client
            .request(method, self.absolute(url)?)
            .header("sec-fetch-site", "same-origin")
            .header("sec-fetch-mode", "cors");
        if let Some(body) = body {
            request = request.json(body);
        }
        read(request.send().await?).await
    }

    /// Sends a request with exactly these headers beside the cookies.
    ///
    /// # Errors
    /// If no answer comes.
    pub async fn raw(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Answer> {
        let mut request = self.client.request(method, self.absolute(url)?);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.send().await?).await
    }

    /// Reads a path of the control plane, or a whole URL.
    ///
    /// # Errors
    /// If no answer comes.
    pub async fn get(&self, url: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, url, None).await
    }

    /// Posts JSON to a path of the control plane, or a whole URL.
    ///
    /// # Errors
    /// If no answer comes.
    pub async fn post(&self, url: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, url, Some(body)).await
    }

    /// Goes to a page as typed into the address bar, without following redirects.
    ///
    /// # Errors
    /// If no answer comes.
    pub async fn navigate_once(&self, url: &str) -> anyhow::Result<Answer> {
        let headers = [
            ("accept", "text/html,application/xhtml+xml"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-site", "none"),
            ("sec-fetch-dest", "document"),
        ];
        self.raw(Method::GET, url, &headers).await
    }

    /// Goes to a page as somebody who means to be there: typed, or by a link that was pressed. Does
    /// not follow redirects.
    ///
    /// # Errors
    /// If no answer comes.
    pub async fn visit(&self, url: &str) -> anyhow::Result<Answer> {
        let headers = [
            ("accept", "text/html,application/xhtml+xml"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-site", "none"),
            ("sec-fetch-dest", "document"),
            ("sec-fetch-user", "?1"),
        ];
        self.raw(Method::GET, url, &headers).await
    }

    /// Goes to a page and follows its redirects; returns where it ended and what was there.
    ///
    /// # Errors
    /// If no answer comes, or there are too many redirects.
    pub async fn navigate(&self, url: &str) -> anyhow::Result<(String, Answer)> {
        let mut url = self.absolute(url)?;
        for _ in 0..10 {
            let answer = self.navigate_once(url.as_str()).await?;
            match answer.header("location") {
                Some(location) if (300..400).contains(&answer.status) => {
                    url = url.join(location)?;
                }
                _ => return Ok((url.into(), answer)),
            }
        }
        bail!("too many redirects, last to {url}")
    }

    /// Opens a WebSocket with this browser's cookies and `origin`.
    ///
    /// # Errors
    /// If it is refused; the refusal's status is in the error.
    pub async fn websocket(&self, url: &str, origin: Option<&str>) -> anyhow::Result<Socket> {
        let mut request = url
            .replacen("https://", "wss://", 1)
            .into_client_request()?;
        if let Some(cookies) = self.jar.cookies(&Url::parse(url)?) {
            request
                .headers_mut()
                .insert("cookie", HeaderValue::from_bytes(cookies.as_bytes())?);
        }
        if let Some(origin) = origin {
            request
                .headers_mut()
                .insert("origin", HeaderValue::from_str(origin)?);
        }
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        let host = Url::parse(url)?.host_str().context("a host")?.to_owned();
        let stream = TlsConnector::from(Arc::clone(&self.tls))
            .connect(host.try_into()?, stream)
            .await?;
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
        Ok(socket)
    }

    /// Opens a stream and returns its chunks.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn stream(
        &self,
        url: &str,
    ) -> anyhow::Result<
        impl futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Unpin + use<>,
    > {
        let response = self.client.get(self.absolute(url)?).send().await?;
        anyhow::ensure!(response.status() == 200, "{url}: {}", response.status());
        Ok(response.bytes_stream().boxed())
    }

    /// Returns the cookies that would be sent to a URL.
    pub fn cookies(&self, url: &str) -> String {
        let url = Url::parse(url).expect("a URL of the test");
        let cookies = self.jar.cookies(&url);
        cookies
            .and_then(|cookies| cookies.to_str().map(str::to_owned).ok())
            .unwrap_or_default()
    }

    /// Plants a cookie, as `Set-Cookie` from `url` would.
    pub fn plant_cookie(&self, url: &str, cookie: &str) {
        self.jar
            .add_cookie_str(cookie, &Url::parse(url).expect("a URL of the test"));
    }

    /// Asks for a workspace and returns its id at once.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn create_workspace(&self, body: &Value) -> anyhow::Result<String> {
        let answer = self.post("/api/workspaces", body).await?;
        anyhow::ensure!(
            answer.status == 202,
            "create: {} {}",
            answer.status,
            answer.body
        );
        answer.json()?["id"]
            .as_str()
            .map(str::to_owned)
            .context("an id")
    }

    /// Waits until a workspace is in a state.
    ///
    /// # Errors
    /// If it is not in time, or fails instead.
    pub async fn until_state(&self, id: &str, state: &str) -> anyhow::Result<Value> {
        until(
            &format!("workspace {id} to be {state}"),
            STATE_LIMIT,
            async || {
                let workspace = self.get(&format!("/api/workspaces/{id}")).await?.json()?;
                if workspace["state"] == state {
                    return Ok(Some(workspace));
                }
                if workspace["state"] == "failed" {
                    bail!("workspace {id} failed: {}", workspace["failure"]);
                }
                Ok(None)
            },
        )
        .await
    }

    fn absolute(&self, url: &str) -> anyhow::Result<Url> {
        Ok(Url::parse(&self.origin(""))?.join(url)?)
    }
}

async fn read(response: Response) -> anyhow::Result<Answer> {
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into(),
            )
        })
        .collect();
    Ok(Answer {
        status,
        headers,
        body: response.text().await?,
    })
}

/// Every name is this machine.
#[derive(Debug)]
struct Here;

impl reqwest::dns::Resolve for Here {
    fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Box::pin(async move { Ok(Box::new(std::iter::once(here)) as reqwest::dns::Addrs) })
    }
}
