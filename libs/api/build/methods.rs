//! What every method says about itself (`nexus/common/v1/method.proto`), read from the compiled contracts, checked, and
//! written as a table in Rust. Part of the build script, and of the library's tests.

use std::fmt::Write as _;
use std::time::Duration;

use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, Kind, MethodDescriptor, ReflectMessage, Value,
};

/// The option that every method has.
const OPTION: &str = "nexus.common.v1.method";
/// The HTTP call that a method is also reached by.
const HTTP: &str = "google.api.http";
/// No call takes longer: whoever wants to wait asks again.
const LONGEST: Duration = Duration::from_secs(600);

/// What a complete and consistent method says about itself, in the words of the generated table.
struct Row {
    idempotency: String,
    load_class: String,
    longest_time: Duration,
    permission: String,
    audit: String,
}

/// The table of every method of the contracts.
///
/// # Errors
/// With one sentence for everything that is missing or contradicts itself, each naming its method.
pub(crate) fn table(pool: &DescriptorPool) -> Result<String, Vec<String>> {
    let (Some(option), http) = (pool.get_extension_by_name(OPTION), pool.get_extension_by_name(HTTP)) else {
        return Err(vec![format!("there is no extension {OPTION} among the contracts")]);
    };
    let (mut rows, mut problems) = (String::new(), Vec::new());
    let services: Vec<_> = pool.services().collect();
    let methods = services.iter().flat_map(|service| service.methods());
    for method in methods {
        match row(&method, &option, http.as_ref()) {
            Ok(row) => write_row(&mut rows, &method, &row),
            Err(found) => problems.extend(found.iter().map(|problem| format!("{}: {problem}", method.full_name()))),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(format!("&[\n{rows}]\n"))
}

/// What a method says about itself, or everything that is wrong with it.
fn row(
    method: &MethodDescriptor,
    option: &ExtensionDescriptor,
    http: Option<&ExtensionDescriptor>,
) -> Result<Row, Vec<String>> {
    let options = method.options();
    if !options.has_extension(option) {
        let missing = format!("it says nothing about itself; add `option ({OPTION}) = {{…}}`, see CONTRIBUTING.md");
        return Err(vec![missing]);
    }
    let said = options.get_extension(option);
    let Some(said) = said.as_message() else {
        return Err(vec![format!("{OPTION} is not a message")]);
    };
    let mut problems = Vec::new();
    let mut word = |field: &str| {
        let word = chosen(said, field);
        if word.is_none() {
            problems.push(format!("it does not say its `{field}`"));
        }
        word.unwrap_or_default()
    };
    let (idempotency, load_class, permission) = (word("idempotency"), word("load_class"), word("permission"));
    let audit = match chosen(said, "audit") {
        // What only reads changes nothing. Readers of the feed come and go by its one permission.
        None if permission.ends_with("Read") && permission != "FeedRead" => "Nothing".to_owned(),
        _ => word("audit"),
    };
    let longest_time = longest_time(said).unwrap_or_else(|problem| {
        problems.push(problem);
        Duration::ZERO
    });
    let idempotency = match idempotency.as_str() {
        "WithRequestId" => match request_id(method) {
            Ok(number) => format!("WithRequestId {{ field: {number} }}"),
            Err(problem) => {
                problems.push(problem);
                String::new()
            }
        },
        _ => idempotency,
    };
    // Proxies and browsers make a GET again as they like.
    if idempotency != "Always" && is_http_get(&options, http) {
        problems.push("it is a GET of HTTP, which anybody may repeat, and does not say IDEMPOTENCY_ALWAYS".to_owned());
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Row {
        idempotency,
        load_class,
        longest_time,
        permission,
        audit,
    })
}

/// The value of an enum's field as Rust writes it: `LOAD_CLASS_CRITICAL` of `LoadClass` is `Critical`. None when it is
/// not said or no value of the enum.
fn chosen(said: &DynamicMessage, field: &str) -> Option<String> {
    let descriptor = said.descriptor().get_field_by_name(field)?;
    let Kind::Enum(kind) = descriptor.kind() else {
        return None;
    };
    let number = said.get_field(&descriptor).as_enum_number()?;
    let value = kind.get_value(number).filter(|_| number != 0)?;
    // Only the zero value shows how long the prefix is: its last word is the same in every enum.
    let prefix = kind.get_value(0)?.name().strip_suffix("UNSPECIFIED")?.to_owned();
    let words = value.name().strip_prefix(&prefix)?.split('_');
    let capitalised = words.map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_owned() + &rest.to_lowercase()
    });
    Some(capitalised.collect())
}

fn longest_time(said: &DynamicMessage) -> Result<Duration, String> {
    let missing = || "it does not say its `longest_time`".to_owned();
    let part = |message: &DynamicMessage, name: &str| match message.get_field_by_name(name).as_deref() {
        Some(Value::I64(number)) => *number,
        Some(Value::I32(number)) => i64::from(*number),
        _ => 0,
    };
    if !said.has_field_by_name("longest_time") {
        return Err(missing());
    }
    let field = said.get_field_by_name("longest_time").ok_or_else(missing)?;
    let time = field.as_message().ok_or_else(missing)?;
    let (seconds, nanos) = (part(time, "seconds"), part(time, "nanos"));
    let longest = match (u64::try_from(seconds), u32::try_from(nanos)) {
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => Some(Duration::new(seconds, nanos)),
        _ => None,
    };
    longest
        .filter(|time| !time.is_zero() && *time <= LONGEST)
        .ok_or_else(|| {
            let most = LONGEST.as_secs();
            format!(
                "its `longest_time` is {seconds} s and {nanos} ns; it must be more than nothing and at most {most} s"
            )
        })
}

/// The number of the field by which a repeated call is known.
fn request_id(method: &MethodDescriptor) -> Result<u32, String> {
    if method.is_client_streaming() {
        return Err("it says IDEMPOTENCY_WITH_REQUEST_ID and takes a stream, which has no one request".to_owned());
    }
    let request = method.input();
    let field = request.get_field_by_name("request_id");
    let text = field.filter(|field| matches!(field.kind(), Kind::String) && !field.is_list());
    text.map(|field| field.number()).ok_or_else(|| {
        let request = request.full_name();
        format!("it says IDEMPOTENCY_WITH_REQUEST_ID, and {request} has no `string request_id`")
    })
}

fn is_http_get(options: &DynamicMessage, http: Option<&ExtensionDescriptor>) -> bool {
    let Some(http) = http.filter(|http| options.has_extension(http)) else {
        return false;
    };
    let rule = options.get_extension(http);
    rule.as_message().is_some_and(|rule| rule.has_field_by_name("get"))
}

fn write_row(rows: &mut String, method: &MethodDescriptor, row: &Row) {
    let (service, name) = (method.parent_service().full_name().to_owned(), method.name());
    let unary = !method.is_client_streaming() && !method.is_server_streaming();
    let Row {
        idempotency,
        load_class,
        longest_time,
        permission,
        audit,
    } = row;
    let (seconds, nanos) = (longest_time.as_secs(), longest_time.subsec_nanos());
    // Writing to a string cannot fail.
    let _always = writeln!(
        rows,
        "    Method {{ path: \"/{service}/{name}\", service: \"{service}\", name: \"{name}\", unary: {unary}, \
         idempotency: Idempotency::{idempotency}, load_class: LoadClass::{load_class}, \
         longest_time: Duration::new({seconds}, {nanos}), permission: Permission::{permission}, \
         audit: Audit::{audit} }},"
    );
}

#[cfg(test)]
mod tests {
    use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};

    use super::*;

    const GOOD: &str = "idempotency: IDEMPOTENCY_ALWAYS load_class: LOAD_CLASS_CRITICAL \
                        longest_time: {seconds: 5} permission: PERMISSION_LOGS_READ";

    /// One file, from memory.
    struct Made(String);

    impl FileResolver for Made {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            if name == "made.proto" {
                File::from_source(name, &self.0)
            } else {
                Err(protox::Error::file_not_found(name))
            }
        }
    }

    /// The table of a service with one method, of which the options are given.
    fn made(method: &str, options: &str) -> Result<String, Vec<String>> {
        let source = format!(
            "syntax = \"proto3\"; package made.v1; import \"nexus/common/v1/method.proto\"; \
             import \"google/api/annotations.proto\"; \
             message Plain {{ string name = 1; }} message Keyed {{ string request_id = 7; }} \
             message Numbered {{ int32 request_id = 1; }} service Made {{ rpc Do{method} {{ {options} }} }}"
        );
        let mut resolver = ChainFileResolver::new();
        resolver.add(Made(source));
        resolver.add(IncludeFileResolver::new(
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto").into(),
        ));
        resolver.add(GoogleFileResolver::new());
        let mut compiler = protox::Compiler::with_file_resolver(resolver);
        compiler
            .include_imports(true)
            .open_file("made.proto")
            .expect("compiles");
        table(&compiler.descriptor_pool())
    }

    fn said(properties: &str) -> String {
        format!("option (nexus.common.v1.method) = {{ {properties} }};")
    }

    #[test]
    fn what_a_method_says_stands_in_the_table() {
        let table = made("(Plain) returns (Plain)", &said(GOOD)).expect("good");
        assert_eq!(
            table,
            "&[\n    Method { path: \"/made.v1.Made/Do\", service: \"made.v1.Made\", name: \"Do\", unary: true, \
             idempotency: Idempotency::Always, load_class: LoadClass::Critical, \
             longest_time: Duration::new(5, 0), permission: Permission::LogsRead, audit: Audit::Nothing },\n]\n"
        );
        let keyed = GOOD.replace("ALWAYS", "WITH_REQUEST_ID");
        let table = made("(Keyed) returns (stream Plain)", &said(&keyed)).expect("good");
        assert!(table.contains("Idempotency::WithRequestId { field: 7 }") && table.contains("unary: false"));
        let half = GOOD.replace("seconds: 5", "nanos: 500000000");
        let table = made("(Plain) returns (Plain)", &said(&half)).expect("good");
        assert!(table.contains("Duration::new(0, 500000000)"), "{table}");
    }

    #[test]
    fn what_is_missing_is_named_with_its_method() {
        let problems = made("(Plain) returns (Plain)", "").expect_err("nothing said");
        assert!(
            problems.len() == 1 && problems[0].starts_with("made.v1.Made.Do: it says nothing about itself"),
            "{problems:?}"
        );
        let problems = made("(Plain) returns (Plain)", &said("")).expect_err("empty");
        for field in ["idempotency", "load_class", "permission", "longest_time"] {
            let named = format!("made.v1.Made.Do: it does not say its `{field}`");
            assert!(problems.contains(&named), "{problems:?}");
        }
    }

    #[test]
    fn every_single_property_is_needed() {
        for part in [
            "idempotency: IDEMPOTENCY_ALWAYS",
            "load_class: LOAD_CLASS_CRITICAL",
            "longest_time: {seconds: 5}",
            "permission: PERMISSION_LOGS_READ",
        ] {
            let field = part.split(':').next().expect("name");
            let problems = made("(Plain) returns (Plain)", &said(&GOOD.replace(part, ""))).expect_err(field);
            // Without a permission it is not known that it only reads.
            assert_eq!(problems[0], format!("made.v1.Made.Do: it does not say its `{field}`"));
            assert_eq!(problems.len(), if field == "permission" { 2 } else { 1 });
        }
    }

    #[test]
    fn what_may_change_something_says_whether_the_audit_log_is_told() {
        for permission in ["PERMISSION_WORKFLOWS_WRITE", "PERMISSION_FEED_READ"] {
            let silent = GOOD.replace("PERMISSION_LOGS_READ", permission);
            let problems = made("(Plain) returns (Plain)", &said(&silent)).expect_err(permission);
            assert_eq!(problems, ["made.v1.Made.Do: it does not say its `audit`"]);
            let told = made(
                "(Plain) returns (Plain)",
                &said(&format!("{silent} audit: AUDIT_CHANGE")),
            );
            assert!(told.expect("good").contains("audit: Audit::Change"));
        }
    }

    #[test]
    fn a_longest_time_is_a_time_and_not_too_long() {
        for good in ["nanos: 1", "seconds: 600"] {
            made("(Plain) returns (Plain)", &said(&GOOD.replace("seconds: 5", good))).expect(good);
        }
        for wrong in [
            "",
            "seconds: 0",
            "seconds: -1",
            "seconds: 600 nanos: 1",
            "seconds: 1 nanos: -1",
        ] {
            let properties = said(&GOOD.replace("seconds: 5", wrong));
            let problems = made("(Plain) returns (stream Plain)", &properties).expect_err(wrong);
            assert!(
                problems.len() == 1 && problems[0].contains("more than nothing and at most 600 s"),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let keyed = said(&GOOD.replace("ALWAYS", "WITH_REQUEST_ID"));
        let never = said(&GOOD.replace("ALWAYS", "NEVER"));
        let get = "option (google.api.http) = {get: \"/x\"};";
        let post = "option (google.api.http) = {post: \"/x\"};";
        for (method, options, told) in [
            (
                "(Plain) returns (Plain)",
                keyed.clone(),
                "made.v1.Plain has no `string request_id`",
            ),
            (
                "(Numbered) returns (Plain)",
                keyed.clone(),
                "has no `string request_id`",
            ),
            ("(stream Keyed) returns (Plain)", keyed, "takes a stream"),
            ("(Plain) returns (Plain)", format!("{never} {get}"), "GET of HTTP"),
        ] {
            let problems = made(method, &options).expect_err(told);
            assert!(problems.len() == 1 && problems[0].contains(told), "{problems:?}");
        }
        made("(Plain) returns (Plain)", &format!("{never} {post}")).expect("a POST may be once only");
    }
}
