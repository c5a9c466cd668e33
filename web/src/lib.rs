//! The public API and the page.
//!
//! [`run`] serves two Unix sockets: `web.sock`, the public HTTP that the gateway passes on from
//! the base domain, and `web-internal.sock`, where gateways follow which sessions have ended.
//!
//! A request goes through `router` (every route on one page), where it is named, timed and checked
//! for where it comes from (`security`); `extract` finds out who asks and whether they may; a
//! handler of `api` does it, through accounts, the store or the `orchestrator`'s internal API, or asks the gateway about its
//! `certificates`; an
//! error becomes an answer in `error`. `live` hears what changes and `events` tells open pages.
//! `connect` sends browsers on to workspace hosts, `sharing` says who else may pass to which port. `assets` is the exported interface, compiled in.

mod api;
mod assets;
mod certificates;
mod connect;
mod copies;
mod error;
mod events;
mod extract;
mod happenings;
#[cfg(test)]
mod inline_script;
mod live;
mod metrics;
mod orchestrator;
mod outlet;
mod request;
mod router;
mod security;
mod service;
mod sessions;
mod sharing;
mod state;
mod view;

pub use service::{Dependencies, Error, WebPeers, run, setup_link};

/// Returns the API's description (OpenAPI 3.1) as it is served and kept in the repository.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn openapi_json() -> Result<bytes::Bytes, serde_json::Error> {
    router::description_json()
}
