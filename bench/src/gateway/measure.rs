//! One block of measuring: load for some seconds, and what it cost.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::target::Target;
use super::{process, statistics};

/// How long load runs before it is measured.
const WARM_UP: Duration = Duration::from_millis(400);

/// How long operations under way may take to end.
const ENDING: Duration = Duration::from_secs(1);

/// Share of the machine that processes of others may take before a block is called disturbed.
const DISTURBANCE: f64 = 0.10;

/// Share of its processor that the client may take before a block is called bound by it.
const CLIENT_BOUND: f64 = 0.70;

/// What the tasks of a load count.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    operations: Cell<u64>,
    errors: Cell<u64>,
    first_error: RefCell<Option<String>>,
    times: RefCell<Vec<u32>>,
    is_over: Cell<bool>,
}

impl Counters {
    /// Tells whether the load should end.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Counts an operation that began at `started`.
    pub(crate) fn done(&self, started: Instant) {
        self.operations.set(self.operations.get() + 1);
        let took = started.elapsed().as_nanos() / 100;
        self.times
            .borrow_mut()
            .push(u32::try_from(took).unwrap_or(u32::MAX));
    }

    /// Counts one that failed, unless the load is over, when connections end in the middle.
    pub(crate) fn failed(&self, error: &dyn std::fmt::Display) {
        if !self.is_over() {
            self.errors.set(self.errors.get() + 1);
            let mut first = self.first_error.borrow_mut();
            first.get_or_insert_with(|| format!("{error:#}"));
        }
    }
}

/// What one block, or several of the same target, came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    /// Operations that ended well.
    pub(crate) operations: u64,
    /// Operations that did not.
    pub(crate) errors: u64,
    /// Processor time of the target.
    pub(crate) cpu: Duration,
    /// Time that passed.
    pub(crate) elapsed: Duration,
    /// Processor time of client and upstream.
    pub(crate) client: Duration,
    /// Processor time of strangers.
    pub(crate) foreign: Duration,
    /// How long operations took, sorted. Unit: tenths of a microsecond.
    pub(crate) times: Vec<u32>,
    /// What the first failed operation failed with.
    pub(crate) first_error: Option<String>,
}

impl Sample {
    /// Returns the target's processor time per operation. Unit: microseconds.
    pub(crate) fn cost(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.operations as f64
    }

    /// Returns operations per second.
    pub(crate) fn rate(&self) -> f64 {
        self.operations as f64 / self.elapsed.as_secs_f64()
    }

    /// Returns how long an operation took, by quantile. Unit: microseconds.
    pub(crate) fn quantile(&self, percent: f64) -> f64 {
        statistics::quantile(&self.times, percent) / 10.0
    }

    /// Returns the share of its processor that the target used.
    pub(crate) fn load(&self) -> f64 {
        self.cpu.as_secs_f64() / self.elapsed.as_secs_f64()
    }

    /// Tells whether strangers took too much of the machine.
    pub(crate) fn is_disturbed(&self) -> bool {
        // Two processors are what the whole is made of: the proxy's and the client's.
        self.foreign.as_secs_f64() > DISTURBANCE * 2.0 * self.elapsed.as_secs_f64()
    }

    /// Tells whether the client, and not the target, may have set the pace.
    pub(crate) fn is_client_bound(&self) -> bool {
        self.client.as_secs_f64() > CLIENT_BOUND * self.elapsed.as_secs_f64()
    }

    /// Puts two blocks together.
    #[must_use]
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.operations += other.operations;
        self.errors += other.errors;
        self.cpu += other.cpu;
        self.elapsed += other.elapsed;
        self.client += other.client;
        self.foreign += other.foreign;
        self.times.extend(other.times);
        self.times.sort_unstable();
        self.first_error = self.first_error.or(other.first_error);
        self
    }
}

/// The tasks of a load. They run until [`Counters::is_over`].
pub(crate) struct Load {
    /// What they count in.
    pub(crate) counters: Rc<Counters>,
    tasks: JoinSet<()>,
}

impl Load {
    /// A load without tasks.
    pub(crate) fn new() -> Self {
        Self {
            counters: Rc::default(),
            tasks: JoinSet::new(),
        }
    }

    /// Adds a task. Must be called inside a `LocalSet`.
    pub(crate) fn spawn<F>(&mut self, task: impl FnOnce(Rc<Counters>) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + 'static,
    {
        let counters = Rc::clone(&self.counters);
        let running = task(Rc::clone(&counters));
        self.tasks.spawn_local(async move {
            if let Err(error) = running.await {
                counters.failed(&error);
            }
        });
    }

    /// Measures it on `target` for a while, once it has warmed up, then ends it.
    pub(crate) async fn measure(mut self, target: &Target, length: Duration) -> Sample {
        tokio::time::sleep(WARM_UP).await;
        let sample = self.observe(target, length).await;
        self.counters.is_over.set(true);
        // Who waits for an answer that does not come is not waited for.
        let ending = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(ENDING, ending).await;
        self.end().await;
        sample
    }

    /// Ends it at once.
    pub(crate) async fn end(mut self) {
        self.counters.is_over.set(true);
        self.tasks.shutdown().await;
    }

    /// Measures it on `target` for a while and lets it go on.
    async fn observe(&self, target: &Target, length: Duration) -> Sample {
        let counters = &self.counters;
        let proxy = target.processes();
        let own = process::tree(std::process::id());
        let client: Vec<u32> = own
            .iter()
            .filter(|pid| !proxy.contains(pid))
            .copied()
            .collect();
        let cpu = || {
            (
                process::cpu_of(&proxy),
                process::cpu_of(&client),
                process::cpu_of_machine(),
            )
        };
        counters.times.borrow_mut().clear();
        let operations = counters.operations.get();
        let errors = counters.errors.get();
        let (started, before) = (Instant::now(), cpu());
        tokio::time::sleep(length).await;
        let (after, elapsed) = (cpu(), started.elapsed());
        let mut times = std::mem::take(&mut *counters.times.borrow_mut());
        times.sort_unstable();
        let client = after.1.saturating_sub(before.1);
        let proxy = after.0.saturating_sub(before.0);
        let all = after.2.saturating_sub(before.2);
        Sample {
            operations: counters.operations.get() - operations,
            errors: counters.errors.get() - errors,
            cpu: proxy,
            elapsed,
            client,
            foreign: all.saturating_sub(proxy + client),
            times,
            first_error: counters.first_error.borrow().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        Sample {
            operations: 1000,
            cpu: Duration::from_millis(20),
            elapsed: Duration::from_secs(1),
            client: Duration::from_millis(800),
            foreign: Duration::from_millis(150),
            times: vec![10, 20, 30],
            ..Sample::default()
        }
    }

    #[test]
    fn figures_are_per_operation() {
        let both = sample().and(sample());
        assert_eq!((both.cost(), both.rate()), (20.0, 1000.0));
        assert_eq!((both.quantile(50.0), both.quantile(100.0)), (2.0, 3.0));
        assert!(both.is_client_bound() && !both.is_disturbed());
    }
}
