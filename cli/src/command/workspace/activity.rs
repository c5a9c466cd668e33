//! Why a workspace is awake, and when it goes to sleep.

use serde::{Deserialize, Serialize};

use super::view::{Workspace, harmless};
use crate::api::Api;

/// Why a workspace is awake, and what becomes of it if nobody comes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Activity {
    awake: Option<Awake>,
    pauses_at: Option<String>,
    stops_at: Option<String>,
}

/// Why it is awake.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Awake {
    kind: String,
    text: String,
    at: String,
}

/// A workspace, with what keeps it awake.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    workspace: Workspace,
    activity: Option<Activity>,
}

impl Shown {
    /// Asks what keeps a workspace awake, of one that is awake or asleep. Where that cannot be told,
    /// the workspace is shown without.
    pub(super) async fn of(api: &Api, workspace: Workspace) -> Self {
        let path = format!("/api/workspaces/{}/activity", workspace.id);
        let activity = match workspace.state.as_str() {
            "running" | "paused" => api.get(&path).await.ok(),
            _ => None,
        };
        Self {
            workspace,
            activity,
        }
    }

    /// Returns all there is to say of it.
    pub(super) fn describe(&self) -> String {
        let mut text = self.workspace.describe();
        for line in self.activity.iter().flat_map(Activity::lines) {
            text.push('\n');
            text.push_str(&line);
        }
        text
    }
}

impl Activity {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(awake) = &self.awake {
            let text = harmless(&awake.text);
            lines.push(format!("awake       {text} ({})", awake.at));
            lines.push(match &self.pauses_at {
                Some(at) => format!("sleeps      {at}, if nobody comes and nothing is at work"),
                None => "sleeps      not by itself".to_owned(),
            });
        } else {
            lines.push(match &self.stops_at {
                Some(at) => format!("stops       {at}, if nobody wakes it"),
                None => "stops       not by itself".to_owned(),
            });
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_it_awake_is_told_in_a_line_that_drives_no_terminal() {
        let awake = Activity {
            awake: Some(Awake {
                kind: "busy".into(),
                text: "`cargo\u{1b}[2J build` (pid 812) uses 97 % of a CPU".into(),
                at: "2026-01-02T03:04:05Z".into(),
            }),
            pauses_at: Some("2026-01-02T03:19:05Z".into()),
            stops_at: None,
        };
        assert_eq!(
            awake.lines(),
            [
                "awake       `cargo\u{fffd}[2J build` (pid 812) uses 97 % of a CPU (2026-01-02T03:04:05Z)",
                "sleeps      2026-01-02T03:19:05Z, if nobody comes and nothing is at work",
            ]
        );
        let asleep = Activity {
            awake: None,
            pauses_at: None,
            stops_at: Some("2026-01-02T05:19:05Z".into()),
        };
        assert_eq!(
            asleep.lines(),
            ["stops       2026-01-02T05:19:05Z, if nobody wakes it"]
        );
    }
}
