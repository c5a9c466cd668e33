//! What people are told, reply by reply.

use super::Reply;
use super::page::Page;

impl Reply {
    /// Returns what its page says.
    pub(super) fn page(&self) -> Page<'_> {
        let say = |heading, text: &str| Page {
            heading,
            text: text.to_owned(),
            reason: None,
            action: None,
            is_waiting: false,
            steps: None,
            links: &[],
        };
        let wait = |heading, text: &str| Page {
            is_waiting: true,
            ..say(heading, text)
        };
        match self {
            Self::Redirect { .. } => say("Moving on", "This page is elsewhere."),
            Self::Preflight(_) => say("Asked and answered", ""),
            Self::Unauthenticated { .. } => say(
                "You are not signed in here",
                "Open this address in a browser tab to sign in, then try again.",
            ),
            Self::OtherOrigin => say(
                "This request came from another site",
                "A page of another origin tried to act in your name, so it was refused.",
            ),
            Self::Forbidden { request, .. } => Page {
                action: Some(("Request access", request)),
                ..say(
                    "You do not have access to this address",
                    "If there is something here, it is not shared with you, or not any more. Its \
                     owner can let you in.",
                )
            },
            Self::LinkOver => say(
                "This link has ended",
                "It expired, was used already, or was taken back. Whoever sent it to you can make \
                 a new one.",
            ),
            Self::SharedNotRunning => say(
                "This is not running right now",
                "Whoever shares it with you can start it. Reload this page later.",
            ),
            Self::NotFound => say(
                "There is nothing here",
                "The address may be mistyped, or you may not have access to it.",
            ),
            Self::MethodNotAllowed => {
                say("That is not possible here", "This method is not allowed.")
            }
            Self::Misdirected => say(
                "This site is not served here",
                "The address leads to this server, but the server does not know its name. Check \
                 the domain and the port.",
            ),
            Self::OtherCertificate => say(
                "This connection is for another address",
                "It was made for a name whose certificate does not cover this one. Reload this \
                 page, which makes a new connection.",
            ),
            Self::BadRequest => say(
                "This request makes no sense",
                "It is not valid HTTP, or its host is not a host name.",
            ),
            Self::HeadTooLarge => say(
                "This request is too large",
                "Its headers are larger than this server accepts. Clearing this site's cookies \
                 usually helps.",
            ),
            Self::BodyTooLarge => say(
                "This request is too large",
                "Its body is larger than this server accepts (gateway.body_limit). Send it in \
                 parts, or ask whoever runs this site.",
            ),
            Self::TooManyRequests(too_many) => say(
                "Too many requests",
                &match too_many.what {
                    "workspace" => format!(
                        "This workspace is asked more often than one may be. Try again in {} s.",
                        too_many.wait_seconds
                    ),
                    "user" => format!(
                        "You ask more often than one may. Try again in {} s.",
                        too_many.wait_seconds
                    ),
                    _ => format!(
                        "Your address asks more often than one may. Try again in {} s.",
                        too_many.wait_seconds
                    ),
                },
            ),
            Self::SecurityContact { .. } => say("Security contact", ""),
            Self::RequestTimeout => say(
                "This request took too long",
                "It stopped half way. Check the connection, then try again.",
            ),
            Self::SignInFailed { retry } => Page {
                action: Some(("Try again", retry)),
                ..say(
                    "Signing in to this workspace did not work",
                    "The sign-in took too long, was used before, or was begun in another browser.",
                )
            },
            Self::Stopped { control } => Page {
                action: Some(("Start it", control)),
                ..say(
                    "This workspace is stopped",
                    "Your files are kept. Start it to go on where you were.",
                )
            },
            Self::Asleep { control } => Page {
                action: Some(("Wake it", control)),
                ..say(
                    "This workspace is asleep",
                    "Its programs are frozen in memory, just as you left them. Wake it to go on \
                     where you were.",
                )
            },
            Self::NotWoken { control } => Page {
                action: Some(("Go to the workspace", control)),
                ..say(
                    "This workspace could not be woken yet",
                    "Nothing of it is lost. Reload this page to try again.",
                )
            },
            Self::Stopping { control } => Page {
                action: Some(("Go to the workspace", control)),
                ..wait("This workspace is stopping", "Your files are being kept.")
            },
            Self::Starting { step } => Page {
                steps: Some(step.as_deref()),
                ..wait(
                    "Your workspace is starting",
                    "This page opens it as soon as it is ready.",
                )
            },
            Self::Failed { reason, control } => Page {
                reason: Some(reason),
                action: Some(("See what happened", control)),
                ..say(
                    "This workspace could not run",
                    "Your files are kept. You can start it again.",
                )
            },
            Self::PortClosed { port, listening } => Page {
                links: listening,
                ..say(
                    "Nothing listens on this port",
                    &format!(
                        "No program in the workspace listens on port {port}. Start one that does, \
                         on 127.0.0.1 or on all addresses, then reload this page."
                    ),
                )
            },
            Self::WorkspaceUnreachable { control } => Page {
                action: Some(("Go to the workspace", control)),
                ..say(
                    "This workspace does not answer",
                    "It may have just stopped or run out of memory. Reload this page, or look at \
                     its log.",
                )
            },
            Self::WorkspaceSilent => say(
                "This workspace took too long",
                "It accepted the request but did not answer in time. Reload this page to try again.",
            ),
            Self::ControlPlaneAway => wait(
                "Kalpana is restarting",
                "The control plane does not answer right now. Running workspaces go on. This page \
                 tries again by itself.",
            ),
            Self::NotReady => wait(
                "Kalpana is starting",
                "It will be ready in a moment. This page tries again by itself.",
            ),
            Self::Internal => say("Something went wrong", "Reload this page to try again."),
        }
    }
}
