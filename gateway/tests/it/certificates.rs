//! Certificates from an authority: proven at the gateway's own ports, and replaced under load.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::{Method, StatusCode};
use kalpana_link::{CallError, Client};
use kalpana_protocol::certificates::{Certificate, CertificateState, Certificates, Happening};
use kalpana_test_acme::{ChallengeServer, Pebble, PebbleOptions, reserve_port};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bridge::Bridge;
use crate::client::{get, whole};
use crate::upgrade::{echo, open};
use crate::world::{MINE, Options, World, patient};

/// A world whose certificates come from an authority of its own.
struct Issued {
    world: Arc<World>,
    pebble: Pebble,
    _dns: ChallengeServer,
    /// So that nobody else is given the ports before the gateway listens there.
    _held: [socket2::Socket; 2],
}

async fn issued(challenge: &str, configure: fn(&mut kalpana_config::Config)) -> Issued {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let ((held_tls, tls), (held_plain, plain)) = (reserve_port().unwrap(), reserve_port().unwrap());
    let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let dns = ChallengeServer::start().await.unwrap();
    let options = PebbleOptions {
        http_port: plain,
        tls_port: tls,
        ..PebbleOptions::default()
    };
    let pebble = Pebble::start(&dns, options).await.unwrap();
    let certs: kalpana_config::Certs = serde_json::from_value(serde_json::json!({
        "source": "acme",
        "acme": {
            "directory": pebble.directory_url(),
            "root_file": pebble.root_file(),
            "agree_to_terms": true,
            "challenge": challenge,
            "on_demand_per_week": 1000,
        },
    }))
    .unwrap();
    let world = World::with(Options {
        certs: Some((certs, local(tls), local(plain))),
        configure,
        ..Options::default()
    });
    let world = Arc::new(world.await);
    let issued = Issued {
        world,
        pebble,
        _dns: dns,
        _held: [held_tls, held_plain],
    };
    issued.until(&issued.world.site.domain).await;
    // From now on clients trust the authority, and no longer the one that stood in.
    let root = issued.pebble.issuing_root(0).await.unwrap();
    std::fs::write(issued.world.site.authority_certificate(), root).unwrap();
    issued
}

impl Issued {
    fn control(&self) -> Client {
        let socket = self.world.site.gateway_control_socket();
        Client::new("gateway", socket, None).with_timeout(crate::world::PATIENCE)
    }

    async fn list(&self) -> Certificates {
        call(&self.control(), Method::GET, "/v1/certificates")
            .await
            .unwrap()
    }

    /// Waits until the certificate `id` is there.
    async fn until(&self, id: &str) -> Certificate {
        patient(async {
            loop {
                let certificates: Result<Certificates, _> =
                    call(&self.control(), Method::GET, "/v1/certificates").await;
                let certificates = certificates.map(|all| all.certificates).unwrap_or_default();
                let is_there = |it: &Certificate| it.id == id && it.state == CertificateState::Good;
                if let Some(found) = certificates.into_iter().find(is_there) {
                    return found;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await
    }

    /// Shakes hands for `host`, and returns the serial number that is shown.
    async fn shown(&self, host: &str) -> Option<String> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let config = Arc::new(self.world.tls_config(b"http/1.1", provider));
        let stream = TcpStream::connect(self.world.bound.tls).await.unwrap();
        let stream = self.world.tls_by(config, stream, host).await.ok()?;
        let leaf = stream.get_ref().1.peer_certificates()?.first()?.clone();
        let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).ok()?;
        let serial = parsed.raw_serial().iter();
        Some(serial.map(|byte| format!("{byte:02x}")).collect())
    }
}

#[tokio::test]
async fn http_01_and_tls_alpn_01_are_proven_at_the_ports_that_people_use() {
    for challenge in ["http-01", "tls-alpn-01"] {
        let issued = issued(challenge, |_| ()).await;
        let domain = issued.world.site.domain.clone();
        let certificate = issued.until(&domain).await;
        assert_eq!(certificate.names, std::slice::from_ref(&domain));
        let shown = issued.shown(&domain).await.expect("trusted");
        assert_eq!(shown, certificate.served.unwrap().serial);

        // Nobody but an authority in an order of ours is shown a proof.
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let config = Arc::new(issued.world.tls_config(b"acme-tls/1", provider));
        let stream = TcpStream::connect(issued.world.bound.tls).await.unwrap();
        let refused = issued.world.tls_by(config, stream, &domain).await;
        assert!(refused.is_err(), "there is no order");
        let plain = issued.world.bound.plain.unwrap();
        let mut stream = TcpStream::connect(plain).await.unwrap();
        let request =
            format!("GET /.well-known/acme-challenge/nothing HTTP/1.1\r\nHost: {domain}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
}

/// How many WebSockets are open while a certificate is replaced: `make soak` asks for 200.
fn how_many(variable: &str, usual: usize) -> usize {
    let asked = std::env::var(variable).ok();
    asked.map_or(usual, |asked| asked.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_replaced_under_load_and_nobody_notices() {
    let issued = Arc::new(
        issued("http-01", |config| {
            config.gateway.connections_per_address = 4096;
        })
        .await,
    );
    let world = Arc::clone(&issued.world);
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let (host, origin) = (world.host(MINE), world.origin(MINE));
    let headers = [("cookie", session.as_str()), ("origin", origin.as_str())];
    let mut sockets = Vec::new();
    let count = how_many("KALPANA_RENEWAL_WEBSOCKETS", 50);
    for _ in 0..count {
        let mut socket = open(&world, &host, "/ws", &headers).await.unwrap();
        echo(&mut socket, "hello").await;
        sockets.push(socket);
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let began = std::time::Instant::now();
    let load: Vec<_> = (0..how_many("KALPANA_RENEWAL_CLIENTS", 4))
        .map(|index| {
            let (world, session) = (Arc::clone(&world), session.clone());
            let (is_over, answered) = (Arc::clone(&is_over), Arc::clone(&answered));
            tokio::spawn(async move {
                let host = world.host(MINE);
                // One shakes hands for each request, the others keep their connection.
                let mut kept = world.h1(&host).await;
                while !is_over.load(Ordering::Relaxed) {
                    let request = get(&host, "/echo", &session);
                    let answer = if index == 0 {
                        world.send(request).await
                    } else {
                        patient(kept.ready()).await.unwrap();
                        let answer = patient(kept.send_request(request)).await.unwrap();
                        patient(whole(answer)).await
                    };
                    assert_eq!(answer.status(), 200, "{answer:?}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let host_id = host.split(':').next().unwrap().to_owned();
    let (mut last, mut renewals) = (issued.shown(&host_id).await.unwrap(), 0);
    for _ in 0..5 {
        let path = format!("/v1/certificates/{host_id}/renew");
        let new: Certificate = call(&issued.control(), Method::POST, &path).await.unwrap();
        let serial = new.served.unwrap().serial;
        assert_ne!(serial, last);
        assert_eq!(issued.shown(&host_id).await.as_ref(), Some(&serial));
        last = serial;
        renewals += 1;
    }
    let seconds = began.elapsed().as_secs_f64();
    is_over.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    for socket in &mut sockets {
        echo(socket, "still here").await;
    }
    let answered = u32::try_from(answered.load(Ordering::Relaxed)).unwrap();
    println!(
        "{renewals} renewals under {answered} requests ({:.0} a second) and {count} WebSockets: none \
         failed",
        f64::from(answered) / seconds
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_get_certificates_when_they_exist_and_strangers_names_get_none() {
    let issued = Arc::new(
        issued("tls-alpn-01", |config| {
            config.gateway.connections_per_address = 65_536;
        })
        .await,
    );
    let world = Arc::clone(&issued.world);
    let count = how_many("KALPANA_ON_DEMAND_HOSTS", 40);
    let bogus = how_many("KALPANA_ON_DEMAND_BOGUS", 2000);
    let before = issued.pebble.issued();
    let ids: Vec<String> = (0..count).map(|index| format!("w{index:011}")).collect();
    for id in &ids {
        let target = world.running(id, 1);
        world.route(id, world.user, 1, target).await;
    }
    let strangers = {
        let issued = Arc::clone(&issued);
        tokio::spawn(async move {
            for index in 0..bogus {
                let name = match index % 4 {
                    0 => format!("x{index:011}"),
                    1 => format!("3000-x{index:011}"),
                    2 => format!("www{index}"),
                    _ => format!("a.b{index}"),
                };
                let host = format!("{name}.{}", issued.world.site.workspace_domain);
                assert_eq!(issued.shown(&host).await, None, "{host}");
            }
        })
    };
    let visits: Vec<_> = ids
        .iter()
        .map(|id| {
            let (issued, id) = (Arc::clone(&issued), id.clone());
            tokio::spawn(async move {
                let host = format!("{id}.{}", issued.world.site.workspace_domain);
                // Who comes while it is ordered may have to come again.
                patient(async {
                    while issued.shown(&host).await.is_none() {
                        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                    }
                })
                .await;
            })
        })
        .collect();
    for visit in visits {
        visit.await.unwrap();
    }
    strangers.await.unwrap();
    assert_eq!(issued.pebble.issued() - before, count);
    let single = issued.list().await.certificates.len() - 1;
    assert_eq!(single, count);
    println!("{count} hosts have {count} certificates, {bogus} names of strangers have none");
}

#[tokio::test]
async fn one_workspace_cannot_spend_the_budget_of_all() {
    let issued = issued("tls-alpn-01", |_| ()).await;
    let world = &issued.world;
    world.run_mine().await;
    let domain = &world.site.workspace_domain;
    let before = issued.pebble.issued();
    let mut got = 0;
    for port in 3000..3015 {
        let host = format!("{port}-{MINE}.{domain}");
        got += usize::from(issued.shown(&host).await.is_some());
    }
    assert_eq!(got, 10);
    assert_eq!(issued.pebble.issued() - before, 10);
}

#[tokio::test]
async fn an_operator_can_order_for_a_workspace_and_not_for_what_is_none() {
    let issued = issued("tls-alpn-01", |_| ()).await;
    let world = &issued.world;
    world.run_mine().await;
    let domain = &world.site.workspace_domain;
    let before = issued.pebble.issued();
    let order = async |name: String| -> Result<Certificate, CallError> {
        let body = serde_json::json!({ "name": name });
        let control = issued.control();
        let path = "/v1/certificates";
        control.call(Method::POST, path, None, Some(&body)).await
    };
    for name in [
        format!("nobodyisher0.{domain}"),
        format!("3000-nobodyisher0.{domain}"),
        format!("www.{domain}"),
        format!("a.{MINE}.{domain}"),
        "another.site.test".to_owned(),
    ] {
        let (status, code, _) = refusal(order(name).await.unwrap_err());
        assert_eq!(
            (status, code.as_str()),
            (StatusCode::NOT_FOUND, "certificate_no_host")
        );
    }
    assert_eq!(issued.pebble.issued(), before);
    let name = format!("{MINE}.{domain}").to_ascii_uppercase();
    let got = order(name).await.unwrap();
    assert_eq!(got.names, [format!("{MINE}.{domain}")]);
    assert_eq!(issued.pebble.issued() - before, 1);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_the_next_step() {
    let world = World::start().await;
    let client = Client::new("gateway", world.site.gateway_control_socket(), None);
    let all: Certificates = call(&client, Method::GET, "/v1/certificates")
        .await
        .unwrap();
    assert_eq!(all.on_demand_left, None);
    let [local] = all.certificates.as_slice() else {
        panic!("{all:?}");
    };
    assert_eq!(
        (local.source.as_str(), local.state),
        ("local", CertificateState::Good)
    );
    for (path, status, code) in [
        ("nobody/renew", StatusCode::NOT_FOUND, "certificate_unknown"),
        (
            "nobody/revoke",
            StatusCode::NOT_FOUND,
            "certificate_unknown",
        ),
        (
            "kalpana.localhost/renew",
            StatusCode::CONFLICT,
            "certificate_local",
        ),
        (
            "kalpana.localhost/revoke",
            StatusCode::CONFLICT,
            "certificate_not_issued",
        ),
    ] {
        let path = format!("/v1/certificates/{path}");
        let refused = call::<Certificate>(&client, Method::POST, &path)
            .await
            .unwrap_err();
        let (was, told, next_step) = refusal(refused);
        assert_eq!((was, told.as_str()), (status, code));
        assert!(next_step.ends_with('.'));
    }
}

/// Returns what `web` was told, but for when and by what name.
fn told(world: &World) -> Vec<(Happening, String)> {
    let happened = world.happened.lock().unwrap();
    let told = happened.iter().map(|it| (it.what, it.certificate.clone()));
    told.collect()
}

#[tokio::test]
async fn what_happens_and_what_the_console_asks_for_is_told_once_web_is_there() {
    let mut world = World::start().await;
    let site = "kalpana.localhost".to_owned();
    let mut expected = vec![(Happening::Replaced, site.clone())];
    patient(async {
        while told(&world) != expected {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;

    world.web_feed.cancel();
    patient(world.until_metric("kalpana_gateway_feed_up", "sessions", 0.0)).await;
    let client = Client::new("gateway", world.site.gateway_control_socket(), None);
    for (path, is_told) in [
        ("/renew?by=web", false),
        ("/renew", true),
        ("/revoke?by=somebody", true),
    ] {
        let path = format!("/v1/certificates/{site}{path}");
        let refused = call::<Certificate>(&client, Method::POST, &path).await;
        assert_eq!(refusal(refused.unwrap_err()).0, StatusCode::CONFLICT);
        if is_told {
            let what = match path.contains("renew") {
                true => Happening::RenewalAsked,
                false => Happening::RevocationAsked,
            };
            expected.push((what, site.clone()));
        }
    }
    assert_eq!(told(&world).len(), 1, "web is away");
    let journal = world.site.gateway_dir().join("tls/journal");
    let count = |path| std::fs::read_dir(path).unwrap().count();
    assert_eq!(count(&journal), 2);
    world.web_is_back().await;
    patient(async {
        while told(&world) != expected || count(&journal) > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Returns the status, the code and the next step of a refusal.
fn refusal(error: CallError) -> (StatusCode, String, String) {
    let CallError::Refused { status, body, .. } = error else {
        panic!("{error:?}");
    };
    let problem: kalpana_protocol::certificates::Problem = serde_json::from_slice(&body).unwrap();
    (status, problem.code, problem.next_step)
}

async fn call<T: serde::de::DeserializeOwned>(
    client: &Client,
    method: Method,
    path: &str,
) -> Result<T, CallError> {
    client.call(method, path, None, None::<&()>).await
}
