//! How far each start has come: for the page, for the deadlines, for the metrics.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use kalpana_domain::clock::Clock;
use kalpana_domain::id::{Generation, WorkspaceId};
use kalpana_protocol::orchestrator::{Phase, PhaseName, PhaseStatus, Progress, ProgressChange};
use kalpana_protocol::routes::Step;

use crate::feed::Feeds;
use crate::metrics::Metrics;
use crate::uptime::Uptime;

/// Longest detail kept of what a container says it is doing, in characters.
const DETAIL_LIMIT: usize = 200;

/// Tracks starts under way, and those that just failed.
#[derive(Clone)]
pub(crate) struct Board {
    starts: Arc<Mutex<HashMap<WorkspaceId, Start>>>,
    feeds: Feeds,
    clock: Arc<dyn Clock>,
    uptime: Arc<dyn Uptime>,
    metrics: Metrics,
}

/// One start.
#[derive(Debug, Clone)]
struct Start {
    generation: Generation,
    phases: Vec<Phase>,
    /// When each phase began.
    began: HashMap<PhaseName, Duration>,
    /// When something last happened.
    moved: Duration,
}

/// How a start stands against its deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The phase under way, or the first one not begun.
    pub(crate) phase: PhaseName,
    /// How long that phase has been under way.
    pub(crate) in_phase: Duration,
    /// How long nothing has happened.
    pub(crate) silent: Duration,
}

impl Board {
    /// Makes an empty board.
    pub(crate) fn new(
        feeds: Feeds,
        clock: Arc<dyn Clock>,
        uptime: Arc<dyn Uptime>,
        metrics: Metrics,
    ) -> Self {
        Self {
            starts: Arc::default(),
            feeds,
            clock,
            uptime,
            metrics,
        }
    }

    /// Begins a start, unless this one has begun.
    pub(crate) fn begin(&self, workspace: WorkspaceId, generation: Generation) {
        let mut starts = self.lock();
        if starts
            .get(&workspace)
            .is_some_and(|start| start.generation == generation)
        {
            return;
        }
        let start = Start {
            generation,
            phases: PhaseName::ALL.map(pending).to_vec(),
            began: HashMap::new(),
            moved: self.uptime.now(),
        };
        self.publish(workspace, &start);
        starts.insert(workspace, start);
    }

    /// Notes that a start did not wait for itself, such as while others were served first.
    pub(crate) fn touch(&self, workspace: WorkspaceId) {
        if let Some(start) = self.lock().get_mut(&workspace) {
            start.moved = self.uptime.now();
        }
    }

    /// Notes where a phase of a start stands. A phase that is done stays done.
    pub(crate) fn note(
        &self,
        workspace: WorkspaceId,
        generation: Generation,
        name: PhaseName,
        status: PhaseStatus,
        detail: Option<&str>,
    ) {
        let mut starts = self.lock();
        let Some(start) = starts
            .get_mut(&workspace)
            .filter(|s| s.generation == generation)
        else {
            return;
        };
        let (now, at) = (self.uptime.now(), self.clock.now().to_string());
        let detail = detail.map(|text| {
            crate::logs::printable(text)
                .chars()
                .take(DETAIL_LIMIT)
                .collect()
        });
        let Some(phase) = start.phases.iter_mut().find(|phase| phase.name == name) else {
            return;
        };
        if phase.status == PhaseStatus::Done || (phase.status == status && phase.detail == detail) {
            return;
        }
        start.moved = now;
        if phase.started_at.is_none() {
            phase.started_at = Some(at.clone());
            start.began.insert(name, now);
        }
        phase.status = status;
        phase.detail = detail;
        if matches!(status, PhaseStatus::Done | PhaseStatus::Failed) {
            phase.finished_at = Some(at);
        }
        if status == PhaseStatus::Done {
            let began = start.began.get(&name).copied().unwrap_or(now);
            self.metrics.phase(name, now.saturating_sub(began));
        }
        self.publish(workspace, start);
    }

    /// Notes that a start failed in the phase it had come to.
    pub(crate) fn fail(&self, workspace: WorkspaceId, generation: Generation) {
        let Some(standing) = self.standing(workspace) else {
            return;
        };
        self.note(
            workspace,
            generation,
            standing.phase,
            PhaseStatus::Failed,
            None,
        );
    }

    /// Returns how a start stands.
    pub(crate) fn standing(&self, workspace: WorkspaceId) -> Option<Standing> {
        let starts = self.lock();
        let start = starts.get(&workspace)?;
        let now = self.uptime.now();
        let under_way = start
            .phases
            .iter()
            .find(|phase| phase.status != PhaseStatus::Done);
        let phase = under_way.map_or(PhaseName::Editor, |phase| phase.name);
        let began = start.began.get(&phase).copied().unwrap_or(start.moved);
        Some(Standing {
            phase,
            in_phase: now.saturating_sub(began),
            silent: now.saturating_sub(start.moved),
        })
    }

    /// Forgets a start.
    pub(crate) fn forget(&self, workspace: WorkspaceId) {
        self.lock().remove(&workspace);
    }

    fn publish(&self, workspace: WorkspaceId, start: &Start) {
        let progress = Progress {
            workspace: workspace.to_string(),
            generation: start.generation.0,
            phases: start.phases.clone(),
        };
        let under_way = progress.phases.iter().find(|phase| {
            let is_over = matches!(phase.status, PhaseStatus::Done | PhaseStatus::Failed);
            !is_over
        });
        if let Some(phase) = under_way {
            let (phase, detail) = (phase.name, phase.detail.clone());
            self.feeds
                .step(workspace, start.generation, Step { phase, detail });
        }
        self.feeds
            .progress
            .publish(ProgressChange::Progress { progress });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Start>> {
        self.starts.lock().expect("no holder panics")
    }
}

fn pending(name: PhaseName) -> Phase {
    Phase {
        name,
        status: PhaseStatus::Pending,
        started_at: None,
        finished_at: None,
        detail: None,
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Board").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use kalpana_domain::clock::SystemClock;

    use super::*;
    use crate::uptime::ManualUptime;

    fn board() -> (Board, Arc<ManualUptime>, WorkspaceId) {
        let uptime = Arc::new(ManualUptime::default());
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let board = Board::new(
            crate::feed::testing(),
            Arc::new(SystemClock),
            uptime.clone(),
            metrics,
        );
        (board, uptime, WorkspaceId::parse("abcdefghij01").unwrap())
    }

    #[test]
    fn silence_is_counted_from_the_last_sign_and_a_phase_from_its_start() {
        let (board, uptime, id) = board();
        let generation = Generation(1);
        board.begin(id, generation);
        for phase in &PhaseName::ALL[..4] {
            board.note(id, generation, *phase, PhaseStatus::Done, None);
        }
        board.note(
            id,
            generation,
            PhaseName::Clone,
            PhaseStatus::Running,
            Some("1%"),
        );
        uptime.advance(Duration::from_secs(60));
        board.note(
            id,
            generation,
            PhaseName::Clone,
            PhaseStatus::Running,
            Some("2%"),
        );
        uptime.advance(Duration::from_secs(5));
        // Saying the same again is no sign of progress.
        board.note(
            id,
            generation,
            PhaseName::Clone,
            PhaseStatus::Running,
            Some("2%"),
        );
        let standing = board.standing(id).unwrap();
        assert_eq!(
            standing,
            Standing {
                phase: PhaseName::Clone,
                in_phase: Duration::from_secs(65),
                silent: Duration::from_secs(5)
            }
        );
    }

    #[test]
    fn a_start_leaves_the_table_when_all_is_done_and_stays_when_it_failed() {
        let (board, _, id) = board();
        let generation = Generation(1);
        let listed = |board: &Board| {
            serde_json::to_value(board.feeds.progress.state())
                .unwrap()
                .as_array()
                .unwrap()
                .len()
        };
        board.begin(id, generation);
        board.fail(id, generation);
        assert_eq!(listed(&board), 1);
        board.begin(id, Generation(2));
        // A word of the generation before is not heard.
        board.note(id, generation, PhaseName::Network, PhaseStatus::Done, None);
        assert_eq!(board.standing(id).unwrap().phase, PhaseName::Network);
        for phase in PhaseName::ALL {
            board.note(id, Generation(2), phase, PhaseStatus::Done, None);
        }
        assert_eq!(listed(&board), 0);
    }
}
