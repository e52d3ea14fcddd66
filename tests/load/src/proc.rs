//! What the kernel knows about a process and everything below it.

use std::collections::HashMap;
use std::fs;

/// Ticks of the kernel's clock in a second, as `/proc` counts them on Linux whatever its own clock is.
const TICKS: f64 = 100.0;

/// All processes at one moment.
pub(crate) struct Table {
    children: HashMap<u32, Vec<u32>>,
    ticks: HashMap<u32, f64>,
}

impl Table {
    pub(crate) fn read() -> Self {
        let mut table = Self {
            children: HashMap::new(),
            ticks: HashMap::new(),
        };
        for pid in pids("/proc") {
            if let Some((parent, ticks)) = stat(pid) {
                table.children.entry(parent).or_default().push(pid);
                table.ticks.insert(pid, ticks);
            }
        }
        table
    }

    /// A process and everything below it.
    pub(crate) fn family(&self, root: u32) -> Vec<u32> {
        let mut family = vec![root];
        let mut seen = 0;
        while let Some(pid) = family.get(seen).copied() {
            family.extend(self.children.get(&pid).into_iter().flatten());
            seen += 1;
        }
        family
    }

    /// CPU milliseconds that a process and everything below it have used, those included that have ended and were
    /// waited for.
    pub(crate) fn cpu_ms(&self, root: u32) -> f64 {
        let family = self.family(root);
        let ticks: f64 = family.iter().filter_map(|pid| self.ticks.get(pid)).sum();
        ticks * 1000.0 / TICKS
    }
}

/// [`Table::cpu_ms`] of now.
pub(crate) fn cpu_ms(root: u32) -> f64 {
    Table::read().cpu_ms(root)
}

/// Parent, and ticks used by the process and by children that it has waited for.
fn stat(pid: u32) -> Option<(u32, f64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may itself hold brackets and spaces.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let number = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((
        fields.get(1)?.parse().ok()?,
        number(11)? + number(12)? + number(13)? + number(14)?,
    ))
}

fn pids(folder: &str) -> Vec<u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// A size from a file of `/proc/<pid>`, in MiB.
fn size_mib(pid: u32, file: &str, key: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    field(&text, key).unwrap_or(0.0) / 1024.0
}

fn field(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Memory that a process holds now, in MiB.
pub(crate) fn rss_mib(pid: u32) -> f64 {
    size_mib(pid, "status", "VmRSS:")
}

/// A process's share of the memory that it holds, in MiB: of what several hold together, each has its part.
pub(crate) fn share_mib(pid: u32) -> f64 {
    size_mib(pid, "smaps_rollup", "Pss:")
}

/// The most memory that it has held since the last [`reset_peak`], in MiB.
pub(crate) fn peak_mib(pid: u32) -> f64 {
    size_mib(pid, "status", "VmHWM:")
}

/// Makes the kernel forget the most memory that a process has held.
pub(crate) fn reset_peak(pid: u32) {
    // A kernel that cannot forget leaves the larger peak standing, which is no wrong answer.
    let _kept = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// How often the threads of a process have gone to sleep by themselves: each wake-up is one of these.
pub(crate) fn sleeps(pid: u32) -> f64 {
    let tasks = format!("/proc/{pid}/task");
    let of = |thread: u32| {
        let status = fs::read_to_string(format!("{tasks}/{thread}/status")).ok()?;
        field(&status, "voluntary_ctxt_switches:")
    };
    pids(&tasks).into_iter().filter_map(of).sum()
}

/// The type of the file system that a folder is on.
pub(crate) fn file_system(folder: &std::path::Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let best = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (point, kind) = (fields.nth(1)?, fields.next()?);
            folder.starts_with(point).then_some((point.len(), kind))
        })
        .max_by_key(|(length, _)| *length);
    best.map_or_else(String::new, |(_, kind)| kind.to_owned())
}

/// How many processes wait for a core or have one, over the last minute: neighbours take from the figures.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_about_this_process() {
        let me = std::process::id();
        assert!(rss_mib(me) > 0.5 && peak_mib(me) >= rss_mib(me) / 2.0);
        let table = Table::read();
        assert!(
            table.cpu_ms(1) >= table.cpu_ms(me),
            "everything is below the first process"
        );
        assert!(table.family(1).contains(&me));
        assert!(!file_system(std::path::Path::new("/proc/self")).is_empty());
    }
}
