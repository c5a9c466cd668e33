//! Many connections and many requests of one visitor, and what all others notice of it: nothing.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use hyper_util::rt::TokioIo;
use kalpana_config::{Config, Span};
use kalpana_domain::id::WorkspaceId;
use ppp::v2;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::bridge::Bridge;
use crate::client::{Stream, read_head, request, whole};
use crate::world::{FOREIGN, MINE, Options, World, patient};

fn configured(configure: fn(&mut Config)) -> Options {
    Options {
        configure,
        ..Options::default()
    }
}

/// Connects from an address of this machine's.
async fn connect(world: &World, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::new(from.parse().unwrap(), 0))
        .unwrap();
    patient(socket.connect(world.bound.tls)).await.unwrap()
}

async fn over(world: &World, stream: TcpStream) -> std::io::Result<Stream> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    world
        .tls_over(stream, "kalpana.localhost", b"http/1.1", provider)
        .await
}

async fn is_served(stream: &mut Stream) {
    let head = b"GET / HTTP/1.1\r\nHost: kalpana.localhost\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let answer = read_head(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// Connections of the crowd; the first half of them is let in.
const CROWD: usize = 2000;

#[tokio::test]
async fn thousands_of_idle_connections_of_one_address_are_capped_and_another_is_served() {
    let world = World::with(configured(|config| {
        config.gateway.connections_per_address = 1000;
        config.gateway.handshake_timeout = Span::seconds(600);
    }))
    .await;
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        let mut stream = connect(&world, "127.0.0.1").await;
        crowd.spawn(async move {
            let _ = stream.read(&mut [0]).await;
        });
    }
    // Half of them are hung up on, the others say nothing and are left alone.
    for _ in 0..CROWD / 2 {
        patient(crowd.join_next()).await;
    }
    let denied = world.metric("kalpana_gateway_denied_total", "connections");
    assert!((denied - 1000.0).abs() < f64::EPSILON, "{denied}");
    assert!(crowd.try_join_next().is_none());
    let refused = connect(&world, "127.0.0.1").await;
    assert!(over(&world, refused).await.is_err());
    let other = connect(&world, "127.0.0.2").await;
    is_served(&mut over(&world, other).await.unwrap()).await;

    crowd.abort_all();
    let again = async {
        loop {
            let stream = connect(&world, "127.0.0.1").await;
            if let Ok(stream) = over(&world, stream).await {
                return stream;
            }
        }
    };
    is_served(&mut patient(again).await).await;
}

#[tokio::test]
async fn a_network_of_64_bits_shares_one_cap_and_its_neighbour_has_its_own() {
    let world = World::with(configured(|config| {
        config.gateway.connections_per_address = 1;
        config.gateway.proxy_protocol_from = vec!["127.0.0.1".parse().unwrap()];
    }))
    .await;
    let announced = async |client: &str| {
        let addresses: (SocketAddr, SocketAddr) = (
            client.parse().unwrap(),
            "[2001:db8:ffff::1]:443".parse().unwrap(),
        );
        let command = v2::Version::Two | v2::Command::Proxy;
        let header = v2::Builder::with_addresses(command, v2::Protocol::Stream, addresses);
        let mut stream = TcpStream::connect(world.bound.tls).await.unwrap();
        stream.write_all(&header.build().unwrap()).await.unwrap();
        over(&world, stream).await
    };
    let mut one = announced("[2001:db8::1]:4242").await.unwrap();
    is_served(&mut one).await;
    assert!(announced("[2001:db8::ffff:2]:4243").await.is_err());
    assert!(announced("[2001:db8:0:0:ffff::]:4244").await.is_err());
    let mut neighbour = announced("[2001:db8:0:1::1]:4242").await.unwrap();
    is_served(&mut neighbour).await;
    let denied = world.metric("kalpana_gateway_denied_total", "connections");
    assert!((denied - 2.0).abs() < f64::EPSILON, "{denied}");
}

/// What an answer looks like, with the id and what is random in it blanked: its status, the names
/// and lengths of its fields, and its body.
type Shape = (u16, BTreeMap<String, usize>, Vec<u8>);

#[tokio::test]
async fn who_tries_ten_thousand_ids_learns_nothing_and_is_slowed_down_alone() {
    let world = World::with(configured(|config| {
        config.gateway.requests_per_address = 100;
    }))
    .await;
    let (mine, foreign) = (
        Bridge::start(&world, MINE, 1),
        Bridge::start(&world, FOREIGN, 1),
    );
    world.run_mine().await;
    let target = world.running(FOREIGN, 1);
    let owner = kalpana_domain::id::UserId::generate();
    world.route(FOREIGN, owner, 1, target).await;

    let stream = connect(&world, "127.0.0.1").await;
    let stream = TokioIo::new(over(&world, stream).await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut shapes: HashMap<Shape, usize> = HashMap::new();
    let mut is_retry_told = true;
    for number in 0..10_000_u32 {
        let label = match number % 100 {
            7 => MINE.to_owned(),
            42 => FOREIGN.to_owned(),
            _ => {
                let mut random = [0; 16];
                random[..4].copy_from_slice(&number.to_be_bytes());
                WorkspaceId::from_random(random).to_string()
            }
        };
        let host = world.host(&label);
        patient(sender.ready()).await.unwrap();
        let asked = sender.send_request(request("GET", &host, "/", &[]));
        let answer = whole(patient(asked).await.unwrap()).await;
        let status = answer.status().as_u16();
        if status == 429 {
            is_retry_told &= answer.headers().contains_key("retry-after");
            *shapes
                .entry((status, BTreeMap::new(), Vec::new()))
                .or_default() += 1;
            continue;
        }
        let headers = answer.headers().iter().filter(|(name, _)| *name != "date");
        let headers = headers.map(|(name, value)| (name.to_string(), value.len()));
        let body = String::from_utf8_lossy(answer.body()).replace(&label, "label");
        let id = answer.headers()["x-request-id"].to_str().unwrap();
        let body = body.replace(id, "id").into_bytes();
        *shapes.entry((status, headers.collect(), body)).or_default() += 1;
    }
    let counts: BTreeMap<u16, usize> = shapes
        .iter()
        .map(|((status, ..), count)| (*status, *count))
        .collect();
    assert_eq!(shapes.len(), 2, "{counts:?} {shapes:?}");
    assert!(counts[&401] >= 1000 && counts[&429] >= 1, "{counts:?}");
    assert!(is_retry_told);
    let denied = world.metric("kalpana_gateway_denied_total", "rate_address");
    assert!(
        (denied - counts[&429] as f64).abs() < f64::EPSILON,
        "{denied}"
    );
    assert_eq!(mine.text() + &foreign.text(), "");

    let other = connect(&world, "127.0.0.2").await;
    is_served(&mut over(&world, other).await.unwrap()).await;
}
