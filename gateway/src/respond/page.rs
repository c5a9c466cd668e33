//! Pages: small, whole, in light and dark, with nothing from elsewhere.

use std::fmt::Write as _;
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kalpana_protocol::orchestrator::PhaseName;
use kalpana_protocol::routes::Step;

use super::REFRESH_SECONDS;

const LAYOUT: &str = include_str!("../pages/layout.html");

/// Shows how a start goes on, and opens the workspace when it is over.
const STARTING: &str = include_str!("../pages/starting.js");

/// The parts of a page.
pub(super) struct Page<'a> {
    pub(super) heading: &'a str,
    pub(super) text: String,
    pub(super) reason: Option<&'a str>,
    pub(super) action: Option<(&'a str, &'a str)>,
    pub(super) is_waiting: bool,
    /// How far a start is, if that is what is waited for.
    pub(super) steps: Option<Option<&'a Step>>,
    /// Ports that are open, and where they are.
    pub(super) links: &'a [(u16, String)],
}

impl Page<'_> {
    /// Returns what of a content security policy lets the page's script run, and nothing else.
    pub(super) fn script_policy(&self) -> &'static str {
        static POLICY: LazyLock<String> = LazyLock::new(|| {
            let hash = digest(&SHA256, STARTING.as_bytes());
            let hash = STANDARD.encode(hash.as_ref());
            format!("script-src 'sha256-{hash}'; connect-src 'self'; ")
        });
        match self.steps {
            Some(_) => &POLICY,
            None => "",
        }
    }

    /// Returns the page as HTML.
    pub(super) fn render(&self, request_id: &str) -> String {
        let refresh = format!("<meta http-equiv=\"refresh\" content=\"{REFRESH_SECONDS}\">\n");
        let refresh = match (self.is_waiting, self.steps) {
            (false, _) => String::new(),
            (true, None) => refresh,
            // The script looks more often, and without a flicker.
            (true, Some(_)) => format!("<noscript>{refresh}</noscript>\n"),
        };
        let waiting = if self.is_waiting {
            "<div class=\"waiting\" role=\"status\" aria-label=\"Waiting\"></div>\n"
        } else {
            ""
        };
        let reason = self.reason.map_or_else(String::new, |reason| {
            format!("<p class=\"reason\">{}</p>\n", escape(reason))
        });
        // The page may stand in the control plane's frame, where a link must leave the frame.
        let action = self.action.map_or_else(String::new, |(label, href)| {
            let (label, href) = (escape(label), escape(href));
            format!("<a class=\"action\" href=\"{href}\" target=\"_top\">{label}</a>\n")
        });
        fill(
            LAYOUT,
            &[
                ("refresh", &refresh),
                ("waiting", waiting),
                ("title", &escape(self.heading)),
                ("heading", &escape(self.heading)),
                ("text", &escape(&self.text)),
                ("reason", &reason),
                ("steps", &self.steps.map_or_else(String::new, steps)),
                ("links", &links(self.links)),
                ("action", &action),
                ("request_id", &escape(request_id)),
            ],
        )
    }
}

/// Writes the phases of a start, of which those before `step` are done.
fn steps(step: Option<&Step>) -> String {
    let current = step.map_or(PhaseName::ALL[0], |step| step.phase);
    let mut list = "<ol class=\"steps\">\n".to_owned();
    let mut state = "done";
    for phase in PhaseName::ALL {
        if phase == current {
            state = "running";
        }
        let (name, label) = (phase.as_str(), label(phase));
        let _ = writeln!(
            list,
            "<li data-phase=\"{name}\" data-state=\"{state}\">{label}</li>"
        );
        if state == "running" {
            state = "pending";
        }
    }
    let detail = step.and_then(|step| step.detail.as_deref());
    let detail = escape(detail.unwrap_or_default());
    let _ = write!(
        list,
        "</ol>\n<p class=\"detail\">{detail}</p>\n<p class=\"now\" role=\"status\">{}</p>\n\
         <script>{STARTING}</script>\n",
        label(current)
    );
    list
}

/// What a phase is called for people; the same as in the user interface.
fn label(phase: PhaseName) -> &'static str {
    match phase {
        PhaseName::Network => "Network",
        PhaseName::Volume => "Storage",
        PhaseName::Container => "Container",
        PhaseName::Boot => "Boot",
        PhaseName::Clone => "Repository",
        PhaseName::Editor => "Editor",
    }
}

/// Writes where else there is something.
fn links(links: &[(u16, String)]) -> String {
    if links.is_empty() {
        return String::new();
    }
    let mut list = "<p>These ports are open:</p>\n<ul class=\"links\">\n".to_owned();
    for (port, url) in links {
        let url = escape(url);
        let _ = writeln!(
            list,
            "<li><a href=\"{url}\" target=\"_top\">{port}</a></li>"
        );
    }
    list.push_str("</ul>\n");
    list
}

/// Puts values in the places of a template, in one pass: a value is never looked at for places.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len() + 256);
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        let place = values.iter().find_map(|(name, value)| {
            let after = rest[1..].strip_prefix(name)?.strip_prefix('}')?;
            Some((*value, after))
        });
        match place {
            Some((value, after)) => {
                filled.push_str(value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = &rest[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
