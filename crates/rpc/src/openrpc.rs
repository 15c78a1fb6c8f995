//! The OpenRPC document: what the server can do, for programs that generate clients.

use crate::{methods, types};
use schemars::{Schema, schema_for};
use serde_json::{Map, Value, json};

/// The notifications that the server sends.
fn notifications() -> [(&'static str, &'static str, Schema); 3] {
    [
        (
            "guest.output",
            "A command has printed something.",
            schema_for!(types::OutputEvent),
        ),
        (
            "guest.exit",
            "A command has ended; all its output has been sent.",
            schema_for!(types::ExitEvent),
        ),
        (
            "fs.change",
            "Something has happened to what is watched. `fs.overflow` counts changes that found no room.",
            schema_for!(types::ChangeEvent),
        ),
    ]
}

/// Moves a schema's definitions to the document's, and gives what is left of it.
fn inline(schema: Schema, shared: &mut Map<String, Value>) -> Value {
    let mut value = Value::from(schema);
    if let Some(object) = value.as_object_mut() {
        object.remove("$schema");
        if let Some(Value::Object(definitions)) = object.remove("$defs") {
            shared.extend(definitions);
        }
    }
    rename_references(&mut value);
    value
}

fn rename_references(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (key, inner) in object {
                match inner {
                    Value::String(text) if key == "$ref" => {
                        *text = text.replace("#/$defs/", "#/components/schemas/");
                    }
                    inner => rename_references(inner),
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(rename_references),
        _ => {}
    }
}

/// The parameters of a method: the properties of its object.
fn params(mut schema: Value) -> Vec<Value> {
    let required: Vec<String> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|all| {
            let names = all.iter().filter_map(Value::as_str);
            names.map(str::to_owned).collect()
        })
        .unwrap_or_default();
    let Some(Value::Object(properties)) = schema.get_mut("properties").map(Value::take) else {
        return Vec::new();
    };
    properties
        .into_iter()
        .map(|(name, schema)| {
            let needed = required.contains(&name);
            json!({ "name": name, "required": needed, "schema": schema })
        })
        .collect()
}

/// The document, version 1.3 of the specification.
#[must_use]
pub fn document() -> Value {
    let mut shared = Map::new();
    let mut listed: Vec<Value> = methods::all()
        .into_iter()
        .map(|method| {
            json!({
                "name": method.name,
                "summary": method.summary,
                "paramStructure": "by-name",
                "params": params(inline(method.params, &mut shared)),
                "result": { "name": "result", "schema": inline(method.result, &mut shared) },
            })
        })
        .collect();
    for (name, summary, schema) in notifications() {
        listed.push(json!({
            "name": name,
            "summary": summary,
            "description": "A notification from the server.",
            "paramStructure": "by-name",
            "params": params(inline(schema, &mut shared)),
        }));
    }
    for schema in shared.values_mut() {
        rename_references(schema);
    }
    json!({
        "openrpc": "1.3.2",
        "info": {
            "title": "Tuxlet",
            "description": "A machine of Tuxlet: commands, files, processes.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "methods": listed,
        "components": { "schemas": shared },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
            match value {
                Value::Object(object) => {
                    for (key, inner) in object {
                        match inner {
                            Value::String(text) if key == "$ref" => found.push(text),
                            inner => references(inner, found),
                        }
                    }
                }
                Value::Array(all) => all.iter().for_each(|v| references(v, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        references(&document, &mut found);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let methods = document["methods"].as_array().unwrap();
        let exec = methods.iter().find(|m| m["name"] == "guest.exec").unwrap();
        let names: Vec<_> = exec["params"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["name"].as_str().unwrap())
            .collect();
        for name in ["command", "argv", "timeout", "stdin"] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
        let read = methods.iter().find(|m| m["name"] == "fs.read").unwrap();
        let path = &read["params"].as_array().unwrap()[..];
        assert!(
            path.iter()
                .any(|p| p["name"] == "path" && p["required"] == true)
        );
    }
}
