//! A whole bootstrap from a little archive made here, with its own key.

use std::{fs, path::Path};

use pgp::{
    composed::{
        ArmorOptions, CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedSecretKey,
    },
    ser::Serialize,
    types::Password,
};

mod kill;

use super::*;
use crate::{
    compress::tests::{gzip, xz},
    debian::deb::tests::make,
    progress::Quiet,
    store::{Digest, Store},
    tree::memory::{Item, MemoryTree},
};

fn key() -> SignedSecretKey {
    let mut params = SecretKeyParamsBuilder::default();
    params
        .key_type(KeyType::Ed25519Legacy)
        .can_certify(true)
        .can_sign(true)
        .primary_user_id("Test <t@example>".into());
    params
        .build()
        .unwrap()
        .generate(rand::thread_rng())
        .unwrap()
}

struct Fixture {
    dir: tempfile::TempDir,
    key: SignedSecretKey,
    store: Store,
}

fn date(secs: u64) -> String {
    // Good for the release file's two dates only; the weekday is not looked at.
    let days = secs / 86_400;
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (
        doy - (153 * mp + 2) / 5 + 1,
        if mp < 10 { mp + 3 } else { mp - 9 },
    );
    let year = yoe + era * 400 + u64::from(month <= 2);
    let name = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ][month as usize - 1];
    let t = secs % 86_400;
    format!(
        "Mon, {day:02} {name} {year} {:02}:{:02}:{:02} UTC",
        t / 3600,
        t / 60 % 60,
        t % 60
    )
}

impl Fixture {
    fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("home")).unwrap();
        let fixture = Fixture {
            dir,
            key: key(),
            store,
        };
        let ring = fixture.key.to_public_key().to_bytes().unwrap();
        fs::write(fixture.dir.path().join("key.gpg"), ring).unwrap();
        let base = |name: &str, more: &str| {
            format!("Package: {name}\nVersion: 1\nArchitecture: arm64\n{more}")
        };
        let packages = [
            (
                base("base-files", "Essential: yes\nPre-Depends: awk\n"),
                vec![("preinst", "#!/bin/sh\necho\n")],
                vec![("etc/base", "b")],
            ),
            (
                base("mawk", "Priority: required\nProvides: awk\n"),
                vec![],
                vec![("bin/mawk", "m")],
            ),
            (
                base("apt", "Depends: libx (>= 1)\n"),
                vec![("conffiles", "/etc/apt.conf\n")],
                vec![("etc/apt.conf", "a")],
            ),
            (
                base("libx", "Multi-Arch: same\n"),
                vec![("postinst", "#!/bin/sh\n")],
                vec![("usr/lib/libx.so", "x")],
            ),
            (base("ca-certificates", ""), vec![], vec![("etc/ca", "c")]),
            (base("unwanted", ""), vec![], vec![("etc/unwanted", "u")]),
        ];
        let mut index = String::new();
        fs::create_dir_all(fixture.archive().join("pool")).unwrap();
        for (fields, control, files) in packages {
            let deb = make(&fields, &control, &files, xz);
            let name = fields
                .lines()
                .next()
                .unwrap()
                .trim_start_matches("Package: ")
                .to_owned();
            fs::write(fixture.archive().join(format!("pool/{name}.deb")), &deb).unwrap();
            index += &format!(
                "{fields}Filename: pool/{name}.deb\nSize: {}\nSHA256: {}\n\n",
                deb.len(),
                Digest::of(&deb)
            );
        }
        let packed = gzip(index.as_bytes());
        let place = fixture.archive().join("dists/trixie/main/binary-arm64");
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("Packages.gz"), &packed).unwrap();
        fixture.release(&packed, now() - 1000, now() + 1000);
        fixture
    }

    fn archive(&self) -> PathBuf {
        self.dir.path().join("debian")
    }

    fn release(&self, index: &[u8], made: u64, valid_until: u64) {
        let text = format!(
            "Suite: stable\nCodename: trixie\nVersion: 13.7\nDate: {}\nValid-Until: {}\nArchitectures: all arm64\nAcquire-By-Hash: yes\n\
             SHA256:\n {} {} main/binary-arm64/Packages.gz\n",
            date(made),
            date(valid_until),
            Digest::of(index),
            index.len()
        );
        let signed =
            CleartextSignedMessage::sign(rand::thread_rng(), &text, &*self.key, &Password::empty())
                .unwrap();
        let armored = signed.to_armored_string(ArmorOptions::default()).unwrap();
        fs::write(self.archive().join("dists/trixie/InRelease"), armored).unwrap();
    }

    fn options(&self) -> Options {
        Options {
            mirror: Some(format!("file://{}", self.archive().display())),
            keyrings: vec![self.dir.path().join("key.gpg")],
            host_root: self.dir.path().to_owned(),
            ..Options::new(&Config::default())
        }
    }

    fn pull(&self) -> Result<(MemoryTree, Vec<GuestCommand>, String)> {
        let cache = self.store.blobs();
        let bootstrap = Bootstrap::download(&cache, &self.options(), &Quiet)?;
        let mut sink = MemoryTree::default();
        let commands = bootstrap.unpack(&cache, &mut sink, &Quiet)?;
        Ok((sink, commands, bootstrap.origin()))
    }

    fn damage(&self, path: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let path = self.archive().join(path);
        let data = fs::read(&path).unwrap();
        fs::write(path, change(data)).unwrap();
    }
}

#[test]
fn a_bootstrap_is_whole() {
    let fixture = Fixture::new();
    let (tree, commands, origin) = fixture.pull().unwrap();
    assert_eq!(origin, "Debian 13.7 (trixie)");
    assert!(matches!(tree.get("bin"), Some(Item::Symlink(_, target)) if target == b"usr/bin"));
    assert_eq!(tree.text("usr/bin/mawk"), "m");
    assert!(tree.get("etc/unwanted").is_none());
    let status = tree.text("var/lib/dpkg/status");
    assert_eq!(status.matches("Status: install ok unpacked").count(), 5);
    assert!(
        status.contains("Conffiles:\n /etc/apt.conf 0cc175b9c0f1b6a831c399e269772661\n"),
        "{status}"
    );
    assert!(tree.get("var/lib/dpkg/info/libx:arm64.postinst").is_some());
    let sources = tree.text("etc/apt/sources.list.d/debian.sources");
    assert!(sources.contains("Suites: trixie\n"), "{sources}");
    let argv: Vec<_> = commands.iter().map(|c| c.argv.join(" ")).collect();
    assert_eq!(
        argv,
        [
            "/var/lib/dpkg/info/base-files.preinst install",
            "/usr/bin/dpkg --configure -a"
        ]
    );
}

#[test]
fn untrusted_changed_and_old_archives_are_refused() {
    let fixture = Fixture::new();
    let mut options = fixture.options();
    options.keyrings.clear();
    let error = Bootstrap::download(&fixture.store.blobs(), &options, &Quiet).unwrap_err();
    assert!(
        matches!(&error, Error::Signature { reason, .. } if reason.contains("not in the keyring")),
        "{error}"
    );

    fixture.damage("dists/trixie/InRelease", |d| {
        String::from_utf8(d)
            .unwrap()
            .replace("13.7", "13.8")
            .into_bytes()
    });
    let error = fixture.pull().unwrap_err();
    assert!(
        matches!(&error, Error::Signature { reason, .. } if reason.contains("changed")),
        "{error}"
    );

    fixture.damage("dists/trixie/InRelease", |d| {
        [b"Suite: evil\n\n", d.as_slice()].concat()
    });
    assert!(matches!(fixture.pull(), Err(Error::Signature { .. })));
    fixture.damage("dists/trixie/InRelease", |d| d[..d.len() / 2].to_vec());
    assert!(matches!(fixture.pull(), Err(Error::Signature { .. })));
    fs::write(
        fixture.archive().join("dists/trixie/InRelease"),
        "<html>sign in to the hotel network</html>",
    )
    .unwrap();
    assert!(matches!(fixture.pull(), Err(Error::Signature { .. })));

    let index = fs::read(
        fixture
            .archive()
            .join("dists/trixie/main/binary-arm64/Packages.gz"),
    )
    .unwrap();
    fixture.release(&index, now() - 5000, now() - 1000);
    assert!(matches!(fixture.pull(), Err(Error::Release { .. })));
}

#[test]
fn damaged_indices_and_packages_are_refused() {
    let fixture = Fixture::new();
    fixture.damage("pool/apt.deb", |mut d| {
        let middle = d.len() / 2;
        d[middle] ^= 1;
        d
    });
    assert!(matches!(fixture.pull(), Err(Error::Hash { .. })));
    fixture.damage("pool/apt.deb", |d| d[..d.len() / 2].to_vec());
    assert!(matches!(fixture.pull(), Err(Error::Hash { .. })));
    fs::remove_file(fixture.archive().join("pool/apt.deb")).unwrap();
    assert!(matches!(fixture.pull(), Err(Error::Fetch { .. })));

    let fixture = Fixture::new();
    fixture.damage("dists/trixie/main/binary-arm64/Packages.gz", |d| {
        d[..d.len() - 3].to_vec()
    });
    assert!(matches!(fixture.pull(), Err(Error::Hash { .. })));
}

#[test]
fn without_a_mirror_the_message_says_how_to_give_one() {
    let fixture = Fixture::new();
    let options = Options {
        mirror: None,
        ..fixture.options()
    };
    let error = Bootstrap::download(&fixture.store.blobs(), &options, &Quiet).unwrap_err();
    assert!(matches!(error, Error::NoMirror { .. }));
    let text = error.to_string();
    assert!(
        text.contains("--mirror") && text.contains("[debian]"),
        "{text}"
    );
    // A host with apt sources has one.
    let list = fixture.dir.path().join("etc/apt/sources.list");
    fs::create_dir_all(list.parent().unwrap()).unwrap();
    fs::write(
        &list,
        format!("deb file://{} bookworm main\n", fixture.archive().display()),
    )
    .unwrap();
    Bootstrap::download(&fixture.store.blobs(), &options, &Quiet).unwrap();
}

#[test]
fn idle_preinsts_are_recognised() {
    let idle = "#!/bin/sh\nset -e\n# Automatically added\ndpkg-maintscript-helper rm_conffile /etc/x 1~ -- \"$@\"\n\n";
    assert!(!acts_on_install(idle.as_bytes()));
    assert!(acts_on_install(format!("{idle}echo x\n").as_bytes()));
}

#[test]
fn configuration_reports_what_failed() {
    struct Failing;
    impl Configure for Failing {
        fn run(
            &mut self,
            _: &Path,
            commands: &[GuestCommand],
            output: &mut dyn FnMut(&[u8]),
        ) -> Result<()> {
            output(b"Setting up libc6 (2.41)");
            output(b" ...\ndpkg: error: disk full\n");
            Err(Error::Configure {
                step: commands[0].title.clone(),
                reason: "exit status 1".into(),
            })
        }
    }
    let error = configure(Path::new("/"), &commands(&[]), 1, &mut Failing, &Quiet)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("exit status 1") && error.contains("disk full"),
        "{error}"
    );
}
