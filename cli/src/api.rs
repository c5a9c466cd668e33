//! Speaks to a site's public API, as any other client would.
//!
//! Names below `.localhost` are resolved to this machine, as browsers do (RFC 6761), and the local
//! authority of a site on this machine is trusted, so that a fresh site works without further ado.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::credentials::Credentials;

/// The URL of a fresh site on this machine.
pub(crate) const USUAL_URL: &str = "https://kalpana.localhost:8443";

/// How long one call may take. Streams have no limit.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An error that the site itself answered.
#[derive(Debug, thiserror::Error)]
#[error("{message} ({code}){}", hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default())]
pub(crate) struct Refused {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// The stable code.
    pub(crate) code: String,
    message: String,
    hint: Option<String>,
}

/// A client of one site.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    client: reqwest::Client,
    base: Url,
    token: Option<String>,
}

impl Api {
    /// Makes a client that speaks for whoever the token says: `KALPANA_TOKEN`, else what `login`
    /// kept for this site.
    ///
    /// # Errors
    /// If the URL is wrong, or nobody is signed in.
    pub(crate) fn signed_in(url: Option<&str>) -> anyhow::Result<Self> {
        let saved = Credentials::load()?;
        let url = url
            .map(str::to_owned)
            .or_else(|| saved.as_ref().map(|saved| saved.url.clone()));
        let mut api = Self::anonymous(url.as_deref())?;
        let variable = std::env::var("KALPANA_TOKEN")
            .ok()
            .filter(|token| !token.is_empty());
        let saved = saved
            .filter(|saved| saved.url == api.url())
            .map(|saved| saved.token);
        api.token = variable.or(saved);
        if api.token.is_none() {
            bail!(
                "nobody is signed in to {}\nhint: run `kalpana login --url {}`, or set KALPANA_TOKEN",
                api.url(),
                api.url()
            );
        }
        Ok(api)
    }

    /// Makes a client that speaks for nobody.
    ///
    /// # Errors
    /// If the URL is not one of a site.
    pub(crate) fn anonymous(url: Option<&str>) -> anyhow::Result<Self> {
        let text = url.unwrap_or(USUAL_URL);
        let base = Url::parse(text)
            .ok()
            .filter(|url| url.scheme() == "https" && url.has_host());
        let base = base.with_context(|| {
            format!("{text:?} is not the URL of a site\nhint: it looks like {USUAL_URL}")
        })?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("kalpana/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(5))
            .cookie_store(true)
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(std::sync::Arc::new(Resolver));
        for authority in local_authorities() {
            builder = builder.add_root_certificate(authority);
        }
        let client = builder.build().context("cannot make an HTTPS client")?;
        Ok(Self {
            client,
            base,
            token: None,
        })
    }

    /// Returns the site's URL without a slash at the end.
    pub(crate) fn url(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// Returns the client with another token.
    pub(crate) fn with_token(self, token: String) -> Self {
        Self {
            token: Some(token),
            ..self
        }
    }

    /// Calls and reads a JSON answer.
    ///
    /// # Errors
    /// [`Refused`] when the site says no; else what kept it from answering.
    pub(crate) async fn call<Answer: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> anyhow::Result<Answer> {
        let mut request = self.request(method, path).timeout(TIMEOUT);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = self.send(request).await?;
        let bytes = response.bytes().await.context("the answer broke off")?;
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(text)
            .context("the site gave an answer that this version cannot read")
    }

    /// Reads without a body.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub(crate) async fn get<Answer: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Answer> {
        self.call(Method::GET, path, None::<&()>).await
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub(crate) async fn stream(&self, path: &str) -> anyhow::Result<Response> {
        self.send(self.request(Method::GET, path)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        let (path, query) = path
            .split_once('?')
            .map_or((path, None), |(p, q)| (p, Some(q)));
        url.set_path(path);
        url.set_query(query);
        // The header by which the site tells its own pages and clients from other sites' pages.
        let request = self
            .client
            .request(method, url)
            .header("origin", self.url());
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let response = request.send().await.map_err(|error| {
            let hint = if error.is_connect() {
                format!(
                    "\nhint: is Kalpana running at {}? `kalpana up` starts it",
                    self.url()
                )
            } else {
                String::new()
            };
            anyhow::Error::new(error).context(format!("{} cannot be reached{hint}", self.url()))
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let body: serde_json::Value =
            serde_json::from_slice(&response.bytes().await.unwrap_or_default()).unwrap_or_default();
        let text = |field: &str| body["error"][field].as_str().map(str::to_owned);
        let hint = text("hint").or_else(|| match (status, retry_after) {
            (StatusCode::UNAUTHORIZED, _) => Some("run `kalpana login`".to_owned()),
            (_, Some(seconds)) => Some(format!("try again in {seconds} s")),
            _ => None,
        });
        Err(Refused {
            status,
            code: text("code").unwrap_or_else(|| status.as_u16().to_string()),
            message: text("message").unwrap_or_else(|| format!("the site answered {status}")),
            hint,
        }
        .into())
    }
}

/// Resolves `*.localhost` to this machine and everything else by the system.
#[derive(Debug)]
struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        Box::pin(async move {
            if name == "localhost" || name.ends_with(".localhost") {
                let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                return Ok(Box::new(std::iter::once(here)) as Addrs);
            }
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name, 0)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Reads the authorities that this machine's sites sign with.
fn local_authorities() -> Vec<Certificate> {
    let named = std::env::var_os("KALPANA_CA_FILE").map(PathBuf::from);
    let data = std::env::var_os("KALPANA_SERVER__DATA_DIR").map(PathBuf::from);
    let home =
        std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share/kalpana"));
    let places = [data, Some(PathBuf::from("/var/lib/kalpana")), home];
    let usual = places
        .into_iter()
        .flatten()
        .map(|data| data.join("public/authority.crt"));
    named
        .into_iter()
        .chain(usual)
        .filter_map(|path| std::fs::read(path).ok())
        .filter_map(|pem| Certificate::from_pem(&pem).ok())
        .collect()
}
