//! Serves one Git repository to the workspaces of a test that is written in another language.
//!
//! `git_server POOL NAME FOLDER` makes a repository of the folder's files, prints one line of JSON,
//! and serves until its standard input is closed. The line has the repository's URL on each network
//! of the pool (`urls`), and URLs of servers that accept connections and never answer (`silent`).

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, bail};
use kalpana_tests::GitServer;
use socket2::{Domain, Socket, Type};

/// As many networks as [`GitServer`] listens on.
const NETWORKS: u32 = 16;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [pool, name, folder] = arguments.as_slice() else {
        bail!("usage: git_server POOL NAME FOLDER");
    };
    let pool: Ipv4Addr = pool.parse().context("POOL is the first address of a /24")?;
    let server = GitServer::start(pool)?;
    let files = read(Path::new(folder))?;
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    server.add_repository(name, &files).await?;

    let urls: Vec<String> = (0..NETWORKS)
        .map(|network| server.url(network, name))
        .collect();
    let listeners = (0..NETWORKS)
        .map(|network| listen_silently(Ipv4Addr::from(u32::from(pool) + network * 16 + 1)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let silent: Vec<String> = listeners
        .iter()
        .map(|(_, address)| format!("http://{address}/{name}.git"))
        .collect();
    writeln!(
        std::io::stdout(),
        "{}",
        serde_json::json!({ "urls": urls, "silent": silent })
    )?;
    tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await?;
    Ok(())
}

/// Listens at an address that comes to be with its network. The kernel accepts connections, and
/// nobody ever takes them from it.
fn listen_silently(address: Ipv4Addr) -> anyhow::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_freebind_v4(true)?;
    socket
        .bind(&SocketAddr::from((address, 0)).into())
        .with_context(|| format!("bind {address}"))?;
    socket.listen(16)?;
    let address = socket.local_addr()?.as_socket().context("IPv4")?;
    Ok((socket, address))
}

/// Reads the text files that lie directly in a folder.
fn read(folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .context("a plain name")?;
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        files.push((name.to_owned(), text));
    }
    Ok(files)
}
