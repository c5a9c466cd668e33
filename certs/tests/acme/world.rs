//! A site, an authority, and what answers it at ports 80 and 443.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kalpana_certs::{Answers, Certs, Observer, Pace, Resolver, Shelf};
use kalpana_config::{Config, Site};
use kalpana_domain::clock::{Clock, ManualClock, SystemClock};
use kalpana_protocol::certificates::Certificate;
use kalpana_test_acme::{ChallengeServer, Pebble, PebbleOptions, reserve_port};
use prometheus::Registry;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::LazyConfigAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long something may take that takes a second or two.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An authority, and the two ports at which it looks for proofs.
pub(crate) struct Authority {
    pub(crate) pebble: Pebble,
    pub(crate) dns: ChallengeServer,
    pub(crate) http: SocketAddr,
    pub(crate) tls: SocketAddr,
    /// So that nobody else is given the ports while no site listens there.
    _held: [socket2::Socket; 2],
}

impl Authority {
    /// Starts one.
    pub(crate) async fn start(change: impl FnOnce(&mut PebbleOptions)) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let dns = ChallengeServer::start().await.expect("a name server");
        let (held_http, http) = held();
        let (held_tls, tls) = held();
        let mut options = PebbleOptions {
            http_port: http.port(),
            tls_port: tls.port(),
            ..PebbleOptions::default()
        };
        change(&mut options);
        let pebble = Pebble::start(&dns, options).await.expect("an authority");
        Self {
            pebble,
            dns,
            http,
            tls,
            _held: [held_http, held_tls],
        }
    }

    /// Settings that order from here, for `example.test`, with `more` at the end.
    pub(crate) fn settings(&self, more: &str) -> String {
        format!(
            "[server]\ndomain = \"example.test\"\n\
             [certs]\nsource = \"acme\"\n\
             [certs.acme]\ndirectory = \"{}\"\nroot_file = \"{}\"\nagree_to_terms = true\n{more}",
            self.pebble.directory_url(),
            self.pebble.root_file().display(),
        )
    }
}

fn held() -> (socket2::Socket, SocketAddr) {
    let (held, port) = reserve_port().expect("a port");
    (held, SocketAddr::from(([127, 0, 0, 1], port)))
}

/// A running site.
pub(crate) struct Running {
    pub(crate) certs: Arc<Certs>,
    pub(crate) clock: Arc<ManualClock>,
    task: JoinHandle<()>,
    _stop: DropGuard,
}

/// Starts the certificates of a site in `directory`, and answers at the authority's two ports.
pub(crate) async fn run(
    directory: &Path,
    authority: (SocketAddr, SocketAddr),
    settings: &str,
    observer: Option<Observer>,
) -> Running {
    let mut opened = Opened::open(directory, settings);
    if let Some(observer) = observer {
        opened.certs = opened.certs.observed_by(observer);
    }
    opened.keep(authority).await
}

/// A site that has looked what there is, and does nothing yet.
pub(crate) struct Opened {
    certs: Certs,
    clock: Arc<ManualClock>,
    stop: CancellationToken,
}

impl Opened {
    pub(crate) fn open(directory: &Path, settings: &str) -> Self {
        let mut config: Config = toml::from_str(settings).expect("settings");
        config.server.data_dir = Some(directory.to_owned());
        let site = Site::resolve(&config, false, None).expect("resolved");
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let time = Arc::clone(&clock) as Arc<dyn Clock>;
        let registry = Registry::new();
        let certs = Certs::open(&site, &config.certs, true, &registry, time).expect("opened");
        Self {
            certs,
            clock,
            stop: CancellationToken::new(),
        }
    }

    /// Shares what is there over `shelf`.
    pub(crate) fn shared_over(mut self, shelf: Arc<dyn Shelf>, pace: Pace) -> Self {
        self.certs = self.certs.shared_over(shelf, pace).expect("shared");
        self
    }

    /// Tells `observer` of each step.
    pub(crate) fn observed_by(mut self, observer: Observer) -> Self {
        self.certs = self.certs.observed_by(observer);
        self
    }

    /// Answers at the authority's two ports, until the site ends.
    pub(crate) async fn answer(self, (http, tls): (SocketAddr, SocketAddr)) -> Self {
        let resolver = self.certs.resolver();
        spawn_http(http, self.certs.answers(), self.stop.clone()).await;
        spawn_tls(tls, resolver, self.stop.clone()).await;
        self
    }

    /// Orders what is due.
    pub(crate) fn order(self) -> Running {
        let certs = Arc::new(self.certs);
        let (keeper, until) = (Arc::clone(&certs), self.stop.clone());
        let task = tokio::spawn(async move { keeper.keep(&|_| true, until).await });
        Running {
            certs,
            clock: self.clock,
            task,
            _stop: self.stop.drop_guard(),
        }
    }

    /// Orders what is due, and answers at the authority's two ports.
    pub(crate) async fn keep(self, authority: (SocketAddr, SocketAddr)) -> Running {
        self.answer(authority).await.order()
    }
}

impl Running {
    /// Ends it where it stands, as a kill does.
    pub(crate) async fn abort(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// Waits until the certificate `id` is as it should be.
    pub(crate) async fn until(
        &self,
        id: &str,
        is_right: impl Fn(&Certificate) -> bool,
    ) -> Certificate {
        let look = async {
            loop {
                let found = self.find(id).filter(|found| is_right(found));
                if let Some(found) = found {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, look).await {
            Ok(found) => found,
            Err(_) => panic!("{id} stays {:#?}", self.find(id)),
        }
    }

    pub(crate) fn find(&self, id: &str) -> Option<Certificate> {
        let all = self.certs.list().certificates;
        all.into_iter().find(|certificate| certificate.id == id)
    }

    /// Moves the clock, and has it looked at.
    pub(crate) fn advance(&self, days: i64) {
        self.clock
            .advance(jiff::SignedDuration::from_hours(days * 24));
        self.certs.look();
    }
}

/// Binds a port that the site before may still be letting go.
async fn bind(address: SocketAddr) -> TcpListener {
    let bind = async {
        loop {
            match TcpListener::bind(address).await {
                Ok(listener) => return listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let bound = tokio::time::timeout(PATIENCE, bind).await;
    bound.expect("the port is free soon")
}

async fn spawn_http(address: SocketAddr, answers: Arc<Answers>, stop: CancellationToken) {
    let listener = bind(address).await;
    let serve = async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let token = head
                .split_whitespace()
                .nth(1)
                .and_then(|path| path.strip_prefix("/.well-known/acme-challenge/"));
            let text = match token {
                Some(token) => answers.find_http(token).await,
                None => None,
            };
            let (status, text) = text.map_or(("404 Not Found", String::new()), |it| ("200 OK", it));
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
                text.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    };
    tokio::spawn(async move {
        tokio::select! { () = stop.cancelled() => {} () = serve => {} }
    });
}

async fn spawn_tls(address: SocketAddr, resolver: Arc<Resolver>, stop: CancellationToken) {
    let listener = bind(address).await;
    let answers = resolver.answers();
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"acme-tls/1".to_vec()];
    let config = Arc::new(config);
    let serve = async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (config, answers) = (Arc::clone(&config), Arc::clone(&answers));
            tokio::spawn(async move {
                let acceptor = rustls::server::Acceptor::default();
                let Ok(started) = LazyConfigAcceptor::new(acceptor, stream).await else {
                    return;
                };
                // As the gateway does.
                if let Some(host) = started.client_hello().server_name().map(str::to_owned) {
                    answers.find_tls(&host).await;
                }
                if let Ok(mut stream) = started.into_stream(config).await {
                    let _ = stream.shutdown().await;
                }
            });
        }
    };
    tokio::spawn(async move {
        tokio::select! { () = stop.cancelled() => {} () = serve => {} }
    });
}
