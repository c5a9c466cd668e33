//! Requests over a connection that was made for another name.

use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http2::SendRequest;
use kalpana_config::{Config, Site};

use crate::client::{Answer, code, whole};
use crate::world::{MINE, Options, World, patient};

/// An operator's certificate for the control plane alone.
fn narrow(config: &mut Config) {
    let site = Site::resolve(config, false, None).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec![site.domain.clone()];
    let certificate = rcgen::CertificateParams::new(names).unwrap();
    let certificate = certificate.self_signed(&key).unwrap().pem();
    // Where the tests' clients look for whom to trust.
    let path = site.authority_certificate();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, certificate).unwrap();
    let key_path = site.data_dir.join("key.pem");
    std::fs::write(&key_path, key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key_path, PermissionsExt::from_mode(0o600)).unwrap();
    config.certs.certificate_file = Some(path);
    config.certs.key_file = Some(key_path);
}

async fn world(configure: fn(&mut Config)) -> World {
    let options = Options {
        configure,
        ..Options::default()
    };
    let world = World::with(options).await;
    world.run_mine().await;
    world
}

async fn ask(h2: &mut SendRequest<Full<Bytes>>, host: &str) -> Answer {
    let request = Request::get(format!("https://{host}/"))
        .body(Full::default())
        .unwrap();
    whole(patient(h2.send_request(request)).await.unwrap()).await
}

#[tokio::test]
async fn over_http1_a_host_that_the_certificate_does_not_cover_is_answered_421() {
    let world = world(narrow).await;
    let (base, workspace) = (world.site.base_host(), world.host(MINE));
    let get = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let answer = world.raw(&base, get(&workspace).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    let denied = world.metric("kalpana_gateway_denied_total", "other_certificate");
    assert!(denied >= 1.0);
    // The name is the same, whichever way it is written.
    for host in [base.clone(), base.to_uppercase()] {
        let answer = world.raw(&base, get(&host).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[tokio::test]
async fn over_http2_only_the_request_for_the_other_host_is_answered_421() {
    let world = world(narrow).await;
    let (base, workspace) = (world.site.base_host(), world.host(MINE));
    let mut h2 = world.h2(&base).await;
    let answer = ask(&mut h2, &workspace).await;
    assert_eq!(
        (answer.status().as_u16(), code(&answer)),
        (421, "misdirected".to_owned())
    );
    assert_eq!(ask(&mut h2, &base).await.status(), 200);
}

#[tokio::test]
async fn one_connection_is_good_for_every_host_of_one_certificate() {
    let world = world(|_| ()).await;
    let (base, workspace) = (world.site.base_host(), world.host(MINE));
    let mut h2 = world.h2(&base).await;
    assert_eq!(ask(&mut h2, &workspace).await.status(), 401);
    let mut h2 = world.h2(&workspace).await;
    assert_eq!(ask(&mut h2, &base).await.status(), 200);
}

#[tokio::test]
async fn a_trusted_proxy_may_use_its_connection_for_every_host() {
    let configure = |config: &mut Config| {
        narrow(config);
        config.gateway.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    };
    let world = world(configure).await;
    let mut h2 = world.h2(&world.site.base_host()).await;
    assert_eq!(ask(&mut h2, &world.host(MINE)).await.status(), 401);
}
