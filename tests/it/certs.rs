//! `kalpana certs`, as whoever types it sees it: with a gateway that says what the test wants, with
//! servers that show what is wrong, and with the databases of real browsers.

mod check;
mod site;
mod trust;
