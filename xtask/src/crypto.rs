//! `cargo xtask crypto`: OpenSSL's assembly in Tuxlet against OpenSSL on the host.
//!
//! One script runs on the host, in a machine, and in the machine once more with OpenSSL's use of
//! the Arm extensions switched off. It prints digests, MACs, ciphertexts and signatures of many
//! sizes, which must be equal line by line; the host's OpenSSL is the known answer.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The tuxlet command.
    #[arg(long, value_name = "PROGRAM", default_value = "target/release/tuxlet")]
    tuxlet: String,
    /// An image that has the `openssl` command.
    #[arg(long, default_value = "debian")]
    image: String,
}

const SCRIPT: &str = include_str!("crypto.sh");

/// Output lines by what they are of.
type Answers = BTreeMap<String, String>;

pub(crate) fn run(args: &Args) -> Result<()> {
    let machine = |prefix: &str| {
        let mut command = Command::new(&args.tuxlet);
        command.args(["run", "--rm", &args.image, "--", "sh", "-c"]);
        command.arg(format!("{prefix}{SCRIPT}"));
        answers(&mut command)
    };
    let host = answers(Command::new("sh").args(["-c", SCRIPT]))?;
    let guest = machine("")?;
    let plain = machine("export OPENSSL_armcap=0\n")?;
    let mut wrong = 0;
    let mut compared = 0;
    for (what, ours) in &guest {
        let Some(theirs) = host.get(what) else {
            continue;
        };
        compared += 1;
        for (name, got) in [
            ("with all features", Some(ours)),
            ("without features", plain.get(what)),
        ] {
            if got != Some(theirs) {
                wrong += 1;
                println!("{what} {name}: {got:?}, the host {theirs}");
            }
        }
    }
    println!(
        "{compared} answers compared twice, {wrong} differ; {} of the machine's OpenSSL only",
        guest.len() - compared
    );
    ensure!(compared > 0, "no answer is common");
    ensure!(wrong == 0, "OpenSSL gives other answers in the machine");
    Ok(())
}

fn answers(command: &mut Command) -> Result<Answers> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{:?}", command.get_program()))?;
    ensure!(output.status.success(), "the script: {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let pairs = text.lines().filter_map(|line| line.split_once(" = "));
    Ok(pairs
        .map(|(what, answer)| (what.to_owned(), answer.to_owned()))
        .collect())
}
