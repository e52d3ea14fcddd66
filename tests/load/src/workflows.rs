//! The workflow files of the workloads.

use std::fmt::Write;

/// The queue of the bench's own worker.
pub(crate) const OUTSIDE_QUEUE: &str = "bench";

/// Tasks of a layered graph stand in so many layers.
const LAYERS: usize = 100;

/// Which worker runs a workflow's tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runner {
    /// The server's own.
    Local,
    /// The bench's, over the network.
    Outside,
}

impl Runner {
    fn queue(self) -> String {
        match self {
            Self::Local => String::new(),
            Self::Outside => format!("queue: {OUTSIDE_QUEUE}, "),
        }
    }
}

/// How a Python task is kept apart from the others; `None` leaves it to the server.
pub(crate) type Isolation = Option<&'static str>;

struct File(String);

impl File {
    fn new(name: &str) -> Self {
        Self(format!("name: {name}\ntasks:\n"))
    }

    /// A task with the fields that stand before its kind.
    fn task(&mut self, id: &str, fields: &str, kind: &str) {
        // Writing to a String never fails.
        let _ = writeln!(self.0, "  {id}: {{{fields}{kind}}}");
    }

    fn noop(&mut self, id: &str, fields: &str) {
        self.task(id, fields, "noop: {}");
    }
}

/// Tasks in a row.
pub(crate) fn chain(name: &str, length: usize, runner: Runner) -> String {
    let mut file = File::new(name);
    let queue = runner.queue();
    for n in 0..length {
        file.noop(&format!("t{n}"), &format!("{queue}{}", after(n)));
    }
    file.0
}

fn after(n: usize) -> String {
    match n.checked_sub(1) {
        Some(before) => format!("needs: [t{before}], "),
        None => String::new(),
    }
}

/// One task, then so many side by side.
pub(crate) fn star(name: &str, rays: usize) -> String {
    let mut file = File::new(name);
    file.noop("hub", "");
    for n in 0..rays {
        file.noop(&format!("t{n}"), "needs: [hub], ");
    }
    file.0
}

/// One task, so many side by side, and one that waits for them all.
pub(crate) fn fan(name: &str, width: usize) -> String {
    let mut text = star(name, width);
    let all: Vec<String> = (0..width).map(|n| format!("t{n}")).collect();
    let _ = writeln!(text, "  join: {{needs: [{}], noop: {{}}}}", all.join(", "));
    text
}

/// A hundred layers; each task needs two of the layer before.
pub(crate) fn layered(name: &str, tasks: usize) -> String {
    let mut file = File::new(name);
    let width = (tasks / LAYERS).max(2);
    for n in 0..tasks {
        let (layer, place) = (n / width, n % width);
        let fields = match layer.checked_sub(1) {
            None => String::new(),
            Some(before) => {
                let of = |place: usize| before * width + place % width;
                format!("needs: [t{}, t{}], ", of(place), of(place + 1))
            }
        };
        file.noop(&format!("t{n}"), &fields);
    }
    file.0
}

/// Five tasks: one, three side by side, one that joins them.
pub(crate) fn diamond(name: &str) -> String {
    let mut file = File::new(name);
    file.noop("a", "");
    for id in ["b", "c", "d"] {
        file.noop(id, "needs: [a], ");
    }
    file.noop("e", "needs: [b, c, d], ");
    file.0
}

/// Python tasks in a row, each of which works out a Fibonacci number.
pub(crate) fn fibonacci(name: &str, n: u32, length: usize, isolation: Isolation) -> String {
    let mut file = File::new(name);
    for place in 0..length {
        file.task(&format!("t{place}"), &after(place), &fib(n, isolation));
    }
    file.0
}

/// So many Python tasks at a time, each of which works out a Fibonacci number.
pub(crate) fn side_by_side(name: &str, n: u32, tasks: usize) -> String {
    let mut file = File::new(name);
    for place in 0..tasks {
        file.task(&format!("t{place}"), "", &fib(n, None));
    }
    file.0
}

fn fib(n: u32, isolation: Isolation) -> String {
    let isolation = isolation.map_or_else(String::new, |isolation| format!("isolation: {isolation}, "));
    let code = r#""def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)\ndef main(n): return fib(n)""#;
    format!("python: {{{isolation}args: {{n: {n}}}, code: {code}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layered_graph_needs_two_of_the_layer_before() {
        let text = layered("w", 1000);
        assert_eq!(text.lines().count(), 1002);
        assert!(text.contains("  t9: {noop: {}}\n"));
        assert!(text.contains("  t10: {needs: [t0, t1], noop: {}}\n"));
        assert!(text.contains("  t19: {needs: [t9, t0], noop: {}}\n"));
    }
}
