//! The clone as `serve` sees it: a child whose lines become progress and, if need be, a reason.

use std::collections::VecDeque;
use std::time::Duration;

use kalpana_protocol::bridge::{LogSource, Phase, PhaseName};
use kalpana_protocol::launch::RepositorySettings;

use super::Shared;
use super::link::{Child, ChildEvent, Link, LinkError};
use crate::clone::{ALREADY_THERE, Clone, progress, reason};
use crate::control::{ExitStatus, Spawn};
use crate::{clock, environment};

/// How long a clone may take.
const DEADLINE: Duration = Duration::from_secs(30 * 60);

/// How long Git has to end when its time is over.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Lines that are kept to explain a failure from.
const REMEMBERED: usize = 50;

const NAME: &str = "clone";

/// Sees to it that the repository is there. Returns whether it is.
pub(super) async fn ensure(shared: &Shared, link: &Link) -> bool {
    let phase = match &shared.settings.launch.repository {
        None => Ok("no repository".to_owned()),
        Some(repository) => {
            shared
                .events
                .phase(Phase::running(PhaseName::Clone, clock::now()));
            run(shared, link, repository).await
        }
    };
    let is_there = phase.is_ok();
    shared.events.phase(match phase {
        Ok(detail) => Phase {
            detail: Some(detail),
            ..Phase::done(PhaseName::Clone, clock::now())
        },
        Err(message) => Phase::failed(PhaseName::Clone, clock::now(), Phase::CLONE_FAILED, message),
    });
    is_there
}

async fn run(
    shared: &Shared,
    link: &Link,
    repository: &RepositorySettings,
) -> Result<String, String> {
    let broken = |error: LinkError| format!("The clone could not be started: {error}");
    // What an earlier `serve` has begun is ended: only a whole clone counts, and what was read of
    // its progress is lost.
    if let Some(mut child) = link.adopt(NAME).await.map_err(broken)? {
        child.stop(STOP_GRACE).await;
    }
    let mut child = link
        .spawn(spawn(shared, repository)?)
        .await
        .map_err(broken)?;
    let mut last = VecDeque::new();
    let Ok(status) = tokio::time::timeout(DEADLINE, follow(shared, &mut child, &mut last)).await
    else {
        child.stop(STOP_GRACE).await;
        let minutes = DEADLINE.as_secs() / 60;
        return Err(format!(
            "The clone of {} took longer than {minutes} minutes; try a smaller repository.",
            repository.url
        ));
    };
    match status {
        ExitStatus::Code(0) => Ok(format!("cloned {repository}")),
        ExitStatus::Code(code) if code == i32::from(ALREADY_THERE) => {
            Ok("already there".to_owned())
        }
        _ => Err(reason::explain(repository, last.make_contiguous())),
    }
}

async fn follow(shared: &Shared, child: &mut Child, last: &mut VecDeque<String>) -> ExitStatus {
    let mut shown = None;
    loop {
        let (text, is_transient) = match child.next().await {
            ChildEvent::Output { text, is_transient } => (text, is_transient),
            ChildEvent::Exited(status) => return status,
        };
        let detail = progress::parse(&text);
        if detail.is_some() && detail != shown {
            shown.clone_from(&detail);
            shared.events.phase(Phase {
                detail,
                ..Phase::running(PhaseName::Clone, clock::now())
            });
        }
        if !is_transient {
            if last.len() == REMEMBERED {
                last.pop_front();
            }
            last.push_back(text.clone());
            shared.events.log(LogSource::Git, text);
        }
    }
}

fn spawn(shared: &Shared, repository: &RepositorySettings) -> Result<Spawn, String> {
    let Shared { settings, user, .. } = shared;
    let program = std::env::current_exe()
        .map_err(|error| format!("The clone could not be started: {error}"))?;
    let clone = Clone {
        root: settings.root.clone(),
        generation: settings.launch.generation,
        repository: repository.clone(),
    };
    let mut argv = vec![program.to_string_lossy().into_owned()];
    argv.extend(clone.to_args());
    Ok(Spawn {
        name: NAME.to_owned(),
        source: LogSource::Git,
        argv,
        env: environment::of_children(settings, user),
        cwd: settings.root.to_string_lossy().into_owned(),
    })
}
