//! `kalpana login` and `kalpana logout`.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::Context;
use clap::Args;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::Remote;
use crate::api::{Api, Refused};
use crate::credentials::Credentials;
use crate::output;

/// How somebody proves who they are
#[derive(Debug, Args)]
pub(crate) struct Identity {
    /// E-mail address; asked for when left out
    #[arg(long, env = "KALPANA_EMAIL")]
    email: Option<String>,
    /// Read the password from standard input instead of asking on the terminal
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Login {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    identity: Identity,
}

/// A token as the site answers it, once.
#[derive(Debug, Deserialize)]
pub(super) struct IssuedToken {
    pub(super) token: String,
    pub(super) id: String,
}

impl Identity {
    /// Signs in; the session lives in the client's cookie jar.
    pub(super) async fn sign_in(&self, api: &Api) -> anyhow::Result<()> {
        let email = match &self.email {
            Some(email) => email.clone(),
            None => ask("E-mail: ")?,
        };
        let password = self.password("Password: ")?;
        let body = json!({ "email": email, "password": password });
        let _: serde_json::Value = api.call(Method::POST, "/api/session", Some(&body)).await?;
        Ok(())
    }

    /// Returns the password, asked for without echo unless it comes by standard input.
    pub(super) fn password(&self, prompt: &str) -> anyhow::Result<String> {
        read_password(prompt, self.password_stdin)
    }
}

/// Reads a password: one line of standard input, or an answer without echo.
pub(super) fn read_password(prompt: &str, from_stdin: bool) -> anyhow::Result<String> {
    if !from_stdin {
        return rpassword::prompt_password(prompt)
            .context("cannot ask for the password here\nhint: pass it with --password-stdin");
    }
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("cannot read the password")?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

fn ask(prompt: &str) -> anyhow::Result<String> {
    let mut stderr = std::io::stderr().lock();
    write!(stderr, "{prompt}")?;
    stderr.flush()?;
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("cannot read the answer")?;
    Ok(line.trim().to_owned())
}

impl Login {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let api = Api::anonymous(self.remote.url.as_deref())?;
        self.identity.sign_in(&api).await?;
        let host = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        let body = json!({
            "name": format!("kalpana login on {host}"),
            "scopes": ["workspace:read", "workspace:write", "workspace:delete"],
        });
        let issued: IssuedToken = api.call(Method::POST, "/api/tokens", Some(&body)).await?;
        // The token is what stays; the session was only the way to it.
        let _: serde_json::Value = api
            .call(Method::DELETE, "/api/session", None::<&()>)
            .await?;
        let kept = Credentials {
            url: api.url(),
            token: issued.token,
            token_id: issued.id,
        };
        kept.save()?;
        let answer = json!({ "url": kept.url, "token_id": kept.token_id });
        output::answer(self.remote.format, &answer, |_| {
            format!("signed in to {}", kept.url)
        })
    }
}

/// Revokes the kept token and forgets it.
pub(super) async fn logout(remote: Remote) -> anyhow::Result<()> {
    let Some(kept) = Credentials::load()? else {
        return output::answer(remote.format, &json!({ "signed_in": false }), |_| {
            "nobody was signed in".to_owned()
        });
    };
    let api = Api::anonymous(Some(&kept.url))?.with_token(kept.token.clone());
    let path = format!("/api/tokens/{}", kept.token_id);
    let revoked: anyhow::Result<serde_json::Value> =
        api.call(Method::DELETE, &path, None::<&()>).await;
    let is_revoked = match revoked {
        Ok(_) => true,
        // Already dead: nothing is left to revoke.
        Err(error)
            if error
                .downcast_ref::<Refused>()
                .is_some_and(|no| no.status == 401) =>
        {
            true
        }
        Err(error) => {
            if std::io::stderr().is_terminal() {
                output::note(&format!("the token could not be revoked: {error:#}"));
            }
            false
        }
    };
    Credentials::forget()?;
    let answer = json!({ "url": kept.url, "token_revoked": is_revoked });
    output::answer(remote.format, &answer, |_| {
        format!("signed out of {}", kept.url)
    })
}
