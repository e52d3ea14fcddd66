//! Bodies that the description shows. A test sends each of them.

/// A body that an operation takes.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// The operation.
    pub operation: &'static str,
    /// The media type.
    pub media_type: &'static str,
    /// The body.
    pub body: &'static str,
}

const GREETING: &str = "\
name: greeting
params: {type: object, properties: {who: {type: string, default: world}}}
tasks:
  greet: {bash: {env: {WHO: \"{{ params.who }}\"}, run: 'echo \"hello $WHO\"'}}
";

/// Every example.
pub const EXAMPLES: &[Example] = &[
    Example {
        operation: "ValidateWorkflow",
        media_type: "application/yaml",
        body: GREETING,
    },
    Example {
        operation: "CreateWorkflow",
        media_type: "application/yaml",
        body: GREETING,
    },
    Example {
        operation: "CreateWorkflow",
        media_type: "application/json",
        body: r#"{"source": {"name": "pause", "tasks": {"wait": {"bash": {"run": "sleep 30"}}}}, "message": "the first one"}"#,
    },
    Example {
        operation: "ApplyWorkflow",
        media_type: "application/yaml",
        body: GREETING,
    },
    Example {
        operation: "UpdateWorkflow",
        media_type: "application/json",
        body: r#"{"description": "Says hello.", "labels": {"team": "data"}}"#,
    },
    Example {
        operation: "StartExecution",
        media_type: "application/json",
        body: r#"{"params": {"who": "curl"}, "labels": {"by": "hand"}}"#,
    },
    Example {
        operation: "CancelExecution",
        media_type: "application/json",
        body: r#"{"reason": "no longer needed"}"#,
    },
];
