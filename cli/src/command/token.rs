//! `kalpana token`: API tokens for programs.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Remote;
use super::login::Identity;
use crate::api::Api;
use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a token; it is printed once and can be put into KALPANA_TOKEN
    ///
    /// Asks for your password: a token cannot make tokens.
    Create(Create),
    /// List your tokens
    List(Access),
    /// Revoke a token
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(crate) struct Access {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    identity: Identity,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// What to call it
    name: String,
    /// What it may be used for; repeat for several
    #[arg(
        long = "scope",
        value_name = "SCOPE",
        default_values = ["workspace:read", "workspace:write"],
        value_parser = ["workspace:read", "workspace:write", "workspace:delete", "users:write"]
    )]
    scopes: Vec<String>,
    /// Days until it ends [default: the site's]
    #[arg(long, value_name = "DAYS")]
    expires_in_days: Option<u32>,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The token's id, from `kalpana token list`
    id: String,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Serialize, Deserialize)]
struct Listed {
    tokens: Vec<Token>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Token {
    id: String,
    name: String,
    scopes: Vec<String>,
    created_at: String,
    expires_at: String,
    last_used_at: Option<String>,
}

impl Access {
    async fn sign_in(&self) -> anyhow::Result<Api> {
        let api = Api::anonymous(self.remote.url.as_deref())?;
        self.identity.sign_in(&api).await?;
        Ok(api)
    }
}

async fn sign_out(api: &Api) -> anyhow::Result<()> {
    let _: serde_json::Value = api
        .call(Method::DELETE, "/api/session", None::<&()>)
        .await?;
    Ok(())
}

impl Command {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => {
                let api = create.access.sign_in().await?;
                let mut body = json!({ "name": create.name, "scopes": create.scopes });
                if let Some(days) = create.expires_in_days {
                    body["expires_in_days"] = days.into();
                }
                let issued: serde_json::Value =
                    api.call(Method::POST, "/api/tokens", Some(&body)).await?;
                sign_out(&api).await?;
                output::answer(create.access.remote.format, &issued, |issued| {
                    issued["token"].as_str().unwrap_or_default().to_owned()
                })
            }
            Self::List(access) => {
                let api = access.sign_in().await?;
                let listed: Listed = api.get("/api/tokens").await?;
                sign_out(&api).await?;
                output::answer(access.remote.format, &listed, |listed| {
                    if listed.tokens.is_empty() {
                        return "no tokens; `kalpana token create NAME` makes one".to_owned();
                    }
                    let row = |token: &Token| {
                        vec![
                            token.id.clone(),
                            token.name.clone(),
                            token.scopes.join(" "),
                            token.expires_at.clone(),
                            token
                                .last_used_at
                                .clone()
                                .unwrap_or_else(|| "never".to_owned()),
                        ]
                    };
                    let headings = ["ID", "NAME", "SCOPES", "EXPIRES", "LAST USED"];
                    output::table(&headings, listed.tokens.iter().map(row).collect())
                })
            }
            Self::Revoke(revoke) => {
                let api = revoke.access.sign_in().await?;
                let path = format!("/api/tokens/{}", revoke.id);
                let _: serde_json::Value = api.call(Method::DELETE, &path, None::<&()>).await?;
                sign_out(&api).await?;
                let answer = json!({ "id": revoke.id, "revoked": true });
                output::answer(revoke.access.remote.format, &answer, |_| {
                    "revoked".to_owned()
                })
            }
        }
    }
}
