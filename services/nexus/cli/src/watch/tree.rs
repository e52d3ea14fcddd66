//! The picture of an execution: a head, a bar, a tree of tasks. A pure function of what is known, the time and the
//! size of the terminal.

use nexus_api::execution::v1::{execution, task};
use nexus_cli_frame::time::span;

use super::state::{TaskView, View, has_ended};

const BAR: usize = 24;
/// Levels that are drawn further to the right than the one before.
const MAX_DEPTH: usize = 6;

/// The size of the picture.
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) color: bool,
}

/// The picture's lines.
pub(super) fn render(view: &View, now: i64, frame: &Frame) -> Vec<String> {
    let mut lines = head(view, now, frame);
    let room = frame.height.saturating_sub(lines.len() + 1).max(1);
    let rows = rows(view);
    let shown = choose(view, &rows, room);
    let widest = shown
        .iter()
        .map(|at| rows[*at].prefix.chars().count() + view.tasks[rows[*at].task].id.chars().count());
    let column = widest.max().unwrap_or_default().min(frame.width / 2);
    for at in &shown {
        lines.push(task_line(&rows[*at], &view.tasks[rows[*at].task], now, column, frame));
    }
    if shown.len() < rows.len() {
        lines.push(paint(
            &format!("… and {} more tasks", rows.len() - shown.len()),
            DIM,
            frame,
        ));
    }
    lines
}

fn head(view: &View, now: i64, frame: &Frame) -> Vec<String> {
    let took = view
        .created
        .map(|created| span(view.finished.unwrap_or(now) - created))
        .unwrap_or_default();
    let color = match view.state {
        execution::State::Succeeded => GREEN,
        execution::State::Failed | execution::State::TimedOut => RED,
        execution::State::Cancelled | execution::State::Cancelling => YELLOW,
        _ => BLUE,
    };
    let (ended, all) = (view.ended(), view.tasks.len());
    let filled = (BAR * ended).checked_div(all).unwrap_or(BAR);
    let bar: String = (0..BAR).map(|at| if at < filled { '█' } else { '░' }).collect();
    let first = cut(&format!("{}  {}", view.workflow, view.id), frame.width);
    let second = format!("{} {bar} {ended}/{all}  {took}", view.state.as_str_name());
    vec![
        paint(&first, BOLD, frame),
        paint(&cut(&second, frame.width), color, frame),
    ]
}

/// A task's place in the tree.
struct Row {
    task: usize,
    prefix: String,
}

/// The tree in the order in which it is drawn: below each task those whose last need it is.
fn rows(view: &View) -> Vec<Row> {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); view.tasks.len()];
    let mut roots = Vec::new();
    for (at, task) in view.tasks.iter().enumerate() {
        match task.parent {
            Some(parent) => children[parent].push(at),
            None => roots.push(at),
        }
    }
    let mut rows = Vec::with_capacity(view.tasks.len());
    // A stack instead of recursion: a chain may be thousands of tasks long.
    let mut open: Vec<(usize, usize, String, bool)> =
        roots.iter().rev().map(|root| (*root, 0, String::new(), true)).collect();
    while let Some((at, depth, indent, last)) = open.pop() {
        let (own, below) = match (depth, last) {
            (0, _) => (String::new(), String::new()),
            (_, true) => (format!("{indent}└─ "), format!("{indent}   ")),
            (_, false) => (format!("{indent}├─ "), format!("{indent}│  ")),
        };
        rows.push(Row { task: at, prefix: own });
        // From here on a long chain goes straight down, or it would walk off the right edge.
        let below = if depth < MAX_DEPTH { below } else { indent };
        for (number, child) in children[at].iter().enumerate().rev() {
            let last_child = number + 1 == children[at].len();
            open.push((*child, depth + 1, below.clone(), last_child));
        }
    }
    rows
}

/// Which rows are drawn when not all fit: what runs or failed first, then what comes next, in the tree's order.
fn choose(view: &View, rows: &[Row], room: usize) -> Vec<usize> {
    if rows.len() <= room {
        return (0..rows.len()).collect();
    }
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|at| match view.tasks[rows[*at].task].state {
        task::State::Running => 0,
        task::State::Failed | task::State::TimedOut | task::State::Unknown => 1,
        task::State::Retrying => 2,
        state if has_ended(state) => 4,
        _ => 3,
    });
    order.truncate(room);
    order.sort_unstable();
    order
}

fn task_line(row: &Row, task: &TaskView, now: i64, column: usize, frame: &Frame) -> String {
    let (glyph, color) = glyph(task.state);
    let name = format!("{}{}", row.prefix, task.id);
    let mut facts = vec![task.state.as_str_name().to_owned()];
    if let Some(started) = task.started {
        facts.push(span(task.finished.unwrap_or(now) - started));
    }
    if task.attempt > 1 {
        facts.push(format!("attempt {}", task.attempt));
    }
    if let Some(next) = task.next_attempt.filter(|_| task.state == task::State::Retrying) {
        facts.push(format!("next in {}", span(next - now)));
    }
    if !task.error.is_empty() {
        facts.push(task.error.lines().next().unwrap_or_default().to_owned());
    }
    let name = format!("{:column$}", cut(&name, column));
    // The prefix stays plain: it is the tree's, not the task's.
    let used = column + 4;
    let facts = cut(&facts.join("  "), frame.width.saturating_sub(used));
    format!("{} {name}  {}", paint(glyph, color, frame), paint(&facts, color, frame))
}

fn glyph(state: task::State) -> (&'static str, &'static str) {
    use task::State as S;
    match state {
        S::Succeeded | S::Cached => ("✓", GREEN),
        S::Failed | S::TimedOut | S::Unknown => ("✗", RED),
        S::Running => ("▶", BLUE),
        S::Retrying => ("↻", YELLOW),
        S::Cancelled => ("■", YELLOW),
        S::Skipped | S::UpstreamFailed => ("○", DIM),
        S::Scheduled => ("◌", PLAIN),
        S::Sleeping | S::AwaitingSignal | S::Paused => ("‖", YELLOW),
        S::Waiting | S::Unspecified => ("·", DIM),
    }
}

const PLAIN: &str = "";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const BLUE: &str = "\x1b[34m";

fn paint(text: &str, color: &str, frame: &Frame) -> String {
    if frame.color && !color.is_empty() {
        format!("{color}{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// A text that fits; control characters would move the cursor and are left out.
fn cut(text: &str, width: usize) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).collect();
    nexus_cli_frame::table::cut(&clean, width)
}

#[cfg(test)]
mod tests {
    use nexus_api::common::v1::Failure;
    use nexus_api::execution::v1::event::Type;
    use nexus_api::execution::v1::{Event, Execution, Task};
    use nexus_api::time::timestamp;

    use super::*;

    fn view(tasks: &[(&str, &[&str])]) -> View {
        View::new(&Execution {
            id: "0198".into(),
            workflow: "etl".into(),
            create_time: Some(timestamp(0)),
            tasks: tasks
                .iter()
                .map(|(id, needs)| Task {
                    id: (*id).into(),
                    needs: needs.iter().map(|need| (*need).into()).collect(),
                    ..Task::default()
                })
                .collect(),
            ..Execution::default()
        })
    }

    fn event(sequence: u64, at: i64, kind: Type, task: &str, state: task::State) -> Event {
        let mut event = Event {
            sequence,
            time: Some(timestamp(at * 1_000_000)),
            task: task.into(),
            attempt: 1,
            ..Event::default()
        };
        event.set_type(kind);
        event.set_task_state(state);
        event
    }

    fn frame(width: usize, height: usize) -> Frame {
        Frame {
            width,
            height,
            color: false,
        }
    }

    #[test]
    fn the_picture_of_a_running_diamond() {
        let mut view = view(&[
            ("extract", &[]),
            ("left", &["extract"]),
            ("right", &["extract"]),
            ("load", &["left", "right"]),
        ]);
        view.take(&event(1, 0, Type::ExecutionStarted, "", task::State::Unspecified));
        view.take(&event(2, 0, Type::TaskStarted, "extract", task::State::Running));
        view.take(&event(3, 2, Type::TaskFinished, "extract", task::State::Succeeded));
        view.take(&event(4, 2, Type::TaskStarted, "left", task::State::Running));
        let mut retry = event(5, 3, Type::TaskRetrying, "right", task::State::Retrying);
        retry.error = Some(Failure {
            r#type: "ValueError".into(),
            message: "bad\x1b[2Jrows".into(),
            ..Failure::default()
        });
        retry.next_attempt_time = Some(timestamp(7_000_000));
        view.take(&retry);
        view.take(&retry);
        assert_eq!(
            render(&view, 5_000_000, &frame(80, 24)),
            [
                "etl  0198",
                "RUNNING ██████░░░░░░░░░░░░░░░░░░ 1/4  5.0 s",
                "✓ extract     SUCCEEDED  2.0 s",
                "▶ ├─ left     RUNNING  3.0 s",
                "↻ └─ right    RETRYING  next in 2.0 s  ValueError: bad[2Jrows",
                "·    └─ load  WAITING",
            ]
        );
        assert_eq!(view.last_event(), 5);
    }

    #[test]
    fn a_long_list_shows_what_matters_and_says_how_many_more() {
        let names: Vec<String> = (0..500).map(|number| format!("t{number:03}")).collect();
        let tasks: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), [].as_slice())).collect();
        let mut view = view(&tasks);
        view.take(&event(1, 0, Type::TaskStarted, "t400", task::State::Running));
        view.take(&event(2, 1, Type::TaskFinished, "t300", task::State::Failed));
        let lines = render(&view, 2_000_000, &frame(60, 10));
        assert_eq!(lines.len(), 10);
        assert!(lines.iter().any(|line| line.contains("t400")) && lines.iter().any(|line| line.contains("t300")));
        assert_eq!(lines[9], "… and 493 more tasks");
    }

    #[test]
    fn a_chain_does_not_walk_off_the_edge_and_lines_fit() {
        let names: Vec<String> = (0..3_000).map(|number| format!("t{number}")).collect();
        let needs: Vec<Vec<&str>> = (0..3_000)
            .map(|at| {
                if at == 0 {
                    Vec::new()
                } else {
                    vec![names[at - 1].as_str()]
                }
            })
            .collect();
        let tasks: Vec<(&str, &[&str])> = names
            .iter()
            .map(String::as_str)
            .zip(needs.iter().map(Vec::as_slice))
            .collect();
        let lines = render(&view(&tasks), 0, &frame(40, 4_000));
        assert_eq!(lines.len(), 3_002);
        assert!(lines.iter().all(|line| line.chars().count() <= 40), "every line fits");
    }
}
