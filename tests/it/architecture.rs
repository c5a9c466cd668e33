//! Who may import whom, read from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Each crate, and which of ours it may depend on. A crate that is not here fails the test, so
/// that a new room is decided on and not slipped in.
const ALLOWED: &[(&str, &[&str])] = &[
    ("kalpana-domain", &[]),
    ("kalpana-protocol", &[]),
    ("kalpana-config", &[]),
    ("kalpana-link", &["protocol"]),
    ("kalpana-store", &["domain", "config"]),
    ("kalpana-auth", &["domain", "store", "config"]),
    ("kalpana-certs", &["domain", "protocol", "config"]),
    ("kalpana-bridge", &["protocol"]),
    ("kalpana-bridge-client", &["protocol"]),
    (
        "kalpana-gateway",
        &[
            "domain",
            "protocol",
            "config",
            "link",
            "auth",
            "certs",
            "bridge-client",
        ],
    ),
    (
        "kalpana-orchestrator",
        &[
            "domain",
            "protocol",
            "config",
            "link",
            "store",
            "bridge-client",
        ],
    ),
    (
        "kalpana-web",
        &["domain", "protocol", "config", "link", "store", "auth"],
    ),
    (
        "kalpana",
        &[
            "domain",
            "protocol",
            "config",
            "link",
            "store",
            "auth",
            "certs",
            "gateway",
            "orchestrator",
            "web",
        ],
    ),
    (
        "kalpana-tests",
        &[
            "domain",
            "protocol",
            "config",
            "link",
            "bridge-client",
            "test-acme",
            "test-mongodb",
        ],
    ),
    ("kalpana-test-mongodb", &[]),
    ("kalpana-test-acme", &[]),
    ("kalpana-test-probe", &[]),
    (
        "kalpana-bench",
        &[
            "domain",
            "protocol",
            "config",
            "link",
            "store",
            "auth",
            "certs",
            "gateway",
            "tests",
            "test-mongodb",
        ],
    ),
];

fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let metadata = MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .other_options(["--offline".to_owned(), "--locked".to_owned()])
        .exec()
        .expect("cargo metadata");
    let names: BTreeSet<String> = metadata
        .packages
        .iter()
        .map(|package| package.name.to_string())
        .collect();
    metadata
        .packages
        .iter()
        .map(|package| {
            let ours = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind != DependencyKind::Development)
                .map(|dependency| dependency.name.clone())
                .filter(|name| names.contains(name))
                .collect();
            (package.name.to_string(), ours)
        })
        .collect()
}

#[test]
fn crates_import_only_what_the_architecture_allows() {
    let allowed: BTreeMap<&str, BTreeSet<String>> = ALLOWED
        .iter()
        .map(|(name, may)| {
            (
                *name,
                may.iter().map(|short| format!("kalpana-{short}")).collect(),
            )
        })
        .collect();
    for (name, imports) in imports() {
        let may = allowed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name} is not decided on"));
        let wrong: Vec<_> = imports.difference(may).collect();
        assert!(wrong.is_empty(), "{name} must not import {wrong:?}");
    }
}

#[test]
fn every_decided_crate_exists() {
    let existing = imports();
    for (name, _) in ALLOWED {
        assert!(
            existing.contains_key(*name),
            "{name} is gone; take it off the list"
        );
    }
}
