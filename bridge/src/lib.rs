//! The hands inside a workspace container: the one program of ours that runs there.
//!
//! One static executable with eight jobs. [`init`] is PID 1: it reaps, keeps the children, and
//! restarts [`serve`], which listens on the workspace's socket and decides what runs. Both are
//! root with few capabilities, and the only processes that are. Everything else goes through
//! [`exec`], which gives all privileges up before it becomes the program; [`clone`] and [`work`] are
//! such programs too, so that Git works with the workspace user's rights and nothing more. The sixth
//! is the user's own: [`keep_awake`], under the name `kalpana`. The last two are done where no workspace
//! runs: [`archive`] packs its volumes and unpacks them.
//!
//! ```text
//! bridge init (PID 1) ── bridge serve        socket, preamble, forwarding, JSON-RPC
//!    │      socketpair                        ▲ asks: spawn, signal, list
//!    ├── code-server   (workspace user)       │ hears: output, exits
//!    ├── bridge clone ── git  (same)
//!    └── bridge work ── git   (same)
//! ```
//!
//! The bridge dials nobody and trusts nothing it is sent. Reading order: [`settings`], [`init`],
//! [`control`], [`serve`], [`activity`].

pub mod settings;

pub mod init;

pub mod control;

pub mod serve;

pub mod activity;

pub mod archive;
pub mod clone;
pub mod exec;
pub mod keep_awake;
pub mod work;

pub mod backoff;
pub mod clock;
pub mod environment;
pub mod lines;
pub mod log;
pub mod printable;
