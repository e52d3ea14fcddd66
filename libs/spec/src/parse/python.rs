//! What can be seen of Python code without running it.

use indexmap::IndexMap;
use serde_json::Value;

use super::values::Values;
use crate::codes;
use crate::findings::Finding;
use crate::source::Node;

/// Warns when no `main` is to be seen. It may still be there (a star import, `globals()`), so this is no error.
pub(super) fn check_main(code: &str, node: &Node, values: &mut Values<'_, '_>) {
    if code.trim().is_empty() || code.lines().any(defines_main) {
        return;
    }
    let finding = Finding::warning(codes::PYTHON_MAIN, node.place, "the code seems to define no main");
    values.say("code", finding.fix("put it into def main(): and return the result"));
}

fn defines_main(line: &str) -> bool {
    let line = line.trim_end();
    let after = |prefix: &str, next: &[char]| {
        line.strip_prefix(prefix)
            .is_some_and(|rest| rest.trim_start().starts_with(next))
    };
    after("def main", &['(', '[']) || after("async def main", &['(', '[']) || after("main", &['=', ':']) || {
        let imports = line.starts_with("from ") || line.starts_with("import ");
        imports
            && line
                .split([' ', ',', '(', ')'])
                .any(|word| word == "main" || word == "*")
    }
}

/// `module:name`, both dotted Python names.
pub(super) fn check_function(function: &str, values: &mut Values<'_, '_>) {
    let good = function
        .split_once(':')
        .is_some_and(|(module, name)| is_dotted(module) && is_dotted(name));
    if !good {
        let place = values
            .fields
            .value("function")
            .map(|node| node.place)
            .unwrap_or_default();
        let finding = Finding::error(
            codes::PYTHON_FUNCTION,
            place,
            format!("{function:?} is not a function's name"),
        );
        values.say(
            "function",
            finding.fix("write module:name, such as billing.jobs:close_month"),
        );
    }
}

/// Arguments are keyword arguments, so their names must be Python's.
pub(super) fn check_args(args: &IndexMap<String, Value>, values: &mut Values<'_, '_>) {
    for name in args.keys().filter(|name| !is_identifier(name)) {
        let place = values
            .fields
            .value("args")
            .and_then(|node| node.get(name))
            .map(|entry| entry.place)
            .unwrap_or_default();
        let path = values.path.then("args").then(name).to_string();
        let finding = Finding::error(
            codes::BAD_NAME,
            place,
            format!("{name:?} is not the name of an argument"),
        );
        values
            .findings
            .add(finding.path(path).fix("use letters, digits and _, not a digit first"));
    }
}

fn is_dotted(name: &str) -> bool {
    name.split('.').all(is_identifier)
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_') && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn main_is_seen_in_its_usual_forms() {
        for line in [
            "def main(a, b):",
            "async def main():",
            "main = other",
            "from jobs import main",
            "from jobs import run as main",
            "from x import *",
            "def main[T](x: T):",
        ] {
            assert!(defines_main(line), "{line}");
        }
        for line in [
            "def domain():",
            "    def main():",
            "mainly = 1",
            "print('main')",
            "def main_loop():",
        ] {
            assert!(!defines_main(line), "{line}");
        }
    }
}
