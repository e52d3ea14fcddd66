//! Tables for people: columns by spaces, no borders, so that they can be cut, searched and pasted. Pure.

/// A table with its heads; the last column is not padded.
pub fn render(heads: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells.chain([heads[column].chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
        }
        format!("{}\n", line.trim_end())
    };
    let mut table = line(heads.to_vec());
    for row in rows {
        table.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    table
}

/// Labels as one cell.
pub fn labels(labels: &std::collections::HashMap<String, String>) -> String {
    let mut pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.sort();
    pairs.join(",")
}

/// The first line of a text, cut to a width.
pub fn cut(text: &str, width: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_trails() {
        let rows = vec![
            vec!["a".to_owned(), "SUCCEEDED".to_owned()],
            vec!["länger".to_owned(), String::new()],
        ];
        assert_eq!(
            render(&["ID", "STATE"], &rows),
            "ID      STATE\na       SUCCEEDED\nlänger\n"
        );
        assert_eq!(cut("one\ntwo", 10), "one");
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
