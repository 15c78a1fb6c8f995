//! The command line: what can be said and what it means. Letters and meanings are Docker's where Docker has them.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand, ValueHint};
use tuxlet_image::store::ImageName;

/// Exit statuses, for `--help`.
const EXIT_STATUS: &str = "\
Exit status of `run` and `exec`: that of the guest's command; 128+N where signal N ended it; 125 where tuxlet itself \
failed, 126 where the command cannot be run, 127 where it is not found.

Environment:
  TUXLET_HOME   where images and machines are kept [default: $XDG_DATA_HOME/tuxlet or ~/.local/share/tuxlet]
  TUXLET_LOG    what to log, such as `debug` or `tuxlet_image=trace` [default: warn]
  NO_COLOR      do not use colours";

/// Runs AArch64 Linux programs in-process, anywhere.
#[derive(Debug, Parser)]
#[command(name = "tuxlet", version, after_help = EXIT_STATUS, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command in a new machine
    Run(RunArgs),
    /// Make a machine without running it
    Create(CreateArgs),
    /// Run the commands of machines, in the background
    Start(StartArgs),
    /// Ask the commands of machines to end, and see to it that they do
    Stop(StopArgs),
    /// Show what a machine in the background has written
    Logs(LogsArgs),
    /// Run a command in an existing machine
    Exec(ExecArgs),
    /// List machines
    Ps(PsArgs),
    /// Remove machines and all they have written
    Rm(RmArgs),
    /// Give a machine another name
    Rename(RenameArgs),
    /// Make a machine that is as another one is now
    Clone(CloneArgs),
    /// Remember how a machine is now, list what is remembered, or forget it
    Snapshot(SnapshotArgs),
    /// Make a machine as it was at a snapshot
    Restore(RestoreArgs),
    /// Make a machine as it was when it was made
    Reset(ResetArgs),
    /// Make an image of a machine as it is now
    Commit(CommitArgs),
    /// Apply patches to a machine
    Patch(PatchArgs),
    /// Show all that is known of machines and images, as JSON
    Inspect(InspectArgs),
    /// Get an image: from a distribution's own archive or from a registry
    Pull(PullArgs),
    /// Make images from an archive: of a root file system, or of images
    Import(ImportArgs),
    /// Write the root file system of an image or a machine as a tar archive
    Export(ExportArgs),
    /// Write images with their layers and configuration as an OCI archive
    Save(SaveArgs),
    /// Log in to a registry
    Login(LoginArgs),
    /// Forget the password of a registry
    Logout(LogoutArgs),
    /// List images
    Images(ImagesArgs),
    /// Remove images
    Rmi(RmiArgs),
    /// Copy files between the host and a machine
    Cp(CpArgs),
    /// Check the file systems of machines and images
    Fsck(FsckArgs),
    /// Let programs use a machine: JSON-RPC over HTTP, WebSocket, a Unix socket or standard streams
    Serve(ServeArgs),
    /// Show terminals of a machine in the browser
    Web(WebArgs),
    /// Show a terminal of a machine to VNC viewers
    Vnc(VncArgs),
    /// Let an agent use a machine: the Model Context Protocol over standard streams
    Mcp(McpArgs),
    /// Run the command of a machine for `start` and `run -d`
    #[command(hide = true)]
    Background(BackgroundArgs),
    /// Check that everything tuxlet needs is in order
    #[command(after_help = "Example:\n  tuxlet doctor")]
    Doctor,
    /// Print a completion script for a shell
    #[command(after_help = "\
Examples:
  tuxlet completions bash > ~/.local/share/bash-completion/completions/tuxlet
  tuxlet completions zsh > ~/.zfunc/_tuxlet
  tuxlet completions fish > ~/.config/fish/completions/tuxlet.fish")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory
    #[command(after_help = "Example:\n  tuxlet man ~/.local/share/man/man1")]
    Man {
        /// The directory; made where it is missing
        #[arg(value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
}

/// What a command in a machine can be given, new machine or not.
#[derive(Debug, Default, Args)]
pub(crate) struct ProcessArgs {
    /// Give the command this standard input; without it, it gets an empty one
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Set an environment variable; `NAME` alone takes the host's value
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub(crate) env: Vec<EnvVar>,
    /// Directory to start in
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// User (and group) to run as, by name or number
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,
}

/// What a new machine can be given.
#[derive(Debug, Args)]
pub(crate) struct MachineArgs {
    /// Name of the machine
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Run this program in place of the image's entry point, and not the image's command; an empty one is none
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<String>,
    /// The signal that asks the machine's command to end, by name or number [default: the image's, else SIGTERM]
    #[arg(long, value_name = "SIGNAL")]
    pub(crate) stop_signal: Option<String>,
    /// When to get the image from where it comes from
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = PullWhen::Missing)]
    pub(crate) pull: PullWhen,
    /// Show a host directory or file in the machine
    #[arg(short, long, value_name = "HOST:GUEST[:ro]")]
    pub(crate) volume: Vec<Volume>,
    /// Host name of the machine
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Most memory the machine's programs may use, such as 512m or 2g
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<Size>,
    /// Let the guest trust the certificates that this host trusts, for networks with a proxy of their own: shows the host's
    /// file of them as /etc/ssl/certs/ca-certificates.crt, read-only, and names it in SSL_CERT_FILE. The guest's own
    /// ca-certificates package cannot be installed or updated meanwhile
    #[arg(long)]
    pub(crate) host_ca: bool,
    /// Apply the patch in this directory at every start that finds an older version of it
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) patch: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "tuxlet run [OPTIONS] IMAGE [--] [COMMAND [ARG]...]\n       tuxlet run [OPTIONS] --rootfs DIR [--] COMMAND [ARG]...",
    after_help = "\
Examples:
  tuxlet run debian                                  a shell in Debian; the image is made where it is missing
  tuxlet run --rm debian -- bash -c 'echo $HOSTNAME'  one command in a machine that is gone afterwards
  tuxlet run -it --name work -v ~/src:/src debian    a machine to come back to with `tuxlet exec`
  tuxlet run -d --name web nginx                     in the background; `tuxlet logs` and `tuxlet stop`
  echo hello | tuxlet run -i --rm debian cat         with standard input
  tuxlet run --rm python:3.13 python3 -c 'print(1)'  an image of a registry
  tuxlet run --rm --entrypoint sh nginx -c 'ls /etc'
  tuxlet run --rootfs ./rootfs /bin/sh               a directory of the host as root

On a terminal and without a command, -i and -t go without saying. Environment, entry point, command, directory, user \
and stop signal are the image's where nothing else is said. Each of the image's volumes is a file system of its own that \
belongs to the machine: it starts with what the image has there, and goes with the machine. Ports need no publishing: \
guests use the host's network."
)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    /// Remove the machine when the command ends
    #[arg(long)]
    pub(crate) rm: bool,
    /// Run in the background; print the machine's name. `tuxlet logs` shows its output
    #[arg(short, long, conflicts_with_all = ["interactive", "strace", "rootfs"])]
    pub(crate) detach: bool,
    /// Write system calls to standard error; FILTER is a list of names, such as `openat,read`
    #[arg(long, value_name = "FILTER", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) strace: Option<String>,
    /// Use a host directory as the root instead of an image
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) rootfs: Option<PathBuf>,
    /// The image, then the command and its arguments
    #[arg(value_name = "IMAGE [COMMAND]", trailing_var_arg = true, value_hint = ValueHint::CommandWithArguments)]
    pub(crate) rest: Vec<OsString>,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "tuxlet exec [OPTIONS] MACHINE [--] COMMAND [ARG]...",
    after_help = "\
Examples:
  tuxlet exec -it work bash
  tuxlet exec -u nobody work id

A machine that is not running runs for as long as the command. Without -e, -w and -u, those of `tuxlet run` hold."
)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
    /// The machine
    pub(crate) machine: String,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tuxlet ps -a\n  tuxlet ps --processes")]
pub(crate) struct PsArgs {
    /// Show machines that are not running, too
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Show names only
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Show what runs in the machines
    #[arg(short, long, conflicts_with_all = ["all", "quiet"])]
    pub(crate) processes: bool,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "tuxlet create [OPTIONS] IMAGE [--] [COMMAND [ARG]...]",
    after_help = "Example:\n  tuxlet create --name web -v ~/site:/site nginx\n  tuxlet start web\n\nCosts a small file."
)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    /// The image, then the command and its arguments
    #[arg(value_name = "IMAGE [COMMAND]", required = true, trailing_var_arg = true, value_hint = ValueHint::CommandWithArguments)]
    pub(crate) rest: Vec<OsString>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tuxlet start web\n  tuxlet start -ai work      with the terminal, where the machine was made with -t"
)]
pub(crate) struct StartArgs {
    /// Run the command here instead of in the background
    #[arg(short, long)]
    pub(crate) attach: bool,
    /// Give it this standard input; the command runs here then
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// The machines
    #[arg(required = true)]
    pub(crate) machines: Vec<String>,
}

/// The machine that programs are to use.
#[derive(Debug, Args)]
pub(crate) struct ServedArgs {
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
    /// Remove the machine at the end
    #[arg(long)]
    pub(crate) rm: bool,
    /// Use a host directory as the root instead of an image
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "image")]
    pub(crate) rootfs: Option<PathBuf>,
    /// A machine that there is, or the image of a new one
    #[arg(required_unless_present = "rootfs")]
    pub(crate) image: Option<OsString>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tuxlet serve --name work debian                     on a free port of 127.0.0.1; prints the address and a token
  tuxlet serve --listen 127.0.0.1:7000 --token-file ~/.tuxlet-token work
  tuxlet serve --socket /tmp/work.sock work           lines of JSON over a Unix socket that only you can open
  tuxlet serve --stdio --rm debian                    lines of JSON over standard input and output

`POST /` takes a request with `Authorization: Bearer TOKEN`, `GET /ws` opens a WebSocket. The method rpc.discover gives the
OpenRPC document. Web pages get nothing, unless --allow-origin names theirs.")]
pub(crate) struct ServeArgs {
    /// Address and port to listen on; port 0 is any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Listen on a Unix socket instead
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, conflicts_with_all = ["listen", "stdio"])]
    pub(crate) socket: Option<PathBuf>,
    /// Use standard input and output instead
    #[arg(long, conflicts_with = "listen")]
    pub(crate) stdio: bool,
    /// Take the token from this file instead of making one
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["socket", "stdio"])]
    pub(crate) token_file: Option<PathBuf>,
    /// Let the web pages of this origin in, if they have the token
    #[arg(long, value_name = "ORIGIN", conflicts_with_all = ["socket", "stdio"])]
    pub(crate) allow_origin: Vec<String>,
    #[command(flatten)]
    pub(crate) served: ServedArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tuxlet web --rm debian                     prints the address to open, with a token in it
  tuxlet web --listen 127.0.0.1:8022 --token-file ~/.tuxlet-token work
  tuxlet web --shell 'tmux new -A' work

Terminals go on while no page shows them, until their programs or this one end. What `tuxlet serve` offers is here, too. From another
computer: `ssh -L 8022:127.0.0.1:8022 HOST`, then http://127.0.0.1:8022/ with the token.")]
pub(crate) struct WebArgs {
    /// Address and port to listen on; port 0 is any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Take the token from this file instead of making one
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) token_file: Option<PathBuf>,
    /// What terminals run [default: the user's login shell]
    #[arg(long, value_name = "COMMAND LINE")]
    pub(crate) shell: Option<String>,
    #[command(flatten)]
    pub(crate) served: ServedArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tuxlet vnc --rm debian                     at 127.0.0.1:5907; prints a password
  tuxlet vnc --cols 100 --rows 30 --font-size 22 --password-file ~/.tuxlet-vnc work
  tuxlet vnc --window --shell htop work      and opens a viewer of this computer's

Several viewers see and use the same terminal. It ends with its program.")]
pub(crate) struct VncArgs {
    /// Address and port to listen on; port 0 is any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5907")]
    pub(crate) listen: SocketAddr,
    /// Take the password, of 6 to 8 characters, from this file instead of making one
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) password_file: Option<PathBuf>,
    /// Columns of characters
    #[arg(long, default_value_t = 120)]
    pub(crate) cols: u16,
    /// Rows of characters
    #[arg(long, default_value_t = 36)]
    pub(crate) rows: u16,
    /// Height of the font in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 18)]
    pub(crate) font_size: u16,
    /// Open a window here, too: with vncviewer, or on macOS with Screen Sharing
    #[arg(long)]
    pub(crate) window: bool,
    /// Open no window here: the default, for those who want to say so
    #[arg(long, conflicts_with = "window")]
    pub(crate) headless: bool,
    /// What the terminal runs [default: the user's login shell]
    #[arg(long, value_name = "COMMAND LINE")]
    pub(crate) shell: Option<String>,
    #[command(flatten)]
    pub(crate) served: ServedArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example, as agents are configured:
  { \"mcpServers\": { \"linux\": { \"command\": \"tuxlet\", \"args\": [\"mcp\", \"--name\", \"agent\", \"debian\"] } } }

The tools are run, read_file, write_file and list_directory. With -v, directories of the host are shared.")]
pub(crate) struct McpArgs {
    #[command(flatten)]
    pub(crate) served: ServedArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BackgroundArgs {
    /// Remove the machine when its command ends
    #[arg(long)]
    pub(crate) rm: bool,
    /// The machine
    pub(crate) machine: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tuxlet stop web\n  tuxlet stop -t 0 web       kill it")]
pub(crate) struct StopArgs {
    /// Seconds until all that runs in the machine is killed
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10)]
    pub(crate) time: u64,
    /// The signal to ask with [default: the machine's]
    #[arg(short, long, value_name = "SIGNAL")]
    pub(crate) signal: Option<String>,
    /// The machines
    #[arg(required = true)]
    pub(crate) machines: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tuxlet logs -f web")]
pub(crate) struct LogsArgs {
    /// Go on for as long as the machine runs
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// The machine
    pub(crate) machine: String,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tuxlet rename work old-work\n\nThe machine must not be running."
)]
pub(crate) struct RenameArgs {
    /// The machine
    pub(crate) machine: String,
    /// Its new name
    pub(crate) name: String,
}

/// What all states of machines have in common, for `--help`.
const STATES: &str = "\
The machine must not be running. Takes milliseconds, whatever the machine's size, and copies nothing: what it has written \
becomes a read-only layer, and it goes on with an empty one. Each such layer costs every later path walk in it a little; \
files take space until no machine, snapshot or image has their layer. Where a file with several names was changed by one of \
them, it takes a walk through the machine's tree. Volumes are not part of it.";

#[derive(Debug, Args)]
#[command(before_help = "Example:\n  tuxlet clone work work-2", after_help = STATES)]
pub(crate) struct CloneArgs {
    /// The machine
    pub(crate) machine: String,
    /// The name of the new one
    pub(crate) name: String,
}

#[derive(Debug, Args)]
#[command(
    before_help = "Examples:\n  tuxlet snapshot work before-upgrade\n  tuxlet snapshot work\n  tuxlet snapshot --remove work before-upgrade",
    after_help = STATES
)]
pub(crate) struct SnapshotArgs {
    /// Forget the snapshot
    #[arg(long, requires = "snapshot")]
    pub(crate) remove: bool,
    /// The machine
    pub(crate) machine: String,
    /// The snapshot's name; without one, all are listed
    pub(crate) snapshot: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tuxlet restore work before-upgrade\n\nWhat the machine has written since is gone. It must not be running. Takes as long as removing that.\nVolumes stay as they are."
)]
pub(crate) struct RestoreArgs {
    /// The machine
    pub(crate) machine: String,
    /// The snapshot
    pub(crate) snapshot: String,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  tuxlet reset work\n\nWhat the machine has written is gone, its snapshots stay. It must not be running. Takes as long as removing that.\nVolumes stay as they are."
)]
pub(crate) struct ResetArgs {
    /// The machine
    pub(crate) machine: String,
}

#[derive(Debug, Args)]
#[command(before_help = "Example:\n  tuxlet commit work mine:v1", after_help = STATES)]
pub(crate) struct CommitArgs {
    /// The machine
    pub(crate) machine: String,
    /// Name of the image
    pub(crate) image: ImageName,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tuxlet patch work ./motd-patch\n  tuxlet patch work\n\nA patch is a directory with the file patch.toml:\n\n    name = \"motd\"\n    version = 3\n\n    [[files]]\n    path = \"/etc/motd\"      in the machine\n    source = \"motd\"         in the patch's directory; or target = \"LINK\", directory = true, remove = true\n    mode = \"0644\"\n    owner = \"0:0\"\n\nIt is applied where the machine has an older version or none: all of it or nothing. The machine must not be running.\n`run --patch` and `create --patch` apply one at every start that needs it."
)]
pub(crate) struct PatchArgs {
    /// The machine
    pub(crate) machine: String,
    /// Directories of patches [default: those the machine was made with]
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) patches: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tuxlet inspect work | jq '.[0].settings'")]
pub(crate) struct InspectArgs {
    /// Machines or images; a machine goes before an image of the same name
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tuxlet fsck               look at all machines and images
  tuxlet fsck --repair work

Exit status, as of fsck(8): 0 all is in order, 1 it is now, 4 it is not, 125 something could not be looked at.")]
pub(crate) struct FsckArgs {
    /// Machines that are not running, or images [default: all]
    pub(crate) names: Vec<String>,
    /// Put machines in order; what has no place any more goes into /lost+found
    #[arg(long)]
    pub(crate) repair: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tuxlet rm work\n  tuxlet rm $(tuxlet ps -aq)")]
pub(crate) struct RmArgs {
    /// Kill what runs in them first
    #[arg(short, long)]
    pub(crate) force: bool,
    /// The machines
    #[arg(required = true)]
    pub(crate) machines: Vec<String>,
}

/// When `run` gets an image from where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PullWhen {
    /// When there is none of that name
    Missing,
    /// Each time
    Always,
    /// Never
    Never,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tuxlet pull debian                             the current stable release, from Debian's packages
  tuxlet pull debian:bookworm
  tuxlet pull --include python3,git debian       with more packages
  tuxlet pull --mirror http://HOST/debian debian
  tuxlet pull alpine:3.20                        Alpine's own root file system
  tuxlet pull python:3.13-slim                   docker.io/library/python:3.13-slim
  tuxlet pull registry.example/OWNER/NAME:TAG    any registry
  tuxlet pull localhost:5000/NAME@sha256:DIGEST  a registry of this host, where it must be by plain HTTP

The mirror is that of --mirror, of the configuration file, or of the host's own apt sources or apk repositories. Where \
none is known, and with --registry, `debian` and `alpine` are the images of these names on docker.io. Of images for \
several platforms, that for linux/arm64 is taken; layers that are there already are not fetched again.
Debian's signature and every checksum are verified; Alpine's index has no signature, so its mirror has to be trusted. \
An interrupted pull goes on where it was. Proxies are those of the environment (https_proxy, no_proxy).")]
pub(crate) struct PullArgs {
    /// Address of the distribution's archive (for Debian the directory with dists/ and pool/, for Alpine that with v3.NN/)
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(crate) mirror: Option<String>,
    /// Take `debian` and `alpine` from docker.io as well
    #[arg(long, conflicts_with_all = ["mirror", "include", "keyring", "ignore_valid_until"])]
    pub(crate) registry: bool,
    /// More packages to put in
    #[arg(long, value_name = "PACKAGE", value_delimiter = ',')]
    pub(crate) include: Vec<String>,
    /// Trust the keys of this file, too
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) keyring: Vec<PathBuf>,
    /// Accept an archive that has expired, such as a snapshot
    #[arg(long)]
    pub(crate) ignore_valid_until: bool,
    /// Name of the image [default: as given in IMAGE]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<ImageName>,
    /// Show no progress
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// `debian[:SUITE]`, `alpine[:3.NN]`, or an image of a registry, `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`
    pub(crate) image: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tuxlet import alpine-minirootfs-3.20.3-aarch64.tar.gz alpine
  curl URL | tuxlet import - mine:v1
  tuxlet import images.tar             all images of an OCI archive or of `docker save`, under their own names
  docker save thing | tuxlet import -

What it is shows the content: a root file system, or images; plain tar, .gz, .xz and .zst. A directory that holds a
fakefs store of iSH (data/ and meta.db) is taken over as well.")]
pub(crate) struct ImportArgs {
    /// Show no progress
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// The archive; `-` is standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) archive: PathBuf,
    /// Name of the image; may be left out where the archive has it
    pub(crate) name: Option<ImageName>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tuxlet export -o debian.tar debian\n  tuxlet export work | gzip > work.tar.gz"
)]
pub(crate) struct ExportArgs {
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// The machine or image; a machine goes before an image of the same name
    pub(crate) name: String,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tuxlet save -o images.tar debian mine:v1\n  tuxlet save mine | docker load\n\nThe archive is an OCI layout that Docker takes as well; `tuxlet import` reads it back."
)]
pub(crate) struct SaveArgs {
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// The images
    #[arg(required = true)]
    pub(crate) images: Vec<ImageName>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tuxlet login registry.example\n  tuxlet login -u me --password-stdin registry.example < token\n\nThe password is checked, then kept in credentials.json beside the configuration file, readable by you alone. What Docker's \
config.json has under `auths` is used as well; its credential helpers are not."
)]
pub(crate) struct LoginArgs {
    /// The user
    #[arg(short, long)]
    pub(crate) username: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// The registry
    #[arg(default_value = "docker.io")]
    pub(crate) registry: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tuxlet logout registry.example")]
pub(crate) struct LogoutArgs {
    /// The registry
    #[arg(default_value = "docker.io")]
    pub(crate) registry: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tuxlet images")]
pub(crate) struct ImagesArgs {
    /// Show names only
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tuxlet rmi debian:bookworm")]
pub(crate) struct RmiArgs {
    /// The images
    #[arg(required = true)]
    pub(crate) images: Vec<ImageName>,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "tuxlet cp MACHINE:PATH HOST_PATH\n       tuxlet cp HOST_PATH MACHINE:PATH",
    after_help = "\
Examples:
  tuxlet cp work:/etc/os-release .
  tuxlet cp ./src work:/root/

Permissions and times are kept; what comes into the machine belongs to its root. Links are copied as links."
)]
pub(crate) struct CpArgs {
    /// What to copy; directories with all that is in them
    pub(crate) from: String,
    /// Where to; into it where it is a directory
    pub(crate) to: String,
}

/// An environment variable from the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EnvVar {
    pub(crate) name: String,
    /// `None`: the host's value, if it has one.
    pub(crate) value: Option<String>,
}

impl FromStr for EnvVar {
    type Err = String;

    fn from_str(text: &str) -> Result<EnvVar, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if name.is_empty() {
            return Err("the variable has no name".to_owned());
        }
        Ok(EnvVar {
            name: name.to_owned(),
            value,
        })
    }
}

/// A host directory or file shown in the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) host: PathBuf,
    pub(crate) guest: String,
    pub(crate) read_only: bool,
}

impl FromStr for Volume {
    type Err = String;

    fn from_str(text: &str) -> Result<Volume, String> {
        let wrong = || format!("`{text}` is not HOST:GUEST or HOST:GUEST:ro");
        let (rest, read_only) = match text.rsplit_once(':').ok_or_else(wrong)? {
            (rest, "ro") if rest.contains(':') => (rest, true),
            (rest, "rw") if rest.contains(':') => (rest, false),
            _ => (text, false),
        };
        let (host, guest) = rest.rsplit_once(':').ok_or_else(wrong)?;
        if host.is_empty() || guest.is_empty() {
            return Err(wrong());
        }
        if !guest.starts_with('/') {
            return Err(format!("`{guest}` is not an absolute path in the machine"));
        }
        Ok(Volume {
            host: PathBuf::from(host),
            guest: guest.to_owned(),
            read_only,
        })
    }
}

/// An amount of memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let wrong = || format!("`{text}` is not a size such as 512m or 2g");
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            _ => return Err(wrong()),
        };
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        number
            .checked_mul(1 << shift)
            .filter(|&n| n > 0)
            .map(Size)
            .ok_or_else(wrong)
    }
}

/// Takes away the `--` that may stand before a command.
pub(crate) fn without_dashes(mut command: Vec<OsString>) -> Vec<OsString> {
    if command.first().is_some_and(|word| word == "--") {
        command.remove(0);
    }
    command
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn run(line: &str) -> RunArgs {
        let words = ["tuxlet", "run"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(words)
            .unwrap_or_else(|e| panic!("{line}: {e}"))
            .command
        {
            Command::Run(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn commands_keep_their_own_options() {
        let args = run("-it --rm debian bash -c -e x --name y");
        assert!(
            args.process.interactive && args.process.tty && args.rm && args.machine.name.is_none()
        );
        assert_eq!(
            args.rest,
            ["debian", "bash", "-c", "-e", "x", "--name", "y"]
        );
        assert_eq!(run("--rootfs /r -- ls -l").rest, ["ls", "-l"]);
        assert_eq!(run("--rootfs /r ls -- -l").rest, ["ls", "--", "-l"]);
        assert_eq!(run("debian").rest, ["debian"]);
        let dashes = run("debian -- bash -c x").rest;
        assert_eq!(without_dashes(dashes[1..].to_vec()), ["bash", "-c", "x"]);
    }

    #[test]
    fn strace_takes_its_filter_after_an_equals_sign_only() {
        assert_eq!(run("debian").strace, None);
        assert_eq!(run("--strace debian ls").strace.as_deref(), Some(""));
        assert_eq!(
            run("--strace=openat,%file debian").strace.as_deref(),
            Some("openat,%file")
        );
    }

    #[test]
    fn volumes() {
        let volume = |text: &str| text.parse::<Volume>();
        assert_eq!(
            volume("/a:/b").unwrap(),
            Volume {
                host: "/a".into(),
                guest: "/b".into(),
                read_only: false
            }
        );
        assert!(volume("/a:/b:ro").unwrap().read_only);
        assert_eq!(volume("/a:x:/b").unwrap().host, PathBuf::from("/a:x"));
        for bad in ["/a", "/a:", ":/b", "/a:b", "/a:ro", ""] {
            assert!(volume(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!("512m".parse(), Ok(Size(512 << 20)));
        assert_eq!("2GiB".parse(), Ok(Size(2 << 30)));
        assert_eq!("4096".parse(), Ok(Size(4096)));
        for bad in ["", "m", "1x", "-1", "0", "99999999999t", "1.5g"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }

    #[test]
    fn environment_variables() {
        assert_eq!(
            "A=b=c".parse(),
            Ok(EnvVar {
                name: "A".into(),
                value: Some("b=c".into())
            })
        );
        assert_eq!(
            "A".parse(),
            Ok(EnvVar {
                name: "A".into(),
                value: None
            })
        );
        assert!("=x".parse::<EnvVar>().is_err());
    }
}
