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
    for (key, value) in values.as_object().expect("settings") {
        let property = &definition["properties"][key];
        if value.is_object() {
            sections.push((format!("{name}.{key}"), property, value));
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
    fn the_sample_is_toml_that_changes_nothing() {
        let config: Config = toml::from_str(&sample()).expect("valid TOML");
        assert_eq!(config, Config::default());
    }
}
