//! `[web]`: the API and the page.

use serde::{Deserialize, Serialize};

use crate::units::ByteSize;
use crate::validate::Scope;

/// The API and the page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Web {
    /// Largest request body the API reads. Default: 64KiB.
    pub body_limit: ByteSize,
    /// Pages that may be listening for live changes at the same time. Default: 1000.
    pub event_streams: usize,
    /// How widely the owner of a workspace may share its ports: `owner` (not at all), `members`
    /// (people they name), `organization` (everybody who can sign in), `link` (whoever has an
    /// unguessable link) or `public` (everybody). Lowering it narrows what is shared already.
    /// Default: `organization`.
    pub sharing_maximum: String,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            body_limit: ByteSize(64 << 10),
            event_streams: 1000,
            sharing_maximum: "organization".to_owned(),
        }
    }
}

impl Web {
    /// Records what is wrong.
    pub fn validate(&self, problems: &mut Scope<'_>) {
        problems.require(
            (4 << 10..=16 << 20).contains(&self.body_limit.0),
            "body_limit",
            "must be from 4KiB to 16MiB",
        );
        problems.require(
            self.event_streams > 0,
            "event_streams",
            "must be at least 1",
        );
        problems.require(
            matches!(
                self.sharing_maximum.as_str(),
                "owner" | "members" | "organization" | "link" | "public"
            ),
            "sharing_maximum",
            "must be \"owner\", \"members\", \"organization\", \"link\" or \"public\"",
        );
    }
}
