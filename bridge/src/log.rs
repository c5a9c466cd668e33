//! The container's log: one JSON object a line on standard output, `{"at", "source", "text"}`.
//!
//! Only `init` writes it. `serve` writes plain sentences to its standard error, and `init` wraps
//! them as it wraps every child's output.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use kalpana_protocol::bridge::{LogLine, LogSource};

use crate::clock;

/// Lines that may wait for a slow reader of the container's log.
const QUEUE_LIMIT: usize = 1024;

/// Writes the container's log from a thread of its own, because whoever reads it may stall and
/// PID 1 may not. What does not fit into the queue is counted and left out.
#[derive(Debug, Clone)]
pub struct Log {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Line(String),
    Flush(SyncSender<()>),
}

impl Log {
    /// Starts the writer.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start() -> std::io::Result<Self> {
        let (queue, messages) = sync_channel(QUEUE_LIMIT);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        std::thread::Builder::new()
            .name("log".into())
            .stack_size(64 << 10)
            .spawn(move || write(&messages, &counter))?;
        Ok(Self { queue, dropped })
    }

    /// Writes one line.
    pub fn line(&self, source: LogSource, text: &str) {
        let message = Message::Line(encode(source, text));
        if let Err(TrySendError::Full(_)) = self.queue.try_send(message) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes a line of the bridge itself.
    pub fn say(&self, text: &str) {
        self.line(LogSource::Bridge, text);
    }

    /// Waits until everything so far is written, a second at most.
    pub fn flush(&self) {
        let (done, is_done) = sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            // Nothing is lost that a reader still wants if the second passes.
            let _ = is_done.recv_timeout(Duration::from_secs(1));
        }
    }
}

/// Writes one line at once, for what is said before there is a [`Log`] or after it failed.
pub fn say_now(text: &str) {
    write_out(&encode(LogSource::Bridge, text));
}

/// Says a sentence from a process whose standard error `init` reads.
pub fn say_to_init(text: &str) {
    // Without a reader there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Returns an error with all its sources in one line.
pub fn chain<E: std::error::Error + ?Sized>(error: &E) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

fn write(messages: &Receiver<Message>, dropped: &AtomicU64) {
    while let Ok(message) = messages.recv() {
        match message {
            Message::Line(line) => write_out(&line),
            Message::Flush(done) => drop(done.try_send(())),
        }
        let missing = dropped.swap(0, Ordering::Relaxed);
        if missing > 0 {
            write_out(&encode(
                LogSource::Bridge,
                &format!("{missing} lines of output left out"),
            ));
        }
    }
}

fn write_out(line: &str) {
    let mut output = std::io::stdout().lock();
    // Without a reader there is nobody to tell.
    let _ = output
        .write_all(line.as_bytes())
        .and_then(|()| output.flush());
}

fn encode(source: LogSource, text: &str) -> String {
    let line = LogLine {
        at: clock::now(),
        source,
        text: text.to_owned(),
    };
    let mut text = serde_json::to_string(&line).expect("a line has text fields only");
    text.push('\n');
    text
}
