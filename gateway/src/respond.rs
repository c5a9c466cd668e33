//! What we say ourselves: every answer that does not come from an upstream, in one place.
//!
//! A [`Reply`] says what happened. It becomes a page for people and JSON for programs, with the
//! same status and code. What a client must not learn, such as whether a workspace exists, is not
//! in a reply to begin with.

mod page;
mod words;

use http::HeaderName;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION,
    REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, VARY, X_CONTENT_TYPE_OPTIONS,
};
use kalpana_auth::cookie::Cookie;
use kalpana_protocol::routes::Step;
use pingora_core::Result;
use pingora_http::ResponseHeader;
use serde_json::json;

use crate::authorize::cors::Allowed;
use crate::headers::Policies;
use crate::rate::{self, TooMany};

/// When to ask again where something is about to be there. Unit: seconds.
const REFRESH_SECONDS: u32 = 2;

/// What happened to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Go there, with these cookies.
    Redirect {
        /// Where.
        location: String,
        /// `Set-Cookie` values.
        cookies: Vec<String>,
    },
    /// There is no valid session, and the request is none to redirect.
    Unauthenticated {
        /// The page that a browser signs in at.
        sign_in: String,
    },
    /// Whether another request may be made, asked by a browser before it makes it.
    Preflight(Option<Allowed>),
    /// The session is valid, but the request comes from another origin.
    OtherOrigin,
    /// The visitor may not, or not any more; `request` is the page where they can ask to be let in.
    Forbidden {
        /// The page.
        request: String,
        /// Whether the session that they came with is of no use any more.
        forgets_session: bool,
    },
    /// The link that the visitor was let in by has ended.
    LinkOver,
    /// What is shared with the visitor does not run, which its owner alone can change.
    SharedNotRunning,
    /// No such host or path.
    NotFound,
    /// The host is not one of this site's.
    Misdirected,
    /// The host is one of this site's, but the connection is no proof of it.
    OtherCertificate,
    /// The request makes no sense.
    BadRequest,
    /// The request's head is too large.
    HeadTooLarge,
    /// The request's body is too large.
    BodyTooLarge,
    /// There were too many requests.
    TooManyRequests(TooMany),
    /// Whom to write to about a weakness of this site.
    SecurityContact {
        /// The file.
        text: String,
    },
    /// The client stopped in the middle of its request.
    RequestTimeout,
    /// The method is not allowed here.
    MethodNotAllowed,
    /// The sign-in to a workspace host did not succeed; it can be begun anew at `retry`.
    SignInFailed {
        /// Where to begin anew.
        retry: String,
    },
    /// The workspace does not run; `control` is the page that can start it.
    Stopped {
        /// The page.
        control: String,
    },
    /// The workspace is asleep, and nobody meant to wake it.
    Asleep {
        /// The page that wakes it.
        control: String,
    },
    /// The workspace is asleep, and could not be woken.
    NotWoken {
        /// The page that says more.
        control: String,
    },
    /// The workspace is being stopped.
    Stopping {
        /// The page that can start it again.
        control: String,
    },
    /// The workspace is being started.
    Starting {
        /// How far that is.
        step: Option<Box<Step>>,
    },
    /// The workspace's last start or run ended badly.
    Failed {
        /// Why, for people.
        reason: String,
        /// The page that can start it again.
        control: String,
    },
    /// Nobody listens on a port of the workspace.
    PortClosed {
        /// The port.
        port: u16,
        /// Those that somebody listens on, as far as the visitor may know, and where they are.
        listening: Vec<(u16, String)>,
    },
    /// The workspace should run, but does not answer.
    WorkspaceUnreachable {
        /// The page that says more.
        control: String,
    },
    /// The workspace took too long.
    WorkspaceSilent,
    /// `web` is away.
    ControlPlaneAway,
    /// The gateway has not heard yet who may do what.
    NotReady,
    /// Something of ours went wrong.
    Internal,
}

impl Reply {
    /// Returns the status.
    pub fn status(&self) -> u16 {
        match self {
            Self::Redirect { .. } => 303,
            Self::Unauthenticated { .. } => 401,
            Self::Preflight(_) => 204,
            Self::OtherOrigin | Self::Forbidden { .. } => 403,
            Self::NotFound => 404,
            Self::LinkOver => 410,
            Self::MethodNotAllowed => 405,
            Self::Misdirected | Self::OtherCertificate => 421,
            Self::BadRequest | Self::SignInFailed { .. } => 400,
            Self::HeadTooLarge => 431,
            Self::BodyTooLarge => 413,
            Self::TooManyRequests(_) => 429,
            Self::SecurityContact { .. } => 200,
            Self::RequestTimeout => 408,
            Self::PortClosed { .. } | Self::WorkspaceUnreachable { .. } => 502,
            Self::WorkspaceSilent => 504,
            Self::SharedNotRunning
            | Self::Stopped { .. }
            | Self::Asleep { .. }
            | Self::NotWoken { .. }
            | Self::Stopping { .. }
            | Self::Starting { .. }
            | Self::Failed { .. }
            | Self::ControlPlaneAway
            | Self::NotReady => 503,
            Self::Internal => 500,
        }
    }

    /// Returns the stable code that programs can act on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Redirect { .. } => "redirect",
            Self::Unauthenticated { .. } => "unauthenticated",
            Self::Preflight(_) => "preflight",
            Self::OtherOrigin => "other_origin",
            Self::Forbidden { .. } => "access_denied",
            Self::LinkOver => "link_over",
            Self::SharedNotRunning => "not_running",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Misdirected => "unknown_host",
            Self::OtherCertificate => "misdirected",
            Self::BadRequest => "bad_request",
            Self::SignInFailed { .. } => "sign_in_failed",
            Self::HeadTooLarge => "header_too_large",
            Self::BodyTooLarge => "body_too_large",
            Self::TooManyRequests(_) => "too_many_requests",
            Self::SecurityContact { .. } => "security_contact",
            Self::RequestTimeout => "request_timeout",
            Self::PortClosed { .. } => "port_closed",
            Self::WorkspaceUnreachable { .. } => "workspace_unreachable",
            Self::WorkspaceSilent => "workspace_silent",
            Self::Stopped { .. } => "workspace_stopped",
            Self::Asleep { .. } => "workspace_asleep",
            Self::NotWoken { .. } => "workspace_not_woken",
            Self::Stopping { .. } => "workspace_stopping",
            Self::Starting { .. } => "workspace_starting",
            Self::Failed { .. } => "workspace_failed",
            Self::ControlPlaneAway => "control_plane_unavailable",
            Self::NotReady => "gateway_not_ready",
            Self::Internal => "internal",
        }
    }

    /// Tells whether the session that the visitor came with is of no use any more.
    fn forgets_session(&self) -> bool {
        match self {
            Self::Forbidden {
                forgets_session, ..
            } => *forgets_session,
            Self::LinkOver => true,
            _ => false,
        }
    }

    /// Writes the answer: its head, which still lacks a site's own headers, and its body.
    ///
    /// # Errors
    /// Pingora's, when a value is no header value.
    pub fn write(
        &self,
        policies: &Policies,
        request_id: &str,
        is_for_people: bool,
    ) -> Result<(ResponseHeader, String)> {
        let page = self.page();
        let body = if let Self::SecurityContact { text } = self {
            text.clone()
        } else if matches!(self, Self::Redirect { .. } | Self::Preflight(_)) {
            String::new()
        } else if is_for_people {
            page.render(request_id)
        } else {
            let mut error = json!({
                "code": self.code(),
                "message": page.heading,
                "hint": page.text,
                "request_id": request_id,
            });
            match self {
                Self::Forbidden { request, .. } => {
                    error["request_access"] = request.as_str().into();
                }
                Self::Starting { step: Some(step) } => {
                    error["phase"] = step.phase.as_str().into();
                    error["detail"] = step.detail.as_deref().into();
                }
                Self::PortClosed { listening, .. } => {
                    error["listening"] = listening.iter().map(|(port, _)| *port).collect();
                }
                _ => {}
            }
            if let Self::Unauthenticated { sign_in } = self {
                error["sign_in"] = sign_in.as_str().into();
            }
            json!({ "error": error }).to_string()
        };
        let mut head = ResponseHeader::build(self.status(), Some(12))?;
        let mut set = |name: HeaderName, value: &str| head.insert_header(name, value);
        if self.status() != 204 {
            set(CONTENT_LENGTH, &body.len().to_string())?;
        }
        set(CACHE_CONTROL, "no-store")?;
        set(VARY, "Cookie, Sec-Fetch-Mode, Accept")?;
        set(X_CONTENT_TYPE_OPTIONS, "nosniff")?;
        set(REFERRER_POLICY, "no-referrer")?;
        if !body.is_empty() {
            let kind = if matches!(self, Self::SecurityContact { .. }) {
                "text/plain; charset=utf-8"
            } else if is_for_people {
                "text/html; charset=utf-8"
            } else {
                "application/json"
            };
            set(CONTENT_TYPE, kind)?;
            let ancestors = policies
                .frame_ancestors()
                .to_str()
                .unwrap_or("frame-ancestors 'none'");
            let script = page.script_policy();
            let policy = format!(
                "default-src 'none'; {script}style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; {ancestors}"
            );
            set(CONTENT_SECURITY_POLICY, &policy)?;
        }
        if self.status() == 503 {
            set(RETRY_AFTER, &REFRESH_SECONDS.to_string())?;
        }
        if let Self::TooManyRequests(too_many) = self {
            // Source: draft-ietf-httpapi-ratelimit-headers.
            let (what, wait) = (too_many.what, too_many.wait_seconds);
            set(RETRY_AFTER, &wait.to_string())?;
            let policy = format!("\"{what}\";q={};w={}", too_many.burst, rate::WINDOW_SECONDS);
            set(HeaderName::from_static("ratelimit-policy"), &policy)?;
            let state = format!("\"{what}\";r=0;t={wait}");
            set(HeaderName::from_static("ratelimit"), &state)?;
        }
        if let Self::Redirect { location, cookies } = self {
            set(LOCATION, location)?;
            for cookie in cookies {
                head.append_header(SET_COOKIE, cookie)?;
            }
        }
        if let Self::Preflight(allowed) = self {
            let asked = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
            head.insert_header(VARY, asked)?;
            if let Some(allowed) = allowed {
                allowed.write(&mut head)?;
            }
        }
        if self.forgets_session() {
            head.append_header(SET_COOKIE, Cookie::WorkspaceSession.clear())?;
        }
        policies.ours(&mut head, request_id)?;
        Ok((head, body))
    }
}

#[cfg(test)]
mod tests {
    use kalpana_config::{Config, Site};
    use kalpana_protocol::orchestrator::PhaseName;

    use super::*;

    fn write(reply: &Reply, is_for_people: bool) -> (ResponseHeader, String) {
        let mut config = Config::default();
        config.server.data_dir = Some("/data".into());
        let site = Site::resolve(&config, false, None).unwrap();
        reply
            .write(&Policies::new(&site), "the-request-id", is_for_people)
            .unwrap()
    }

    fn control() -> String {
        "https://kalpana.localhost:8443/workspace/abcdefghij01".to_owned()
    }

    fn all() -> Vec<Reply> {
        vec![
            Reply::Unauthenticated {
                sign_in: "https://x.kalpana.localhost/".to_owned(),
            },
            Reply::OtherOrigin,
            Reply::Forbidden {
                request: "https://kalpana.localhost:8443/request-access?host=3000-abcdefghij01"
                    .to_owned(),
                forgets_session: true,
            },
            Reply::LinkOver,
            Reply::SharedNotRunning,
            Reply::NotFound,
            Reply::Misdirected,
            Reply::OtherCertificate,
            Reply::BadRequest,
            Reply::HeadTooLarge,
            Reply::BodyTooLarge,
            Reply::TooManyRequests(TooMany {
                what: "address",
                burst: 3000,
                wait_seconds: 2,
            }),
            Reply::RequestTimeout,
            Reply::MethodNotAllowed,
            Reply::SignInFailed {
                retry: "https://x/".to_owned(),
            },
            Reply::Stopped { control: control() },
            Reply::Asleep { control: control() },
            Reply::NotWoken { control: control() },
            Reply::Stopping { control: control() },
            Reply::Starting { step: None },
            Reply::Starting {
                step: Some(Box::new(Step {
                    phase: PhaseName::Clone,
                    detail: Some("<b>is</b> at 40%".to_owned()),
                })),
            },
            Reply::Failed {
                reason: "the image <b>is</b> missing".to_owned(),
                control: control(),
            },
            Reply::PortClosed {
                port: 3000,
                listening: vec![(
                    5173,
                    "https://5173-abcdefghij01.kalpana.localhost/".to_owned(),
                )],
            },
            Reply::WorkspaceUnreachable { control: control() },
            Reply::WorkspaceSilent,
            Reply::ControlPlaneAway,
            Reply::NotReady,
            Reply::Internal,
        ]
    }

    #[test]
    fn what_people_and_programs_are_told() {
        let told: Vec<_> = all()
            .iter()
            .map(|reply| {
                let (head, body) = write(reply, false);
                let error: serde_json::Value = serde_json::from_str(&body).unwrap();
                format!(
                    "{} {}: {} {}",
                    head.status.as_u16(),
                    error["error"]["code"].as_str().unwrap(),
                    error["error"]["message"].as_str().unwrap(),
                    error["error"]["hint"].as_str().unwrap(),
                )
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn a_page_is_whole_and_needs_nothing_from_elsewhere() {
        for reply in all() {
            let (head, body) = write(&reply, true);
            assert!(body.contains("the-request-id"), "{reply:?}");
            assert!(
                !body.contains("{heading}") && !body.contains("src="),
                "{reply:?}"
            );
            assert!(!body.contains("<b>is</b>"), "escaped");
            let is_waiting = body.contains("http-equiv=\"refresh\"");
            assert!(
                !is_waiting || head.status == 503,
                "only what may change is looked at again"
            );
            assert_eq!(head.headers["content-length"], body.len().to_string());
            let policy = head.headers["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'"));
            assert_eq!(body.contains("<script>"), policy.contains("script-src"));
        }
        insta::assert_snapshot!(write(&Reply::Stopped { control: control() }, true).1);
    }

    #[test]
    fn values_cannot_name_places_of_the_template() {
        let reply = Reply::Failed {
            reason: "{request_id}{action}".to_owned(),
            control: control(),
        };
        assert!(write(&reply, true).1.contains("{request_id}{action}</p>"));
    }
}
