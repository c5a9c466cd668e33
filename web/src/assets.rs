//! The exported user interface, compiled in: which file a path means, and how it is served.
//!
//! The build script writes the table of files, with each page's inline scripts hashed for its
//! policy. Paths are looked up in the table and nowhere else, so none of them can lead out of it.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use kalpana_config::Site;
use kalpana_domain::id::WorkspaceId;

use crate::error::{ApiError, ApiResult};
use crate::security::page_policy;
use crate::state::AppState;

include!(concat!(env!("OUT_DIR"), "/export.rs"));

/// What the exported interface is called where a workspace's id would be.
const PLACEHOLDER: &str = "_";

/// Files whose names change with their contents.
const HASHED: &str = "_next/static/";

/// One embedded file.
#[derive(Debug)]
pub(crate) struct File {
    path: &'static str,
    content_type: &'static str,
    tag: &'static str,
    plain: &'static [u8],
    gzip: Option<&'static [u8]>,
    inline_scripts: &'static [&'static str],
}

/// Serves the interface: every path that no other route has.
pub(crate) async fn serve(State(state): State<AppState>, request: Request) -> ApiResult<Response> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "Pages can only be read.",
        ));
    }
    Ok(match find(FILES, request.uri().path()) {
        Some(file) => answer(file, StatusCode::OK, request.headers(), &state.site),
        None => not_found(&state.site),
    })
}

/// Answers with the interface's own page for what is not there.
pub(crate) fn not_found(site: &Site) -> Response {
    match lookup(FILES, "404.html") {
        Some(page) => answer(page, StatusCode::NOT_FOUND, &HeaderMap::new(), site),
        None => ApiError::new(StatusCode::NOT_FOUND, "not_found", "There is no such page.")
            .into_response(),
    }
}

/// Returns the file that a path means: itself, the page of that name, or the one page that stands
/// for all workspaces.
fn find<'a>(files: &'a [File], path: &str) -> Option<&'a File> {
    let path = path.strip_prefix('/')?;
    let path = decode(path)?;
    let path = path.strip_suffix('/').unwrap_or(&path);
    let exact = |path: &str| {
        if path.is_empty() {
            return lookup(files, "index.html");
        }
        lookup(files, path)
            .filter(|file| !is_page(file))
            .or_else(|| lookup(files, &format!("{path}.html")))
    };
    let found = if path.split('/').any(is_placeholder) {
        None
    } else {
        exact(path).or_else(|| exact(&workspace_page(path)?))
    };
    // Pages for errors are answers, not places.
    found.filter(|file| !matches!(file.path, "404.html" | "_not-found.html"))
}

/// Returns the path of the exported page for `workspace/<id>`, its payloads and what is below.
fn workspace_page(path: &str) -> Option<String> {
    let rest = path.strip_prefix("workspace/")?;
    let (segment, below) = match rest.split_once('/') {
        Some((segment, below)) => (segment, Some(below)),
        None => (rest, None),
    };
    let (id, ending) = match segment.strip_suffix(".txt") {
        Some(id) if below.is_none() => (id, ".txt"),
        _ => (segment, ""),
    };
    WorkspaceId::parse(id).ok()?;
    let below = below.map(|below| format!("/{below}")).unwrap_or_default();
    Some(format!("workspace/{PLACEHOLDER}{ending}{below}"))
}

fn is_placeholder(segment: &str) -> bool {
    segment == PLACEHOLDER || segment.strip_suffix(".txt") == Some(PLACEHOLDER)
}

fn is_page(file: &File) -> bool {
    file.path.ends_with(".html")
}

fn lookup<'a>(files: &'a [File], path: &str) -> Option<&'a File> {
    let index = files.binary_search_by(|file| file.path.cmp(path)).ok()?;
    files.get(index)
}

/// Undoes percent-encoding; `None` for what is not UTF-8 or not whole.
fn decode(path: &str) -> Option<String> {
    if !path.contains('%') {
        return Some(path.to_owned());
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let value = digit(bytes.next())? * 16 + digit(bytes.next())?;
            u8::try_from(value).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(decoded).ok()
}

fn answer(file: &File, status: StatusCode, asked: &HeaderMap, site: &Site) -> Response {
    let mut headers = HeaderMap::new();
    let caching = if status != StatusCode::OK {
        "no-store"
    } else if file.path.starts_with(HASHED) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.insert(header::ETAG, HeaderValue::from_static(file.tag));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(file.content_type),
    );
    if is_page(file)
        && let Ok(policy) = HeaderValue::from_str(&page_policy(site, file.inline_scripts))
    {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let is_known = status == StatusCode::OK
        && asked
            .get(header::IF_NONE_MATCH)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|tags| {
                tags.split(',')
                    .map(|tag| tag.trim().trim_start_matches("W/"))
                    .any(|tag| tag == file.tag || tag == "*")
            });
    if is_known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let bytes = match file.gzip {
        Some(gzip) if accepts_gzip(asked) => {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            gzip
        }
        _ => file.plain,
    };
    (status, headers, Body::from(bytes)).into_response()
}

fn accepts_gzip(asked: &HeaderMap) -> bool {
    asked
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let is_refused =
                parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
            (name.eq_ignore_ascii_case("gzip") || name == "*") && !is_refused
        })
}

/// Tells whether the user interface is embedded; a build without it has one page that says so.
pub(crate) const fn has_ui() -> bool {
    HAS_UI
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn file(path: &'static str) -> File {
        File {
            path,
            content_type: "text/plain",
            tag: "\"t\"",
            plain: b"plain",
            gzip: Some(b"gzip"),
            inline_scripts: &[],
        }
    }

    /// What `next build` writes, in the order of the table.
    static EXPORT: [File; 13] = [
        file("404.html"),
        file("_next/static/chunks/a.js"),
        file("_not-found.html"),
        file("_not-found.txt"),
        file("dashboard.html"),
        file("dashboard.txt"),
        file("dashboard/__next._tree.txt"),
        file("icon.svg"),
        file("index.html"),
        file("login.html"),
        file("workspace/_.html"),
        file("workspace/_.txt"),
        file("workspace/_/__next.workspace.$d$id.__PAGE__.txt"),
    ];

    fn found(path: &str) -> Option<&'static str> {
        find(&EXPORT, path).map(|file| file.path)
    }

    #[test]
    fn paths_that_people_type_are_found() {
        assert!(EXPORT.is_sorted_by_key(|file| file.path));
        for (path, expected) in [
            ("/", "index.html"),
            ("/login", "login.html"),
            ("/login/", "login.html"),
            ("/dashboard", "dashboard.html"),
            ("/dashboard.txt", "dashboard.txt"),
            ("/dashboard/__next._tree.txt", "dashboard/__next._tree.txt"),
            ("/icon.svg", "icon.svg"),
            ("/_next/static/chunks/a.js", "_next/static/chunks/a.js"),
            ("/workspace/abcdefghijk1", "workspace/_.html"),
            ("/workspace/abcdefghijk1/", "workspace/_.html"),
            ("/workspace/abcdefghijk1.txt", "workspace/_.txt"),
            (
                "/workspace/abcdefghijk1/__next.workspace.$d$id.__PAGE__.txt",
                "workspace/_/__next.workspace.$d$id.__PAGE__.txt",
            ),
            (
                "/workspace/abcdefghijk1/__next.workspace.%24d%24id.__PAGE__.txt",
                "workspace/_/__next.workspace.$d$id.__PAGE__.txt",
            ),
        ] {
            assert_eq!(found(path), Some(expected), "{path}");
        }
    }

    #[test]
    fn all_other_paths_are_not() {
        for path in [
            "/nothing",
            "/404",
            "/_not-found",
            "/workspace",
            "/workspace/",
            "/workspace/_",
            "/workspace/_.txt",
            "/workspace/%5f",
            "/workspace/ABCDEFGHIJK1",
            "/workspace/short",
            "/workspace/abcdefghijk1/settings",
            "/../Cargo.toml",
            "/%2e%2e/Cargo.toml",
            "/%",
            "/%ff",
            "//login",
            "/login.html",
            "/workspace/abcdefghijk1.html",
            "",
            "login",
            "/%00",
        ] {
            assert_eq!(found(path), None, "{path}");
        }
    }

    #[test]
    fn compression_and_caching_follow_what_is_asked() {
        let config = kalpana_config::Config::default();
        let site = Site::resolve(&config, false, Some(std::path::Path::new("/home/u"))).unwrap();
        let asked = |name: header::HeaderName, value: &'static str| {
            HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
        };
        let page = file("login.html");
        let gzip = answer(
            &page,
            StatusCode::OK,
            &asked(header::ACCEPT_ENCODING, "br, gzip"),
            &site,
        );
        assert_eq!(gzip.headers()[header::CONTENT_ENCODING], "gzip");
        assert_eq!(gzip.headers()[header::CACHE_CONTROL], "no-cache");
        let plain = answer(
            &page,
            StatusCode::OK,
            &asked(header::ACCEPT_ENCODING, "gzip;q=0"),
            &site,
        );
        assert_eq!(plain.headers().get(header::CONTENT_ENCODING), None);
        let known = answer(
            &page,
            StatusCode::OK,
            &asked(header::IF_NONE_MATCH, "W/\"x\", \"t\""),
            &site,
        );
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
        let script = answer(&EXPORT[1], StatusCode::OK, &HeaderMap::new(), &site);
        let caching = script.headers()[header::CACHE_CONTROL].to_str().unwrap();
        assert!(caching.ends_with("immutable"), "{caching}");
    }

    #[test]
    fn the_embedded_table_is_sorted_and_has_a_first_page_and_one_for_errors() {
        assert!(FILES.is_sorted_by_key(|file| file.path));
        assert!(find(FILES, "/").is_some() && lookup(FILES, "404.html").is_some());
        assert_eq!(find(FILES, "/login").is_some(), has_ui());
        assert_eq!(find(FILES, "/workspace/abcdefghijk1").is_some(), has_ui());
    }
}
