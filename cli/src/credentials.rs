//! What `kalpana login` keeps: one site and its API token, readable by its owner only.

use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// A kept sign-in.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// The site's URL, without a slash at the end.
    pub(crate) url: String,
    /// The API token.
    pub(crate) token: String,
    /// The token's id, by which it is revoked.
    pub(crate) token_id: String,
}

impl Credentials {
    /// Reads what was kept, if anything.
    ///
    /// # Errors
    /// If others can read the file, or it is not one of ours.
    pub(crate) fn load() -> anyhow::Result<Option<Self>> {
        let path = path()?;
        let Ok(metadata) = std::fs::metadata(&path) else {
            return Ok(None);
        };
        if metadata.permissions().mode() & 0o077 != 0 {
            bail!(
                "{} can be read by others\nhint: run `chmod 600 {0}`, then make a new token: this one may be known",
                path.display()
            );
        }
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let credentials = serde_json::from_str(&text).with_context(|| {
            format!(
                "{} is damaged\nhint: remove it and run `kalpana login`",
                path.display()
            )
        })?;
        Ok(Some(credentials))
    }

    /// Keeps this sign-in in place of the one before.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn save(&self) -> anyhow::Result<()> {
        let path = path()?;
        let failed = || format!("cannot write {}", path.display());
        let folder = path.parent().context("the path has a folder")?;
        std::fs::create_dir_all(folder).with_context(failed)?;
        let fresh = path.with_extension("new");
        let mut file = std::fs::File::options()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)
            .with_context(failed)?;
        file.write_all(serde_json::to_string_pretty(self)?.as_bytes())
            .with_context(failed)?;
        std::fs::rename(&fresh, &path).with_context(failed)
    }

    /// Forgets what was kept.
    ///
    /// # Errors
    /// If the file is there and cannot be removed.
    pub(crate) fn forget() -> anyhow::Result<()> {
        let path = path()?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }
}

fn path() -> anyhow::Result<PathBuf> {
    let folder = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
    Ok(folder
        .context("neither HOME nor XDG_CONFIG_HOME is set")?
        .join("kalpana/credentials.json"))
}
