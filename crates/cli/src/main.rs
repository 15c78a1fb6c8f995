//! The `tuxlet` command: images and machines from a shell.
//!
//! `args` says what can be typed, `cmd` does it. Everything about guests goes through the public API of the `tuxlet` crate, everything
//! about images through `tuxlet_image`.

#![forbid(unsafe_code)]

mod args;
#[cfg(test)]
mod book;
mod cmd;
mod control;
mod guest;
mod keeper;
mod process;
mod progress;
mod session;
mod settings;
mod shell;
mod table;

use std::process::ExitCode;

use anyhow::Context;
use args::{Cli, Command};
use clap::{CommandFactory, Parser};

/// Exit status for failures of tuxlet itself, as Docker has it.
const FAILED: u8 = 125;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Where this fails, there is nobody to be told.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { FAILED } else { 0 });
        }
    };
    start_log();
    match dispatch(cli.command) {
        Ok(status) => status,
        Err(error) => {
            // Somebody who takes only the first lines of a listing wants no complaint.
            if is_broken_pipe(&error) {
                return ExitCode::from(FAILED);
            }
            eprintln!("tuxlet: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => return cmd::run::run(args),
        Command::Exec(args) => return cmd::exec::run(args),
        Command::Start(args) => return cmd::start::start(&args),
        Command::Background(args) => return cmd::start::background(&args),
        Command::Serve(args) => cmd::serve::serve(args)?,
        Command::Web(args) => cmd::web::web(args)?,
        Command::Vnc(args) => cmd::vnc::vnc(args)?,
        Command::Mcp(args) => cmd::serve::mcp(args)?,
        Command::Doctor => return cmd::doctor::run(),
        Command::Fsck(args) => return cmd::fsck::run(&args),
        Command::Ps(args) => cmd::ps::run(&args)?,
        Command::Rm(args) => cmd::rm::run(&args)?,
        Command::Pull(args) => cmd::pull::run(args)?,
        Command::Import(args) => cmd::import::run(&args)?,
        Command::Export(args) => cmd::export::run(&args)?,
        Command::Create(args) => cmd::create::run(args)?,
        Command::Stop(args) => cmd::start::stop(&args)?,
        Command::Logs(args) => cmd::start::logs(&args)?,
        Command::Rename(args) => cmd::state::rename(&args)?,
        Command::Clone(args) => cmd::state::clone(&args)?,
        Command::Snapshot(args) => cmd::state::snapshot(&args)?,
        Command::Restore(args) => cmd::state::restore(&args)?,
        Command::Reset(args) => cmd::state::reset(&args)?,
        Command::Commit(args) => cmd::state::commit(&args)?,
        Command::Patch(args) => cmd::patch::run(&args)?,
        Command::Inspect(args) => cmd::inspect::run(&args)?,
        Command::Save(args) => cmd::save::run(&args)?,
        Command::Login(args) => cmd::login::login(&args)?,
        Command::Logout(args) => cmd::login::logout(&args)?,
        Command::Images(args) => cmd::images::run(&args)?,
        Command::Rmi(args) => cmd::rmi::run(&args)?,
        Command::Cp(args) => cmd::cp::run(&args)?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "tuxlet", &mut script);
            std::io::Write::write_all(&mut std::io::stdout(), &script)?;
        }
        Command::Man { directory } => {
            std::fs::create_dir_all(&directory)
                .and_then(|()| clap_mangen::generate_to(Cli::command(), &directory))
                .with_context(|| format!("cannot write to {}", directory.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn start_log() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("TUXLET_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let colours = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        && std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .without_time()
        .init();
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|e| e.downcast_ref::<std::io::Error>())
        .any(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_help_with_examples() {
        let mut all = Cli::command();
        all.build();
        for command in all.get_subcommands().filter(|c| !c.is_hide_set()) {
            let name = command.get_name();
            let help: String = [command.get_before_help(), command.get_after_help()]
                .into_iter()
                .flatten()
                .map(ToString::to_string)
                .collect();
            assert!(help.contains("Example"), "{name}: {help:?}");
        }
    }

    #[test]
    fn manual_pages_are_written() {
        let dir = tempfile::tempdir().expect("a directory");
        clap_mangen::generate_to(Cli::command(), dir.path()).expect("the pages");
        for page in ["tuxlet.1", "tuxlet-run.1", "tuxlet-pull.1"] {
            let text = std::fs::read_to_string(dir.path().join(page)).expect(page);
            assert!(text.contains(".TH tuxlet"), "{text}");
        }
    }
}
