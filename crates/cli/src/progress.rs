//! Progress on stderr: a bar with the time left on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use dyntta_train::Progress;
use indicatif::{ProgressBar, ProgressStyle};

use crate::message::{clean, line};
use crate::out::note;

/// Between two lines where there is no terminal.
const QUIET: Duration = Duration::from_secs(15);

/// Progress for whoever looks at stderr.
pub fn new() -> Box<dyn Progress> {
    if std::io::stderr().is_terminal() { Box::new(Bar(None)) } else { Box::new(Lines::default()) }
}

struct Bar(Option<ProgressBar>);

impl Progress for Bar {
    fn begin(&mut self, stage: &str, total: u64, done: u64) {
        let style = match total {
            0 => "{prefix} {pos} {msg} · {elapsed} · {per_sec}", // nobody knows how much there is
            _ => "{prefix} [{bar:24}] {pos}/{len} · {elapsed} · {eta} left · {msg}",
        };
        let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
        let style = style.progress_chars("━╸ ");
        let bar = ProgressBar::new(total).with_style(style).with_prefix(stage.to_owned());
        bar.set_position(done);
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(250));
        self.0 = Some(bar);
    }

    fn update(&mut self, done: u64, note: &str) {
        if let Some(bar) = &self.0 {
            bar.set_position(done);
            bar.set_message(line(note));
        }
    }

    fn end(&mut self, note: &str) {
        if let Some(bar) = self.0.take() {
            let text = summary(&bar.prefix(), bar.elapsed(), note);
            bar.finish_and_clear();
            note!("{text}");
        }
    }

    fn message(&mut self, text: &str) {
        match &self.0 {
            Some(bar) => bar.println(clean(text)),
            None => note!("{}", clean(text)),
        }
    }
}

fn summary(stage: &str, elapsed: Duration, note: &str) -> String {
    let separator = if note.is_empty() { "" } else { " · " };
    clean(&format!("{stage}: {}{separator}{note}", clock(elapsed.as_secs_f64())))
}

/// `1 h 02 min`, `3 min 05 s` or `12 s`.
pub fn clock(seconds: f64) -> String {
    let s = seconds.round() as u64;
    match s {
        3600.. => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
        60.. => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{s} s"),
    }
}

#[derive(Default)]
struct Lines {
    stage: Option<Stage>,
}

struct Stage {
    name: String,
    total: u64,
    first: u64,
    started: Instant,
    last: Instant,
}

impl Progress for Lines {
    fn begin(&mut self, stage: &str, total: u64, done: u64) {
        let now = Instant::now();
        self.stage = Some(Stage { name: stage.to_owned(), total, first: done, started: now, last: now });
    }

    fn update(&mut self, done: u64, note: &str) {
        let Some(stage) = &mut self.stage else { return };
        if stage.last.elapsed() < QUIET {
            return;
        }
        stage.last = Instant::now();
        if stage.total == 0 {
            note!("{}: {done} {}", stage.name, line(note));
            return;
        }
        let rate = done.saturating_sub(stage.first) as f64 / stage.started.elapsed().as_secs_f64();
        let left =
            if rate > 0.0 { clock(stage.total.saturating_sub(done) as f64 / rate) } else { "?".to_owned() };
        note!("{}: {done}/{} · {left} left · {}", stage.name, stage.total, line(note));
    }

    fn end(&mut self, note: &str) {
        if let Some(stage) = self.stage.take() {
            note!("{}", summary(&stage.name, stage.started.elapsed(), note));
        }
    }

    fn message(&mut self, text: &str) {
        note!("{}", clean(text));
    }
}

/// The largest resident size this process has had, in MiB, where the system tells.
pub fn peak_mib() -> Option<u64> {
    kib("/proc/self/status", "VmHWM:").map(|kib| kib / 1024)
}

/// How many bytes of memory are free or can be freed, where the system tells.
pub fn available_bytes() -> Option<u64> {
    kib("/proc/meminfo", "MemAvailable:")?.checked_mul(1024)
}

/// A number of KiB by its name in one of the system's lists.
fn kib(list: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(list).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::clock;

    #[test]
    fn times_read_well() {
        assert_eq!(clock(11.6), "12 s");
        assert_eq!(clock(185.0), "3 min 05 s");
        assert_eq!(clock(3720.0), "1 h 02 min");
    }
}
