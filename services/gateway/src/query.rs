//! Query parameters as fields: `page_size=5`, `a.b=x` for one within another, `labels[team]=data` for an entry of a map, a
//! name again and again for a list. Pure.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value};

use crate::json::of_text;
use crate::near::suggest;
use crate::problem::Problem;

/// Parameters of a request at most.
const MOST: usize = 256;
/// How deep a name may lead.
const MOST_NESTED: usize = 16;

/// A query's names, each with its texts in their order.
///
/// # Errors
/// When there are too many.
pub fn pairs(query: &str) -> Result<Vec<(String, Vec<String>)>, Problem> {
    let mut pairs: Vec<(String, Vec<String>)> = Vec::new();
    for (at, (name, text)) in form_urlencoded::parse(query.as_bytes()).enumerate() {
        if at >= MOST {
            return Err(Problem::field("", format!("the query has more than {MOST} parameters")));
        }
        match pairs.iter_mut().find(|(known, _)| *known == name) {
            Some((_, texts)) => texts.push(text.into_owned()),
            None => pairs.push((name.into_owned(), vec![text.into_owned()])),
        }
    }
    Ok(pairs)
}

/// Sets the field that a parameter names.
///
/// # Errors
/// When there is none, it has another value already, or the texts are none of its values.
pub fn set(message: &mut DynamicMessage, name: &str, texts: &[String]) -> Result<(), Problem> {
    let descriptor = message.descriptor();
    let wrong = |problem: String| Problem::field(name, problem);
    let (path, key) = match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
        Some((path, key)) => (path, Some(key)),
        None => (name, None),
    };
    let found = walk(message, path).filter(|(_, field)| field.is_map() == key.is_some());
    let (parent, field) = found.ok_or_else(|| wrong(unknown(name, &descriptor)))?;
    if let Some(key) = key {
        return entry(parent, &field, key, texts).map_err(wrong);
    }
    if parent.has_field(&field) {
        return Err(wrong("stands in the body already; leave one of them out".to_owned()));
    }
    let value = |text: &String| of_text(&field.kind(), text).map_err(|unfit| wrong(unfit.to_string()));
    let read = match texts {
        texts if field.is_list() => Value::List(texts.iter().map(value).collect::<Result<_, _>>()?),
        [text] => value(text)?,
        _ => return Err(wrong("is given more than once".to_owned())),
    };
    parent.set_field(&field, read);
    Ok(())
}

fn entry(parent: &mut DynamicMessage, field: &FieldDescriptor, key: &str, texts: &[String]) -> Result<(), String> {
    let Kind::Message(entry) = field.kind() else {
        return Err("cannot be given here".to_owned());
    };
    let [text] = texts else {
        return Err("is given more than once".to_owned());
    };
    let key = of_text(&entry.map_entry_key_field().kind(), key).map_err(|unfit| unfit.to_string())?;
    let value = of_text(&entry.map_entry_value_field().kind(), text).map_err(|unfit| unfit.to_string())?;
    let (Some(key), Some(entries)) = (key.into_map_key(), parent.get_field_mut(field).as_map_mut()) else {
        return Err("cannot be given here".to_owned());
    };
    match entries.insert(key, value) {
        None => Ok(()),
        Some(_) => Err("stands in the body already; leave one of them out".to_owned()),
    }
}

/// The message that holds the field which a path of names leads to. Messages on the way are made.
#[must_use]
pub fn walk<'a>(message: &'a mut DynamicMessage, path: &str) -> Option<(&'a mut DynamicMessage, FieldDescriptor)> {
    let mut parent = message;
    let mut names = path.split('.').take(MOST_NESTED + 1).peekable();
    if names.clone().count() > MOST_NESTED {
        return None;
    }
    loop {
        let name = names.next()?;
        let descriptor = parent.descriptor();
        let field = descriptor
            .get_field_by_name(name)
            .or_else(|| descriptor.get_field_by_json_name(name))?;
        if names.peek().is_none() {
            return Some((parent, field));
        }
        if field.is_list() || field.is_map() {
            return None;
        }
        parent = parent.get_field_mut(&field).as_message_mut()?;
    }
}

fn unknown(name: &str, descriptor: &MessageDescriptor) -> String {
    let names: Vec<String> = descriptor
        .fields()
        .map(|field| match field.is_map() {
            true => format!("{}[…]", field.name()),
            false => field.name().to_owned(),
        })
        .collect();
    let near = suggest(name, names.iter().map(String::as_str));
    match near.as_str() {
        "" => format!("there is no such parameter; there are {}", names.join(", ")),
        near => format!("there is no such parameter{near}"),
    }
}
