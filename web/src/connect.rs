//! `GET /auth/workspace`: the way from the control host, where a browser is signed in, to a
//! workspace's host, where it is not yet.
//!
//! The gateway sends browsers here with the workspace's label, a hash of a nonce that it left in
//! their cookie, and where they wanted to go. Whoever may enter leaves with a ticket for that one
//! host and that one browser: the owner, and for a port that is shared whoever `visitor` finds a
//! right for. An owner who means to open a stopped workspace has it started by that, and is let in to
//! see it come. What does not exist and what is somebody else's look the same: an editor is not found,
//! and for a port there is a page where one may ask to be let in.

mod visitor;

use std::borrow::Cow;

use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kalpana_auth::Authenticated;
use kalpana_auth::cookie::Cookie;
use kalpana_auth::fetch;
use kalpana_auth::nonce;
use kalpana_auth::ticket::Grant;
use kalpana_domain::access::{Action, may};
use kalpana_domain::address::{Surface, WorkspaceAddress};
use kalpana_domain::id::SessionId;
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::sharing::Right;
use kalpana_domain::user::Credential;
use kalpana_domain::workspace::Workspace;
use url::form_urlencoded;

use crate::assets;
use crate::error::{ApiError, ApiResult};
use crate::extract::authenticate;
use crate::orchestrator;
use crate::request::RequestContext;
use crate::state::AppState;

pub(crate) use visitor::by_link;

/// Longest path that is carried along, in bytes; a longer one is dropped.
const PATH_LIMIT: usize = 4096;

/// Lets a browser that is signed in into a workspace host.
pub(crate) async fn connect(
    State(state): State<AppState>,
    context: RequestContext,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> ApiResult<Response> {
    demand_navigation(&headers)?;
    let query = uri.query().unwrap_or_default();
    let by = match authenticate(&state, &headers).await {
        Ok(by) => Some(by),
        Err(error) if error.code() == "unauthenticated" => None,
        Err(error) => return Err(error),
    };
    let wanted = Wanted::read(query);
    match grant(&state, by.as_ref(), &wanted, &headers, &context).await? {
        Answer::SignIn => {
            let here = format!("{}?{query}", uri.path());
            see_other(&format!("/login?next={}", percent_encode(&here)))
        }
        Answer::NotFound => Ok(assets::not_found(&state.site)),
        Answer::NotShared => see_other(&format!(
            "/request-access?host={}&to={}",
            percent_encode(&wanted.host),
            percent_encode(&wanted.path)
        )),
        Answer::NotRunning(address) => see_other(&format!("/workspace/{}", address.workspace)),
        Answer::Granted(grant) => {
            let ticket = state
                .tickets
                .sign(&grant, state.clock.now())
                .map_err(ApiError::internal)?;
            let mut answer = see_other(&format!(
                "https://{}/.kalpana/cb?t={}&to={}",
                grant.audience,
                percent_encode(&ticket),
                percent_encode(&wanted.path)
            ))?;
            if let Right::Link(_) = grant.right
                && let Ok(cookie) = HeaderValue::from_str(&Cookie::ShareLink.clear())
            {
                answer.headers_mut().append(header::SET_COOKIE, cookie);
            }
            Ok(answer)
        }
    }
}

/// What the gateway's redirect asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    host: String,
    rid: String,
    path: Cow<'static, str>,
}

impl Wanted {
    /// Reads the query. Of a parameter that is repeated, or missing, nothing is believed.
    fn read(query: &str) -> Self {
        let once = |name: &str| {
            // The query is percent-encoded; a plus sign in it is a plus sign.
            let literal = query.replace('+', "%2B");
            let mut values = form_urlencoded::parse(literal.as_bytes())
                .filter(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned());
            let value = values.next();
            value
                .filter(|_| values.next().is_none())
                .unwrap_or_default()
        };
        Self {
            host: once("host"),
            rid: once("rid"),
            path: safe_path(once("to")),
        }
    }
}

enum Answer {
    SignIn,
    NotFound,
    NotShared,
    NotRunning(WorkspaceAddress),
    Granted(Grant),
}

async fn grant(
    state: &AppState,
    by: Option<&Authenticated>,
    wanted: &Wanted,
    headers: &HeaderMap,
    context: &RequestContext,
) -> ApiResult<Answer> {
    // A stranger is sent to sign in whatever they ask for, unless they bring a link to it.
    let nothing = || match by {
        None => Answer::SignIn,
        Some(_) => Answer::NotFound,
    };
    let Some(address) = WorkspaceAddress::parse_label(&wanted.host) else {
        return Ok(nothing());
    };
    let session = match by.map(|by| &by.principal.credential) {
        Some(Credential::Session(session)) => Some(*session),
        // A token never enters.
        Some(Credential::Token { .. }) => return Ok(Answer::NotFound),
        None => None,
    };
    let found = match address.surface {
        Surface::Editor if by.is_none() => return Ok(Answer::SignIn),
        _ => state.store.workspace(address.workspace).await?,
    };
    let owner = by.zip(found.as_ref()).filter(|(by, workspace)| {
        by.user.id == workspace.owner && may(&by.principal, Action::Connect, workspace)
    });
    if let Some((by, workspace)) = owner {
        let is_meant = nonce::is_rid(&wanted.rid)
            && fetch::is_meant(|name| headers.get(name).map(HeaderValue::as_bytes));
        let Some(workspace) = wake(state, by, workspace, is_meant, context).await? else {
            return Ok(Answer::NotRunning(address));
        };
        let workspace = workspace.as_ref();
        demand_rid(wanted)?;
        state
            .accounts
            .record_connect(&by.principal, workspace.id, &context.client())
            .await?;
        let visit = (Right::Owner(by.user.id), session);
        return Ok(Answer::Granted(ticket(
            state, wanted, address, workspace, visit,
        )));
    }
    let Surface::Port(port) = address.surface else {
        return Ok(nothing());
    };
    let found = visitor::admit(
        state,
        by,
        (address.workspace, port),
        found,
        headers,
        context,
    );
    match found.await? {
        Some((right, workspace)) => {
            demand_rid(wanted)?;
            let visit = (right, session);
            Ok(Answer::Granted(ticket(
                state, wanted, address, &workspace, visit,
            )))
        }
        None if by.is_none() => Ok(Answer::SignIn),
        None => Ok(Answer::NotShared),
    }
}

/// Returns the workspace if it runs or is on its way, to which it is brought if it is stopped and its
/// owner means to open it. The gateway shows them how far it is.
async fn wake<'a>(
    state: &AppState,
    by: &Authenticated,
    workspace: &'a Workspace,
    is_meant: bool,
    context: &RequestContext,
) -> ApiResult<Option<Cow<'a, Workspace>>> {
    let is_there = |workspace: &Workspace| {
        matches!(
            workspace.lifecycle,
            Lifecycle::Running { .. } | Lifecycle::Starting { .. } | Lifecycle::Paused { .. }
        )
    };
    if is_there(workspace) {
        // One that is asleep is woken by the gateway, when they get there.
        return Ok(Some(Cow::Borrowed(workspace)));
    }
    let may_start = may(&by.principal, Action::Start, workspace);
    if !is_meant || !may_start || !matches!(workspace.lifecycle, Lifecycle::Stopped) {
        return Ok(None);
    }
    let start = orchestrator::Wanted::Start;
    match state
        .orchestrator
        .ask(by, workspace.id, start, context)
        .await
    {
        Ok(started) => Ok(Some(Cow::Owned(started)).filter(|started| is_there(started))),
        Err(error) => {
            tracing::info!(
                workspace = %workspace.id,
                "a visit could not start the workspace, whose page says more: {}",
                error.code()
            );
            // Another tab may have been faster.
            let now = state.store.workspace(workspace.id).await?;
            Ok(now.filter(is_there).map(Cow::Owned))
        }
    }
}

fn ticket(
    state: &AppState,
    wanted: &Wanted,
    address: WorkspaceAddress,
    workspace: &Workspace,
    (right, session): (Right, Option<SessionId>),
) -> Grant {
    Grant {
        audience: state.site.workspace_host(&address.to_string()),
        rid: wanted.rid.clone(),
        right,
        // What somebody opens by a link ends with the link and not with their session here.
        session: session
            .filter(|_| !matches!(right, Right::Link(_)))
            .unwrap_or_else(SessionId::generate),
        workspace: workspace.id,
        generation: workspace.generation,
    }
}

fn demand_rid(wanted: &Wanted) -> ApiResult<()> {
    if nonce::is_rid(&wanted.rid) {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::BAD_REQUEST,
        "invalid_sign_in",
        "This link to a workspace is not complete.",
    )
    .hint("Open the workspace from your dashboard."))
}

/// Refuses what is not a person going somewhere: a script cannot make use of the answer, and need
/// not be able to make us give one.
fn demand_navigation(headers: &HeaderMap) -> ApiResult<()> {
    let first = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    let own = fetch::Headers {
        site: first("sec-fetch-site"),
        mode: first("sec-fetch-mode"),
        origin: first("origin"),
    };
    if fetch::is_navigation("GET", own, first("accept")) {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        "navigation_required",
        "This address is for browsers on their way to a workspace.",
    )
    .hint("Open the workspace from your dashboard."))
}

/// Returns `path` if it is a path of the host it will be used on, else `/`.
///
/// Browsers read `//host` and `/\host` as another host, and drop control characters before they
/// look.
fn safe_path(path: String) -> Cow<'static, str> {
    let mut bytes = path.bytes();
    let is_safe = bytes.next() == Some(b'/')
        && !matches!(bytes.next(), Some(b'/' | b'\\'))
        && path.len() <= PATH_LIMIT
        && path.bytes().all(|byte| byte.is_ascii_graphic());
    if is_safe {
        Cow::Owned(path)
    } else {
        Cow::Borrowed("/")
    }
}

fn percent_encode(text: &str) -> String {
    let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    // What is left of plus signs stands for spaces, which not every reader knows.
    encoded.replace('+', "%20")
}

/// Redirects. An editor's frame passes through here on its way to its host, and Chromium holds even
/// a redirect against the policy that comes with it, so our own pages may frame this one.
fn see_other(location: &str) -> ApiResult<Response> {
    let location = HeaderValue::from_str(location).map_err(ApiError::internal)?;
    let headers = [
        (header::LOCATION, location),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'self'"),
        ),
    ];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_the_same_host_are_carried_along() {
        for good in [
            "/",
            "/a?b=c&d=%2F",
            "/?folder=/workspace/x+y",
            "/a//b",
            "/%09/x",
        ] {
            assert_eq!(safe_path(good.to_owned()), good);
        }
        let long = format!("/{}", "a".repeat(8192));
        for bad in [
            "",
            "a",
            "//evil",
            "/\\evil",
            "\\/evil",
            "https:evil",
            "javascript:alert(1)",
            "/\t/evil",
            "/a\nb",
            "/a b",
            "/é",
            "https://evil/",
            &long,
        ] {
            assert_eq!(safe_path(bad.to_owned()), "/", "{bad}");
        }
    }

    #[test]
    fn the_query_is_read_once_and_plus_signs_stay() {
        let wanted = Wanted::read("host=a&rid=b&to=%2Fx%3Fq%3D1%2B2+3&to2=z");
        let expected = Wanted {
            host: "a".to_owned(),
            rid: "b".to_owned(),
            path: "/x?q=1+2+3".into(),
        };
        assert_eq!(wanted, expected);
        let repeated = Wanted::read("host=a&host=b&to=/x&to=//y");
        assert_eq!((repeated.host.as_str(), &*repeated.path), ("", "/"));
    }

    #[test]
    fn what_is_encoded_reads_the_same_by_either_rule() {
        assert_eq!(
            percent_encode("/a b+c?d=&é"),
            "%2Fa%20b%2Bc%3Fd%3D%26%C3%A9"
        );
    }
}
