//! A Git server: `git http-backend` behind HTTP, on the gateway addresses of one subnet pool.
//!
//! Workspaces of a test have no way out, but the first address of their own network is this host.
//! Those addresses come to be only when the networks do, so they are bound before they exist
//! (`IP_FREEBIND`); nothing outside those networks can reach them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::task::JoinSet;

/// Networks of a pool that the server can be reached from.
const NETWORKS: u32 = 16;

/// A running Git server with its repositories.
#[derive(Debug)]
pub struct GitServer {
    folder: tempfile::TempDir,
    pool: Ipv4Addr,
    port: u16,
    _serving: JoinSet<()>,
}

impl GitServer {
    /// Serves on the gateway addresses of the /28 networks of a /24 `pool`.
    ///
    /// # Errors
    /// If an address cannot be bound.
    pub fn start(pool: Ipv4Addr) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut serving = JoinSet::new();
        let mut port = 0;
        for address in addresses(pool) {
            let listener = bind_ahead(SocketAddr::from((address, port)))?;
            port = listener.local_addr()?.port();
            let router = Router::new()
                .fallback(answer)
                .with_state(folder.path().to_owned());
            serving.spawn(async move {
                let _ = axum::serve(listener, router).await;
            });
        }
        Ok(Self {
            folder,
            pool,
            port,
            _serving: serving,
        })
    }

    /// Makes a repository `<name>.git` with these files on its branch `main`.
    ///
    /// # Errors
    /// If Git fails.
    pub async fn add_repository(&self, name: &str, files: &[(&str, &str)]) -> anyhow::Result<()> {
        let work = tempfile::tempdir()?;
        for (path, text) in files {
            std::fs::write(work.path().join(path), text)?;
        }
        let author = ["-c", "user.name=Test", "-c", "user.email=test@example.com"];
        git(work.path(), &["init", "--quiet", "--initial-branch=main"]).await?;
        git(work.path(), &["add", "--all"]).await?;
        let commit = ["commit", "--quiet", "--message=First", "--no-gpg-sign"];
        git(work.path(), &[&author[..], &commit[..]].concat()).await?;
        let bare = self.folder.path().join(format!("{name}.git"));
        let target = bare.to_str().context("a plain path")?;
        git(work.path(), &["clone", "--quiet", "--bare", ".", target]).await
    }

    /// Returns a repository's URL as the workspace on the `network`-th network reaches it.
    pub fn url(&self, network: u32, name: &str) -> String {
        let address = Ipv4Addr::from(u32::from(self.pool) + network * 16 + 1);
        format!("http://{address}:{}/{name}.git", self.port)
    }
}

/// Returns the addresses that the server of a pool is reached at, one for each network.
pub(crate) fn addresses(pool: Ipv4Addr) -> impl Iterator<Item = Ipv4Addr> {
    (0..NETWORKS).map(move |network| Ipv4Addr::from(u32::from(pool) + network * 16 + 1))
}

fn bind_ahead(address: SocketAddr) -> anyhow::Result<tokio::net::TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_freebind_v4(true)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket
        .bind(&address.into())
        .with_context(|| format!("bind {address}"))?;
    socket.listen(128)?;
    Ok(tokio::net::TcpListener::from_std(socket.into())?)
}

async fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("git")
        .current_dir(folder)
        .args(arguments)
        .output()
        .await?;
    if !output.status.success() {
        bail!(
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

async fn answer(State(folder): State<PathBuf>, request: Request) -> Response {
    match backend(&folder, request).await {
        Ok(response) => response,
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response(),
    }
}

/// Runs Git's own CGI program for one request.
async fn backend(folder: &Path, request: Request) -> anyhow::Result<Response> {
    let (head, body) = request.into_parts();
    let header = |name: &str| {
        head.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", head.method.as_str())
        .env("PATH_INFO", head.uri.path())
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let body = to_bytes(body, 16 << 20).await?;
    let mut stdin = child.stdin.take().context("piped")?;
    let written = async move {
        let _ = stdin.write_all(&body).await;
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), written);
    let output = output?.stdout;
    let end = output
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .context("a CGI head")?;
    let mut response = Response::new(Body::from(output[end + 4..].to_vec()));
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let (name, value) = line.split_once(':').context("a CGI header")?;
        if name.eq_ignore_ascii_case("status") {
            let code = value.trim().split(' ').next().unwrap_or_default();
            *response.status_mut() = code.parse()?;
        } else {
            let name = HeaderName::from_bytes(name.as_bytes())?;
            response
                .headers_mut()
                .insert(name, HeaderValue::from_str(value.trim())?);
        }
    }
    Ok(response)
}
