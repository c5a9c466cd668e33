//! The API's description, as it is kept in the repository for those who generate clients from it.

use std::path::Path;

use serde_json::Value;

fn described() -> Value {
    serde_json::from_slice(&kalpana_web::openapi_json().unwrap()).unwrap()
}

#[test]
fn the_description_in_the_repository_is_the_one_that_is_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let now = kalpana_web::openapi_json().unwrap();
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let kept = std::fs::read(&path).unwrap_or_default();
    assert!(
        kept == now,
        "web/openapi.json is out of date; run the tests once with UPDATE_GENERATED=1"
    );
}

#[test]
fn the_description_is_openapi_3_1_and_every_call_says_how_it_refuses() {
    let api = described();
    assert_eq!(api["openapi"], "3.1.0");
    let paths = api["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 41, "{:?}", paths.keys());
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let refusal = &operation["responses"]["default"]["content"]["application/json"];
            assert_eq!(
                refusal["schema"]["$ref"], "#/components/schemas/Problem",
                "{method} {path}"
            );
        }
    }
}

#[test]
fn no_request_takes_fields_it_does_not_know() {
    let api = described();
    let schemas = api["components"]["schemas"].as_object().unwrap();
    for name in [
        "Setup",
        "Credentials",
        "TokenRequest",
        "PasswordRequest",
        "WorkspaceRequest",
        "UserRequest",
        "ShareRequest",
        "LinkRequest",
        "LinkRedemption",
        "AccessWish",
    ] {
        assert_eq!(schemas[name]["additionalProperties"], false, "{name}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let api = described();
    let schemas = api["components"]["schemas"].as_object().unwrap();
    let text = api.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(
            schemas.contains_key(name),
            "{name} is referred to and not described"
        );
    }
}
