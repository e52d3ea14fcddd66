//! The name and the path that somebody probably meant. Pure.

/// How far a name may be from what was meant, for its length.
fn reach(name: &str) -> usize {
    (name.chars().count() / 3).clamp(1, 3)
}

/// `; did you mean …?` for the nearest of some names; nothing when none is near. A name that is long is near to none.
pub(crate) fn suggest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    if name.len() > 128 {
        return String::new();
    }
    let near = names
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, known)| *distance <= reach(known))
        .min_by_key(|(distance, _)| *distance);
    near.map(|(_, known)| format!("; did you mean {known}?"))
        .unwrap_or_default()
}

/// Paths that differ by more are not alike.
const ALIKE: usize = 8;

/// Of a path that is not there at most so many characters are looked at.
const LOOKED_AT: usize = 200;

/// The template that is most like a path; nothing when none is.
pub(crate) fn path<'a>(path: &str, templates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let path: String = path.chars().take(LOOKED_AT).collect();
    let theirs = parts(&path);
    let distance = |template: &str| {
        let ours = parts(template);
        let alike = ours.iter().zip(&theirs).map(|(ours, theirs)| difference(ours, theirs));
        alike.sum::<usize>() + 4 * ours.len().abs_diff(theirs.len())
    };
    let near = templates.map(|template| (distance(template), template));
    let (distance, template) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= ALIKE).then_some(template)
}

/// The parts of a path without what leads nowhere else: empty ones, `.`, and `..` with what stands before it.
fn parts(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts
}

/// How much a part of a path differs from what an operation has in its place. Any text may be what a variable stands for,
/// but what is written as it is there is more surely meant; capitals count once.
fn difference(ours: &str, theirs: &str) -> usize {
    if ours.starts_with('{') {
        return 1;
    }
    let (literal, small) = (ours.to_lowercase(), theirs.to_lowercase());
    let edits = strsim::damerau_levenshtein(&literal, &small);
    let longest = literal.chars().count().max(small.chars().count());
    if 3 * edits > 2 * longest {
        // With hardly a letter in common it is another word, and not the same one wrongly written.
        return ALIKE + 1;
    }
    edits + usize::from(small != theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_path_is_the_one_that_was_meant() {
        let templates = [
            "/api/v1/keys",
            "/api/v1/keys/{key}",
            "/api/v1/executions/{execution}",
            "/api/v1/executions/{execution}/tasks",
            "/api/v1/statistics/workflows",
            "/api/v1/workflows",
            "/api/v1/workflows/{workflow}",
            "/api/v1/workflows/{workflow}/trigger",
        ];
        for (wrong, meant) in [
            ("/api/v1/workflow", "/api/v1/workflows"),
            ("/api/v1//workflows", "/api/v1/workflows"),
            ("/api//v1/workflows", "/api/v1/workflows"),
            ("/api/v1/x/../workflows", "/api/v1/workflows"),
            ("/api/v1/./workflows", "/api/v1/workflows"),
            ("/api/v1/WORKFLOWS", "/api/v1/workflows"),
            ("/API/V1/Workflows/etl/Triger", "/api/v1/workflows/{workflow}/trigger"),
            ("/api/v1/excutions/7/taks", "/api/v1/executions/{execution}/tasks"),
            ("/api/v1/foo/workflows", ""),
            ("/api/v1/foo", ""),
            ("/../..", ""),
            ("/", ""),
        ] {
            let near = path(wrong, templates.into_iter()).unwrap_or_default();
            assert_eq!(near, meant, "{wrong}");
        }
    }
}
