//! `kalpana migrate`, the real executable: killed at chosen and at random moments and run again, and
//! what it says to whoever types it.

mod killed;
mod site;
mod told;
