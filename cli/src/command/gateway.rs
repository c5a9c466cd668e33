//! `kalpana gateway`: the gateway alone, or a new one in place of the one that runs.

use std::io;
use std::path::Path;

use anyhow::{Context, bail};
use clap::Args;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::{Settings, serve};
use crate::output;
use crate::privilege;
use crate::role::Role;
use crate::supervise::upgrade;

/// Run the gateway alone, or upgrade the one that runs
///
/// With --upgrade, the gateway of `kalpana up` is replaced by one of the executable that is now on
/// the disk: listening sockets are handed over, so that nobody is refused, and what is open goes on
/// in the old process until it ends or gateway.upgrade_drain_timeout has passed. Where no
/// `kalpana up` runs, this process takes the place of the gateway that does.
#[derive(Debug, Args)]
pub(crate) struct Gateway {
    #[command(flatten)]
    settings: Settings,
    /// Take the place of the gateway that runs, dropping no connection
    #[arg(long)]
    upgrade: bool,
}

impl Gateway {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        if self.upgrade {
            let site = privilege::site(&self.settings.load()?)?;
            if super::block_on(ask_supervisor(&site.supervisor_socket()))? {
                return Ok(());
            }
        }
        serve::run(Role::Gateway, &self.settings, self.upgrade)
    }
}

/// Has `kalpana up` upgrade its gateway; `false` when none runs.
async fn ask_supervisor(socket: &Path) -> anyhow::Result<bool> {
    let mut stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => return Ok(false),
            io::ErrorKind::PermissionDenied => bail!(
                "not allowed to ask the `kalpana up` that runs\n\
                 hint: run this as the user that started it"
            ),
            _ => return Err(error).context("cannot ask the `kalpana up` that runs"),
        },
    };
    output::print_line("upgrading the gateway …")?;
    stream.write_all(upgrade::REQUEST.as_bytes()).await?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).await?;
    match answer.trim_end().split_once(' ') {
        Some(("ok", text)) => output::print_line(text)?,
        Some(("error", text)) => bail!("{text}"),
        _ => bail!("`kalpana up` ended before it answered"),
    }
    Ok(true)
}
