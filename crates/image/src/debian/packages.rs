//! Package indices, and the closure of a set of packages under their dependencies.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet, VecDeque},
    io::{BufRead, BufReader, Read},
};

use super::{
    deb822::{self, Paragraph},
    version,
};
use crate::{Error, Result, http::Expected};

/// One package of an index.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether the system cannot do without it.
    pub essential: bool,
    /// `required`, `important`, `standard`, `optional`.
    pub priority: String,
    /// `Pre-Depends` and `Depends` together.
    pub depends: String,
    /// `Provides`.
    pub provides: String,
    /// Its `.deb`, relative to the archive.
    pub filename: String,
    /// Which archive it is in, as the caller numbers them.
    pub archive: usize,
    /// Size and checksum of the `.deb`.
    pub(crate) expected: Expected,
}

/// The newest version of every package of some indices.
#[derive(Debug, Default)]
pub struct Index {
    packages: HashMap<String, Package>,
}

/// One alternative of a dependency: a name and perhaps a version.
#[derive(Debug, PartialEq, Eq)]
struct Relation<'a> {
    name: &'a str,
    version: Option<(&'a str, &'a str)>,
}

impl Index {
    /// Adds the packages of an index, replacing older versions. `what` is its name for messages.
    pub fn add(&mut self, what: &str, archive: usize, input: impl Read) -> Result<()> {
        let mut reader = deb822::Reader::new(BufReader::with_capacity(1 << 16, input));
        while let Some(package) = next_package(what, archive, &mut reader)? {
            match self.packages.get(&package.name) {
                Some(old) if version::compare(&old.version, &package.version) != Ordering::Less => {
                }
                _ => {
                    self.packages.insert(package.name.clone(), package);
                }
            }
        }
        Ok(())
    }

    /// How many packages there are.
    pub fn len(&self) -> usize {
        self.packages.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }

    /// The package of that name.
    pub fn get(&self, name: &str) -> Option<&Package> {
        self.packages.get(name)
    }

    /// What a minimal system consists of: packages that are essential or have priority `required`, sorted.
    pub fn required(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .packages
            .values()
            .filter(|p| p.essential || p.priority == "required")
            .map(|p| p.name.as_str())
            .collect();
        names.sort_unstable();
        names
    }

    /// The named packages and all that they need, sorted by name. Of alternatives, one that is in the set already is taken, else
    /// the first that exists, else the first that is provided.
    pub fn closure<'a>(&'a self, names: &[&str]) -> Result<Vec<&'a Package>> {
        let mut providers: HashMap<&str, Vec<(&Package, Option<&str>)>> = HashMap::new();
        for package in self.packages.values() {
            for relation in package.provides.split(',').filter_map(Relation::parse) {
                providers
                    .entry(relation.name)
                    .or_default()
                    .push((package, relation.version.map(|(_, v)| v)));
            }
        }
        for list in providers.values_mut() {
            list.sort_by_key(|(p, _)| {
                (
                    !p.essential,
                    p.priority != "required",
                    p.priority != "important",
                    &p.name,
                )
            });
        }
        let mut chosen: HashSet<&str> = HashSet::new();
        let mut queue: VecDeque<&Package> = VecDeque::new();
        for name in names {
            let package = self.get(name).ok_or_else(|| Error::Dependency {
                package: "the image".to_owned(),
                dependency: (*name).to_owned(),
            })?;
            if chosen.insert(&package.name) {
                queue.push_back(package);
            }
        }
        while let Some(package) = queue.pop_front() {
            for dependency in package
                .depends
                .split(',')
                .map(str::trim)
                .filter(|d| !d.is_empty())
            {
                let alternatives: Vec<Relation<'_>> =
                    dependency.split('|').filter_map(Relation::parse).collect();
                let real =
                    |r: &Relation<'_>| self.get(r.name).filter(|p| r.accepts(Some(&p.version)));
                let provided = |r: &Relation<'_>| {
                    let list = providers.get(r.name).map_or(&[][..], Vec::as_slice);
                    list.iter()
                        .filter(|(_, v)| r.accepts(*v))
                        .map(|(p, _)| *p)
                        .collect::<Vec<_>>()
                };
                let candidates = || {
                    alternatives
                        .iter()
                        .flat_map(|r| real(r).into_iter().chain(provided(r)))
                };
                if candidates().any(|p| chosen.contains(p.name.as_str())) {
                    continue;
                }
                let first = alternatives
                    .iter()
                    .find_map(real)
                    .or_else(|| candidates().next());
                let package = first.ok_or_else(|| Error::Dependency {
                    package: package.name.clone(),
                    dependency: dependency.to_owned(),
                })?;
                chosen.insert(&package.name);
                queue.push_back(package);
            }
        }
        let mut set: Vec<&Package> = chosen
            .into_iter()
            .filter_map(|name| self.get(name))
            .collect();
        set.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(set)
    }
}

fn next_package(
    what: &str,
    archive: usize,
    reader: &mut deb822::Reader<impl BufRead>,
) -> Result<Option<Package>> {
    let fields = match reader.next_paragraph() {
        Ok(None) => return Ok(None),
        Ok(Some(Ok(fields))) => fields,
        Ok(Some(Err(e))) => {
            return Err(Error::Syntax {
                what: what.to_owned(),
                line: e.line,
                reason: e.reason,
            });
        }
        Err(e) => return Err(Error::archive(what, e.to_string())),
    };
    package(&fields, archive).map(Some).ok_or_else(|| {
        let name = fields.get("Package").unwrap_or("a package");
        Error::Release {
            what: what.to_owned(),
            reason: format!("{name} lacks its version, file name, size or checksum"),
        }
    })
}

fn package(fields: &Paragraph, archive: usize) -> Option<Package> {
    let text = |name: &str| fields.get(name).unwrap_or_default().to_owned();
    let depends: Vec<&str> = ["Pre-Depends", "Depends"]
        .iter()
        .filter_map(|f| fields.get(f))
        .collect();
    Some(Package {
        name: fields
            .get("Package")
            .filter(|n| is_package_name(n))?
            .to_owned(),
        version: fields.get("Version")?.to_owned(),
        essential: fields.get("Essential") == Some("yes"),
        priority: text("Priority"),
        depends: depends.join(", "),
        provides: text("Provides"),
        filename: fields
            .get("Filename")
            .filter(|f| !f.split('/').any(|part| part == ".."))?
            .to_owned(),
        archive,
        expected: Expected {
            digest: fields.get("SHA256")?.parse().ok()?,
            size: fields.get("Size")?.parse().ok()?,
        },
    })
}

/// Package names become file names; see Debian policy 5.6.1.
pub(super) fn is_package_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
}

impl<'a> Relation<'a> {
    /// `name[:arch] [(op version)]`.
    fn parse(text: &'a str) -> Option<Relation<'a>> {
        let text = text.trim();
        let (name, version) = match text.split_once('(') {
            Some((name, rest)) => {
                let rest = rest.split(')').next()?.trim();
                let at = rest.find(|c| !"<>=".contains(c))?;
                (name, Some((&rest[..at], rest[at..].trim())))
            }
            None => (text.split([' ', '[', '<']).next()?, None),
        };
        let name = name.trim().split(':').next()?;
        (!name.is_empty()).then_some(Relation { name, version })
    }

    /// Whether a version fits; what is provided without one fits only where none is asked for.
    fn accepts(&self, version: Option<&str>) -> bool {
        let Some((op, wanted)) = self.version else {
            return true;
        };
        let Some(version) = version else { return false };
        let order = version::compare(version, wanted);
        match op {
            "<<" => order.is_lt(),
            "<=" | "<" => order.is_le(),
            "=" => order.is_eq(),
            ">=" | ">" => order.is_ge(),
            ">>" => order.is_gt(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(packages: &[(&str, &str, &str)]) -> Index {
        let text: String = packages
            .iter()
            .map(|(name, version, more)| {
                format!(
                    "Package: {name}\nVersion: {version}\nFilename: pool/{name}.deb\nSize: 1\nSHA256: {}\n{more}\n\n",
                    "0".repeat(64)
                )
            })
            .collect();
        let mut index = Index::default();
        index.add("test", 0, text.as_bytes()).unwrap();
        index
    }

    fn closure(index: &Index, names: &[&str]) -> Vec<String> {
        index
            .closure(names)
            .unwrap()
            .iter()
            .map(|p| p.name.clone())
            .collect()
    }

    #[test]
    fn dependencies_are_followed() {
        let index = index(&[
            (
                "a",
                "1",
                "Essential: yes\nPre-Depends: b (>= 1:2)\nDepends: c:any | d, virtual",
            ),
            ("b", "1:2", "Depends: a"),
            ("c", "1", "Priority: required"),
            ("d", "1", ""),
            ("z", "1", "Provides: virtual"),
            ("y", "1", "Provides: virtual (= 3)\nPriority: important"),
        ]);
        assert_eq!(index.required(), ["a", "c"]);
        assert_eq!(closure(&index, &["a"]), ["a", "b", "c", "y"]);
        assert_eq!(closure(&index, &["a", "d", "z"]), ["a", "b", "d", "z"]);
    }

    #[test]
    fn versions_are_respected() {
        let index = index(&[
            ("a", "1", "Depends: lib (>= 2) | other"),
            ("lib", "1", ""),
            ("other", "1", ""),
            ("b", "1", "Depends: v (>= 2)"),
            ("p", "1", "Provides: v (= 2.1)"),
            ("c", "1", "Depends: nothing"),
            ("q", "9", "Provides: w"),
            ("e", "1", "Depends: w (>= 1)"),
        ]);
        assert_eq!(closure(&index, &["a"]), ["a", "other"]);
        assert_eq!(closure(&index, &["b"]), ["b", "p"]);
        assert!(matches!(
            index.closure(&["c"]),
            Err(Error::Dependency { .. })
        ));
        assert!(matches!(
            index.closure(&["e"]),
            Err(Error::Dependency { .. })
        ));
        assert!(index.closure(&["missing"]).is_err());
    }

    #[test]
    fn the_newest_version_wins() {
        let mut both = index(&[("a", "1.0", ""), ("b", "2", "")]);
        both.add(
            "more",
            1,
            format!(
                "Package: a\nVersion: 1.1\nFilename: f\nSize: 1\nSHA256: {}\n",
                "0".repeat(64)
            )
            .as_bytes(),
        )
        .unwrap();
        assert_eq!(
            (
                both.get("a").unwrap().version.as_str(),
                both.get("a").unwrap().archive
            ),
            ("1.1", 1)
        );
        assert_eq!(both.len(), 2);
    }

    #[test]
    fn hostile_fields_are_refused() {
        let bad = |text: &str| Index::default().add("t", 0, text.as_bytes()).is_err();
        let tail = format!("Size: 1\nSHA256: {}\n", "0".repeat(64));
        assert!(bad(&format!(
            "Package: ../x\nVersion: 1\nFilename: f\n{tail}"
        )));
        assert!(bad(&format!(
            "Package: x\nVersion: 1\nFilename: ../../f\n{tail}"
        )));
        assert!(bad("Package: x\nVersion: 1\n"));
    }
}
