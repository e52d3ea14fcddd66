//! The graph as a standalone SVG: layers from left to right, the critical path a little darker, readable on light and
//! dark pages.

use std::collections::HashSet;
use std::fmt::Write;

use super::Picture;
use super::layout::{Layout, layout};
use crate::graph::Graph;

const MARGIN: f64 = 24.0;
const TITLE_HEIGHT: f64 = 32.0;
const NODE_HEIGHT: f64 = 44.0;
const LAYER_GAP: f64 = 72.0;
/// Width of one character of the monospaced label, in pixels.
const CHARACTER: f64 = 8.0;
const LONGEST_LABEL: usize = 28;
const NARROWEST: f64 = 96.0;

const STYLE: &str = "\
svg{background:#fff}\
text{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}\
.title{font-size:15px;font-weight:600;fill:#0f172a}\
.id{font-size:13px;fill:#0f172a}\
.kind{font-size:10.5px;fill:#64748b}\
.task{fill:#f8fafc;stroke:#94a3b8}\
.edge{fill:none;stroke:#94a3b8;stroke-width:1.3}\
.critical{stroke:#334155;stroke-width:2}\
.head{fill:#64748b}\
@media (prefers-color-scheme:dark){\
svg{background:#0f172a}.title,.id{fill:#e2e8f0}.kind{fill:#94a3b8}\
.task{fill:#1e293b;stroke:#475569}.edge{stroke:#475569}.critical{stroke:#cbd5e1}.head{fill:#94a3b8}}";

/// A standalone SVG picture.
#[must_use]
pub fn svg(graph: &Graph, picture: Picture<'_>) -> String {
    let layout = layout(graph);
    let columns = columns(graph, &layout, picture);
    let width = columns.last().map_or(0.0, |(x, width)| x + width) + MARGIN;
    let width = width.max(2.0 * MARGIN + measure(picture.title) * 1.2);
    let height = layout.height + 2.0 * MARGIN + TITLE_HEIGHT;
    let mut text = String::new();
    // Writing to a String never fails.
    let _ = write!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"Task graph of {title}\">\n\
         <style>{STYLE}</style>\n\
         <defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
         markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"head\" d=\"M0 0 8 4 0 8z\"/></marker></defs>\n\
         <text class=\"title\" x=\"{MARGIN}\" y=\"{y}\">{title}</text>\n",
        title = escape(picture.title),
        y = MARGIN + 6.0,
    );
    draw_edges(&mut text, graph, &layout, &columns, picture);
    draw_tasks(&mut text, graph, &layout, &columns, picture);
    text.push_str("</svg>\n");
    text
}

/// Left side and width of each layer, as wide as its longest label.
fn columns(graph: &Graph, layout: &Layout, picture: Picture<'_>) -> Vec<(f64, f64)> {
    let depth = layout.layer.iter().max().map_or(0, |deepest| deepest + 1);
    let mut widths = vec![NARROWEST; depth];
    for (id, layer) in graph.ids().iter().zip(&layout.layer) {
        let label = measure(&shorten(id)).max(measure(&shorten(&(picture.kind)(id))));
        widths[*layer] = widths[*layer].max(label + 28.0);
    }
    let mut x = MARGIN;
    widths
        .into_iter()
        .map(|width| {
            let left = x;
            x += width + LAYER_GAP;
            (left, width)
        })
        .collect()
}

fn draw_edges(text: &mut String, graph: &Graph, layout: &Layout, columns: &[(f64, f64)], picture: Picture<'_>) {
    let critical = graph.critical_path(picture.expected).tasks;
    let steps: HashSet<(&str, &str)> = critical
        .windows(2)
        .map(|pair| (pair[0].as_str(), pair[1].as_str()))
        .collect();
    for route in &layout.routes {
        let (Some(&first), Some(&last)) = (route.first(), route.last()) else {
            continue;
        };
        let step = (graph.ids()[first].as_str(), graph.ids()[last].as_str());
        let class = if steps.contains(&step) { "edge critical" } else { "edge" };
        let (mut x, mut y) = (
            columns[layout.layer[first]].0 + columns[layout.layer[first]].1,
            middle(layout, first),
        );
        let _ = write!(
            text,
            "<path class=\"{class}\" marker-end=\"url(#head)\" d=\"M{x:.1} {y:.1}"
        );
        for &place in &route[1..] {
            let (left, width) = columns[layout.layer[place]];
            let next = middle(layout, place);
            let bend = ((left - x) / 2.0).max(LAYER_GAP / 2.0);
            let _ = write!(
                text,
                "C{:.1} {y:.1} {:.1} {next:.1} {left:.1} {next:.1}",
                x + bend,
                left - bend
            );
            (x, y) = (left, next);
            if place != last {
                x = left + width;
                let _ = write!(text, "H{x:.1}");
            }
        }
        text.push_str("\"/>\n");
    }
}

fn draw_tasks(text: &mut String, graph: &Graph, layout: &Layout, columns: &[(f64, f64)], picture: Picture<'_>) {
    for (place, id) in graph.ids().iter().enumerate() {
        let (left, width) = columns[layout.layer[place]];
        let y = middle(layout, place);
        let kind = (picture.kind)(id);
        let (id_y, kind_y) = if kind.is_empty() {
            (y + 4.5, y)
        } else {
            (y - 2.0, y + 13.0)
        };
        let _ = write!(
            text,
            "<g><title>{}</title><rect class=\"task\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" \
             height=\"{NODE_HEIGHT}\" rx=\"8\"/><text class=\"id\" x=\"{:.1}\" y=\"{id_y:.1}\">{}</text>",
            escape(id),
            y - NODE_HEIGHT / 2.0,
            left + 14.0,
            escape(&shorten(id)),
        );
        if !kind.is_empty() {
            let _ = write!(
                text,
                "<text class=\"kind\" x=\"{:.1}\" y=\"{kind_y:.1}\">{}</text>",
                left + 14.0,
                escape(&shorten(&kind))
            );
        }
        text.push_str("</g>\n");
    }
}

fn middle(layout: &Layout, place: usize) -> f64 {
    layout.y[place] + MARGIN + TITLE_HEIGHT
}

fn measure(text: &str) -> f64 {
    // Labels are cut to a few dozen characters, far below where a float loses count.
    text.chars().fold(0.0, |width, _| width + CHARACTER)
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= LONGEST_LABEL {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(LONGEST_LABEL - 1).collect();
    short.push('…');
    short
}

/// Text as XML takes it: markup escaped, characters that XML forbids replaced.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
