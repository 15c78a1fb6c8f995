//! Overlays that a guest mounts: the options of mount(2) and fsconfig(2), and what they may be.

use crate::{Attributes, Options, OverlayFs, Upper};
use std::{fmt::Write as _, sync::Arc};
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::{Cx, Path, cx::cap, layer};

/// Most lower layers: `OVL_MAX_STACK`.
const LOWER_MAX: usize = 500;
/// Most file systems on top of each other: `FILESYSTEM_MAX_STACK_DEPTH`.
const DEPTH_MAX: u32 = 2;

/// An option with its value; `None` for a flag.
pub type Parameter = (Vec<u8>, Option<Vec<u8>>);

/// A directory as it was named.
#[derive(Debug)]
struct Named {
    name: Vec<u8>,
    path: Path,
}

#[derive(Debug, Default)]
struct Config {
    lowers: Vec<Named>,
    /// The whole value of `lowerdir`; `None` where layers were given one by one.
    lowerdir: Option<Vec<u8>>,
    upper: Option<Named>,
    work: Option<Named>,
    user_attributes: bool,
    index: bool,
    default_permissions: bool,
    volatile: bool,
    redirect_on: bool,
    metacopy_on: bool,
}

/// Removes the backslashes that quote the next byte.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&b) = bytes.next() {
        out.push(match b {
            b'\\' => *bytes.next().unwrap_or(&b),
            b => b,
        });
    }
    out
}

/// Splits at the colons that no backslash quotes.
fn split_layers(text: &[u8]) -> Vec<&[u8]> {
    let (mut out, mut start, mut quoted) = (Vec::new(), 0, false);
    for (i, &b) in text.iter().enumerate() {
        match b {
            _ if quoted => quoted = false,
            b'\\' => quoted = true,
            b':' => {
                out.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    out.push(&text[start..]);
    out
}

/// As `/proc/mounts` quotes values.
fn quote(out: &mut String, text: &[u8]) {
    for &b in text {
        match b {
            b',' | b'=' | b' ' | b'\t' | b'\n' | b'\\' => {
                let _ = write!(out, "\\{b:03o}");
            }
            b => out.push(char::from(b)),
        }
    }
}

fn directory(name: Vec<u8>, resolve: &dyn Fn(&[u8]) -> Result<Path>) -> Result<Named> {
    if name.is_empty() {
        return Err(Errno::EINVAL);
    }
    let path = resolve(&name)?;
    if !path.dentry.is_dir() {
        return Err(Errno::EINVAL);
    }
    Ok(Named { name, path })
}

/// A switch: `on` and `off`.
fn switch(value: &[u8]) -> Result<bool> {
    match value {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(Errno::EINVAL),
    }
}

impl Config {
    /// Takes one option. Paths are looked at in the order in which they are given, as in Linux.
    fn take(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        resolve: &dyn Fn(&[u8]) -> Result<Path>,
    ) -> Result<()> {
        match (key, value) {
            (b"default_permissions", None) => self.default_permissions = true,
            (b"userxattr", None) => self.user_attributes = true,
            (b"volatile", None) => self.volatile = true,
            (b"lowerdir", Some(value)) => {
                self.lowers.clear();
                self.lowerdir = Some(value.to_vec());
                // Empty: no layers after all.
                if !value.is_empty() {
                    for name in split_layers(value) {
                        self.lowers.push(directory(unescape(name), resolve)?);
                    }
                }
                self.not_too_many()?;
            }
            (b"lowerdir+", Some(value)) => {
                let named = directory(value.to_vec(), resolve)?;
                if self.lowerdir.is_some() {
                    return Err(Errno::EINVAL);
                }
                self.lowers.push(named);
                self.not_too_many()?;
            }
            (b"upperdir" | b"workdir", Some(value)) => {
                let named = directory(unescape(value), resolve)?;
                let fs = named.path.mount.fs();
                if fs.stack_depth() > 0 || named.path.mount.read_only() {
                    return Err(Errno::EINVAL);
                }
                let slot = if key == b"upperdir" {
                    &mut self.upper
                } else {
                    &mut self.work
                };
                *slot = Some(named);
            }
            (b"index", Some(value)) => self.index = switch(value)?,
            (b"redirect_dir", Some(value)) => match value {
                b"off" | b"nofollow" => self.redirect_on = false,
                b"on" | b"follow" => self.redirect_on = true,
                _ => return Err(Errno::EINVAL),
            },
            (b"metacopy", Some(value)) => self.metacopy_on = switch(value)?,
            (b"xino", Some(b"on" | b"off" | b"auto")) => {}
            // DEVIATION: what these would turn on is not there.
            (b"uuid", Some(b"off" | b"null" | b"auto"))
            | (b"nfs_export" | b"verity", Some(b"off")) => {}
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    fn not_too_many(&self) -> Result<()> {
        if self.lowers.len() > LOWER_MAX {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// What does not fit together: in Linux' order, as far as the errors differ.
    fn check(&self) -> Result<()> {
        // DEVIATION: neither redirected directories nor copies of nothing but attributes are known.
        if self.redirect_on || self.metacopy_on {
            return Err(Errno::EINVAL);
        }
        if self.lowers.is_empty() || (self.upper.is_none() && self.lowers.len() == 1) {
            return Err(Errno::EINVAL);
        }
        if let Some(upper) = &self.upper {
            let work = self.work.as_ref().ok_or(Errno::EINVAL)?;
            let (upper, work) = (&upper.path, &work.path);
            if !Arc::ptr_eq(&upper.mount, &work.mount)
                || upper.dentry.is_ancestor_of(&work.dentry)
                || work.dentry.is_ancestor_of(&upper.dentry)
            {
                return Err(Errno::EINVAL);
            }
        }
        let writable = [&self.upper, &self.work];
        let writable = writable.into_iter().flatten();
        // A work directory without an upper one is of no use, and not looked at.
        let writable: Vec<&Named> = writable.filter(|_| self.upper.is_some()).collect();
        let depths = writable.iter().copied().chain(&self.lowers);
        if depths
            .map(|named| named.path.mount.fs().stack_depth())
            .any(|depth| depth >= DEPTH_MAX)
        {
            return Err(Errno::EINVAL);
        }
        // No lower layer may be in another layer; that of which it is a part is seen at its own level.
        for (n, lower) in self.lowers.iter().enumerate() {
            let others = self.lowers.iter().enumerate();
            let others = others.filter(|(m, _)| *m != n).map(|(_, named)| named);
            for other in others.chain(writable.iter().copied()) {
                if other.path.dentry.is_ancestor_of(&lower.path.dentry) {
                    return Err(Errno::ELOOP);
                }
            }
        }
        Ok(())
    }

    fn show(&self) -> String {
        let mut out = String::new();
        let mut add = |key: &str, value: &[u8]| {
            let _ = write!(out, ",{key}=");
            quote(&mut out, value);
        };
        match &self.lowerdir {
            Some(all) => add("lowerdir", all),
            None => self.lowers.iter().for_each(|l| add("lowerdir+", &l.name)),
        }
        if let (Some(upper), Some(work)) = (&self.upper, &self.work) {
            add("upperdir", &upper.name);
            add("workdir", &work.name);
        }
        for (on, text) in [
            (self.default_permissions, ",default_permissions"),
            (self.index, ",index=on"),
            (self.volatile, ",volatile"),
            (self.user_attributes, ",userxattr"),
        ] {
            if on {
                out.push_str(text);
            }
        }
        out
    }
}

/// Looks at options as far as they can be judged one by one.
pub fn check(parameters: &[Parameter], resolve: &dyn Fn(&[u8]) -> Result<Path>) -> Result<()> {
    let mut config = Config::default();
    parameters
        .iter()
        .try_for_each(|(key, value)| config.take(key, value.as_deref(), resolve))
}

/// An overlay of what mount(2) was given; `resolve` finds a directory as the caller sees it.
pub fn mount(
    cx: &Cx,
    parameters: &[Parameter],
    resolve: &dyn Fn(&[u8]) -> Result<Path>,
) -> Result<Arc<OverlayFs>> {
    let mut config = Config::default();
    for (key, value) in parameters {
        config.take(key, value.as_deref(), resolve)?;
    }
    config.check()?;
    let options = Options {
        attributes: if config.user_attributes {
            Attributes::User
        } else if cx.cred.has_cap(cap::SYS_ADMIN) {
            Attributes::Trusted
        } else {
            Attributes::Unavailable
        },
        index: config.index,
        move_directories: false,
        own_upper: false,
        volatile: config.volatile,
        shown: config.show(),
    };
    let upper = match (&config.upper, &config.work) {
        (Some(upper), Some(work)) => Some(Upper {
            root: layer::of(&upper.path)?,
            work: Some(layer::of(&work.path)?),
        }),
        _ => None,
    };
    let lowers = config.lowers.iter().map(|l| layer::of(&l.path));
    let lowers = lowers.collect::<Result<Vec<_>>>()?;
    let fs = OverlayFs::with_layers(cx, upper, lowers, options)?;
    fs.check_whiteouts(cx)?;
    Ok(fs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_split_and_quoted() {
        assert_eq!(
            split_layers(b"a:b\\:c:d"),
            [b"a".as_slice(), b"b\\:c", b"d"]
        );
        assert_eq!(split_layers(b"a::b:"), [b"a".as_slice(), b"", b"b", b""]);
        assert_eq!(unescape(b"b\\:c\\\\\\,"), b"b:c\\,");
        assert_eq!(unescape(b"end\\"), b"end\\");
        let mut out = String::new();
        quote(&mut out, b"a,b=c \\");
        assert_eq!(out, "a\\054b\\075c\\040\\134");
    }
}
