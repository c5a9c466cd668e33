//! `kalpana certs`, as whoever types it sees it: with a gateway that says what the test wants, with
//! servers that show what is wrong, and with the databases of real browsers. And the certificates
//! themselves: a real gateway has them from a real authority, and real clients judge them.

mod browsers;
mod chain;
mod check;
mod command;
mod gateway;
mod issued;
mod secrets;
mod several;
pub(crate) mod site;
mod trust;
