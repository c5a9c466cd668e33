//! Who gets in: how many, on whose word, and with how much.

use bytes::Bytes;
use http_body_util::Full;
use kalpana_config::{ByteSize, Span};
use kalpana_domain::id::UserId;
use kalpana_domain::sharing::Right;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bridge::Bridge;
use crate::client::{Stream, code, get, read_head, request, whole};
use crate::world::{FOREIGN, MINE, NOBODYS, Options, World, patient};

fn configured(configure: fn(&mut kalpana_config::Config)) -> Options {
    Options {
        configure,
        ..Options::default()
    }
}

/// Reads until the other end hangs up.
async fn hung_up(stream: &mut (impl AsyncReadExt + Unpin)) {
    let mut rest = Vec::new();
    let _ = patient(stream.read_to_end(&mut rest)).await;
    assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
}

async fn over(world: &World, stream: TcpStream) -> std::io::Result<Stream> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    world
        .tls_over(stream, "kalpana.localhost", b"http/1.1", provider)
        .await
}

/// Asks the control plane over a connection, and returns what it was told of the client.
async fn forwarded_for(world: &World, stream: &mut Stream, field: &str) -> String {
    let head = format!("GET / HTTP/1.1\r\nHost: kalpana.localhost\r\n{field}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_head(stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let heard = world.web_heard.lock().unwrap().last().cloned().unwrap();
    let line = heard
        .lines()
        .find_map(|line| line.strip_prefix("x-forwarded-for: "));
    line.unwrap().to_owned()
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_gets_one_back_for_each_it_ends() {
    let world = World::with(configured(|config| {
        config.gateway.connections_per_address = 2;
    }))
    .await;
    let first = world.tls("kalpana.localhost", b"http/1.1").await;
    let _second = world.tls("kalpana.localhost", b"http/1.1").await;
    let mut third = TcpStream::connect(world.bound.tls).await.unwrap();
    hung_up(&mut third).await;
    assert_eq!(
        world.metric("kalpana_gateway_denied_total", "connections"),
        1.0
    );
    drop(first);
    // Its end is noticed a moment later.
    let again = async {
        loop {
            let stream = TcpStream::connect(world.bound.tls).await.unwrap();
            if let Ok(stream) = over(&world, stream).await {
                return stream;
            }
        }
    };
    patient(again).await;
}

#[tokio::test]
async fn proxies_in_front_are_believed_and_not_counted() {
    let world = World::with(configured(|config| {
        config.gateway.connections_per_address = 1;
        config.gateway.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    }))
    .await;
    let mut first = world.tls("kalpana.localhost", b"http/1.1").await;
    let mut second = world.tls("kalpana.localhost", b"http/1.1").await;
    let field = "X-Forwarded-For: 203.0.113.9, 198.51.100.1\r\n";
    assert_eq!(
        forwarded_for(&world, &mut first, field).await,
        "198.51.100.1"
    );
    assert_eq!(forwarded_for(&world, &mut second, "").await, "127.0.0.1");
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let world = World::start().await;
    let mut stream = world.tls("kalpana.localhost", b"http/1.1").await;
    let field = "X-Forwarded-For: 198.51.100.1\r\n";
    assert_eq!(forwarded_for(&world, &mut stream, field).await, "127.0.0.1");
    // A PROXY protocol header of somebody who may not send one is no TLS.
    let mut stream = TcpStream::connect(world.bound.tls).await.unwrap();
    let header = b"PROXY TCP4 198.51.100.1 127.0.0.1 4242 443\r\n";
    stream.write_all(header).await.unwrap();
    assert!(over(&world, stream).await.is_err());
}

#[tokio::test]
async fn a_load_balancer_says_whose_connection_it_passes_on() {
    let world = World::with(configured(|config| {
        config.gateway.connections_per_address = 1;
        config.gateway.proxy_protocol_from = vec!["127.0.0.1".parse().unwrap()];
        config.gateway.handshake_timeout = Span::seconds(1);
    }))
    .await;
    let announced = async |client: &str| {
        let mut stream = TcpStream::connect(world.bound.tls).await.unwrap();
        let header = format!("PROXY TCP4 {client} 127.0.0.1 4242 443\r\n");
        stream.write_all(header.as_bytes()).await.unwrap();
        over(&world, stream).await
    };
    let mut one = announced("198.51.100.1").await.unwrap();
    assert_eq!(forwarded_for(&world, &mut one, "").await, "198.51.100.1");
    let mut other = announced("198.51.100.2").await.unwrap();
    assert_eq!(forwarded_for(&world, &mut other, "").await, "198.51.100.2");
    assert!(
        announced("198.51.100.1").await.is_err(),
        "counted by client"
    );

    // One that says nothing, and one that says something else, are hung up on.
    let mut silent = TcpStream::connect(world.bound.tls).await.unwrap();
    hung_up(&mut silent).await;
    let stream = TcpStream::connect(world.bound.tls).await.unwrap();
    assert!(over(&world, stream).await.is_err());
    let failed = |reason| world.metric("kalpana_gateway_handshakes_failed_total", reason);
    assert_eq!((failed("timeout"), failed("proxy_protocol")), (1.0, 1.0));
}

#[tokio::test]
async fn a_head_of_too_many_fields_is_refused() {
    let world = World::start().await;
    let host = world.site.base_host();
    let fields: Vec<_> = (0..100)
        .map(|number| (format!("x-{number}"), "1"))
        .collect();
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    let refused = world.send(request("GET", &host, "/", &fields)).await;
    assert_eq!(
        (refused.status().as_u16(), code(&refused)),
        (431, "header_too_large".to_owned())
    );
    let admitted = world.send(request("GET", &host, "/", &fields[..90])).await;
    assert_eq!(admitted.status(), 200);
}

#[tokio::test]
async fn a_head_that_drips_is_cut() {
    let world = World::with(configured(|config| {
        config.gateway.header_timeout = Span::seconds(1);
    }))
    .await;
    let mut stream = world.tls("kalpana.localhost", b"http/1.1").await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: kalpana.localhost\r\n")
        .await
        .unwrap();
    // A line at a time, for as long as the gateway takes them: each is heard, and none is the last.
    let drip = async {
        while stream.write_all(b"X-More: 1\r\n").await.is_ok() {
            let mut answer = [0; 1];
            let wait = std::time::Duration::from_millis(100);
            if let Ok(Ok(0) | Err(_)) = tokio::time::timeout(wait, stream.read(&mut answer)).await {
                break;
            }
        }
    };
    patient(drip).await;
    assert!(world.web_heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_announced_or_not() {
    let world = World::with(configured(|config| {
        config.gateway.body_limit = ByteSize(1000);
    }))
    .await;
    world.run_mine().await;
    let cookie = world.sign_in(MINE, 1).await;
    let origin = format!("https://{}", world.host(MINE));
    for host in [world.site.base_host(), world.host(MINE)] {
        let headers = [("cookie", cookie.as_str()), ("origin", origin.as_str())];
        let mut large = request("POST", &host, "/", &headers);
        *large.body_mut() = Full::new(Bytes::from(vec![b'x'; 1001]));
        let mut h1 = world.h1(&host).await;
        let refused = whole(patient(h1.send_request(large)).await.unwrap()).await;
        assert_eq!(
            (refused.status().as_u16(), code(&refused)),
            (413, "body_too_large".to_owned()),
            "{host}"
        );
    }
    // Without a length it is noticed on the way.
    let head = "POST / HTTP/1.1\r\nHost: kalpana.localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
    let bytes = format!("{head}{chunk}0\r\n\r\n");
    let answer = world.raw("kalpana.localhost", bytes.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let small = world.send(get(&world.site.base_host(), "/", "")).await;
    assert_eq!(small.status(), 200);
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_ask_again() {
    let world = World::with(configured(|config| {
        config.gateway.requests_per_address = 1;
    }))
    .await;
    let host = world.site.base_host();
    let mut h1 = world.h1(&host).await;
    let mut refused = None;
    for _ in 0..12 {
        patient(h1.ready()).await.unwrap();
        let answer = whole(patient(h1.send_request(get(&host, "/", ""))).await.unwrap()).await;
        if answer.status() != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.unwrap();
    let header = |name: &str| refused.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(
        (refused.status().as_u16(), code(&refused)),
        (429, "too_many_requests".to_owned())
    );
    let wait: u64 = header("retry-after").parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    assert_eq!(header("ratelimit-policy"), "\"address\";q=10;w=10");
    assert_eq!(header("ratelimit"), format!("\"address\";r=0;t={wait}"));
}

#[tokio::test]
async fn a_user_who_asks_too_often_is_told_so_at_all_of_their_workspaces_and_nobody_else() {
    let world = World::with(configured(|config| {
        config.gateway.requests_per_address = 0;
        config.gateway.requests_per_user = 1;
    }))
    .await;
    let somebody = UserId::generate();
    for (workspace, owner) in [
        (MINE, world.user),
        (NOBODYS, world.user),
        (FOREIGN, somebody),
    ] {
        let target = world.running(workspace, 1);
        world.route(workspace, owner, 1, target).await;
    }
    let _bridges = [MINE, NOBODYS, FOREIGN].map(|workspace| Bridge::start(&world, workspace, 1));
    let cookies = [
        world.sign_in(MINE, 1).await,
        world.sign_in(NOBODYS, 1).await,
    ];
    let mut refused = None;
    for (workspace, cookie) in [MINE, NOBODYS].into_iter().zip(&cookies).cycle().take(12) {
        let answer = world.send(get(&world.host(workspace), "/", cookie)).await;
        if answer.status() != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.unwrap();
    let header = |name: &str| refused.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(
        (refused.status().as_u16(), code(&refused)),
        (429, "too_many_requests".to_owned())
    );
    assert_eq!(header("ratelimit-policy"), "\"user\";q=10;w=10");
    let wait = header("retry-after");
    assert_eq!(header("ratelimit"), format!("\"user\";r=0;t={wait}"));
    assert!(world.metric("kalpana_gateway_denied_total", "rate_user") >= 1.0);

    let (rid, nonce) = world.begin_sign_in(FOREIGN).await;
    let grant = kalpana_auth::ticket::Grant {
        right: Right::Owner(somebody),
        ..world.grant(FOREIGN, &rid, 1)
    };
    let back = world
        .call_back(FOREIGN, &world.sign(&grant), "/", &nonce)
        .await;
    let cookie = crate::client::cookie(&back, "__Host-kws").unwrap();
    let answer = world.send(get(&world.host(FOREIGN), "/", &cookie)).await;
    assert_eq!(answer.status(), 200, "another user");
}

#[tokio::test]
async fn whom_to_write_to_is_told_where_it_is_looked_for() {
    let world = World::with(configured(|config| {
        config.gateway.security_contact = Some("mailto:security@example.com".to_owned());
    }))
    .await;
    let host = world.site.base_host();
    let answer = world
        .send(get(&host, "/.well-known/security.txt", ""))
        .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.headers()["content-type"],
        "text/plain; charset=utf-8"
    );
    let text = crate::client::text(&answer);
    assert!(
        text.starts_with("Contact: mailto:security@example.com\nExpires: 20"),
        "{text}"
    );
    assert!(world.web_heard.lock().unwrap().is_empty());
}
