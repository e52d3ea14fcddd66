//! Every diagnostic code, once. A code that was released keeps its meaning; new ones are added.

/// A diagnostic code: `NX` and four digits.
pub type Code = &'static str;

macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal;)*) => {
        $(#[doc = $title] pub(crate) const $name: Code = $code;)*

        /// Every code with its title, in ascending order.
        pub const CODES: &[(Code, &str)] = &[$(($code, $title)),*];
    };
}

codes! {
    TOO_LARGE = "NX1001", "The file is too large";
    BAD_CHARACTER = "NX1002", "The file holds a character that is not allowed";
    SYNTAX = "NX1003", "The file is neither YAML nor JSON";
    NO_DOCUMENT = "NX1004", "The file holds no workflow, or more than one document";
    TOO_DEEP = "NX1005", "The file is nested too deeply";
    TOO_MANY_NODES = "NX1006", "The file holds too many values";
    YAML_FEATURE = "NX1007", "The file uses a part of YAML that is not read";
    BAD_NUMBER = "NX1008", "A number cannot be kept exactly";
    UNKNOWN_KEY = "NX1101", "Unknown key";
    DUPLICATE_KEY = "NX1102", "A key appears twice";
    MISSING_KEY = "NX1103", "A key is missing";
    WRONG_TYPE = "NX1104", "A value has the wrong type";
    BAD_VALUE = "NX1105", "A value is not one of those allowed";
    NOT_AVAILABLE = "NX1106", "Not available in this version";
    TOO_LONG = "NX1107", "A value is too long";
    BAD_NAME = "NX1110", "A name has the wrong form";
    BAD_SPAN = "NX1111", "Not a span of time";
    BAD_SIZE = "NX1112", "Not a size";
    OUT_OF_BOUNDS = "NX1113", "A number is out of bounds";
    NO_KIND = "NX1120", "A task has no kind";
    MANY_KINDS = "NX1121", "A task has more than one kind";
    NO_TASKS = "NX1201", "The workflow has no tasks";
    TOO_MANY_TASKS = "NX1202", "The workflow has too many tasks or edges";
    UNKNOWN_TASK = "NX1203", "Unknown task";
    SELF_REFERENCE = "NX1204", "A task waits for itself";
    CYCLE = "NX1205", "A cycle of tasks";
    DOUBLE_NEED = "NX1206", "A task is needed twice";
    IDLE_TRIGGER_RULE = "NX1207", "A trigger rule has no effect";
    UNHANDLED = "NX1208", "A failure stays one although a task reacts to it";
    IDLE_HANDLER = "NX1209", "A task can never handle what it names";
    DOUBLE_HANDLES = "NX1210", "A task is handled twice by the same task";
    VERBATIM_EXPRESSION = "NX1301", "An expression inside code";
    BAD_EXPRESSION = "NX1302", "An expression cannot be read";
    UNKNOWN_PARAM = "NX1303", "Unknown parameter";
    SECRET_IN_OUTPUT = "NX1304", "A secret in the workflow's output";
    BAD_SCHEMA = "NX1401", "The parameters' schema is not valid";
    BAD_DEFAULT = "NX1402", "A default does not satisfy its schema";
    PYTHON_SOURCE = "NX1501", "A Python task needs either code or a function";
    PYTHON_MAIN = "NX1502", "Python code seems to define no main";
    PYTHON_FUNCTION = "NX1503", "Not the name of a Python function";
    HTTP_URL = "NX1511", "Not an absolute HTTP address";
    HTTP_STATUS = "NX1512", "Not a status or a class of statuses";
    HTTP_BODIES = "NX1513", "A request has more than one body";
    HTTP_BODY_METHOD = "NX1514", "A request has a body that its method rarely takes";
    SQL_TARGET = "NX1521", "A SQL task needs either a connection or an address";
    SQL_UNBOUND = "NX1522", "A SQL parameter is not bound";
    SQL_UNUSED = "NX1523", "A bound value is not used";
    EMPTY_CODE = "NX1531", "There is nothing to run";
    GRPC_TARGET = "NX1541", "Not the address of a gRPC service";
    GRPC_METHOD = "NX1542", "Not the name of a gRPC method";
    GRPC_DESCRIPTION = "NX1543", "A gRPC method is described by either a descriptor or reflection";
    GRPC_TLS = "NX1544", "TLS settings of a gRPC task that do not go together";
    BAD_SCHEDULE = "NX1551", "A schedule that cannot be";
    IDLE_RETRY = "NX1601", "A retry block never retries";
    IDLE_TIMEOUT = "NX1602", "A time limit can never be reached";
    TOO_MANY_FINDINGS = "NX1699", "There are more findings than are shown";
    IMPORT_UNREADABLE = "NX1701", "The earlier system's document cannot be read";
    IMPORT_MEANING = "NX1702", "Something means something else than before";
    IMPORT_UNSUPPORTED = "NX1703", "Something could not be carried over";
    IMPORT_RENAMED = "NX1704", "A name was changed";
}

/// The title of a code; nothing for an unknown one.
#[must_use]
pub fn title(code: &str) -> Option<&'static str> {
    CODES.iter().find(|(known, _)| *known == code).map(|(_, title)| *title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_ascending_and_well_formed() {
        assert!(CODES.is_sorted_by(|a, b| a.0 < b.0), "each code once and in order");
        for (code, title) in CODES {
            assert!(
                code.len() == 6 && code.starts_with("NX1") && !title.is_empty(),
                "{code}"
            );
        }
        assert_eq!(title("NX1203"), Some("Unknown task"));
    }
}
