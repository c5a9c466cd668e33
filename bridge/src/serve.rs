//! `bridge serve`: listens on the workspace's socket, forwards what is allowed, and sees to it that
//! the repository is there and the editor runs.
//!
//! It may die at any time: [`init`](crate::init) starts it again, the children live on, and
//! everything here is found again by looking.

mod activity;
mod clone;
mod door;
mod editor;
mod events;
mod forward;
mod link;
mod listening;
mod nonces;
mod prepare;
mod repositories;
mod rpc;
mod work;

use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::sync::Arc;

use kalpana_protocol::bridge::environment::UserInfo;
use kalpana_protocol::bridge::{Phase, PhaseName};
use rustix::process::DumpableBehavior;
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::settings::Settings;
use crate::{clock, environment, log};

use activity::Watcher;
use door::Door;
use events::Events;
use link::Link;
use repositories::Repositories;

/// What every part of `serve` may look at.
struct Shared {
    settings: Settings,
    user: UserInfo,
    events: Events,
    activity: Watcher,
    repositories: Repositories,
    /// Whether the editor answers and may be visited.
    is_editor_ready: watch::Sender<bool>,
}

/// Runs until told to stop, or until `init` is gone.
///
/// # Errors
/// If the socket or the directories cannot be made ready.
pub fn run(settings: Settings) -> std::io::Result<ExitCode> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(serve(settings));
    // Forwarded connections end with the process; there is nothing to wait for.
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn serve(settings: Settings) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    prepare::directories(&settings)?;
    let init = std::os::unix::net::UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    init.set_nonblocking(true)?;
    let link = Link::open(UnixStream::from_std(init)?);
    let socket = settings.socket();
    let listener = door::listen(&socket)?;
    let (repositories, questions) = Repositories::new();
    let shared = Arc::new(Shared {
        user: environment::user(&settings),
        activity: Watcher::start(&settings)?,
        repositories,
        settings,
        events: Events::new(),
        is_editor_ready: watch::Sender::new(false),
    });
    shared
        .events
        .phase(Phase::done(PhaseName::Boot, clock::now()));
    tokio::spawn(Arc::new(Door::new(Arc::clone(&shared))).run(listener));
    tokio::spawn(repositories::answer(
        Arc::clone(&shared),
        link.clone(),
        questions,
    ));
    let gone = link.clone();
    tokio::spawn(work::run(shared, link));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = gone.closed() => log::say_to_init("init is gone"),
    }
    // A later connection should find nothing instead of a queue that nobody empties.
    std::fs::remove_file(socket)
}
