//! Whether each role's process is there and answers.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use kalpana_config::Site;
use kalpana_link::{CallError, Client};
use reqwest::Method;

use super::runner::aside;
use super::verdict::Verdict;
use crate::privilege;
use crate::role::Role;

/// How long a process may take to answer.
const LIMIT: Duration = Duration::from_secs(5);

/// What came of asking a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// It answered, if only that we may not ask.
    Answer,
    /// There is no socket.
    NoSocket,
    /// A socket is there, and nobody behind it.
    Nobody,
    /// This process may not connect.
    Forbidden,
    /// Somebody is there, and says nothing.
    Silence,
}

/// Asks a role at its socket.
pub(super) async fn look(site: &Site, role: Role) -> Vec<Verdict> {
    let (socket, path) = match role {
        Role::Web => (site.web_socket(), "/api/health"),
        Role::Orchestrator => (site.orchestrator_socket(), "/v1/workspaces"),
        Role::Gateway => (site.gateway_control_socket(), "/v1/certificates"),
    };
    // Sockets let in those who have business there, root not among them: one of these asks.
    let asks_as = match role {
        Role::Web | Role::Orchestrator => Role::Gateway,
        Role::Gateway => Role::Web,
    };
    let asked = socket.clone();
    let heard = aside(move || {
        // Without the roles' users there is no site of root's, and root asks in vain.
        let _ = privilege::lend_thread(asks_as);
        ask(asked, path)
    });
    let heard = heard.await.unwrap_or(Heard::Silence);
    vec![judge(role, &socket.display().to_string(), heard)]
}

fn ask(socket: PathBuf, path: &str) -> Heard {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return Heard::Silence;
    };
    let client = Client::new("a role", socket, None).with_timeout(LIMIT);
    let asked: Result<serde_json::Value, CallError> =
        runtime.block_on(client.call(Method::GET, path, None, None::<&()>));
    heard(asked.err().as_ref())
}

fn heard(error: Option<&CallError>) -> Heard {
    let Some(CallError::Unavailable { source, .. }) = error else {
        return Heard::Answer;
    };
    match source.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::NotFound) => Heard::NoSocket,
        Some(io::ErrorKind::ConnectionRefused) => Heard::Nobody,
        Some(io::ErrorKind::PermissionDenied) => Heard::Forbidden,
        _ => Heard::Silence,
    }
}

fn judge(role: Role, socket: &str, heard: Heard) -> Verdict {
    let (check, not_running, silent) = match role {
        Role::Web => ("role_web", "web_not_running", "web_silent"),
        Role::Orchestrator => (
            "role_orchestrator",
            "orchestrator_not_running",
            "orchestrator_silent",
        ),
        Role::Gateway => ("role_gateway", "gateway_not_running", "gateway_silent"),
    };
    let start = format!(
        "`kalpana up` starts all roles, `kalpana {role}` this one alone. If it was started, the last \
         lines of its log say why it ended."
    );
    match heard {
        Heard::Answer => Verdict::ok(check, format!("answers at {socket}")),
        Heard::NoSocket => {
            let message = format!("the {role} role does not run: there is no {socket}");
            Verdict::failed(check, not_running, message, start)
        }
        Heard::Nobody => {
            let message = format!("the {role} role does not run: nobody listens at {socket}");
            Verdict::failed(check, not_running, message, start)
        }
        Heard::Forbidden => Verdict::skipped(
            check,
            "not_allowed",
            format!("this user may not connect to {socket}"),
            "Run this as root, or as the user that runs Kalpana.",
        ),
        Heard::Silence => Verdict::failed(
            check,
            silent,
            format!("the {role} role gives no answer at {socket}"),
            format!("Its log may say why. Restart it: {start}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_that_does_not_run_is_named_with_how_to_start_it() {
        for role in Role::ALL {
            for heard in [Heard::NoSocket, Heard::Nobody] {
                let verdict = judge(role, "/run/x.sock", heard);
                assert!(verdict.is(&format!("{role}_not_running")), "{verdict:?}");
                let next_step = verdict.next_step.unwrap_or_default();
                assert!(next_step.contains(&format!("`kalpana {role}`")));
            }
            assert_eq!(judge(role, "/run/x.sock", Heard::Answer).code, None);
            assert!(judge(role, "/x", Heard::Silence).is(&format!("{role}_silent")));
        }
    }

    #[test]
    fn a_refusal_is_an_answer() {
        let unavailable = |kind| CallError::Unavailable {
            peer: "a role",
            source: io::Error::from(kind).into(),
        };
        let refused = CallError::Refused {
            peer: "a role",
            status: reqwest::StatusCode::UNAUTHORIZED,
            body: Default::default(),
        };
        assert_eq!(heard(None), Heard::Answer);
        assert_eq!(heard(Some(&refused)), Heard::Answer);
        for (kind, expected) in [
            (io::ErrorKind::NotFound, Heard::NoSocket),
            (io::ErrorKind::ConnectionRefused, Heard::Nobody),
            (io::ErrorKind::PermissionDenied, Heard::Forbidden),
            (io::ErrorKind::TimedOut, Heard::Silence),
        ] {
            assert_eq!(heard(Some(&unavailable(kind))), expected);
        }
    }
}
