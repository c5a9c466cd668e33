//! A program of one's own.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kalpana_certs::dns::{DnsProof, Record};
use kalpana_config::Span;
use kalpana_config::section::certs::dns::{Dns, Exec};
use kalpana_test_acme::ChallengeServer;

use crate::world::{DOMAIN, NAME, ONE, TWO, refusal, settings};

struct World {
    folder: tempfile::TempDir,
    server: ChallengeServer,
    timeout: Duration,
}

impl World {
    async fn start() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            server: ChallengeServer::start().await.expect("a name server"),
            timeout: Duration::from_secs(20),
        }
    }

    /// Makes a program of `script`, which runs in the folder.
    fn proof(&self, script: &str) -> DnsProof {
        let program = self.path("program");
        let script = format!("#!/bin/sh\ncd {}\n{script}\n", self.folder.path().display());
        std::fs::write(&program, script).expect("written");
        let mode = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&program, mode).expect("its mode");
        let program = program.to_str().expect("text").to_owned();
        self.proof_of(vec![program, "first argument".to_owned()])
    }

    fn proof_of(&self, command: Vec<String>) -> DnsProof {
        let config = Dns {
            exec: Some(Exec {
                command,
                timeout: Span(self.timeout),
            }),
            ..settings(&[self.server.address()])
        };
        DnsProof::new(&config).expect("settings")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect(name)
    }
}

#[tokio::test]
async fn the_program_is_given_the_action_the_name_and_the_value() {
    let world = World::start().await;
    let script = r#"printf '<%s>' "$@" >>calls; echo >>calls; env >environment; cat >stdin"#;
    let proof = world.proof(script);
    for value in [ONE, TWO] {
        world.server.set_txt(NAME, value).await.expect("set");
    }
    let one = proof.prove(DOMAIN, ONE).await.expect("proven");
    proof.prove("*.example.test", TWO).await.expect("proven");
    proof.clear(&one).await.expect("cleared");
    let expected = format!(
        "<first argument><set><{NAME}><{ONE}>\n\
         <first argument><set><{NAME}><{TWO}>\n\
         <first argument><clear><{NAME}><{ONE}>\n"
    );
    assert_eq!(world.read("calls"), expected);
    assert_eq!(world.read("stdin"), "");
    let environment = world.read("environment");
    assert!(environment.contains("PATH="), "{environment}");
    assert!(!environment.contains("KALPANA_"), "{environment}");
}

#[tokio::test]
async fn what_the_gateway_was_configured_with_is_kept_from_the_program() {
    let inner = "exec::the_program_is_given_the_action_the_name_and_the_value";
    let output = tokio::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", inner])
        .env("KALPANA_TEST_SECRET", "canary")
        .output()
        .await
        .expect("ran");
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{words}");
    assert!(words.contains("1 passed"), "{words}");
}

#[tokio::test]
async fn its_exit_code_and_last_line_are_in_the_error() {
    let world = World::start().await;
    let proof = world.proof("echo loading >&2; echo 'no such zone' >&2; echo >&2; exit 3");
    let error = refusal(&proof).await;
    assert_eq!(error.code(), "dns_program_failed");
    assert!(
        error.to_string().ends_with("ended with 3: no such zone"),
        "{error}"
    );
    let error = refusal(&world.proof("kill -TERM $$")).await;
    assert!(
        error.to_string().ends_with("was ended by signal 15"),
        "{error}"
    );
    let error = refusal(&world.proof("yes x | head -c 300000 >&2; exit 4")).await;
    assert!(error.to_string().contains("ended with 4"), "{error}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let world = World::start().await;
    let proof = world.proof_of(vec!["/nowhere/program".to_owned()]);
    let error = refusal(&proof).await;
    assert_eq!(error.code(), "dns_program_failed");
    assert!(
        error.to_string().contains("/nowhere/program failed"),
        "{error}"
    );
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_killed_with_all_that_it_started() {
    let mut world = World::start().await;
    world.timeout = Duration::from_millis(500);
    let script = "echo slow >&2; sleep 1000 & echo $! >child; echo $$ >parent; wait";
    let error = refusal(&world.proof(script)).await;
    assert_eq!(error.code(), "dns_program_failed");
    assert!(
        error.to_string().ends_with("did not end in 500ms: slow"),
        "{error}"
    );
    for name in ["parent", "child"] {
        assert_ends(world.read(name).trim());
    }
}

#[tokio::test]
async fn a_program_whose_caller_goes_away_is_killed_with_all_that_it_started() {
    let world = World::start().await;
    let proof = world.proof("sleep 1000 & echo $! >child; mv child started; wait");
    let record = Record {
        name: NAME.to_owned(),
        value: ONE.to_owned(),
    };
    let started = async {
        while !world.path("started").exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        outcome = proof.publish(&record) => panic!("{outcome:?}"),
        () = started => {}
    }
    assert_ends(world.read("started").trim());
}

#[tokio::test]
async fn what_the_program_leaves_running_does_not_hold_it_up() {
    let world = World::start().await;
    world.server.set_txt(NAME, ONE).await.expect("set");
    let proof = world.proof("sleep 15 & echo $! >child");
    let begun = Instant::now();
    proof.prove(DOMAIN, ONE).await.expect("proven");
    assert!(begun.elapsed() < Duration::from_secs(10));
    let child: i32 = world.read("child").trim().parse().expect("a number");
    let _ = nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child),
        nix::sys::signal::Signal::SIGKILL,
    );
}

/// Waits until a process is no more, or is a corpse that nobody has fetched yet.
fn assert_ends(pid: &str) {
    assert!(pid.parse::<u32>().is_ok(), "{pid}");
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
        if state.starts_with('Z') {
            return;
        }
        assert!(Instant::now() < deadline, "{pid} lives: {stat}");
        std::thread::yield_now();
    }
}
