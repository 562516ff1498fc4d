//! The JSON Schema of a configuration file, with every protocol's table in its place.

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::written;

/// A configuration file of Qiao.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct QiaoToml {
    /// Further files, relative to the configuration directory; `*` and `?` may stand in the last component.
    include: Option<Vec<String>>,
    node: Option<written::Node>,
    http: Option<written::Http>,
    admin: Option<written::Admin>,
    journal: Option<written::Journal>,
    limits: Option<written::Limits>,
    store: Option<written::Store>,
    callbacks: Option<written::Callbacks>,
    health: Option<written::Health>,
    uplink: Option<written::Uplink>,
    numbers: Option<written::Numbers>,
    tier: Option<Vec<written::Tier>>,
    channel: Option<Vec<written::Channel>>,
    group: Option<Vec<written::Group>>,
    route: Option<Vec<written::Route>>,
    app: Option<Vec<written::App>>,
}

/// The JSON Schema (2020-12) of `qiao.toml` and the files it includes.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(QiaoToml).to_value();
    let mut definitions = Map::new();
    let mut tables = Map::new();
    for protocol in carriers::PROTOCOLS {
        let mut table = protocol.schema().to_value();
        if let Value::Object(table) = &mut table {
            table.remove("$schema");
            if let Some(Value::Object(own)) = table.remove("$defs") {
                definitions.extend(own);
            }
        }
        tables.insert(protocol.name().to_owned(), table);
    }
    merge(&mut schema, "/$defs", definitions);
    merge(&mut schema, "/$defs/Channel/properties", tables);
    schema
}

fn merge(schema: &mut Value, pointer: &str, entries: Map<String, Value>) {
    if let Some(Value::Object(object)) = schema.pointer_mut(pointer) {
        object.extend(entries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_and_protocol_is_in_the_schema_and_every_reference_resolves() {
        let schema = schema();
        for section in ["node", "http", "admin", "channel", "group", "route", "app", "tier", "numbers"] {
            assert!(schema.pointer(&format!("/properties/{section}")).is_some(), "{section}");
        }
        for protocol in carriers::PROTOCOLS {
            assert!(schema.pointer(&format!("/$defs/Channel/properties/{}", protocol.name())).is_some());
        }
        let channel = &schema["$defs"]["Channel"];
        assert_eq!(channel["additionalProperties"], false);
        assert_eq!(channel["required"], serde_json::json!(["name", "carrier", "protocol", "rate"]));
        check_references(&schema, &schema);
    }

    fn check_references(whole: &Value, part: &Value) {
        match part {
            Value::Object(entries) => {
                if let Some(Value::String(target)) = entries.get("$ref") {
                    assert!(whole.pointer(target.trim_start_matches('#')).is_some(), "{target}");
                }
                entries.values().for_each(|v| check_references(whole, v));
            }
            Value::Array(items) => items.iter().for_each(|v| check_references(whole, v)),
            _ => {}
        }
    }
}
