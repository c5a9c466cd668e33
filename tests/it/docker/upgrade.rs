//! A new gateway in place of the one that runs: by `kalpana gateway --upgrade`, and by a socket that
//! somebody else listens on.

use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use kalpana_tests::{World, executable, until};
use tokio::task::JoinSet;

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_refuses_nobody_and_ends_the_old_gateway() -> anyhow::Result<()> {
    let world = Arc::new(World::start(&[]).await?);
    let ada = Arc::new(world.administrator().await?);
    let is_over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    // One client keeps its connections, the other makes a new one for each request.
    let mut load = JoinSet::new();
    for keeps in [true, false] {
        let (world, ada) = (Arc::clone(&world), Arc::clone(&ada));
        let (is_over, answered) = (Arc::clone(&is_over), Arc::clone(&answered));
        load.spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                let answer = if keeps {
                    ada.get("/api/workspaces").await?
                } else {
                    world.browser()?.get("/").await?
                };
                anyhow::ensure!(answer.status == 200, "{answer:?}");
                answered.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    for upgrade in 0..2 {
        let before = world.gateways()?;
        let ran = world.upgrade_gateway().await?;
        assert_eq!(ran.code, 0, "{ran:?}\n{}", world.output());
        assert!(ran.stdout.contains("the new gateway serves"), "{ran:?}");
        let served = answered.load(Ordering::Relaxed);
        until("more answers", SOON, async || {
            if let Some(refused) = load.try_join_next() {
                refused?.with_context(|| world.output())?;
            }
            Ok((answered.load(Ordering::Relaxed) > served + 50).then_some(()))
        })
        .await?;
        let new = world.gateways()?;
        let newest = new.last().context("a gateway runs")?;
        assert!(
            !before.contains(newest),
            "upgrade {upgrade}: {before:?} {new:?}"
        );
    }
    is_over.store(true, Ordering::Relaxed);
    while let Some(task) = load.join_next().await {
        task?.with_context(|| world.output())?;
    }
    // Metrics are the new one's, on the same port.
    let url = format!("http://127.0.0.1:{}/readyz", world.admin_ports[0]);
    until("the new gateway's readiness", SOON, async || {
        let answer = reqwest::get(&url).await;
        Ok(answer
            .is_ok_and(|answer| answer.status() == 200)
            .then_some(()))
    })
    .await?;
    let count = answered.load(Ordering::Relaxed);
    println!("{count} requests and 2 upgrades, none failed");
    drop(ada);
    Arc::into_inner(world)
        .context("one owner")?
        .tear_down()
        .await
}

#[tokio::test]
async fn an_upgrade_of_nothing_says_what_to_start() -> anyhow::Result<()> {
    let world = World::prepare(&[])?;
    let ran = world.upgrade_gateway().await?;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("no gateway offers to be taken over"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("kalpana up"), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn a_socket_of_systemd_is_served_and_outlives_the_process() -> anyhow::Result<()> {
    let world = World::prepare(&[])?;
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = socket.local_addr()?;
    // As systemd does it: the socket is number 3, and two variables say so.
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty())?;
    let script = format!(
        "exec 3<&{}; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" gateway \"$@\"",
        socket.as_raw_fd()
    );
    let start = || {
        let mut command = tokio::process::Command::new("bash");
        command
            .args(["-c", &script])
            .arg(executable()?)
            .args(world.arguments())
            .args(["--set", &format!("gateway.listen={address}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        anyhow::Ok(command.spawn()?)
    };
    let client = reqwest::Client::builder()
        .danger_accept_invalid_certs(true)
        .resolve("kalpana.localhost", address)
        .timeout(SOON)
        .build()?;
    // Nobody is behind it, so the gateway answers itself.
    let ask = async || {
        let url = format!("https://kalpana.localhost:{}/", address.port());
        anyhow::Ok(client.get(url).send().await?.status())
    };
    let mut first = start()?;
    assert_eq!(ask().await?, 503);
    let pid = first.id().and_then(|pid| i32::try_from(pid).ok());
    let pid = nix::unistd::Pid::from_raw(pid.context("it runs")?);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
    first.wait().await?;
    // Asked while nobody serves: the question waits in the socket.
    let (answer, _second) = tokio::join!(ask(), async { start() });
    assert_eq!(answer?, 503);
    Ok(())
}
