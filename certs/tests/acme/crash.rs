//! A process that is killed in the middle of an order leaves one certificate all the same.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;

use kalpana_certs::Step;
use kalpana_protocol::certificates::{CertificateState, Happening};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;

use crate::world::{Authority, run};

const SITE: &str = "example.test";

/// What tells a process of this test that it is the one to be killed.
const STEP: &str = "KALPANA_TEST_KILLED_AT";

/// Runs in a process of its own, of the test below.
#[tokio::test]
async fn the_one_that_is_killed() {
    let Ok(step) = std::env::var(STEP) else {
        return;
    };
    let variable = |name: &str| std::env::var(name).expect("set by the test");
    let address = |name: &str| -> SocketAddr { variable(name).parse().expect("an address") };
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let observer = Arc::new(move |_: &str, at: Step| {
        if format!("{at:?}") == step {
            kill(Pid::this(), Signal::SIGKILL).expect("killed");
        }
    });
    let directory = std::path::PathBuf::from(variable("KALPANA_TEST_DIRECTORY"));
    let ports = (address("KALPANA_TEST_HTTP"), address("KALPANA_TEST_TLS"));
    let settings = variable("KALPANA_TEST_SETTINGS");
    let running = run(&directory, ports, &settings, Some(observer)).await;
    running
        .until(SITE, |it| it.state == CertificateState::Good)
        .await;
    panic!("nobody was killed");
}

#[tokio::test]
async fn killed_at_any_step_the_next_start_comes_to_one_certificate() {
    let authority = Authority::start(|_| {}).await;
    let settings = authority.settings("challenge = \"http-01\"\n");
    for step in Step::ALL {
        let directory = tempfile::tempdir().expect("a directory");
        let before = authority.pebble.issued();
        let executable = std::env::current_exe().expect("this test");
        let output = Command::new(executable)
            .args(["--exact", "crash::the_one_that_is_killed"])
            .env(STEP, format!("{step:?}"))
            .env("KALPANA_TEST_DIRECTORY", directory.path())
            .env("KALPANA_TEST_HTTP", authority.http.to_string())
            .env("KALPANA_TEST_TLS", authority.tls.to_string())
            .env("KALPANA_TEST_SETTINGS", &settings)
            .output()
            .await
            .expect("ran");
        assert!(!output.status.success());
        assert_eq!(output.status.signal(), Some(9), "{step:?}: {output:?}");

        let ports = (authority.http, authority.tls);
        let running = run(directory.path(), ports, &settings, None).await;
        running
            .until(SITE, |it| it.state == CertificateState::Good)
            .await;
        let issued = authority.pebble.issued() - before;
        assert_eq!(issued, 1, "killed at {step:?}");
        let left = directory.path().join("gateway/tls/acme/orders");
        let left = std::fs::read_dir(left).expect("listed").count();
        assert_eq!(left, 0, "{step:?}: the order is over");
        let untold = running.certs.journal().untold();
        let what: Vec<Happening> = untold.iter().map(|happened| happened.what).collect();
        assert_eq!(what, [Happening::Replaced], "killed at {step:?}");
        drop(running);
        eprintln!("killed at {step:?}: one certificate");
    }
}
