//! What crosses a process boundary. A `Serialize` here is a promise to another process, perhaps
//! of another version; nothing here knows how it travels.
//!
//! Between our own processes: [`feed`] is the envelope of every stream of facts, [`routes`] and
//! [`sessions`] are the two streams that the gateway follows, the second with what [`sharing`] says of
//! shared ports, [`orchestrator`] is the internal API
//! that `web` calls, with what [`figures`] says of what workspaces use, [`certificates`] what the gateway says of its own, [`copies`]
//! what gateways share over `web`. Into a container: [`launch`] is what a bridge is started with, [`preamble`]
//! how a connection to it begins, [`bridge`] what is then said. Ids travel as text and are parsed
//! at the door of whoever receives them.

pub mod bridge;
pub mod certificates;
pub mod copies;
pub mod feed;
pub mod figures;
pub mod launch;
pub mod orchestrator;
pub mod preamble;
pub mod routes;
pub mod sessions;
pub mod sharing;
