//! Stories on the real engine, the real image and the real executable.

mod assets;
mod bad_input;
mod certificates;
mod command_line;
mod image;
mod inside;
mod isolation;
mod journey;
mod kills;
mod operations;
mod outage;
mod password;
mod restart;
mod sleep;
mod snapshots;
mod trash;
mod upgrade;
mod work;
