//! `tuxlet doctor`

use std::{
    io::{self, IsTerminal},
    path::Path,
    process::ExitCode,
};

use tuxlet_host::fs::Dir;
use tuxlet_image::{config::Config, debian::sources::Mirrors, store::Store};

use crate::table;

/// Free space below which an image of Debian does not fit.
const SPACE_MIN: u64 = 2 << 30;

enum Verdict {
    Good,
    Warning,
    Bad,
}
use Verdict::{Bad, Good, Warning};

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let mut bad = false;
    let mut report = |verdict: Verdict, what: &str, text: String| {
        let mark = match verdict {
            Good => "ok",
            Warning => "warning",
            Bad => {
                bad = true;
                "FAILED"
            }
        };
        println!("{mark:<8} {what}: {text}");
    };
    report(
        Good,
        "tuxlet",
        format!(
            "{} on {} {}, {} processors{}",
            env!("CARGO_PKG_VERSION"),
            std::env::consts::OS,
            std::env::consts::ARCH,
            tuxlet_host::thread::processors(),
            if cfg!(debug_assertions) {
                "; a debug build, which is slow"
            } else {
                ""
            }
        ),
    );

    match Store::open_default() {
        Ok(store) => {
            report(Good, "store", store.home().display().to_string());
            check_store(&store, &mut report);
        }
        Err(error) => report(Bad, "store", format!("{:#}", anyhow::Error::from(error))),
    }

    let config = match Config::load() {
        Ok(config) => {
            let there = Config::path().filter(|p| p.exists());
            report(
                Good,
                "configuration",
                there.map_or_else(|| "none".to_owned(), |p| p.display().to_string()),
            );
            config
        }
        Err(error) => {
            report(
                Bad,
                "configuration",
                format!("{:#}", anyhow::Error::from(error)),
            );
            Config::default()
        }
    };
    let found = config.debian.mirror.map_or_else(
        || Mirrors::of_host(Path::new("/")).archives,
        |uri| vec![uri],
    );
    match found.first() {
        Some(uri) => report(Good, "Debian mirror", uri.clone()),
        None => report(
            Warning,
            "Debian mirror",
            "none known; `tuxlet pull debian` takes docker.io's image without --mirror".to_owned(),
        ),
    }

    let terminal = match (
        io::stdin().is_terminal(),
        tuxlet_host::terminal::window_size(io::stdout()),
    ) {
        (true, Ok(size)) => {
            let name = std::env::var("TERM").unwrap_or_else(|_| "unknown".to_owned());
            format!("{name}, {} columns, {} lines", size.cols, size.rows)
        }
        _ => "none here; `run -t` needs one".to_owned(),
    };
    report(Good, "terminal", terminal);
    Ok(ExitCode::from(u8::from(bad)))
}

fn check_store(store: &Store, report: &mut impl FnMut(Verdict, &str, String)) {
    match Dir::open(store.home()).and_then(|dir| dir.fs_stat()) {
        Ok(stat) => {
            let free = stat.bavail.saturating_mul(stat.frsize);
            let verdict = if free < SPACE_MIN { Warning } else { Good };
            report(verdict, "free space", table::size(free));
        }
        Err(error) => report(Warning, "free space", error.to_string()),
    }
    match store.images() {
        Ok(images) => {
            let missing: Vec<String> = images
                .iter()
                .filter(|i| store.layer_dirs(i).is_err())
                .map(|i| i.name.to_string())
                .collect();
            if missing.is_empty() {
                report(Good, "images", images.len().to_string());
            } else {
                report(
                    Bad,
                    "images",
                    format!(
                        "{} without their files; remove them with `tuxlet rmi`",
                        missing.join(", ")
                    ),
                );
            }
        }
        Err(error) => report(Bad, "images", format!("{:#}", anyhow::Error::from(error))),
    }
    match store.machines() {
        Ok(machines) => {
            let running = machines
                .iter()
                .filter(|m| m.is_running().unwrap_or(false))
                .count();
            report(
                Good,
                "machines",
                format!("{}, {running} running", machines.len()),
            );
        }
        Err(error) => report(Bad, "machines", format!("{:#}", anyhow::Error::from(error))),
    }
}
