//! What people send who know how databases are spoken to, in every field that takes text.
//!
//! The fields are those of the API's own description, so that a new one is tried by itself. Whatever
//! is sent is refused with a code or kept as the text it is.

use std::collections::BTreeMap;
use std::io::Write;

use http::HeaderValue;
use kalpana_test_mongodb::Database;
use serde_json::{Value, json};

use crate::support::http::{Answer, Browser};
use crate::support::{PASSWORD, Site, mongodb};

/// Something to send, as JSON text: not all of it can be a [`Value`].
struct Evil {
    name: &'static str,
    json: String,
    /// The text it stands for, where it is one.
    text: Option<String>,
}

fn evils() -> Vec<Evil> {
    let text = |name, text: String| Evil {
        name,
        json: json!(text).to_string(),
        text: Some(text),
    };
    let raw = |name, json: String| Evil {
        name,
        json,
        text: None,
    };
    vec![
        raw("an operator", r#"{"$gt":""}"#.to_owned()),
        raw("a negation", r#"{"$ne":null}"#.to_owned()),
        raw("a list of operators", r#"[{"$in":[""]}]"#.to_owned()),
        raw("a dotted key", r#"{"a.b":{"$where":"1"}}"#.to_owned()),
        text("an operator as text", r#"{"$gt":""}"#.to_owned()),
        text("an operator's name", "$where".to_owned()),
        text("a dotted path", "user.passwordHash.$[]".to_owned()),
        text("a statement", "' OR 1=1; DROP TABLE users; --".to_owned()),
        text("a NUL byte", "a\0b".to_owned()),
        text("only NUL bytes", "\0\0".to_owned()),
        text(
            "right-to-left and noncharacters",
            "\u{202e}a\u{ffff}\u{10ffff}".to_owned(),
        ),
        raw("a lone surrogate", r#""a\ud800b""#.to_owned()),
        raw(
            "surrogates the wrong way round",
            r#""\udc00\ud800""#.to_owned(),
        ),
        text("sixty thousand characters", "e".repeat(60_000)),
        raw("twenty mebibytes", format!("\"{}\"", "e".repeat(20 << 20))),
        raw("deep lists", "[".repeat(10_000) + &"]".repeat(10_000)),
        raw(
            "deep objects",
            "{\"$a.b\":".repeat(10_000) + "1" + &"}".repeat(10_000),
        ),
    ]
}

fn described() -> Value {
    serde_json::from_slice(&kalpana_web::openapi_json().unwrap()).unwrap()
}

/// A call with a body.
struct Call {
    method: String,
    path: String,
    schema: Value,
}

fn operations(api: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    all
}

fn calls(api: &Value) -> Vec<Call> {
    let with_body = operations(api)
        .into_iter()
        .filter_map(|(method, path, operation)| {
            let schema = operation["requestBody"]["content"]["application/json"].get("schema")?;
            Some(Call {
                method,
                path,
                schema: schema.clone(),
            })
        });
    with_body.collect()
}

/// Follows references, and chooses what is not `null`.
fn resolve<'a>(api: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return resolve(api, &api["components"]["schemas"][name]);
    }
    let choices = ["oneOf", "anyOf"]
        .iter()
        .find_map(|key| schema[key].as_array());
    match choices.and_then(|all| all.iter().find(|one| one["type"] != "null")) {
        Some(chosen) => resolve(api, chosen),
        None => schema,
    }
}

fn is(schema: &Value, kind: &str) -> bool {
    let kinds = &schema["type"];
    kinds == kind
        || kinds
            .as_array()
            .is_some_and(|all| all.contains(&json!(kind)))
}

/// Writes something that is as the schema says.
fn example(api: &Value, schema: &Value) -> Value {
    let schema = resolve(api, schema);
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    if is(schema, "object") {
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let fields = schema["properties"].as_object().unwrap();
        let chosen = fields
            .iter()
            .filter(|(name, _)| required.contains(&json!(name)));
        return chosen
            .map(|(name, field)| (name.clone(), example(api, field)))
            .collect();
    }
    if is(schema, "array") {
        return json!([example(api, &schema["items"])]);
    }
    match schema["format"].as_str() {
        Some("email") => json!("somebody@example.com"),
        Some("password") => json!(PASSWORD),
        Some("uri") => json!("https://example.com/r"),
        _ if is(schema, "string") => json!("text"),
        _ if is(schema, "boolean") => json!(false),
        _ => schema.get("minimum").cloned().unwrap_or(json!(1)),
    }
}

/// Returns where a body of this schema takes text, as JSON pointers, and whether it is a password.
fn text_fields(api: &Value, schema: &Value, at: &str, into: &mut BTreeMap<String, bool>) {
    let schema = resolve(api, schema);
    if is(schema, "string") {
        into.insert(at.to_owned(), schema["format"] == "password");
    }
    if let Some(fields) = schema["properties"].as_object() {
        for (name, field) in fields {
            text_fields(api, field, &format!("{at}/{name}"), into);
        }
    }
    if is(schema, "array") {
        text_fields(api, &schema["items"], &format!("{at}/0"), into);
    }
}

/// Puts JSON text at a pointer of a body; `schema` is the body's.
fn put(api: &Value, schema: &Value, mut body: Value, pointer: &str, json: &str) -> String {
    const PLACE: &str = "<here>";
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    if body.pointer(parent).is_none() {
        // A list or an object that may be left out.
        let (outer, field) = parent.rsplit_once('/').unwrap();
        let left_out = &resolve(api, schema)["properties"][field];
        let filled = match is(resolve(api, left_out), "object") {
            true => example(api, left_out),
            false => json!([null]),
        };
        body.pointer_mut(outer).unwrap()[field] = filled;
    }
    let parent = body.pointer_mut(parent).unwrap();
    match name.parse::<usize>() {
        Ok(index) => parent[index] = json!(PLACE),
        Err(_) => parent[name] = json!(PLACE),
    }
    body.to_string().replace(&json!(PLACE).to_string(), json)
}

fn contains(json: &Value, text: &str) -> bool {
    match json {
        Value::String(own) => own == text,
        Value::Array(all) => all.iter().any(|one| contains(one, text)),
        Value::Object(all) => all.values().any(|one| contains(one, text)),
        _ => false,
    }
}

/// Demands that a refusal is one of ours: 4xx, a stable code, no echo.
fn demand_clear_refusal(answer: &Answer, what: &str) {
    assert!((400..500).contains(&answer.status), "{what}: {answer:?}");
    let code = answer.code();
    let is_stable = code
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    assert!(is_stable, "{what}: {code}");
    assert!(answer.body.len() < 2000, "{what}: an echo of what was sent");
}

/// Tries every field of every body. Returns how many requests that were.
async fn try_bodies(site: &Site, sender: &Browser, is_set_up: bool) -> usize {
    let api = described();
    let evils = evils();
    let mut sent = 0;
    for call in calls(&api) {
        let base = example(&api, &call.schema);
        let mut fields = BTreeMap::new();
        text_fields(&api, &call.schema, "", &mut fields);
        if fields.is_empty() {
            // Numbers and flags alone: text is no less to be refused there.
            let properties = resolve(&api, &call.schema)["properties"].clone();
            let names = properties.as_object().into_iter().flatten();
            fields.extend(names.map(|(name, _)| (format!("/{name}"), false)));
        }
        assert!(!fields.is_empty(), "{} takes something", call.path);
        for (field, is_password) in fields {
            for evil in &evils {
                let what = format!("{} {} {field}: {}", call.method, call.path, evil.name);
                let body = put(&api, &call.schema, base.clone(), &field, &evil.json);
                let answer = sender
                    .send(&call.method, &call.path, Some(body.into()))
                    .await;
                sent += 1;
                if answer.status >= 400 {
                    demand_clear_refusal(&answer, &what);
                    continue;
                }
                let opens = ["/api/session", "/api/setup"].contains(&call.path.as_str());
                assert!(!opens, "{what} let somebody in");
                let text = evil.text.as_deref();
                let text = text.unwrap_or_else(|| panic!("{what} was taken for text"));
                if !is_password && is_set_up {
                    assert!(contains(&answer.json(), text), "{what}: {answer:?}");
                    let listed = sender.get(&call.path).await;
                    assert!(contains(&listed.json(), text), "{what}: {listed:?}");
                }
            }
        }
    }
    let health = site.stranger().get("/api/health").await.json();
    assert_eq!(health["database"], "ok");
    sent
}

/// Tries every parameter of every address, and every header that is looked up.
async fn try_addresses(site: &Site, sender: &Browser) -> usize {
    let api = described();
    let texts: Vec<String> = [
        "%7B%22%24gt%22%3A%22%22%7D",
        "%24where",
        "a.b.%24%5B%5D",
        "%00",
        "a%00b",
        "%ED%A0%80",
        "%FF%FE",
        "%27%20OR%201%3D1%20--",
        "..%2F..%2Fetc%2Fpasswd",
        "%E2%80%AEa",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain(["e".repeat(30_000), "%5B".repeat(10_000)])
    .collect();
    let mut sent = 0;
    for (method, path, operation) in operations(&api) {
        let parameters = operation["parameters"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        for parameter in parameters {
            let name = parameter["name"].as_str().unwrap();
            for text in &texts {
                let target = match parameter["in"].as_str().unwrap() {
                    "path" => vec![path.replace(&format!("{{{name}}}"), text)],
                    "query" => {
                        let plain = path.replace("{id}", "abcdefghijk1");
                        vec![
                            format!("{plain}?{name}={text}"),
                            format!("{plain}?{name}%5B%24gt%5D={text}"),
                            format!("{plain}?{name}[$ne]={text}"),
                        ]
                    }
                    _ => continue,
                };
                for target in target {
                    let what = format!("{method} {target:.120}");
                    let answer = sender.send(&method, &target, None).await;
                    sent += 1;
                    if name == "search" && answer.status == 200 {
                        // Text to look for: found are those who have it in their name, as it is.
                        let query = format!("search={text}");
                        let mut query = url::form_urlencoded::parse(query.as_bytes());
                        let wanted = query.next().unwrap().1.to_lowercase();
                        let json = answer.json();
                        let mut people = json["people"].as_array().unwrap().iter();
                        let has_it = |person: &Value| {
                            let name = person["name"].as_str().unwrap();
                            name.to_lowercase().contains(wanted.trim())
                        };
                        assert!(people.all(has_it), "{what}: {json}");
                        continue;
                    }
                    demand_clear_refusal(&answer, &what);
                }
            }
        }
    }
    for evil in [
        r#"{"$gt":""}"#,
        "$where",
        "kp_{\"$gt\":\"\"}",
        "' OR 1=1 --",
        "ks1_a.b.$c",
    ] {
        let bearer = site.stranger().with_token(evil);
        demand_clear_refusal(&bearer.get("/api/session").await, evil);
        let mut cookie = site.stranger();
        let value = HeaderValue::from_str(&format!("__Host-ksess={evil}")).unwrap();
        cookie.headers.insert("cookie", value);
        let answer = cookie.get("/api/session").await;
        assert_eq!(answer.status, 401, "{evil}: {answer:?}");
        let mut keyed = sender.clone();
        let value = HeaderValue::from_str(evil).unwrap();
        keyed.headers.insert("idempotency-key", value);
        let wish = json!({"name": "keyed"});
        let (one, two) = (
            keyed.post("/api/workspaces", &wish).await,
            keyed.post("/api/workspaces", &wish).await,
        );
        assert_eq!((one.status, two.status), (202, 202), "{evil}: {one:?}");
        sent += 4;
    }
    sent
}

async fn nothing_gets_through(settings: kalpana_config::Store) {
    let site = Site::start_with(|config| {
        config.store = settings;
        // Whatever is sent should be looked at, and not be refused for its number.
        config.auth.sign_in_per_minute_address = 100_000;
        config.auth.sign_in_per_minute_pair = 100_000;
    })
    .await;
    let store = if site.config.store.mongodb.uri.is_some() {
        "MongoDB"
    } else {
        "SQLite"
    };
    // While the setup link is open there is a secret that an operator could match.
    let mut secret = site.setup_secret().await;
    let stranger = site.stranger();
    let mut sent = try_bodies(&site, &stranger, false).await;
    assert!(secret.take().is_some());
    let root = site.administrator().await;
    let ada = site.member(&root, "ada").await;
    let hers = site.workspace(&ada, "hers").await;
    sent += try_bodies(&site, &root, true).await;
    sent += try_addresses(&site, &root).await;
    sent += try_addresses(&site, &ada).await;
    // Everybody is who they were, has what they had, and nobody else's.
    assert_eq!(
        root.get("/api/session").await.json()["user"]["email"],
        "root@example.com"
    );
    assert_eq!(
        ada.get("/api/session").await.json()["user"]["email"],
        "ada@example.com"
    );
    let seen = ada.get("/api/workspaces?limit=200").await.json();
    let names: Vec<_> = seen["workspaces"].as_array().unwrap().iter().collect();
    assert!(
        names
            .iter()
            .any(|workspace| workspace["id"] == hers.as_str())
    );
    assert!(
        names
            .iter()
            .all(|workspace| ["hers", "keyed"].contains(&workspace["name"].as_str().unwrap())),
        "{seen}"
    );
    let _ = writeln!(
        std::io::stderr(),
        "{store}: {sent} hostile requests, each refused with a code or kept as text"
    );
}

#[tokio::test]
async fn hostile_text_is_refused_or_kept_as_text_by_sqlite() {
    nothing_gets_through(kalpana_config::Store::default()).await;
}

#[tokio::test]
async fn hostile_text_is_refused_or_kept_as_text_by_mongodb() {
    let database = Database::fresh().await.unwrap();
    nothing_gets_through(mongodb(database.uri(), database.name())).await;
}
