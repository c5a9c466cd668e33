//! Cookies as hostile neighbours plant, forge and replay them.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http2::SendRequest;

use crate::bridge::Bridge;
use crate::client::{Answer, code, cookie, get, location, navigate, text, whole};
use crate::world::{FOREIGN, MINE, World, patient};

const DENIED: &str = "kalpana_gateway_denied_total";

/// Asks over HTTP/2, each piece of a cookie header in a field of its own, as browsers may.
async fn split(h2: &mut SendRequest<Full<Bytes>>, host: &str, cookies: &[&[u8]]) -> Answer {
    let mut request = Request::get(format!("https://{host}/echo"));
    for cookie in cookies {
        request = request.header("cookie", *cookie);
    }
    let request = request.body(Full::default()).unwrap();
    patient(h2.ready()).await.unwrap();
    whole(patient(h2.send_request(request)).await.unwrap()).await
}

#[tokio::test]
async fn a_cookie_that_only_looks_like_ours_is_the_applications() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let value = session.split_once('=').unwrap().1;
    let host = world.host(MINE);
    let mut h2 = world.h2(&host).await;
    for name in [
        "\u{2000}__Host-kws",
        "\u{a0}__Host-kws",
        "\u{feff}__Host-kws",
        "\u{3000}__Host-kws",
        "__Host-kws\u{2000}",
        "__host-kws",
        "__Secure-kws",
        "__Host-kws2",
    ] {
        // A neighbour knows a session of its own, good for its own host at most.
        for planted in [format!("{name}={value}"), format!("{name}=EVIL")] {
            let answer = world.send(get(&host, "/echo", &planted)).await;
            assert_eq!(answer.status(), 401, "{name} alone");
            for cookies in [
                format!("{planted}; {session}"),
                format!("{session}; {planted}"),
            ] {
                let answer = world.send(get(&host, "/echo", &cookies)).await;
                assert_eq!(answer.status(), 200, "{cookies}");
            }
            let pieces = [planted.as_bytes(), session.as_bytes()];
            let answer = split(&mut h2, &host, &pieces).await;
            assert_eq!(answer.status(), 200, "{planted} over HTTP/2");
            assert!(text(&answer).contains(&format!("{planted}\r\n")));
        }
    }
    assert!(!bridge.text().contains(&format!(" {session}")));
}

#[tokio::test]
async fn junk_beside_the_session_does_no_harm() {
    let world = World::start().await;
    let _bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let host = world.host(MINE);
    let mut h2 = world.h2(&host).await;
    for junk in [
        b"caf\xc3\xa9=\xff\xfe".as_slice(),
        b"\x80",
        b"=",
        b";;=;",
        b"a=\"unclosed",
        b"a=b=c=",
        b"nameless",
        b"\xed\xa0\x80=lone surrogate",
    ] {
        for cookies in [
            [junk, b"; ", session.as_bytes()].concat(),
            [session.as_bytes(), b"; ", junk].concat(),
        ] {
            let mut request = get(&host, "/echo", "");
            let value = http::HeaderValue::from_bytes(&cookies).unwrap();
            request.headers_mut().insert("cookie", value);
            assert_eq!(world.send(request).await.status(), 200, "{junk:?}");
        }
        let answer = split(&mut h2, &host, &[junk, session.as_bytes()]).await;
        assert_eq!(answer.status(), 200, "{junk:?} over HTTP/2");
    }
}

#[tokio::test]
async fn two_sessions_at_once_are_refused_and_counted() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let host = world.host(MINE);
    let counted = || world.metric(DENIED, "ambiguous_cookie");
    let mut expected = counted();
    let mut h2 = world.h2(&host).await;
    for other in [session.as_str(), "__Host-kws=EVIL", "__Host-kws="] {
        let one = format!("{session}; a=b; {other}");
        let mut two = get(&host, "/echo", &session);
        two.headers_mut().append("cookie", other.parse().unwrap());
        let answers = [
            world.send(get(&host, "/echo", &one)).await,
            world.send(two).await,
            split(&mut h2, &host, &[other.as_bytes(), session.as_bytes()]).await,
        ];
        for answer in answers {
            let refused = (answer.status().as_u16(), code(&answer));
            assert_eq!(refused, (401, "unauthenticated".to_owned()), "{other}");
            expected += 1.0;
        }
        assert_eq!(counted(), expected, "{other}");
        // A page is sent to sign in, and not let in.
        let mut page = navigate(&host, "/");
        page.headers_mut().insert("cookie", one.parse().unwrap());
        let answer = world.send(page).await;
        assert_eq!(answer.status(), 303);
        assert!(location(&answer).starts_with("https://kalpana.localhost:8443/auth/workspace?"));
        assert_eq!(cookie(&answer, "__Host-kws"), None);
        expected += 1.0;
    }
    assert_eq!(bridge.text(), "");
}

#[tokio::test]
async fn a_cookie_of_one_host_is_refused_on_another() {
    let world = World::start().await;
    let bridges = [MINE, FOREIGN].map(|workspace| Bridge::start(&world, workspace, 1));
    world.run_mine().await;
    // Of the same owner and the same browser: what tells them apart is the host alone.
    let target = world.running(FOREIGN, 1);
    world.route(FOREIGN, world.user, 1, target).await;
    let labels = [
        MINE.to_owned(),
        format!("3000-{MINE}"),
        format!("3001-{MINE}"),
        FOREIGN.to_owned(),
        format!("3000-{FOREIGN}"),
    ];
    let mut sessions = Vec::new();
    for label in &labels {
        sessions.push(world.sign_in(label, 1).await);
    }
    let mut replayed = 0.0;
    for (at, label) in labels.iter().enumerate() {
        for (of, session) in sessions.iter().enumerate() {
            let host = world.host(label);
            let answer = world.send(get(&host, "/echo", session)).await;
            let expected = if at == of { 200 } else { 401 };
            let of = &labels[of];
            assert_eq!(answer.status(), expected, "of {of} at {label}");
            if expected == 401 {
                replayed += 1.0;
                let origin = world.origin(label);
                let headers = [("cookie", session.as_str()), ("origin", &origin)];
                let socket = crate::upgrade::open(&world, &host, "/ws", &headers).await;
                assert_eq!(socket.unwrap_err(), 401, "of {of} at {label}");
                replayed += 1.0;
            }
        }
    }
    assert_eq!(world.metric(DENIED, "session_other_host"), replayed);
    let reached: usize = bridges.iter().map(|bridge| bridge.targets().len()).sum();
    assert_eq!(reached, labels.len(), "each by its own session");
}

#[tokio::test]
async fn a_session_that_is_not_byte_for_byte_ours_is_refused() {
    let world = World::start().await;
    let bridge = Bridge::start(&world, MINE, 1);
    world.run_mine().await;
    let session = world.sign_in(MINE, 1).await;
    let value = session.split_once('=').unwrap().1;
    let host = world.host(MINE);
    let mut forged = Vec::new();
    for at in 0..value.len() {
        let other = if value.as_bytes()[at] == b'A' {
            "B"
        } else {
            "A"
        };
        forged.push(format!("{}{other}{}", &value[..at], &value[at + 1..]));
        forged.push(value[..at].to_owned());
        forged.push(value[at + 1..].to_owned());
    }
    forged.extend([
        format!("{value}A"),
        format!("{value}{value}"),
        format!("{value}=="),
        format!("{value}%00"),
        format!("\"{value}\""),
        value.to_lowercase(),
        "A".repeat(4096),
        format!("{value}{}", "A".repeat(4096 - value.len())),
    ]);
    // As good as ours in all but the key.
    let mut other = World::start().await;
    (other.user, other.session) = (world.user, world.session);
    other.run_mine().await;
    let by_other_key = other.sign_in(MINE, 1).await;
    forged.push(by_other_key.split_once('=').unwrap().1.to_owned());

    let counted = || {
        ["session_malformed", "session_forged"]
            .map(|reason| world.metric(DENIED, reason))
            .iter()
            .sum::<f64>()
    };
    let before = counted();
    let mut h2 = world.h2(&host).await;
    for value in &forged {
        let cookie = format!("__Host-kws={value}");
        let answer = split(&mut h2, &host, &[cookie.as_bytes()]).await;
        let refused = (answer.status().as_u16(), code(&answer));
        assert_eq!(refused, (401, "unauthenticated".to_owned()), "{value}");
    }
    assert_eq!(counted() - before, forged.len() as f64);
    assert_eq!(bridge.text(), "");
    let answer = split(&mut h2, &host, &[session.as_bytes()]).await;
    assert_eq!(answer.status(), 200);
}
