//! The generated sample configuration and JSON schema.

use std::fmt::Write;

use crate::Config;

/// Returns the JSON schema of `kalpana.toml`.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Config).to_value()
}

/// Returns a sample `kalpana.toml`: every setting with its explanation, commented out at its
/// default, so that a copy of it changes nothing.
pub fn sample() -> String {
    let schema = schema();
    let defaults = serde_json::to_value(Config::default()).expect("plain data");
    let mut text = String::from(
        "# Every setting of Kalpana with its default. Uncomment what you change.\n\
         # Variables win over this file: KALPANA_GATEWAY__LISTEN sets gateway.listen.\n",
    );
    for (section, values) in defaults.as_object().expect("sections") {
        let definition = section_definition(&schema, section);
        write_section(&mut text, section, &schema, definition, values);
    }
    text
}

/// Writes a section, then the sections below it.
fn write_section(
    text: &mut String,
    name: &str,
    schema: &serde_json::Value,
    definition: &serde_json::Value,
    values: &serde_json::Value,
) {
    write_comment(text, "\n#", &definition["description"]);
    let _ = writeln!(text, "[{name}]");
    let mut sections = Vec::new();
    let mut absent = Vec::new();
    for (key, value) in values.as_object().expect("settings") {
        let property = &definition["properties"][key];
        if value.is_object() {
            sections.push((format!("{name}.{key}"), property, value));
            continue;
        }
        if value.is_null() && optional_section(schema, property).is_some() {
            absent.push((format!("{name}.{key}"), property));
            continue;
        }
        write_comment(text, "#", &property["description"]);
        let value = if value.is_null() {
            "\"\"".to_owned()
        } else {
            value.to_string()
        };
        let _ = writeln!(text, "#{key} = {value}");
    }
    for (name, property, value) in sections {
        write_section(text, &name, schema, referenced(schema, property), value);
    }
    for (name, property) in absent {
        write_absent_section(text, &name, schema, property);
    }
}

/// Writes a section that is not there by default, wholly commented out, then those below it.
fn write_absent_section(
    text: &mut String,
    name: &str,
    schema: &serde_json::Value,
    property: &serde_json::Value,
) {
    let Some(definition) = optional_section(schema, property) else {
        return;
    };
    write_comment(text, "\n#", &property["description"]);
    let _ = writeln!(text, "#[{name}]");
    let mut sections = Vec::new();
    for (key, property) in definition["properties"].as_object().expect("settings") {
        if optional_section(schema, property).is_some() {
            sections.push((format!("{name}.{key}"), property));
            continue;
        }
        write_comment(text, "#", &property["description"]);
        let value = match &property["default"] {
            serde_json::Value::Null => empty_value(property).to_owned(),
            value => value.to_string(),
        };
        let _ = writeln!(text, "#{key} = {value}");
    }
    for (name, property) in sections {
        write_absent_section(text, &name, schema, property);
    }
}

/// Returns the definition of a section that may be absent; `None` for any other setting.
fn optional_section<'schema>(
    schema: &'schema serde_json::Value,
    property: &'schema serde_json::Value,
) -> Option<&'schema serde_json::Value> {
    let choices = property["anyOf"].as_array()?;
    let definition = referenced(schema, choices.first()?);
    definition["properties"].is_object().then_some(definition)
}

/// Returns what stands for a value that must be given.
fn empty_value(property: &serde_json::Value) -> &'static str {
    match property["type"].as_str() {
        Some("array") => "[]",
        Some("object") => "{}",
        Some("integer") => "0",
        Some("boolean") => "false",
        _ => "\"\"",
    }
}

fn section_definition<'schema>(
    schema: &'schema serde_json::Value,
    section: &str,
) -> &'schema serde_json::Value {
    referenced(schema, &schema["properties"][section])
}

/// Follows a property to the definition it refers to.
fn referenced<'schema>(
    schema: &'schema serde_json::Value,
    property: &'schema serde_json::Value,
) -> &'schema serde_json::Value {
    match property["$ref"]
        .as_str()
        .and_then(|reference| reference.rsplit('/').next())
    {
        Some(name) => &schema["$defs"][name],
        None => property,
    }
}

fn write_comment(text: &mut String, lead: &str, description: &serde_json::Value) {
    let description = description.as_str().unwrap_or_default().replace('\n', " ");
    let _ = writeln!(text, "{lead} {description}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_and_the_schema_are_the_committed_ones() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let schema = serde_json::to_string_pretty(&schema()).expect("plain data") + "\n";
        for (name, fresh) in [("kalpana.example.toml", sample()), ("schema.json", schema)] {
            let path = folder.join(name);
            if std::env::var_os("UPDATE_GENERATED").is_some() {
                std::fs::write(&path, &fresh).expect("written");
            }
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(
                committed, fresh,
                "{name} is not what the code says; run this test with UPDATE_GENERATED=1"
            );
        }
    }

    #[test]
    fn a_section_that_is_absent_by_default_is_shown_with_its_settings() {
        let sample = sample();
        for line in [
            "#[certs.acme.dns]",
            "#[certs.acme.dns.rfc2136]",
            "#key_file = \"\"",
        ] {
            assert!(sample.lines().any(|found| found == line), "{line}");
        }
        assert!(!sample.contains("#dns = "));
    }

    #[test]
    fn the_sample_is_toml_that_changes_nothing() {
        let config: Config = toml::from_str(&sample()).expect("valid TOML");
        assert_eq!(config, Config::default());
    }
}
