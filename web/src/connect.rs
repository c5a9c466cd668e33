//! `GET /auth/workspace`: the way from the control host, where a browser is signed in, to a
//! workspace's host, where it is not yet.
//!
//! The gateway sends browsers here with the workspace's label, a hash of a nonce that it left in
//! their cookie, and where they wanted to go. Whoever may enter leaves with a ticket for that one
//! host and that one browser. What does not exist and what is somebody else's look the same.

use std::borrow::Cow;

use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kalpana_auth::Authenticated;
use kalpana_auth::fetch;
use kalpana_auth::nonce;
use kalpana_auth::ticket::Grant;
use kalpana_domain::access::{Action, may};
use kalpana_domain::address::WorkspaceAddress;
use kalpana_domain::lifecycle::Lifecycle;
use kalpana_domain::user::Credential;
use url::form_urlencoded;

use crate::assets;
use crate::error::{ApiError, ApiResult};
use crate::extract::authenticate;
use crate::request::RequestContext;
use crate::state::AppState;

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
        Ok(by) => by,
        Err(error) if error.code() == "unauthenticated" => {
            let here = format!("{}?{query}", uri.path());
            return see_other(&format!("/login?next={}", percent_encode(&here)));
        }
        Err(error) => return Err(error),
    };
    let wanted = Wanted::read(query);
    match grant(&state, &by, &wanted).await? {
        Answer::NotFound => Ok(assets::not_found(&state.site)),
        Answer::NotRunning(address) => see_other(&format!("/workspace/{}", address.workspace)),
        Answer::Granted(grant) => {
            state
                .accounts
                .record_connect(&by.principal, grant.workspace, &context.client())
                .await?;
            let ticket = state
                .tickets
                .sign(&grant, state.clock.now())
                .map_err(ApiError::internal)?;
            see_other(&format!(
                "https://{}/.kalpana/cb?t={}&to={}",
                grant.audience,
                percent_encode(&ticket),
                percent_encode(&wanted.path)
            ))
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
    NotFound,
    NotRunning(WorkspaceAddress),
    Granted(Grant),
}

async fn grant(state: &AppState, by: &Authenticated, wanted: &Wanted) -> ApiResult<Answer> {
    let Some(address) = WorkspaceAddress::parse_label(&wanted.host) else {
        return Ok(Answer::NotFound);
    };
    let Some(workspace) = state.store.workspace(address.workspace).await? else {
        return Ok(Answer::NotFound);
    };
    let Credential::Session(session) = by.principal.credential else {
        return Ok(Answer::NotFound);
    };
    if !may(&by.principal, Action::Connect, &workspace) {
        return Ok(Answer::NotFound);
    }
    if !matches!(workspace.lifecycle, Lifecycle::Running { .. }) {
        return Ok(Answer::NotRunning(address));
    }
    if !nonce::is_rid(&wanted.rid) {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "invalid_sign_in",
            "This link to a workspace is not complete.",
        )
        .hint("Open the workspace from your dashboard."));
    }
    Ok(Answer::Granted(Grant {
        audience: state.site.workspace_host(&address.to_string()),
        rid: wanted.rid.clone(),
        user: by.user.id,
        session,
        workspace: workspace.id,
        generation: workspace.generation,
    }))
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
