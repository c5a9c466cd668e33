//! Starting, and ending.

use std::sync::Arc;

use futures_util::StreamExt;
use kalpana_config::{Config, Site};
use kalpana_domain::clock::{Clock, SystemClock};
use kalpana_gateway::{Dependencies, Error, GatewayPeers};
use prometheus::Registry;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::bridge::Bridge;
use crate::client::{get, text};
use crate::upgrade;
use crate::world::{MINE, World, patient};

async fn start(config: &Config) -> Error {
    let site = Site::resolve(config, false, None).unwrap();
    let dependencies = Dependencies {
        site,
        config: config.gateway.clone(),
        certs: config.certs.clone(),
        shares_certificates: false,
        peers: GatewayPeers::default(),
        registry: Registry::new(),
        clock: Arc::new(SystemClock) as Arc<dyn Clock>,
        inherited: Vec::new(),
        takes_over: false,
        left: CancellationToken::new(),
        ready: watch::Sender::new(false),
        bound: watch::Sender::new(None),
    };
    let run = kalpana_gateway::run(dependencies, CancellationToken::new());
    patient(run).await.unwrap_err()
}

#[tokio::test]
async fn a_taken_port_and_an_unusable_directory_say_what_to_do() {
    let world = World::start().await;
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.server.data_dir = Some(directory.path().to_owned());
    config.gateway.listen = world.bound.tls;
    config.gateway.listen_http = None;
    let error = start(&config).await.to_string();
    for part in [
        &world.bound.tls.port().to_string(),
        "gateway.listen",
        "ss -ltnp",
    ] {
        assert!(error.contains(part), "{error}");
    }
    config.gateway.listen = "127.0.0.1:0".parse().unwrap();
    config.gateway.listen_http = world.bound.plain;
    let error = start(&config).await.to_string();
    assert!(error.contains("gateway.listen_http"), "{error}");

    config.gateway.listen_http = None;
    let file = directory.path().join("file");
    std::fs::write(&file, "no directory").unwrap();
    config.server.data_dir = Some(file);
    let error = start(&config).await.to_string();
    assert!(error.contains("file/gateway"), "{error}");
}

#[tokio::test]
async fn the_gateway_drains_and_then_ends() {
    let mut world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let (host, origin) = (world.host(MINE), world.origin(MINE));
    let headers = [("cookie", session.as_str()), ("origin", origin.as_str())];
    let mut socket = upgrade::open(&world, &host, "/ws", &headers).await.unwrap();
    upgrade::echo(&mut socket, "hello").await;
    world.shutdown.cancel();
    let heard = patient(socket.next()).await.unwrap().unwrap();
    let Message::Close(Some(frame)) = heard else {
        panic!("closed at the end of the drain: {heard:?}");
    };
    assert_eq!(u16::from(frame.code), 1001);
    drop(socket);
    let gateway = world.gateway.take().unwrap();
    patient(gateway).await.unwrap().unwrap();
    assert!(TcpStream::connect(world.bound.tls).await.is_err());
    assert_eq!(world.metric("kalpana_gateway_connections", ""), 0.0);
}

#[tokio::test]
async fn workspaces_are_served_after_a_restart_while_the_orchestrator_is_away() {
    let mut world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    world.orchestrator.cancel();
    world.restart().await;
    let host = world.host(MINE);
    let answer = world.send(get(&host, "/hello", &session)).await;
    assert_eq!(answer.status(), 200, "{}", text(&answer));

    // What ended meanwhile stays ended: that is heard of web.
    world.revoke(world.session).await;
    let answer = world.send(get(&host, "/hello", &session)).await;
    assert_eq!(answer.status(), 401, "{}", text(&answer));
}

#[tokio::test]
async fn nothing_is_served_from_a_table_that_was_tampered_with() {
    let mut world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let kept = world.site.gateway_dir().join("routes.sealed");
    world.orchestrator.cancel();
    world.restart().await;
    let mut table = std::fs::read(&kept).unwrap();
    *table.last_mut().unwrap() ^= 1;
    std::fs::write(&kept, table).unwrap();
    world.restart_unready().await;
    let answer = world.send(get(&world.host(MINE), "/hello", &session)).await;
    assert_eq!(answer.status(), 503, "{}", text(&answer));
}
