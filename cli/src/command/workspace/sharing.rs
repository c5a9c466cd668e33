//! `kalpana workspace share`, `unshare`, `link`: who else may visit a port.

use clap::Args;
use kalpana_config::Span;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::One;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Share {
    #[command(flatten)]
    one: One,
    /// The port that a program in the workspace listens on
    #[arg(long, value_parser = clap::value_parser!(u16).range(1024..))]
    port: u16,
    /// Who may visit it
    #[arg(long, value_parser = ["members", "organization", "link", "public"])]
    level: String,
    /// E-mail address of somebody who may visit it; may be given several times
    #[arg(long = "member", value_name = "EMAIL")]
    members: Vec<String>,
    /// Stop sharing by itself after this time, as in 2h or 7d
    #[arg(long, value_name = "TIME")]
    expires: Option<Span>,
    /// Go on sharing after the next start of the workspace
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Unshare {
    #[command(flatten)]
    one: One,
    /// The port
    #[arg(long, value_parser = clap::value_parser!(u16).range(1024..))]
    port: u16,
}

#[derive(Debug, Args)]
pub(crate) struct Link {
    #[command(flatten)]
    one: One,
    /// The port, which must be shared at the level link or public
    #[arg(long, value_parser = clap::value_parser!(u16).range(1024..))]
    port: u16,
    /// How long the link is good for, from 1m to 30d
    #[arg(long, value_name = "TIME", default_value = "1d")]
    expires: Span,
    /// Open only this path and what is below it
    #[arg(long)]
    path: Option<String>,
    /// Let the link work once only
    #[arg(long)]
    once: bool,
}

/// How a port is shared, as the site shows it.
#[derive(Debug, Serialize, Deserialize)]
struct PortShare {
    port: u16,
    url: String,
    level: String,
    level_in_force: String,
    #[serde(default)]
    members: Vec<Person>,
    expires_at: Option<String>,
    keep_after_restart: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Person {
    name: String,
    email: String,
}

/// A link that was just made.
#[derive(Debug, Serialize, Deserialize)]
struct CreatedLink {
    id: String,
    url: String,
    path: String,
    one_use: bool,
    expires_at: String,
}

impl PortShare {
    fn describe(&self) -> String {
        let members: Vec<&str> = self
            .members
            .iter()
            .map(|person| person.email.as_str())
            .collect();
        let level = if self.level == self.level_in_force {
            self.level.clone()
        } else {
            format!("{} (in force: {})", self.level, self.level_in_force)
        };
        let mut lines = vec![
            format!("url      {}", self.url),
            format!("level    {level}"),
        ];
        if !members.is_empty() {
            lines.push(format!("members  {}", members.join(", ")));
        }
        if let Some(end) = &self.expires_at {
            lines.push(format!("expires  {end}"));
        }
        let restart = if self.keep_after_restart {
            "kept"
        } else {
            "ends sharing"
        };
        lines.push(format!("restart  {restart}"));
        lines.join("\n")
    }
}

impl Share {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (api, workspace) = self.one.find().await?;
        let mut body = json!({
            "level": self.level,
            "members": self.members,
            "keep_after_restart": self.keep,
        });
        if let Some(expires) = self.expires {
            body["expires_in_seconds"] = expires.0.as_secs().into();
        }
        let path = format!("/api/workspaces/{}/ports/{}/share", workspace.id, self.port);
        let share: PortShare = api.call(Method::PUT, &path, Some(&body)).await?;
        if share.level_in_force == "public" {
            output::note("note: everybody who knows the address can now use this port");
        }
        output::answer(self.one.remote.format, &share, PortShare::describe)
    }
}

impl Unshare {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (api, workspace) = self.one.find().await?;
        let path = format!("/api/workspaces/{}/ports/{}/share", workspace.id, self.port);
        let (): () = api.call(Method::DELETE, &path, None::<&()>).await?;
        let answer = json!({ "port": self.port, "level": "owner" });
        output::answer(self.one.remote.format, &answer, |_| {
            format!("port {} of {} is not shared", self.port, workspace.name)
        })
    }
}

impl Link {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let (api, workspace) = self.one.find().await?;
        let mut body = json!({
            "expires_in_seconds": self.expires.0.as_secs(),
            "one_use": self.once,
        });
        if let Some(path) = &self.path {
            body["path"] = path.as_str().into();
        }
        let path = format!("/api/workspaces/{}/ports/{}/links", workspace.id, self.port);
        let link: CreatedLink = api.call(Method::POST, &path, Some(&body)).await?;
        output::answer(self.one.remote.format, &link, |link| link.url.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_force_is_said_where_it_differs() {
        let mut share = PortShare {
            port: 3000,
            url: "https://3000-abcdefghij01.kalpana.localhost:8443".to_owned(),
            level: "public".to_owned(),
            level_in_force: "organization".to_owned(),
            members: vec![Person {
                name: "Ada".to_owned(),
                email: "ada@example.com".to_owned(),
            }],
            expires_at: Some("2030-01-01T00:00:00Z".to_owned()),
            keep_after_restart: true,
        };
        assert_eq!(
            share.describe(),
            "url      https://3000-abcdefghij01.kalpana.localhost:8443\n\
             level    public (in force: organization)\n\
             members  ada@example.com\n\
             expires  2030-01-01T00:00:00Z\n\
             restart  kept"
        );
        share.level_in_force = "public".to_owned();
        share.expires_at = None;
        share.members.clear();
        share.keep_after_restart = false;
        assert!(
            share
                .describe()
                .ends_with("level    public\nrestart  ends sharing")
        );
    }
}
