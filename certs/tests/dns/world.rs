//! What the stories have in common.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use kalpana_certs::dns::{DnsError, DnsProof, Record};
use kalpana_config::Span;
use kalpana_config::section::certs::dns::Dns;
use kalpana_test_acme::ChallengeServer;

/// What every secret in these stories contains, and no words of ours may.
pub(crate) const CANARY: &str = "canary-8d2f";

pub(crate) const DOMAIN: &str = "example.test";
pub(crate) const NAME: &str = "_acme-challenge.example.test";
pub(crate) const ONE: &str = "one-LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";
pub(crate) const TWO: &str = "-two-9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";

/// A configuration without a provider, which asks `resolvers`.
pub(crate) fn settings(resolvers: &[SocketAddr]) -> Dns {
    Dns {
        resolvers: resolvers.to_vec(),
        propagation_timeout: Span::seconds(20),
        ..Dns::default()
    }
}

/// A file that only its owner may read.
pub(crate) struct SecretFile(tempfile::NamedTempFile);

impl SecretFile {
    pub(crate) fn with(contents: &str) -> Self {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), contents).expect("written");
        let file = Self(file);
        file.set_mode(0o600);
        file
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    pub(crate) fn set_mode(&self, mode: u32) {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(self.0.path(), mode).expect("its mode");
    }
}

/// The zones of a hosted provider. What is in them is answered by a real name server.
pub(crate) struct Hosted {
    pub(crate) server: ChallengeServer,
    records: Mutex<BTreeMap<u64, (String, String)>>,
    next_id: AtomicU64,
    calls: Mutex<Vec<String>>,
    /// What is answered to the next calls instead of doing anything.
    answers: Mutex<Vec<(StatusCode, HeaderMap, String)>>,
}

impl Hosted {
    pub(crate) async fn start() -> Arc<Self> {
        Arc::new(Self {
            server: ChallengeServer::start().await.expect("a name server"),
            records: Mutex::default(),
            next_id: AtomicU64::new(1),
            calls: Mutex::default(),
            answers: Mutex::default(),
        })
    }

    /// Makes its interface reachable; returns the URL.
    pub(crate) async fn serve(self: &Arc<Self>, router: Router) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("its address");
        let hosted = Arc::clone(self);
        let router = router.layer(axum::middleware::from_fn(
            move |request: axum::extract::Request, next: axum::middleware::Next| {
                let hosted = Arc::clone(&hosted);
                async move {
                    let call = format!("{} {}", request.method(), request.uri());
                    hosted.calls.lock().expect("calls").push(call);
                    match hosted.planned() {
                        Some(answer) => answer,
                        None => next.run(request).await,
                    }
                }
            },
        ));
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    /// Answers the next call in this way, in front of those planned before.
    pub(crate) fn answer_next(&self, status: u16, header: Option<(&str, &str)>, body: &str) {
        let mut headers = HeaderMap::new();
        if let Some((name, value)) = header {
            let name: axum::http::HeaderName = name.parse().expect("a header");
            headers.insert(name, value.parse().expect("a value"));
        }
        let status = StatusCode::from_u16(status).expect("a status");
        let mut answers = self.answers.lock().expect("answers");
        answers.push((status, headers, body.to_owned()));
    }

    fn planned(&self) -> Option<Response> {
        let (status, headers, body) = self.answers.lock().expect("answers").pop()?;
        Some((status, headers, body).into_response())
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().expect("calls").clone()
    }

    pub(crate) async fn add(&self, name: &str, value: &str) -> u64 {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let record = (name.to_owned(), value.to_owned());
        self.records.lock().expect("records").insert(id, record);
        self.publish(name).await;
        id
    }

    /// Removes a record; tells whether it was there.
    pub(crate) async fn remove(&self, id: u64) -> bool {
        let removed = self.records.lock().expect("records").remove(&id);
        if let Some((name, _)) = &removed {
            self.publish(name).await;
        }
        removed.is_some()
    }

    pub(crate) fn ids(&self, name: &str) -> Vec<(u64, String)> {
        let records = self.records.lock().expect("records");
        let of_name = records.iter().filter(|(_, (owner, _))| owner == name);
        of_name
            .map(|(id, (_, value))| (*id, value.clone()))
            .collect()
    }

    /// Returns the values of a name, sorted.
    pub(crate) fn values(&self, name: &str) -> Vec<String> {
        let mut values: Vec<String> = self.ids(name).into_iter().map(|(_, value)| value).collect();
        values.sort();
        values
    }

    async fn publish(&self, name: &str) {
        self.server.clear_txt(name).await.expect("cleared");
        for (_, value) in self.ids(name) {
            self.server.set_txt(name, &value).await.expect("set");
        }
    }
}

/// Proves a domain and its wildcard at once, twice over, and clears one after the other.
pub(crate) async fn two_values_come_and_go(proof: &DnsProof, hosted: &Hosted) {
    let others = hosted.values(NAME);
    let with = |ours: &[&str]| {
        let mut all = others.clone();
        all.extend(ours.iter().map(ToString::to_string));
        all.sort();
        all
    };
    let one = proof.prove(DOMAIN, ONE).await.expect("proven");
    let two = proof.prove("*.example.test", TWO).await.expect("proven");
    assert_eq!(one.name, NAME);
    assert_eq!(two.name, NAME);
    assert_eq!(hosted.values(NAME), with(&[ONE, TWO]));
    proof.publish(&one).await.expect("set once more");
    assert_eq!(hosted.values(NAME), with(&[ONE, TWO]), "twice is as once");
    proof.clear(&one).await.expect("cleared");
    assert_eq!(hosted.values(NAME), with(&[TWO]), "the other value stays");
    proof.clear(&one).await.expect("absent is fine");
    proof.clear(&two).await.expect("cleared");
    assert_eq!(hosted.values(NAME), with(&[]));
}

/// Fails to set the record; checks what is true of every error.
pub(crate) async fn refusal(proof: &DnsProof) -> DnsError {
    let record = Record {
        name: NAME.to_owned(),
        value: ONE.to_owned(),
    };
    let error = proof.publish(&record).await.expect_err("refused");
    checked(proof, error)
}

/// Returns an error after a look for secrets in it.
pub(crate) fn checked(proof: &DnsProof, error: DnsError) -> DnsError {
    for words in [
        error.to_string(),
        error.next_step(),
        format!("{error:?}"),
        format!("{proof:?}"),
    ] {
        assert!(!words.contains(CANARY), "a secret is in {words}");
    }
    assert!(error.to_string().contains(NAME), "{error}");
    error
}
