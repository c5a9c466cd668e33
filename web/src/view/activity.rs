//! Why a workspace is awake, and what becomes of it if nobody comes.

use kalpana_protocol::orchestrator::{AwakeKind, Wakefulness};
use serde::Serialize;
use utoipa::ToSchema;

/// Longest reason shown, in characters: it may name what a container calls its programs.
const TEXT_LIMIT: usize = 300;

/// Why a workspace is awake, and what becomes of it if nobody comes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WorkspaceActivity)]
pub(crate) struct ActivityView {
    /// Why it is awake; absent unless it runs.
    awake: Option<AwakeView>,
    /// When it is put to sleep; absent when that does not happen by itself.
    #[schema(format = DateTime)]
    pauses_at: Option<String>,
    /// When it is stopped, of one that is asleep; absent when that does not happen by itself.
    #[schema(format = DateTime)]
    stops_at: Option<String>,
}

/// Why a workspace is awake.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Awake)]
struct AwakeView {
    /// What kind of sign there was.
    kind: AwakeKindName,
    /// The same in words, as the end of a sentence. May name programs of the workspace: to be shown
    /// as text.
    #[schema(example = "`cargo build` (pid 812) uses 97 % of a CPU")]
    text: String,
    /// When that was seen.
    #[schema(format = DateTime)]
    at: String,
}

/// The kinds of signs that a workspace is in use.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AwakeKind)]
enum AwakeKindName {
    /// It was started or woken.
    Started,
    /// Somebody came to it.
    Visit,
    /// Somebody typed in it.
    Typing,
    /// Its programs are at work.
    Busy,
    /// A program in it asked for it.
    KeepAwake,
}

impl From<Wakefulness> for ActivityView {
    fn from(told: Wakefulness) -> Self {
        Self {
            awake: told.awake.map(|awake| AwakeView {
                kind: match awake.kind {
                    AwakeKind::Started => AwakeKindName::Started,
                    AwakeKind::Visit => AwakeKindName::Visit,
                    AwakeKind::Typing => AwakeKindName::Typing,
                    AwakeKind::Busy => AwakeKindName::Busy,
                    AwakeKind::KeepAwake => AwakeKindName::KeepAwake,
                },
                text: awake.text.chars().take(TEXT_LIMIT).collect(),
                at: awake.at,
            }),
            pauses_at: told.pauses_at,
            stops_at: told.stops_at,
        }
    }
}
