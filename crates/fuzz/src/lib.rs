//! Fuzz targets for everything that reads foreign bytes: each is a function of a byte string that must come back, whatever the
//! bytes are. `tests/corpus.rs` feeds them with the files of `fuzz/corpus` and mutations of those on stable Rust; the package in
//! `fuzz/` is the same for cargo-fuzz(1).

#![forbid(unsafe_code)]

mod image;
mod machine;
mod store;

/// Something that reads foreign bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of its corpus, and of its program for cargo-fuzz.
    pub name: &'static str,
    /// Reads.
    pub run: fn(&[u8]),
    /// How much it costs, in units of the cheapest: each needs files, a database or a process.
    pub cost: u32,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    target("tar", image::tar, 1),
    target("decompress", image::decompress, 1),
    target("deb", image::deb, 1),
    target("deb822", image::deb822, 1),
    target("packages", image::packages, 1),
    target("version", image::version, 1),
    target("sources", image::sources, 1),
    target("in_release", image::in_release, 4),
    target("release", image::release, 1),
    target("keyring", image::keyring, 4),
    target("alpine_index", image::alpine_index, 1),
    target("config", image::config, 2),
    target("record", image::record, 10),
    target("archive", image::archive, 20),
    target("patch", image::patch, 2),
    target("netlink", machine::netlink, 1),
    target("program", machine::program, 10),
    target("passwd", machine::passwd, 10),
    target("rfb", tuxlet_vnc::read_client_messages, 1),
    target("store", store::store, 40),
    target("fakefs_v3", store::fakefs_v3, 40),
];

const fn target(name: &'static str, run: fn(&[u8]), cost: u32) -> Target {
    Target { name, run, cost }
}

/// Gives the target of that name its input.
///
/// # Panics
/// Where there is no such target.
pub fn run(name: &str, data: &[u8]) {
    match TARGETS.iter().find(|t| t.name == name) {
        Some(target) => (target.run)(data),
        None => panic!("there is no target {name}"),
    }
}
