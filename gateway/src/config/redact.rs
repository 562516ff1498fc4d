//! The configuration as operators may see it: as written, without its secrets. What is secret is said by the schema
//! (`writeOnly`, which the secrets' own types put there), not guessed from names; what the schema does not know is not
//! shown. References (`env:NAME`, `file:PATH`) say where a secret lies and not what it is: they stay.

use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::problem::Source;

/// What stands in a secret's place.
const HIDDEN: &str = "***";

/// All files as one, without their secrets. A file that does not parse adds nothing.
pub(super) fn shown(sources: &[Source]) -> Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    let schema = SCHEMA.get_or_init(super::schema);
    let mut whole = Map::new();
    for source in sources {
        let Ok(table) = source.text.parse::<toml::Table>() else { continue };
        let Ok(Value::Object(table)) = serde_json::to_value(table) else { continue };
        table.into_iter().for_each(|(key, value)| add(&mut whole, key, value));
    }
    redact(schema, &[schema], Value::Object(whole))
}

/// Lists grow, tables take further keys.
fn add(whole: &mut Map<String, Value>, key: String, value: Value) {
    match (whole.get_mut(&key), value) {
        (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
        (Some(Value::Object(table)), Value::Object(more)) => more.into_iter().for_each(|(k, v)| add(table, k, v)),
        (_, value) => drop(whole.insert(key, value)),
    }
}

/// `value`, which one of `schemas` describes.
fn redact(root: &Value, schemas: &[&Value], value: Value) -> Value {
    let schemas = alternatives(root, schemas);
    match value {
        Value::Object(table) => {
            let inside = |(key, value): (String, Value)| {
                let known: Vec<&Value> = schemas.iter().filter_map(|s| s["properties"].get(&key)).collect();
                (key, redact(root, &known, value))
            };
            Value::Object(table.into_iter().map(inside).collect())
        }
        Value::Array(list) => {
            let items: Vec<&Value> = schemas.iter().filter_map(|s| s.get("items")).collect();
            Value::Array(list.into_iter().map(|value| redact(root, &items, value)).collect())
        }
        // One alternative that is secret makes all of them so.
        Value::String(text) if schemas.is_empty() || schemas.iter().any(|s| s["writeOnly"] == true) => {
            let reference = text.starts_with("env:") || text.starts_with("file:");
            Value::from(if reference && !schemas.is_empty() { &text } else { HIDDEN })
        }
        Value::String(text) if schemas.iter().any(|s| s["format"] == "uri") => Value::from(bare(&text)),
        _ if schemas.is_empty() => Value::from(HIDDEN),
        value => value,
    }
}

/// The schemas behind references and choices.
fn alternatives<'s>(root: &'s Value, schemas: &[&'s Value]) -> Vec<&'s Value> {
    let mut found = Vec::new();
    let mut open: Vec<&Value> = schemas.to_vec();
    while let Some(schema) = open.pop() {
        let target = schema["$ref"].as_str().and_then(|target| root.pointer(target.trim_start_matches('#')));
        open.extend(target);
        for choice in ["anyOf", "oneOf", "allOf"] {
            open.extend(schema[choice].as_array().into_iter().flatten());
        }
        found.push(schema);
    }
    found
}

/// A URL without what may let somebody in: userinfo, query and fragment.
fn bare(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let plain = path.split(['?', '#']).next().unwrap_or_default();
    let userinfo = if host.len() < authority.len() { "***@" } else { "" };
    let query = if plain.len() < path.len() { "?***" } else { "" };
    format!("{scheme}://{userinfo}{host}{plain}{query}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CANARY: &str = "canary-c0ffee";

    /// A document with a value for every key the schema has: canaries where it says secret, the key's name elsewhere.
    fn full(root: &Value, schema: &Value, path: &str, secret: &mut Vec<String>) -> Value {
        let schemas = alternatives(root, &[schema]);
        let one = |key: &str| schemas.iter().find_map(|s| s.get(key));
        if let Some(properties) = one("properties") {
            let keys = properties.as_object().unwrap().iter();
            let value =
                |(key, schema): (&String, &Value)| (key.clone(), full(root, schema, &format!("{path}/{key}"), secret));
            return Value::Object(keys.map(value).collect());
        }
        if schemas.iter().any(|s| s["writeOnly"] == true) || one("items").is_some_and(|i| is_secret(root, i)) {
            secret.push(path.to_owned());
            // Both forms, where a list is allowed.
            return match one("items") {
                Some(_) => json!([CANARY, format!("{CANARY}-2"), "env:NAME"]),
                None => json!(CANARY),
            };
        }
        match one("items") {
            Some(items) => json!([full(root, items, path, secret)]),
            None if one("format") == Some(&json!("uri")) => json!(format!("https://u:{CANARY}@h.example/p?t={CANARY}")),
            None => json!(path),
        }
    }

    fn is_secret(root: &Value, schema: &Value) -> bool {
        alternatives(root, &[schema]).iter().any(|s| s["writeOnly"] == true)
    }

    #[test]
    fn no_secret_of_any_section_or_protocol_is_shown() {
        let schema = super::super::schema();
        let mut secret = Vec::new();
        let document = full(&schema, &schema, "", &mut secret);
        for known in ["/admin/token", "/admin/metrics_token", "/app/keys", "/app/callback/secret"] {
            assert!(secret.iter().any(|path| path == known), "{known} is not marked: {secret:?}");
        }
        for protocol in carriers::PROTOCOLS {
            let table = format!("/channel/{}/", protocol.name());
            assert!(secret.iter().any(|path| path.starts_with(&table)), "{table} has no secret: {secret:?}");
        }
        assert!(document.to_string().contains(CANARY));
        let shown = redact(&schema, &[&schema], document).to_string();
        assert!(!shown.contains(CANARY), "{shown}");
        assert!(shown.contains("https://***@h.example/p?***") && shown.contains("env:NAME"));
        assert!(shown.contains("/node/name") && shown.contains("/channel/rate"), "the rest is shown");
    }

    /// Where the words promise a secret, the type must, too.
    #[test]
    fn whatever_can_be_referred_to_is_marked_as_secret() {
        fn visit(root: &Value, schema: &Value, unmarked: &mut Vec<String>) {
            for (key, property) in schema["properties"].as_object().into_iter().flatten() {
                let said = property["description"].as_str().unwrap_or_default();
                let items = property.get("items").is_some_and(|items| is_secret(root, items));
                let inside =
                    alternatives(root, &[property]).iter().filter_map(|s| s.get("items")).any(|i| is_secret(root, i));
                if said.contains("env:NAME") && !is_secret(root, property) && !items && !inside {
                    unmarked.push(key.clone());
                }
            }
            match schema {
                Value::Object(entries) => entries.values().for_each(|v| visit(root, v, unmarked)),
                Value::Array(items) => items.iter().for_each(|v| visit(root, v, unmarked)),
                _ => {}
            }
        }
        let (schema, mut unmarked) = (super::super::schema(), Vec::new());
        visit(&schema, &schema, &mut unmarked);
        assert_eq!(unmarked, Vec::<String>::new());
    }

    #[test]
    fn what_the_schema_does_not_know_is_not_shown() {
        let schema = super::super::schema();
        let document =
            json!({ "node": { "name": "n", "pasword": CANARY }, "other": [CANARY], "app": [{ "keys": CANARY }] });
        let shown = redact(&schema, &[&schema], document);
        assert!(!shown.to_string().contains(CANARY), "{shown}");
        assert_eq!(shown["node"]["name"], "n");
    }

    #[test]
    fn files_are_shown_as_one() {
        let source = |name: &str, text: &str| Source { name: name.to_owned(), text: text.to_owned() };
        let main = source("qiao.toml", "include = ['a.toml']\n[node]\nname = 'gw-1'\n[[app]]\nid = 'x'\n");
        let more = source("a.toml", "[[app]]\nid = 'y'\nkeys = ['inline-key']\n");
        let shown = shown(&[main, more]);
        assert_eq!(shown["app"], json!([{ "id": "x" }, { "id": "y", "keys": ["***"] }]));
        assert_eq!((&shown["node"]["name"], &shown["include"]), (&json!("gw-1"), &json!(["a.toml"])));
    }
}
