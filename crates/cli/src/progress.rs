//! Progress on the terminal: one bar per stage; plain lines where standard error is no terminal.

use std::{
    collections::HashMap,
    io::{IsTerminal, stderr},
    sync::Mutex,
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tuxlet_image::{Progress, Quiet, Stage};

/// What shows progress here.
pub(crate) fn progress(quiet: bool) -> Box<dyn Progress> {
    if quiet {
        Box::new(Quiet)
    } else if stderr().is_terminal() {
        Box::new(Bars::default())
    } else {
        Box::new(Lines::default())
    }
}

fn label(stage: Stage) -> &'static str {
    match stage {
        Stage::Index => "Indices",
        Stage::Download => "Packages",
        Stage::Layers => "Layers",
        Stage::Unpack => "Unpacking",
        Stage::Import => "Importing",
        Stage::Configure => "Configuring",
    }
}

/// Whether a stage is counted in bytes.
fn in_bytes(stage: Stage) -> bool {
    matches!(
        stage,
        Stage::Index | Stage::Download | Stage::Layers | Stage::Import
    )
}

#[derive(Default)]
struct Bars {
    bars: Mutex<HashMap<&'static str, ProgressBar>>,
    /// The bars of parts, below that of their stage.
    parts: Mutex<HashMap<String, ProgressBar>>,
    all: MultiProgress,
}

impl Bars {
    fn with(&self, stage: Stage, f: impl FnOnce(&ProgressBar)) {
        if let Ok(bars) = self.bars.lock()
            && let Some(bar) = bars.get(label(stage))
        {
            f(bar);
        }
    }
}

impl Progress for Bars {
    fn begin(&self, stage: Stage, total: u64) {
        let template = match (total, in_bytes(stage)) {
            (0, true) => "{prefix:>12} {spinner} {bytes} {wide_msg:.dim}",
            (0, false) => "{prefix:>12} {spinner} {pos} {wide_msg:.dim}",
            (_, true) => {
                "{prefix:>12} [{bar:25}] {bytes}/{total_bytes} {bytes_per_sec} {wide_msg:.dim}"
            }
            (_, false) => "{prefix:>12} [{bar:25}] {pos}/{len} {wide_msg:.dim}",
        };
        let bar = if total == 0 {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::new(total)
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        let bar = self.all.add(bar);
        bar.set_prefix(label(stage));
        bar.enable_steady_tick(Duration::from_millis(120));
        if let Ok(mut bars) = self.bars.lock() {
            bars.insert(label(stage), bar);
        }
    }

    fn advance(&self, stage: Stage, n: u64) {
        self.with(stage, |bar| bar.inc(n));
    }

    fn item(&self, stage: Stage, text: &str) {
        self.with(stage, |bar| bar.set_message(text.to_owned()));
    }

    fn part(&self, _: Stage, name: &str, done: u64, total: u64) {
        let Ok(mut parts) = self.parts.lock() else {
            return;
        };
        if done >= total {
            if let Some(bar) = parts.remove(name) {
                bar.finish_and_clear();
            }
            return;
        }
        let bar = parts.entry(name.to_owned()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new(total));
            if let Ok(style) = ProgressStyle::with_template(
                "{prefix:>12.dim} [{bar:25.dim}] {bytes}/{total_bytes}",
            ) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(name.to_owned());
            bar
        });
        bar.set_position(done);
    }

    fn end(&self, stage: Stage) {
        self.with(stage, |bar| {
            bar.set_message("");
            bar.finish();
        });
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        if let Ok(parts) = self.parts.get_mut() {
            parts.values().for_each(ProgressBar::finish_and_clear);
        }
        // Where an error ended it, the bar stays where it was.
        if let Ok(bars) = self.bars.get_mut() {
            bars.values()
                .filter(|bar| !bar.is_finished())
                .for_each(ProgressBar::abandon);
        }
    }
}

/// One line at the begin of each stage, and one each tenth of it.
#[derive(Default)]
struct Lines {
    stages: Mutex<HashMap<&'static str, (u64, u64)>>,
}

impl Progress for Lines {
    fn begin(&self, stage: Stage, total: u64) {
        let amount = match (total, in_bytes(stage)) {
            (0, _) => String::new(),
            (n, true) => format!(" ({})", crate::table::size(n)),
            (n, false) => format!(" ({n})"),
        };
        eprintln!("{}{amount}", label(stage));
        if let Ok(mut stages) = self.stages.lock() {
            stages.insert(label(stage), (0, total));
        }
    }

    fn advance(&self, stage: Stage, n: u64) {
        let Ok(mut stages) = self.stages.lock() else {
            return;
        };
        let Some((done, total)) = stages.get_mut(label(stage)) else {
            return;
        };
        let tenth = |done: u64| done.saturating_mul(10).checked_div(*total).unwrap_or(0);
        let before = tenth(*done);
        let after = tenth(*done + n);
        *done += n;
        if after > before && after < 10 {
            eprintln!("{}: {after}0%", label(stage));
        }
    }

    fn item(&self, _: Stage, _: &str) {}

    fn part(&self, stage: Stage, name: &str, done: u64, total: u64) {
        if done == total {
            eprintln!(
                "{}: {name} is there ({})",
                label(stage),
                crate::table::size(total)
            );
        }
    }

    fn end(&self, _: Stage) {}
}
