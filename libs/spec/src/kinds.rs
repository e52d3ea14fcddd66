//! The table of task kinds: what tells one kind from another, once. The reader, the schema, inputs, imports, workers and
//! their figures read it; where code of its own is needed for each kind they match on [`KindName`], so that the compiler
//! finds a place that does not know a new one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::{Bash, Grpc, Http, Noop, Python, Sql};

macro_rules! kinds {
    ($(
        $(#[$meaning:meta])+
        $name:ident = $key:literal {
            expressions: [$($field:literal),*],
            text: $text:literal,
            bare: $bare:literal,
        }
    )*) => {
        /// What a task does: the one kind key of the file.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub enum Kind {
            $($(#[$meaning])+ #[serde(rename = $key)] $name($name),)*
        }

        /// A kind of task by its name alone.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum KindName {
            $($(#[$meaning])+ $name,)*
        }

        /// The kind keys, in the order of the documentation.
        pub(crate) const KEYS: [&str; KindName::ALL.len()] = [$($key),*];

        impl KindName {
            /// Every kind, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The kind key as the file spells it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $key,)*
                }
            }

            /// The fields under the kind key whose values may hold expressions.
            #[must_use]
            pub const fn templated_fields(self) -> &'static [&'static str] {
                match self {
                    $(Self::$name => &[$($field),*],)*
                }
            }

            /// The field that is meant when the file has only a text under the kind key.
            pub(crate) const fn text_field(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// True when the kind key alone, with nothing under it, is a whole task.
            pub(crate) const fn may_be_bare(self) -> bool {
                match self {
                    $(Self::$name => $bare,)*
                }
            }
        }

        impl Kind {
            /// Which kind it is.
            #[must_use]
            pub fn name(&self) -> KindName {
                match self {
                    $(Self::$name(_) => KindName::$name,)*
                }
            }

            /// The object under the kind key, as the file would write it.
            #[must_use]
            pub fn to_object(&self) -> Map<String, Value> {
                let value = match self {
                    $(Self::$name(inner) => serde_json::to_value(inner),)*
                };
                // These types hold text, numbers and JSON under text keys, which always serialize to an object.
                match value {
                    Ok(Value::Object(map)) => map,
                    _ => Map::new(),
                }
            }
        }
    };
}

kinds! {
    /// Runs a Python function.
    Python = "python" { expressions: ["args", "env"], text: "code", bare: false, }
    /// Runs a Bash script.
    Bash = "bash" { expressions: ["env"], text: "run", bare: false, }
    /// Makes one HTTP request.
    Http = "http" { expressions: ["url", "query", "headers", "json", "form", "body"], text: "url", bare: false, }
    /// Runs one SQL statement.
    Sql = "sql" { expressions: ["url", "bind"], text: "statement", bare: false, }
    /// Calls one method of a gRPC service.
    Grpc = "grpc" { expressions: ["target", "message", "metadata", "tls", "descriptor"], text: "target", bare: false, }
    /// Does nothing but pass a value on.
    Noop = "noop" { expressions: ["output"], text: "output", bare: true, }
}

impl KindName {
    /// The kind with this key; nothing for a word that is none.
    #[must_use]
    pub fn of(key: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == key)
    }
}

impl std::fmt::Display for KindName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Kind {
    /// The kind key as the file spells it.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.name().as_str()
    }

    /// The fields of this kind whose values may hold expressions.
    #[must_use]
    pub fn templated_fields(&self) -> &'static [&'static str] {
        self.name().templated_fields()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(file: &str) -> String {
        let path = format!("{}/../../{file}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(&path).expect(&path)
    }

    #[test]
    fn keys_are_unique_and_lead_back_to_their_kind() {
        for (kind, key) in KindName::ALL.iter().zip(KEYS) {
            assert_eq!((kind.as_str(), KindName::of(key)), (key, Some(*kind)));
        }
        assert_eq!(KindName::of("other"), None);
    }

    #[test]
    fn each_kind_is_documented() {
        let reference = text_of("docs/workflow-file.md");
        let readme = text_of("README.md");
        let all: Vec<String> = KEYS.iter().map(|key| format!("`{key}`")).collect();
        assert!(
            reference.contains(&format!("| one of {} |", all.join(" "))),
            "docs/workflow-file.md lists other kinds than {all:?}"
        );
        for key in KEYS {
            assert!(
                reference.contains(&format!("\n### `{key}`\n")),
                "docs/workflow-file.md has no section on {key}"
            );
            assert!(
                readme.contains(&format!("\n| `{key}` |")),
                "README.md has no row on {key}"
            );
        }
    }
}
