//! The service that proxies ask about each request when they cannot judge it themselves: the same
//! decision, in a process of its own, whose time counts as the proxy's.

use std::net::SocketAddr;

use clap::Args;
use kalpana_domain::clock::{Clock, SystemClock};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{fixture, http1, token, upstream};

/// Where it serves.
#[derive(Debug, Clone, Args)]
pub(crate) struct Auth {
    /// Where proxies reach it
    #[arg(long)]
    listen: SocketAddr,
}

impl Auth {
    /// Serves until the process is ended.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let listener = upstream::listen(self.listen)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(serve(stream));
        }
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(head) = http1::read_head(&mut stream, &mut buffer).await? {
        let text = std::str::from_utf8(&buffer[..head.length]).unwrap_or_default();
        let status = if is_allowed(text, SystemClock.now().as_second()) {
            "200 OK"
        } else {
            "401 Unauthorized"
        };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await?;
        buffer.clear();
    }
    Ok(())
}

/// Judges a request by its head: the token must be for the workspace that the host names and for
/// that workspace's owner.
fn is_allowed(head: &str, now: i64) -> bool {
    let field = |wanted: &str| {
        let fields = head.split("\r\n").filter_map(|line| line.split_once(':'));
        let mut found = fields.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.next().map(|(_, value)| value.trim())
    };
    let host = field("x-forwarded-host").or_else(|| field("host"));
    let label = host.and_then(|host| host.split('.').next());
    let cookies = field("cookie").unwrap_or_default().split("; ");
    let mut tokens = cookies.filter_map(|cookie| {
        let (name, value) = cookie.split_once('=')?;
        (name == token::COOKIE).then_some(value)
    });
    match (label.and_then(fixture::number), tokens.next()) {
        (Some(number), Some(token)) => token::verify(token, &fixture::subject(number), now),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_its_own_workspace_only() {
        let token = token::sign(&fixture::subject(3), 100);
        let head = |host: &str| {
            format!(
                "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-Host: {host}\r\nCookie: a=b; session={token}\r\n\r\n"
            )
        };
        let host = |number| format!("{}.kalpana.localhost:8443", fixture::workspace(number));
        assert!(is_allowed(&head(&host(3)), 99));
        assert!(!is_allowed(&head(&host(3)), 100));
        assert!(!is_allowed(&head(&host(4)), 99));
        assert!(!is_allowed("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 99));
    }
}
