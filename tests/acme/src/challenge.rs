//! The name server that Pebble asks: every name is 127.0.0.1, and records are what tests set.

use std::net::SocketAddr;

use anyhow::Context;
use serde_json::{Value, json};

use crate::process::{Process, free_port};

/// A `pebble-challtestsrv` of a test's own.
#[derive(Debug)]
pub struct ChallengeServer {
    _folder: tempfile::TempDir,
    _process: Process,
    dns: SocketAddr,
    management: String,
    client: reqwest::Client,
}

impl ChallengeServer {
    /// Starts one.
    ///
    /// # Errors
    /// If it is not installed or does not start, with its log.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("kdns").tempdir()?;
        let (dns, management) = (free_port()?, free_port()?);
        let mut arguments = vec![
            format!("-dns01=127.0.0.1:{dns}"),
            format!("-management=127.0.0.1:{management}"),
            "-defaultIPv4=127.0.0.1".to_owned(),
        ];
        for off in ["http01", "https01", "tlsalpn01", "defaultIPv6"] {
            arguments.push(format!("-{off}="));
        }
        let log = folder.path().join("log");
        let ports = [dns, management];
        let process = Process::start("pebble-challtestsrv", &arguments, &[], &ports, &log).await?;
        Ok(Self {
            _folder: folder,
            _process: process,
            dns: SocketAddr::from(([127, 0, 0, 1], dns)),
            management: format!("http://127.0.0.1:{management}"),
            client: reqwest::Client::new(),
        })
    }

    /// Returns where it is asked for names.
    pub fn address(&self) -> SocketAddr {
        self.dns
    }

    /// Adds a TXT record. `name` has no dot at its end.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn set_txt(&self, name: &str, value: &str) -> anyhow::Result<()> {
        let host = format!("{name}.");
        self.tell("set-txt", &json!({ "host": host, "value": value }))
            .await
    }

    /// Removes all TXT records of `name`.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn clear_txt(&self, name: &str) -> anyhow::Result<()> {
        let host = format!("{name}.");
        self.tell("clear-txt", &json!({ "host": host })).await
    }

    /// Lets only `authority` sign for `name`.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn set_caa(&self, name: &str, authority: &str) -> anyhow::Result<()> {
        let policy = json!({ "tag": "issue", "value": authority });
        let host = format!("{name}.");
        self.tell("add-caa", &json!({ "host": host, "policies": [policy] }))
            .await
    }

    /// Lets `name` be at `addresses`.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn set_a(&self, name: &str, addresses: &[&str]) -> anyhow::Result<()> {
        let host = format!("{name}.");
        self.tell("add-a", &json!({ "host": host, "addresses": addresses }))
            .await
    }

    /// Makes `name` an alias of `target`.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn set_cname(&self, name: &str, target: &str) -> anyhow::Result<()> {
        let (host, target) = (format!("{name}."), format!("{target}."));
        self.tell("set-cname", &json!({ "host": host, "target": target }))
            .await
    }

    /// Fails every question about `name`.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn servfail(&self, name: &str) -> anyhow::Result<()> {
        let host = format!("{name}.");
        self.tell("set-servfail", &json!({ "host": host })).await
    }

    /// Ends what [`ChallengeServer::servfail`] began.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn clear_servfail(&self, name: &str) -> anyhow::Result<()> {
        let host = format!("{name}.");
        self.tell("clear-servfail", &json!({ "host": host })).await
    }

    async fn tell(&self, what: &str, body: &Value) -> anyhow::Result<()> {
        let url = format!("{}/{what}", self.management);
        let answer = self.client.post(url).body(body.to_string()).send().await?;
        answer
            .error_for_status()
            .with_context(|| format!("{what} was refused"))?;
        Ok(())
    }
}
