//! The contracts' comments, by what they stand before.

use std::collections::HashMap;

use prost_reflect::{
    DescriptorPool, EnumDescriptor, EnumValueDescriptor, FieldDescriptor, FileDescriptor, MessageDescriptor,
    MethodDescriptor, ServiceDescriptor,
};

/// Comments by file and by the path of what they are about, as `google.protobuf.SourceCodeInfo` has it.
pub(super) struct Comments {
    found: HashMap<(String, Vec<i32>), String>,
}

impl Comments {
    pub(super) fn read(pool: &DescriptorPool) -> Self {
        let mut found = HashMap::new();
        for file in pool.files().filter(|file| file.package_name().starts_with("nexus.")) {
            let Some(info) = &file.file_descriptor_proto().source_code_info else {
                continue;
            };
            for location in &info.location {
                if let Some(text) = &location.leading_comments {
                    found.insert((file.name().to_owned(), location.path.clone()), plain(text));
                }
            }
        }
        Self { found }
    }

    fn of(&self, file: &FileDescriptor, path: &[i32]) -> String {
        let key = (file.name().to_owned(), path.to_vec());
        self.found.get(&key).cloned().unwrap_or_default()
    }

    pub(super) fn of_service(&self, service: &ServiceDescriptor) -> String {
        self.of(&service.parent_file(), service.path())
    }

    pub(super) fn of_method(&self, method: &MethodDescriptor) -> String {
        self.of(&method.parent_file(), method.path())
    }

    pub(super) fn of_message(&self, message: &MessageDescriptor) -> String {
        self.of(&message.parent_file(), message.path())
    }

    pub(super) fn of_field(&self, field: &FieldDescriptor) -> String {
        self.of(&field.parent_file(), field.path())
    }

    pub(super) fn of_enum(&self, one: &EnumDescriptor) -> String {
        self.of(&one.parent_file(), one.path())
    }

    pub(super) fn of_value(&self, one: &EnumValueDescriptor) -> String {
        self.of(&one.parent_file(), one.path())
    }
}

/// A comment without the blanks at its lines' beginnings and the breaks within its paragraphs.
fn plain(text: &str) -> String {
    let paragraphs = text.split("\n\n");
    let joined = paragraphs.map(|paragraph| paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" "));
    joined.collect::<Vec<_>>().join("\n\n").trim().to_owned()
}

/// The first sentence of a text.
pub(super) fn first_sentence(text: &str) -> &str {
    let end = text.find(". ").or_else(|| text.strip_suffix('.').map(str::len));
    end.map_or(text, |end| &text[..end])
}
