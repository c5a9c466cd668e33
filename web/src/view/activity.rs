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
    /// The same in words, as the end of a sentence. To its owner it may name programs of the
    /// workspace: to be shown as text.
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

impl ActivityView {
    /// Shows what was told: to the owner in its words, to others by its kind alone.
    pub(crate) fn new(told: Wakefulness, is_owner: bool) -> Self {
        Self {
            awake: told.awake.map(|awake| AwakeView {
                text: if is_owner {
                    awake.text.chars().take(TEXT_LIMIT).collect()
                } else {
                    of_kind(awake.kind).to_owned()
                },
                kind: awake.kind.into(),
                at: awake.at,
            }),
            pauses_at: told.pauses_at,
            stops_at: told.stops_at,
        }
    }
}

/// Says what kind of sign there was, and nothing of what is in the workspace.
fn of_kind(kind: AwakeKind) -> &'static str {
    match kind {
        AwakeKind::Started => "it was started or woken",
        AwakeKind::Visit => "somebody visited it",
        AwakeKind::Typing => "somebody typed",
        AwakeKind::Busy => "its programs are at work",
        AwakeKind::KeepAwake => "one of its programs asked for it",
    }
}

impl From<AwakeKind> for AwakeKindName {
    fn from(kind: AwakeKind) -> Self {
        match kind {
            AwakeKind::Started => Self::Started,
            AwakeKind::Visit => Self::Visit,
            AwakeKind::Typing => Self::Typing,
            AwakeKind::Busy => Self::Busy,
            AwakeKind::KeepAwake => Self::KeepAwake,
        }
    }
}

#[cfg(test)]
mod tests {
    use kalpana_protocol::orchestrator::Awake;

    use super::*;

    #[test]
    fn only_the_owner_is_told_what_programs_are_called() {
        let told = Wakefulness {
            awake: Some(Awake {
                kind: AwakeKind::Busy,
                text: "`mysql -psecret` (pid 8) uses 97 % of a CPU".to_owned(),
                at: "2026-01-02T03:04:05Z".to_owned(),
            }),
            ..Wakefulness::default()
        };
        let text = |is_owner| {
            ActivityView::new(told.clone(), is_owner)
                .awake
                .map(|a| a.text)
        };
        assert!(text(true).is_some_and(|text| text.contains("secret")));
        assert_eq!(text(false).as_deref(), Some("its programs are at work"));
    }
}
