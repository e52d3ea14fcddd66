//! The description of what is served, as OpenAPI 3.1 has it, from the same descriptors and with the contracts' comments.
//! Pure.

mod comments;
mod examples;
mod operation;
mod schema;

use serde_json::{Map, Value, json};

use crate::catalog::Catalog;
use crate::cookie;
use comments::Comments;
use schema::Schemas;

pub use examples::{EXAMPLES, Example};

const INTRODUCTION: &str = "\
Workflows are defined, started, watched and cancelled here. What every call has in common (names, errors, streams, repeating \
a call, pages) stands in docs/rest.md of the repository.

Every field of an answer is always there: a message that is not set, and an empty payload, are `null`. Numbers of 64 bits are \
texts, as JSON in JavaScript would lose digits. `params`, `output` and `details` are the JSON that they are.";

/// Describes the operations of a catalog.
#[must_use]
pub fn describe(catalog: &Catalog) -> Value {
    let comments = Comments::read(nexus_api::json::pool());
    let mut schemas = Schemas::new(&comments);
    let mut paths = Map::new();
    let mut tags = Vec::new();
    for one in in_order(catalog) {
        let service = one.method.parent_service();
        if !tags.iter().any(|tag: &Value| tag["name"] == service.name()) {
            tags.push(json!({"name": service.name(), "description": comments.of_service(service)}));
        }
        let path = paths.entry(one.template.open_api()).or_insert_with(|| json!({}));
        path[one.verb.as_str().to_lowercase()] = operation::describe(one, &comments, &mut schemas);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "NEXUS",
            "version": "v1",
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "Where this page comes from."}],
        // Or none, where no credentials are asked for, as in `nexus dev`.
        "security": [{"credential": []}, {"cookie": []}, {}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas.finish(),
            "parameters": operation::parameters(),
            "responses": operation::responses(),
            "securitySchemes": {
                "credential": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, a session's token, or a token of the configured OpenID provider.",
                },
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": cookie::SECURE,
                    "description": "For pages of this origin: what a login with `Nexus-Session: cookie` sets. Over plain HTTP its \
                                    name is without `__Host-`.",
                },
            },
        },
    })
}

/// The operations in the order of the contracts.
fn in_order(catalog: &Catalog) -> Vec<&crate::catalog::Operation> {
    let mut operations: Vec<_> = catalog.operations().iter().map(AsRef::as_ref).collect();
    operations.sort_by_key(|one| {
        let service = one.method.parent_service();
        (service.full_name().to_owned(), one.method.index(), one.additional)
    });
    operations
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

    fn described() -> Value {
        describe(&Catalog::read(nexus_api::json::pool()).expect("the contracts"))
    }

    #[test]
    fn the_committed_description_is_the_one_of_the_contracts() {
        let mut text = serde_json::to_string_pretty(&described()).expect("json");
        text.push('\n');
        if std::env::var_os("NEXUS_UPDATE_DOCS").is_some() {
            std::fs::write(PATH, &text).expect("written");
        }
        let committed = std::fs::read_to_string(PATH).expect("docs/openapi.json");
        // Not assert_eq: both are long.
        assert!(
            committed == text,
            "docs/openapi.json is not what the contracts say; NEXUS_UPDATE_DOCS=1 cargo test -p nexus-gateway openapi writes it"
        );
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() {
        fn references(value: &Value, into: &mut Vec<String>) {
            match value {
                Value::Object(map) => {
                    into.extend(map.get("$ref").and_then(|text| text.as_str().map(str::to_owned)));
                    map.values().for_each(|value| references(value, into));
                }
                Value::Array(items) => items.iter().for_each(|value| references(value, into)),
                _ => {}
            }
        }
        let described = described();
        let mut found = Vec::new();
        references(&described, &mut found);
        assert!(found.len() > 100);
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("within the page");
            assert!(described.pointer(pointer).is_some(), "{reference}");
        }
        let paths = described["paths"].as_object().expect("paths");
        let operations = paths.values().flat_map(|path| path.as_object().expect("path").values());
        let mut names: Vec<_> = operations
            .map(|operation| operation["operationId"].to_string())
            .collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn an_operation_says_what_it_takes_and_gives() {
        let described = described();
        let trigger = &described["paths"]["/api/v1/workflows/{workflow}/trigger"]["post"];
        assert_eq!(trigger["operationId"], "StartExecution");
        let names: Vec<_> = trigger["parameters"]
            .as_array()
            .expect("parameters")
            .iter()
            .map(|one| &one["name"])
            .collect();
        assert_eq!(names[0], "workflow");
        assert!(names.contains(&&json!("wait")), "{names:?}");
        let body = &trigger["requestBody"]["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(body, "#/components/schemas/StartExecutionRequest");
        let request = &described["components"]["schemas"]["StartExecutionRequest"];
        assert!(request["properties"].get("workflow").is_none(), "the path says it");
        assert!(request["properties"]["params"].get("type").is_none(), "any JSON");
        let statuses: Vec<_> = trigger["responses"].as_object().expect("responses").keys().collect();
        for status in ["200", "202", "400", "404", "409", "413", "415"] {
            assert!(
                statuses.iter().any(|known| *known == status),
                "{status} of {statuses:?}"
            );
        }
        let execution = &described["components"]["schemas"]["Execution"];
        assert_eq!(
            execution["properties"]["state"]["$ref"],
            "#/components/schemas/Execution.State"
        );
        assert!(execution["required"].as_array().expect("required").len() > 10);
        let watch = &described["paths"]["/api/v1/executions/{execution}/watch"]["get"];
        assert!(watch["responses"]["200"]["content"].get("text/event-stream").is_some());
    }
}
