//! A site for one test: its store, its web service, and an orchestrator that does what it is told.

pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod orchestrator;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kalpana_config::{Config, Secret};
use kalpana_domain::clock::SystemClock;
use kalpana_domain::workspace::Egress;
use kalpana_link::{InternalToken, PeerPolicy};
use kalpana_store::{OpenMode, Store};
use kalpana_test_mongodb::Database;
use kalpana_web::{Dependencies, WebPeers};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::http::{Answer, Browser};
use self::orchestrator::Orchestrator;

/// Nothing that a test waits for takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The password of everybody here.
pub(crate) const PASSWORD: &str = "correct horse battery staple 42";

/// Waits for something, but not for ever.
pub(crate) async fn in_time<T>(awaited: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, awaited)
        .await
        .expect("in time")
}

/// Returns the settings of a store in MongoDB.
pub(crate) fn mongodb(uri: &str, database: &str) -> kalpana_config::Store {
    let mut settings = kalpana_config::Store::default();
    settings.mongodb.uri = Some(Secret::new(uri.to_owned()));
    settings.mongodb.database = database.to_owned();
    settings
}

/// One site.
pub(crate) struct Site {
    _folder: tempfile::TempDir,
    pub(crate) config: Config,
    pub(crate) site: kalpana_config::Site,
    pub(crate) store: Store,
    pub(crate) token: InternalToken,
    pub(crate) registry: prometheus::Registry,
    pub(crate) orchestrator: Option<Orchestrator>,
    running: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Site {
    /// Starts a site without a user.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts a site with a changed configuration.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir_in(std::env::temp_dir()).unwrap();
        let mut config = Config::default();
        config.server.data_dir = Some(folder.path().to_owned());
        change(&mut config);
        let site = kalpana_config::Site::resolve(&config, false, None).unwrap();
        std::fs::create_dir_all(&site.run_dir).unwrap();
        std::fs::create_dir_all(site.store_path().parent().unwrap()).unwrap();
        let registry = prometheus::Registry::new();
        let (settings, path) = (&config.store, site.store_path());
        let store = kalpana_store::open(settings, path, OpenMode::Migrate, &registry);
        let store = store.await.unwrap();
        let token = InternalToken::generate();
        let orchestrator = Orchestrator::start(&site, store.clone(), &token);
        let mut started = Self {
            _folder: folder,
            config,
            site,
            store,
            token,
            registry: prometheus::Registry::new(),
            orchestrator: Some(orchestrator),
            running: None,
        };
        started.start_web().await;
        started
    }

    /// Starts a site on a MongoDB database.
    pub(crate) async fn start_on(database: &Database) -> Self {
        let settings = mongodb(database.uri(), database.name());
        Self::start_with(|config| config.store = settings).await
    }

    /// Starts another site on this one's store, as a second machine of it would be.
    pub(crate) async fn start_beside(&self) -> Self {
        let mut settings = self.config.store.clone();
        settings.path = Some(self.site.store_path().to_owned());
        Self::start_with(|config| config.store = settings).await
    }

    /// Starts the web service, and waits until it is ready.
    pub(crate) async fn start_web(&mut self) {
        self.registry = prometheus::Registry::new();
        let (ready, mut is_ready) = watch::channel(false);
        let policy = PeerPolicy::same_user(Some(self.token.clone()));
        let dependencies = Dependencies {
            site: self.site.clone(),
            config: self.config.web.clone(),
            auth: self.config.auth.clone(),
            egress_default: Egress::Open,
            trash_retention: std::time::Duration::from_secs(30 * 86_400),
            workspace_session_lifetime: self.config.gateway.session_lifetime.0,
            peers: WebPeers {
                public: policy.clone(),
                internal: policy,
                token: Some(self.token.clone()),
            },
            store: self.store.clone(),
            registry: self.registry.clone(),
            clock: Arc::new(SystemClock),
            ready,
        };
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let task = tokio::spawn(async move {
            kalpana_web::run(dependencies, stop).await.unwrap();
        });
        in_time(is_ready.wait_for(|ready| *ready)).await.unwrap();
        self.running = Some((shutdown, task));
    }

    /// Stops the web service and waits for its end.
    pub(crate) async fn stop_web(&mut self) {
        let (shutdown, task) = self.running.take().unwrap();
        shutdown.cancel();
        in_time(task).await.unwrap();
    }

    /// The orchestrator goes away.
    pub(crate) async fn stop_orchestrator(&mut self) {
        self.orchestrator.take().unwrap().stop().await;
    }

    pub(crate) fn orchestrator(&self) -> &Orchestrator {
        self.orchestrator.as_ref().unwrap()
    }

    /// Where the gateway connects.
    pub(crate) fn socket(&self) -> PathBuf {
        self.site.web_socket()
    }

    /// A browser that nobody has signed in with.
    pub(crate) fn stranger(&self) -> Browser {
        Browser::new(self.socket(), &self.site.base_url(), &self.token)
    }

    /// Returns a fresh setup link's secret.
    pub(crate) async fn setup_secret(&self) -> Option<String> {
        let clock = Arc::new(SystemClock);
        let link =
            kalpana_web::setup_link(self.store.clone(), &self.site, &self.config.auth, clock)
                .await
                .unwrap()?;
        let prefix = format!("{}/setup#token=", self.site.base_url());
        Some(link.strip_prefix(&prefix).unwrap().to_owned())
    }

    /// Makes the first administrator and returns their browser.
    pub(crate) async fn administrator(&self) -> Browser {
        let token = self.setup_secret().await.unwrap();
        let wish = json!({
            "token": token, "email": "root@example.com", "name": "Root", "password": PASSWORD,
        });
        let answer = self.stranger().post("/api/setup", &wish).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        self.stranger().with_cookie_of(&answer)
    }

    /// Makes a member, signs them in, and returns their browser.
    pub(crate) async fn member(&self, administrator: &Browser, name: &str) -> Browser {
        let email = format!("{name}@example.com");
        let wish = json!({"email": email, "name": name, "password": PASSWORD, "role": "member"});
        let made = administrator.post("/api/admin/users", &wish).await;
        assert_eq!(made.status, 201, "{made:?}");
        self.sign_in(&email).await
    }

    /// Signs somebody in.
    pub(crate) async fn sign_in(&self, email: &str) -> Browser {
        let answer = self
            .stranger()
            .post(
                "/api/session",
                &json!({"email": email, "password": PASSWORD}),
            )
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        self.stranger().with_cookie_of(&answer)
    }

    /// Makes a token of a person's with these scopes, and a client that uses it.
    pub(crate) async fn token_of(&self, browser: &Browser, scopes: &[&str]) -> Browser {
        let answer = browser
            .post("/api/tokens", &json!({"name": "t", "scopes": scopes}))
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let token = answer.json()["token"].as_str().unwrap().to_owned();
        self.stranger().with_token(&token)
    }

    /// Asks for a workspace and returns its id.
    pub(crate) async fn workspace(&self, owner: &Browser, name: &str) -> String {
        let answer = owner.post("/api/workspaces", &json!({"name": name})).await;
        id_of(&answer)
    }
}

/// Returns the id of the workspace that was just asked for.
pub(crate) fn id_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}
