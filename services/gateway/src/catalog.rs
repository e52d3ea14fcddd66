//! What is served: every method of the contracts that has a `google.api.http` annotation, each binding with its path, its
//! body and what of the answer is shown. Read once from the descriptors.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use http::Method;
use nexus_api::common::v1::Content;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
};

use crate::near;
use crate::template::{Bindings, Template, TemplateError};

/// A contract that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A path.
    #[error("{method}: {source}")]
    Template {
        /// The method.
        method: String,
        /// What is wrong.
        #[source]
        source: TemplateError,
    },
    /// An annotation that names a field that is not there, or has no path.
    #[error("{method}: {problem}")]
    Annotation {
        /// The method.
        method: String,
        /// What is wrong.
        problem: String,
    },
}

/// Where a request's body goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyRule {
    /// There is none.
    None,
    /// It is the message, save for what the path holds.
    Whole,
    /// It is one field of it.
    Field(FieldDescriptor),
}

/// One binding of a method.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The method.
    pub method: MethodDescriptor,
    /// How gRPC calls it: `/package.Service/Method`.
    pub rpc_path: String,
    /// The verb of HTTP.
    pub verb: Method,
    /// The path.
    pub template: Template,
    /// Where the body goes.
    pub body: BodyRule,
    /// What of the answer is shown; all of it when not said.
    pub shown: Option<FieldDescriptor>,
    /// True for all but the first binding of a method.
    pub additional: bool,
}

impl Operation {
    /// The request's message.
    #[must_use]
    pub fn input(&self) -> MessageDescriptor {
        self.method.input()
    }

    /// Whether it answers with a stream.
    #[must_use]
    pub fn streams(&self) -> bool {
        self.method.is_server_streaming()
    }

    /// A field of the request that the whole house gives the same meaning: `request_id`, `etag`, `after_sequence`.
    #[must_use]
    pub fn conventional(&self, name: &str, kind: &Kind) -> Option<FieldDescriptor> {
        let field = self.input().get_field_by_name(name)?;
        (field.kind() == *kind && !field.is_list()).then_some(field)
    }

    /// The field of the request that takes a file, so that a body may be the file itself.
    #[must_use]
    pub fn file_field(&self) -> Option<FieldDescriptor> {
        if self.body != BodyRule::Whole {
            return None;
        }
        self.input().fields().find(|field| content(field) == Content::File)
    }
}

/// Fields whose text is something, by their full name: reading options takes long, and is done once.
static CONTENTS: LazyLock<HashMap<String, Content>> = LazyLock::new(|| {
    let pool = nexus_api::json::pool();
    let Some(extension) = pool.get_extension_by_name("nexus.common.v1.content") else {
        return HashMap::new();
    };
    let marked = |field: FieldDescriptor| {
        let number = field.options().get_extension(&extension).as_enum_number()?;
        let content = Content::try_from(number).unwrap_or_default();
        (content != Content::Unspecified).then(|| (field.full_name().to_owned(), content))
    };
    let messages = pool
        .all_messages()
        .flat_map(|message| message.fields().collect::<Vec<_>>());
    messages.filter_map(marked).collect()
});

/// What the text of a field is, as its option says.
#[must_use]
pub fn content(field: &FieldDescriptor) -> Content {
    CONTENTS.get(field.full_name()).copied().unwrap_or_default()
}

/// Every operation, in the order in which paths are compared.
#[derive(Debug, Clone)]
pub struct Catalog {
    operations: Vec<Arc<Operation>>,
}

/// What is found for a verb and a path.
#[derive(Debug)]
pub enum Found {
    /// An operation, and what the path holds.
    Operation(Arc<Operation>, Bindings),
    /// The path is there, for these verbs.
    Verbs(Vec<Method>),
    /// No path is like it; the nearest one.
    Nothing(Option<String>),
}

impl Catalog {
    /// Reads the contracts.
    ///
    /// # Errors
    /// When an annotation cannot be served.
    pub fn read(pool: &DescriptorPool) -> Result<Self, CatalogError> {
        let mut operations = Vec::new();
        if let Some(extension) = pool.get_extension_by_name("google.api.http") {
            for method in pool
                .services()
                .flat_map(|service| service.methods().collect::<Vec<_>>())
            {
                let options = method.options();
                // What a caller streams has no form in HTTP.
                if method.is_client_streaming() || !options.has_extension(&extension) {
                    continue;
                }
                if let Value::Message(rule) = options.get_extension(&extension).as_ref() {
                    bindings(&method, rule, &mut operations)?;
                }
            }
        }
        operations.sort_by(|a, b| a.template.order(&b.template));
        Ok(Self {
            operations: operations.into_iter().map(Arc::new).collect(),
        })
    }

    /// Keeps some of the operations.
    pub fn keep(&mut self, wanted: impl Fn(&Operation) -> bool) {
        self.operations.retain(|operation| wanted(operation));
    }

    /// Every operation.
    #[must_use]
    pub fn operations(&self) -> &[Arc<Operation>] {
        &self.operations
    }

    /// The operation of a verb and a path, which is still encoded. A slash at the end changes nothing; what is asked for
    /// with HEAD is what GET gives.
    #[must_use]
    pub fn find(&self, verb: &Method, path: &str) -> Found {
        let path = match path.strip_suffix('/') {
            Some(plain) if !plain.is_empty() => plain,
            _ => path,
        };
        let verb = if verb == Method::HEAD { &Method::GET } else { verb };
        let mut verbs = Vec::new();
        for operation in &self.operations {
            if let Some(bindings) = operation.template.matches(path) {
                if operation.verb == *verb {
                    return Found::Operation(Arc::clone(operation), bindings);
                }
                if !verbs.contains(&operation.verb) {
                    verbs.push(operation.verb.clone());
                }
            }
        }
        match verbs.is_empty() {
            true => {
                let templates = self.operations.iter().map(|operation| operation.template.text());
                Found::Nothing(near::path(path, templates).map(str::to_owned))
            }
            false => {
                if verbs.contains(&Method::GET) {
                    verbs.push(Method::HEAD);
                }
                verbs.push(Method::OPTIONS);
                verbs.sort_by(|a, b| a.as_str().cmp(b.as_str()));
                Found::Verbs(verbs)
            }
        }
    }
}

/// An annotation's bindings, the additional ones too.
fn bindings(method: &MethodDescriptor, rule: &DynamicMessage, into: &mut Vec<Operation>) -> Result<(), CatalogError> {
    into.push(binding(method, rule, false)?);
    let additional = rule.get_field_by_name("additional_bindings");
    for rule in additional.iter().flat_map(|list| list.as_list().unwrap_or_default()) {
        if let Some(rule) = rule.as_message() {
            into.push(binding(method, rule, true)?);
        }
    }
    Ok(())
}

fn binding(method: &MethodDescriptor, rule: &DynamicMessage, additional: bool) -> Result<Operation, CatalogError> {
    let wrong = |problem: String| CatalogError::Annotation {
        method: method.full_name().to_owned(),
        problem,
    };
    let text = |rule: &DynamicMessage, name: &str| {
        let value = rule.get_field_by_name(name);
        value
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    };
    let (verb, path) = pattern(rule).ok_or_else(|| wrong("its annotation has no path".to_owned()))?;
    let verb = Method::from_bytes(verb.as_bytes()).map_err(|_| wrong(format!("{verb} is no verb")))?;
    let template = Template::parse(&path).map_err(|source| CatalogError::Template {
        method: method.full_name().to_owned(),
        source,
    })?;
    for variable in template.fields() {
        field_at(&method.input(), variable).ok_or_else(|| wrong(format!("its path names no field: {variable}")))?;
    }
    let body = match text(rule, "body").as_str() {
        "" => BodyRule::None,
        "*" => BodyRule::Whole,
        name => {
            let field = method.input().get_field_by_name(name);
            BodyRule::Field(field.ok_or_else(|| wrong(format!("its body names no field: {name}")))?)
        }
    };
    let shown = match text(rule, "response_body").as_str() {
        "" => None,
        name => {
            let field = method.output().get_field_by_name(name);
            Some(field.ok_or_else(|| wrong(format!("its response_body names no field: {name}")))?)
        }
    };
    Ok(Operation {
        rpc_path: format!("/{}/{}", method.parent_service().full_name(), method.name()),
        method: method.clone(),
        verb,
        template,
        body,
        shown,
        additional,
    })
}

/// The verb and the path of a rule.
fn pattern(rule: &DynamicMessage) -> Option<(String, String)> {
    for verb in ["get", "put", "post", "delete", "patch"] {
        if rule.has_field_by_name(verb) {
            let path = rule.get_field_by_name(verb)?;
            return Some((verb.to_ascii_uppercase(), path.as_str()?.to_owned()));
        }
    }
    let custom = rule.get_field_by_name("custom")?;
    let custom = custom.as_message()?;
    let text = |name: &str| Some(custom.get_field_by_name(name)?.as_str()?.to_owned());
    let (kind, path) = (text("kind")?, text("path")?);
    (!path.is_empty()).then_some((kind, path))
}

/// The field that a path of names, joined by dots, leads to.
#[must_use]
pub fn field_at(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
    let (first, rest) = path
        .split_once('.')
        .map_or((path, None), |(first, rest)| (first, Some(rest)));
    let field = message.get_field_by_name(first)?;
    match (rest, field.kind()) {
        (None, _) => Some(field),
        (Some(rest), Kind::Message(inner)) if !field.is_list() && !field.is_map() => field_at(&inner, rest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        Catalog::read(nexus_api::json::pool()).expect("the contracts")
    }

    fn found(verb: Method, path: &str) -> String {
        match catalog().find(&verb, path) {
            Found::Operation(operation, bindings) => format!("{} {bindings:?}", operation.method.name()),
            Found::Verbs(verbs) => format!("verbs {verbs:?}"),
            Found::Nothing(near) => format!("nothing, near {}", near.unwrap_or_default()),
        }
    }

    #[test]
    fn the_first_systems_paths_are_found_with_and_without_a_final_slash() {
        for (verb, path, name) in [
            (Method::POST, "/api/v1/workflows", "CreateWorkflow"),
            (Method::GET, "/api/v1/workflows", "ListWorkflows"),
            (Method::GET, "/api/v1/workflows/etl", "GetWorkflow"),
            (Method::PUT, "/api/v1/workflows/etl", "UpdateWorkflow"),
            (Method::DELETE, "/api/v1/workflows/etl", "DeleteWorkflow"),
            (Method::POST, "/api/v1/workflows/etl/trigger", "StartExecution"),
            (Method::GET, "/api/v1/executions", "ListExecutions"),
            (Method::GET, "/api/v1/executions/7", "GetExecution"),
            (Method::POST, "/api/v1/executions/7/cancel", "CancelExecution"),
            (Method::POST, "/api/v1/dag/validate", "ValidateWorkflow"),
            (Method::GET, "/api/v1/statistics/workflows", "GetWorkflowStatistics"),
        ] {
            for path in [path.to_owned(), format!("{path}/")] {
                let found = found(verb.clone(), &path);
                assert!(found.starts_with(name), "{verb} {path}: {found}");
            }
        }
        assert_eq!(
            found(Method::HEAD, "/api/v1/workflows/a%20b"),
            "GetWorkflow [(\"workflow\", \"a b\")]"
        );
        assert!(found(Method::POST, "/api/v1/workflows/apply").starts_with("ApplyWorkflow"));
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        assert_eq!(found(Method::PATCH, "/api/v1/executions"), "verbs [GET, HEAD, OPTIONS]");
        assert_eq!(
            found(Method::GET, "/api/v1/workflow"),
            "nothing, near /api/v1/workflows"
        );
        assert_eq!(
            found(Method::GET, "/api/v1/x/../workflows"),
            "nothing, near /api/v1/workflows"
        );
        assert_eq!(found(Method::GET, "/favicon.ico"), "nothing, near ");
    }

    #[test]
    fn every_annotated_method_has_its_bindings_and_streams_of_callers_none() {
        let catalog = catalog();
        let names: Vec<_> = catalog
            .operations()
            .iter()
            .map(|operation| operation.method.name().to_owned())
            .collect();
        assert!(names.len() >= 30, "{names:?}");
        assert!(!names.iter().any(|name| name == "StreamTasks"));
        assert_eq!(names.iter().filter(|name| *name == "UpdateWorkflow").count(), 2);
    }

    #[test]
    fn fields_say_what_their_text_is() {
        let pool = nexus_api::json::pool();
        let field = |message: &str, name: &str| {
            let message = pool.get_message_by_name(message).expect("message");
            content(&message.get_field_by_name(name).expect("field"))
        };
        assert_eq!(field("nexus.execution.v1.Execution", "params"), Content::Json);
        assert_eq!(field("nexus.execution.v1.Execution", "id"), Content::Unspecified);
        assert_eq!(
            field("nexus.definitions.v1.ApplyWorkflowRequest", "source"),
            Content::File
        );
    }
}
