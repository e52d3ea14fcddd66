//! Single values from text, as paths and query parameters write them, and as JSON does.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use prost_reflect::{DynamicMessage, EnumDescriptor, Kind, MessageDescriptor, Value};

/// A text that is no value of its kind; says what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub String);

/// Either alphabet, with and without padding, is read.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);

/// The value that a text is for a kind.
///
/// # Errors
/// When it is none.
pub fn of_text(kind: &Kind, text: &str) -> Result<Value, Unfit> {
    let unfit = |what: &str| Unfit(format!("{} is no {what}", quoted(text)));
    match kind {
        Kind::Bool => match text {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(Unfit(format!("{} is neither true nor false", quoted(text)))),
        },
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            let number = whole(text).and_then(|number| i32::try_from(number).ok());
            number.map(Value::I32).ok_or_else(|| unfit("whole number of 32 bits"))
        }
        Kind::Uint32 | Kind::Fixed32 => {
            let number = whole(text).and_then(|number| u32::try_from(number).ok());
            number
                .map(Value::U32)
                .ok_or_else(|| unfit("whole number from 0 to 4294967295"))
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            let number = whole(text).and_then(|number| i64::try_from(number).ok());
            number.map(Value::I64).ok_or_else(|| unfit("whole number of 64 bits"))
        }
        Kind::Uint64 | Kind::Fixed64 => {
            let number = whole(text).and_then(|number| u64::try_from(number).ok());
            number
                .map(Value::U64)
                .ok_or_else(|| unfit("whole number from 0 to 18446744073709551615"))
        }
        Kind::Float => real(text)
            .map(|number| Value::F32(number as f32))
            .ok_or_else(|| unfit("number")),
        Kind::Double => real(text).map(Value::F64).ok_or_else(|| unfit("number")),
        Kind::String => Ok(Value::String(text.to_owned())),
        Kind::Bytes => {
            let decoded = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text));
            decoded
                .map(|bytes| Value::Bytes(bytes.into()))
                .map_err(|_| unfit("base64"))
        }
        Kind::Enum(descriptor) => enumeration(descriptor, text).map(Value::EnumNumber),
        Kind::Message(descriptor) => well_known(descriptor, text).map(Value::Message),
    }
}

/// A value of an enumeration: its name, in any case and with or without what all names begin with, or its number.
fn enumeration(descriptor: &EnumDescriptor, text: &str) -> Result<i32, Unfit> {
    if let Some(value) = descriptor.get_value_by_name(text) {
        return Ok(value.number());
    }
    if let Ok(number) = text.parse::<i32>()
        && descriptor.get_value(number).is_some()
    {
        return Ok(number);
    }
    let wanted = text.to_ascii_uppercase();
    let short = |name: &str| name == wanted || name.ends_with(&format!("_{wanted}"));
    let mut named = descriptor.values().filter(|value| short(value.name()));
    if let (Some(value), None) = (named.next(), named.next()) {
        return Ok(value.number());
    }
    let names: Vec<_> = descriptor.values().map(|value| value.name().to_owned()).collect();
    Err(Unfit(format!("{} is none of {}", quoted(text), names.join(", "))))
}

/// Messages that JSON writes as a text: times, spans, masks, and the wrappers of single values.
fn well_known(descriptor: &MessageDescriptor, text: &str) -> Result<DynamicMessage, Unfit> {
    let name = descriptor.full_name().strip_prefix("google.protobuf.");
    let what = match name {
        Some("Timestamp") => "point in time like 2026-01-31T12:00:00Z",
        Some("Duration") => "span like 1.5s",
        Some("FieldMask") => "list of fields like description,labels",
        Some(wrapper) if wrapper.ends_with("Value") => {
            let field = descriptor.get_field_by_name("value");
            let field = field.ok_or_else(|| Unfit("cannot be given as a text".to_owned()))?;
            let mut message = DynamicMessage::new(descriptor.clone());
            message.set_field(&field, of_text(&field.kind(), text)?);
            return Ok(message);
        }
        _ => {
            return Err(Unfit(
                "is no single value: name the field in it, with a dot between".to_owned(),
            ));
        }
    };
    // The mask's names in JSON are in camel case; those of the contracts are taken too.
    let text = if name == Some("FieldMask") {
        camel(text)
    } else {
        text.to_owned()
    };
    let json = serde_json::Value::String(text.clone());
    DynamicMessage::deserialize(descriptor.clone(), json).map_err(|_| Unfit(format!("{} is no {what}", quoted(&text))))
}

/// `update_mask` as `updateMask`.
pub(super) fn camel(text: &str) -> String {
    let mut camel = String::with_capacity(text.len());
    let mut rise = false;
    for letter in text.chars() {
        match letter {
            '_' => rise = true,
            letter if rise => {
                camel.extend(letter.to_uppercase());
                rise = false;
            }
            letter => camel.push(letter),
        }
    }
    camel
}

/// A whole number, also as `1e3` and `7.0`, which JSON does not tell from one.
fn whole(text: &str) -> Option<i128> {
    if let Ok(number) = text.parse::<i128>() {
        return Some(number);
    }
    let number: f64 = real(text)?;
    // Beyond that whole numbers are not told apart.
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i128)
}

fn real(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        text if text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')) =>
        {
            text.parse().ok().filter(|number: &f64| number.is_finite())
        }
        _ => None,
    }
}

/// A text in a message: its beginning, when it is long.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(message: &str, field: &str) -> Kind {
        let message = nexus_api::json::pool().get_message_by_name(message).expect("message");
        message.get_field_by_name(field).expect("field").kind()
    }

    #[test]
    fn texts_are_the_values_of_their_kind_or_are_told_what_would_be() {
        assert_eq!(of_text(&Kind::Bool, "true"), Ok(Value::Bool(true)));
        assert_eq!(of_text(&Kind::Uint32, "4294967295"), Ok(Value::U32(u32::MAX)));
        assert_eq!(of_text(&Kind::Int32, "1e3"), Ok(Value::I32(1000)));
        assert_eq!(of_text(&Kind::Int64, "-9223372036854775808"), Ok(Value::I64(i64::MIN)));
        assert_eq!(of_text(&Kind::Double, "0.1"), Ok(Value::F64(0.1)));
        assert_eq!(of_text(&Kind::Bytes, "_-8="), Ok(Value::Bytes(vec![0xff, 0xef].into())));
        for (kind, wrong) in [
            (Kind::Bool, "yes"),
            (Kind::Uint32, "4294967296"),
            (Kind::Uint32, "-1"),
            (Kind::Int32, "1.5"),
            (Kind::Int32, ""),
            (Kind::Uint64, "18446744073709551616"),
            (Kind::Double, "1e999"),
            (Kind::Double, "inf"),
            (Kind::Bytes, "§"),
        ] {
            assert!(of_text(&kind, wrong).is_err(), "{kind:?} {wrong}");
        }
    }

    #[test]
    fn enumerations_are_named_with_and_without_what_all_names_begin_with() {
        let view = kind("nexus.execution.v1.GetExecutionRequest", "view");
        for text in ["EXECUTION_VIEW_FULL", "full", "FULL", "2"] {
            assert_eq!(of_text(&view, text), Ok(Value::EnumNumber(2)), "{text}");
        }
        let told = of_text(&view, "all").expect_err("none").to_string();
        assert!(told.contains("EXECUTION_VIEW_FULL"), "{told}");
        assert!(of_text(&view, "9").is_err() && of_text(&view, "").is_err());
    }

    #[test]
    fn times_spans_and_masks_are_read_from_text() {
        let timeout = kind("nexus.execution.v1.WaitExecutionRequest", "timeout");
        let Ok(Value::Message(span)) = of_text(&timeout, "1.5s") else {
            panic!("no span")
        };
        assert_eq!(
            span.get_field_by_name("nanos").and_then(|nanos| nanos.as_i32()),
            Some(500_000_000)
        );
        assert!(
            of_text(&timeout, "soon")
                .expect_err("none")
                .to_string()
                .contains("1.5s")
        );
        let mask = kind("nexus.definitions.v1.UpdateWorkflowRequest", "update_mask");
        let Ok(Value::Message(mask)) = of_text(&mask, "description,task_count") else {
            panic!("no mask")
        };
        let paths = mask.get_field_by_name("paths").expect("paths").into_owned();
        assert_eq!(paths.as_list().expect("list")[1].as_str(), Some("task_count"));
    }
}
