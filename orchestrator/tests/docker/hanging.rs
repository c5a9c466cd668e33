//! An engine that hangs: it takes connections, and says nothing.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use crate::world::{Setup, World};

/// Stands between the orchestrator and the engine, and passes everything on unless it hangs.
struct Between {
    socket: PathBuf,
    passes: watch::Sender<bool>,
    _directory: tempfile::TempDir,
}

impl Between {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let (passes, gate) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let engine = UnixStream::connect("/var/run/docker.sock").await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_engine, to_engine) = engine.into_split();
                tokio::spawn(pass(from_client, to_engine, gate.clone()));
                tokio::spawn(pass(from_engine, to_client, gate.clone()));
            }
        });
        Self {
            socket,
            passes,
            _directory: directory,
        }
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut gate: watch::Receiver<bool>,
) {
    let mut bytes = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if gate.wait_for(|passes| *passes).await.is_err()
            || to.write_all(&bytes[..count]).await.is_err()
        {
            return;
        }
    }
    // The other side hears that this one has ended.
    let _ = to.shutdown().await;
}

fn leaked(path: &Path) -> &'static str {
    Box::leak(path.to_str().unwrap().to_owned().into_boxed_str())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_an_engine_that_hangs_is_found_out_and_what_was_asked_is_done_once_it_answers() {
    let between = Between::start();
    let setup = Setup {
        engine_socket: Some(leaked(&between.socket)),
        ..Setup::default()
    };
    let world = World::start(setup).await;
    let row = world.create(None).await;
    world.wait_for(row.id, "running").await;

    between.passes.send_replace(false);
    let hung = Instant::now();
    world.change(row.id, "stop").await;
    let is_up = |value: u8| format!("kalpana_orchestrator_engine_up {value}");
    world
        .until(async || world.metrics().contains(&is_up(0)).then_some(()))
        .await;
    let found_out = hung.elapsed();
    // What runs goes on, and is reached as before.
    assert_eq!(world.wait_for(row.id, "stopping").await.generation.0, 1);

    between.passes.send_replace(true);
    let back = Instant::now();
    world.wait_for(row.id, "stopped").await;
    let healed = back.elapsed();
    world
        .until(async || world.metrics().contains(&is_up(1)).then_some(()))
        .await;
    println!(
        "an engine that hung was found out after {found_out:.1?}, and what was asked was done \
         {healed:.1?} after it answered again"
    );
    // Bounds of what is promised, with room for a machine that is busy.
    assert!(found_out < Duration::from_secs(20), "{found_out:?}");
    assert!(healed < Duration::from_secs(60), "{healed:?}");
    world.end().await;
}
