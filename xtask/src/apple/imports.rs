//! What a static library for Apple's systems needs from them, of what its public functions can reach: the linker's dead stripping, done
//! here, because it is the same on every host and needs no SDK.

use anyhow::{Context, Result, ensure};
use object::{
    FileFlags, Object, ObjectSection, ObjectSymbol, RelocationTarget, SymbolFlags,
    read::{SectionIndex, SymbolIndex, archive::ArchiveFile},
};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    path::Path,
};

/// Prefix of the symbols of the interface; Mach-O puts an underscore before C's names.
const INTERFACE: &str = "_tux_";
/// `MH_SUBSECTIONS_VIA_SYMBOLS` of mach-o/loader.h: what begins at a symbol can be left out alone.
const SUBSECTIONS: u32 = 0x2000;
/// `N_NO_DEAD_STRIP` of mach-o/nlist.h.
const NO_DEAD_STRIP: u16 = 0x20;
/// Size of an entry of `__compact_unwind`: of a function its place, personality and data.
const UNWIND_ENTRY: u64 = 32;

/// Symbols that a library imports, and by which way of its own it comes to need each.
pub(super) type Imports = BTreeMap<String, String>;

/// What stays or goes as a whole: the bytes from one symbol of a section to the next.
#[derive(Default)]
struct Atom {
    /// One of its symbols.
    name: String,
    /// Atoms of the same object.
    near: Vec<usize>,
    /// Symbols of other objects.
    far: Vec<String>,
}

/// The atoms of all objects of a library.
#[derive(Default)]
struct Graph {
    atoms: Vec<Atom>,
    /// Atoms of symbols that other objects see; of several of one name the first counts.
    global: HashMap<String, usize>,
    roots: Vec<usize>,
}

/// Atoms of a section by where they begin.
type Places = HashMap<SectionIndex, BTreeMap<u64, usize>>;

fn at(places: &Places, section: SectionIndex, address: u64) -> Option<usize> {
    let (_, atom) = places.get(&section)?.range(..=address).next_back()?;
    Some(*atom)
}

impl Graph {
    fn atom(&mut self) -> usize {
        self.atoms.push(Atom::default());
        self.atoms.len() - 1
    }

    /// Divides the sections of an object.
    fn divide(&mut self, file: &object::File<'_>) -> Places {
        let divisible =
            matches!(file.flags(), FileFlags::MachO { flags } if flags.0 & SUBSECTIONS != 0);
        let whole = self.atom();
        let mut places = Places::new();
        for section in file.sections() {
            let first = if divisible { self.atom() } else { whole };
            places.insert(
                section.index(),
                BTreeMap::from([(section.address(), first)]),
            );
        }
        for symbol in file.symbols() {
            let (Some(section), Ok(name)) = (symbol.section_index(), symbol.name()) else {
                continue;
            };
            if !places.contains_key(&section) {
                continue;
            }
            let known = places[&section].get(&symbol.address()).copied();
            let atom = match known {
                Some(atom) => atom,
                None if divisible => self.atom(),
                None => whole,
            };
            if let Some(starts) = places.get_mut(&section) {
                starts.insert(symbol.address(), atom);
            }
            if self.atoms[atom].name.is_empty() {
                name.clone_into(&mut self.atoms[atom].name);
            }
            if symbol.is_global() {
                self.global.entry(name.to_owned()).or_insert(atom);
            }
            let kept = matches!(symbol.flags(), SymbolFlags::MachO { n_desc, .. } if n_desc.0 & NO_DEAD_STRIP != 0);
            if kept || name.starts_with(INTERFACE) && symbol.is_global() {
                self.roots.push(atom);
            }
        }
        places
    }

    fn add(&mut self, file: &object::File<'_>) -> Result<()> {
        let places = self.divide(file);
        for section in file.sections() {
            let name = section.name()?;
            // Debugging information keeps nothing alive.
            if section.segment_name()? == Some("__DWARF") {
                continue;
            }
            if name == "__mod_init_func" {
                self.roots.extend(places[&section.index()].values());
            }
            let unwinds = name == "__compact_unwind";
            let mut functions: HashMap<u64, usize> = HashMap::new();
            for (offset, relocation) in section.relocations() {
                let address = section.address() + offset;
                let from = if unwinds {
                    functions.get(&(offset / UNWIND_ENTRY)).copied()
                } else {
                    at(&places, section.index(), address)
                };
                let near = match relocation.target() {
                    RelocationTarget::Symbol(index) => {
                        match self.symbol(file, &places, index, from)? {
                            Some(atom) => atom,
                            None => continue,
                        }
                    }
                    RelocationTarget::Section(index) => {
                        let to = address_in(&section, offset, relocation.size());
                        let Some(atom) = at(&places, index, to) else {
                            continue;
                        };
                        atom
                    }
                    _ => continue,
                };
                if unwinds && offset % UNWIND_ENTRY == 0 {
                    functions.insert(offset / UNWIND_ENTRY, near);
                } else if let Some(from) = from {
                    self.atoms[from].near.push(near);
                }
            }
        }
        Ok(())
    }

    /// The atom of a symbol of the same object; one of another object is noted.
    fn symbol(
        &mut self,
        file: &object::File<'_>,
        places: &Places,
        index: SymbolIndex,
        from: Option<usize>,
    ) -> Result<Option<usize>> {
        let symbol = file.symbol_by_index(index)?;
        if let Some(section) = symbol.section_index() {
            return Ok(at(places, section, symbol.address()));
        }
        if let Some(from) = from {
            self.atoms[from].far.push(symbol.name()?.to_owned());
        }
        Ok(None)
    }

    /// Symbols that nothing in the library defines, of what the roots reach, and how they do.
    fn imports(&self) -> Imports {
        let mut from: HashMap<usize, Option<usize>> = HashMap::new();
        let mut imports = Imports::new();
        let mut todo: VecDeque<(usize, Option<usize>)> =
            self.roots.iter().map(|root| (*root, None)).collect();
        while let Some((atom, by)) = todo.pop_front() {
            if from.contains_key(&atom) {
                continue;
            }
            from.insert(atom, by);
            let near = self.atoms[atom].near.iter();
            todo.extend(near.map(|to| (*to, Some(atom))));
            for name in &self.atoms[atom].far {
                match self.global.get(name) {
                    Some(to) => todo.push_back((*to, Some(atom))),
                    None => {
                        let way = || self.way(&from, atom);
                        imports.entry(name.clone()).or_insert_with(way);
                    }
                }
            }
        }
        imports
    }

    /// The shortest way from a root.
    fn way(&self, from: &HashMap<usize, Option<usize>>, to: usize) -> String {
        let mut names = Vec::new();
        let mut next = Some(to);
        while let Some(atom) = next {
            names.push(self.atoms[atom].name.as_str());
            next = from.get(&atom).copied().flatten();
        }
        names.reverse();
        names.join(" > ")
    }
}

/// The address that is in the place of a relocation against a section.
fn address_in(section: &object::Section<'_, '_>, offset: u64, bits: u8) -> u64 {
    let len = u64::from(bits / 8).min(8);
    let bytes = section.data_range(section.address() + offset, len);
    let mut value = [0; 8];
    if let Ok(Some(bytes)) = bytes {
        value[..bytes.len()].copy_from_slice(bytes);
    }
    u64::from_le_bytes(value)
}

/// Functions of the interface that a library has, and the symbols it needs from elsewhere for them.
pub(super) fn of(archive: &Path) -> Result<(usize, Imports)> {
    let data = std::fs::read(archive).with_context(|| archive.display().to_string())?;
    let members = ArchiveFile::parse(&*data)?;
    let mut graph = Graph::default();
    for member in members.members() {
        let member = member?;
        let Ok(file) = object::File::parse(member.data(&*data)?) else {
            // The archive's index, and Rust's own metadata.
            continue;
        };
        graph.add(&file)?;
    }
    let functions = graph
        .global
        .keys()
        .filter(|name| name.starts_with(INTERFACE));
    let functions = functions.count();
    ensure!(
        functions > 0,
        "{}: no function of the interface",
        archive.display()
    );
    Ok((functions, graph.imports()))
}
