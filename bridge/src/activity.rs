//! What goes on in the container: which of the person's own programs use CPU time and disks, whether
//! somebody types, and who asked not to be put to sleep.
//!
//! ```text
//! processes::read ──▶ Sample ─┐
//!                             ├─ tally::spent ──▶ Step ──▶ Window ──▶ the answer to `activity`
//!        the one before it ───┘                              ▲
//! terminals::typed_at ───────────────────────────────────────┘
//! ```
//!
//! Only [`processes`] and [`terminals`] look at the system; everything else is computed from what
//! they saw. Reading order: [`processes`], [`ownership`], [`tally`], [`window`].

pub mod processes;

pub mod ownership;
pub mod tally;
pub mod window;

pub mod command_line;
pub mod terminals;
