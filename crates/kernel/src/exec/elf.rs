//! Loading ELF programs: elf(5).

use super::{ExecRequest, aux::AuxInput, image::Image, stack};
use crate::task::{CurrentTask, Mm, MmLayout};
use std::sync::Arc;
use tuxlet_mem::{
    AddressSpace, Layout, MapRequest, PAGE_MASK, PAGE_SIZE, Placement, Prot, TASK_SIZE, page_down,
    page_up,
};
use tuxlet_uapi::{
    elf::{
        ELFCLASS64, ELFDATA2LSB, ELFMAG, EM_AARCH64, EM_X86_64, ET_DYN, ET_EXEC, Elf64Ehdr,
        Elf64Phdr, PF_R, PF_W, PF_X, PT_GNU_STACK, PT_INTERP, PT_LOAD, PT_PHDR,
    },
    errno::{Errno, Result},
};
use tuxlet_vfs::Path;
use zerocopy::FromBytes;

/// Linux reads at most a page of program headers; so many fit.
const MAX_PROGRAM_HEADERS: usize = 4096 / size_of::<Elf64Phdr>();
/// Longest interpreter name.
const MAX_INTERPRETER_LEN: u64 = 4096;

/// The headers of an ELF file.
#[derive(Debug)]
pub(super) struct Program {
    header: Elf64Ehdr,
    segments: Vec<Elf64Phdr>,
}

impl Program {
    /// Reads and checks the headers. `ENOEXEC` for anything that is no AArch64 program.
    pub(super) fn parse(image: &Image) -> Result<Self> {
        let (header, _) = Elf64Ehdr::read_from_prefix(image.head()?).map_err(|_| Errno::ENOEXEC)?;
        let ident = &header.e_ident;
        if ident[..4] != ELFMAG {
            return Err(Errno::ENOEXEC);
        }
        if header.e_machine == EM_X86_64 {
            tracing::warn!(
                "{}: an x86-64 program; only AArch64 programs run here",
                printable(image)
            );
        }
        let fits =
            ident[4] == ELFCLASS64 && ident[5] == ELFDATA2LSB && header.e_machine == EM_AARCH64;
        let count = usize::from(header.e_phnum);
        if !fits
            || !matches!(header.e_type, ET_EXEC | ET_DYN)
            || usize::from(header.e_phentsize) != size_of::<Elf64Phdr>()
            || count == 0
            || count > MAX_PROGRAM_HEADERS
        {
            return Err(Errno::ENOEXEC);
        }
        let bytes = image.read(header.e_phoff, count * size_of::<Elf64Phdr>())?;
        let segments: Vec<Elf64Phdr> = bytes
            .chunks_exact(size_of::<Elf64Phdr>())
            .filter_map(|c| Elf64Phdr::read_from_bytes(c).ok())
            .collect();
        if segments.len() != count || !segments.iter().any(|s| s.p_type == PT_LOAD) {
            return Err(Errno::ENOEXEC);
        }
        let program = Self { header, segments };
        program.check_segments()?;
        Ok(program)
    }

    fn check_segments(&self) -> Result<()> {
        let mut end = 0;
        for s in self.loads() {
            let top = s.p_vaddr.checked_add(s.p_memsz).ok_or(Errno::ENOEXEC)?;
            let sane = s.p_filesz <= s.p_memsz
                && top <= TASK_SIZE
                && s.p_offset.checked_add(s.p_filesz).is_some()
                && (s.p_vaddr ^ s.p_offset) & PAGE_MASK == 0
                && s.p_vaddr >= end;
            if !sane {
                return Err(Errno::ENOEXEC);
            }
            end = s.p_vaddr;
        }
        Ok(())
    }

    fn loads(&self) -> impl Iterator<Item = &Elf64Phdr> {
        self.segments.iter().filter(|s| s.p_type == PT_LOAD)
    }

    /// The first and one past the last address, page aligned.
    fn extent(&self) -> (u64, u64) {
        let start = self
            .loads()
            .map(|s| page_down(s.p_vaddr))
            .min()
            .unwrap_or(0);
        let end = self
            .loads()
            .filter_map(|s| page_up(s.p_vaddr + s.p_memsz))
            .max()
            .unwrap_or(0);
        (start, end)
    }

    /// The largest alignment that a segment asks for.
    fn alignment(&self) -> u64 {
        let largest = self
            .loads()
            .map(|s| s.p_align)
            .filter(|a| a.is_power_of_two())
            .max()
            .unwrap_or(0);
        largest.clamp(PAGE_SIZE, 1 << 30)
    }

    /// The program interpreter's path.
    pub(super) fn interpreter(&self, image: &Image) -> Result<Option<Vec<u8>>> {
        let Some(s) = self.segments.iter().find(|s| s.p_type == PT_INTERP) else {
            return Ok(None);
        };
        if s.p_filesz < 2 || s.p_filesz > MAX_INTERPRETER_LEN {
            return Err(Errno::ENOEXEC);
        }
        let mut name = image.read(s.p_offset, s.p_filesz as usize)?;
        if name.len() as u64 != s.p_filesz || name.pop() != Some(0) {
            return Err(Errno::ENOEXEC);
        }
        Ok(Some(name))
    }

    /// Whether the program asks for an executable stack.
    fn wants_executable_stack(&self) -> bool {
        self.segments
            .iter()
            .find(|s| s.p_type == PT_GNU_STACK)
            .is_some_and(|s| s.p_flags & PF_X != 0)
    }

    /// Where the program headers are in memory, before the bias.
    fn headers_address(&self) -> u64 {
        if let Some(s) = self.segments.iter().find(|s| s.p_type == PT_PHDR) {
            return s.p_vaddr;
        }
        let at = self.header.e_phoff;
        let holder = self
            .loads()
            .find(|s| at >= s.p_offset && at < s.p_offset + s.p_filesz);
        holder.map_or(0, |s| at - s.p_offset + s.p_vaddr)
    }
}

fn printable(image: &Image) -> String {
    String::from_utf8_lossy(image.path.dentry.name().as_ref()).into_owned()
}

/// A program that has been put into a new memory.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) mm: Arc<Mm>,
    pub(super) entry: u64,
    pub(super) stack: u64,
}

/// Maps the segments of a program with a bias added to their addresses.
fn map_segments(
    space: &Arc<AddressSpace>,
    root: &Path,
    image: &Image,
    program: &Program,
    bias: u64,
) -> Result<()> {
    let object = image.object()?;
    let name: Arc<[u8]> = image.path.d_path(root).into();
    for s in program.loads() {
        let prot = [(PF_R, Prot::READ), (PF_W, Prot::WRITE), (PF_X, Prot::EXEC)]
            .into_iter()
            .filter(|(flag, _)| s.p_flags & flag != 0)
            .fold(Prot::NONE, |p, (_, bit)| p | bit);
        let start = page_down(s.p_vaddr).wrapping_add(bias);
        let in_page = s.p_vaddr & PAGE_MASK;
        let file_end = s.p_vaddr.wrapping_add(bias) + s.p_filesz;
        let end = page_up(s.p_vaddr.wrapping_add(bias) + s.p_memsz).ok_or(Errno::ENOEXEC)?;
        let file_pages_end = page_up(file_end).ok_or(Errno::ENOEXEC)?;
        if s.p_filesz > 0 {
            let mut request = MapRequest::private(
                Arc::clone(&object),
                s.p_offset - in_page,
                file_pages_end - start,
                prot,
            );
            request.name = Some(Arc::clone(&name));
            request.file_id = Some((image.attr.dev.encode(), image.attr.ino));
            space.map(request.at(Placement::Fixed(start)))?;
        }
        if s.p_memsz > s.p_filesz {
            let zero_from = if s.p_filesz > 0 {
                file_pages_end
            } else {
                start
            };
            if end > zero_from {
                space.map(
                    MapRequest::anonymous(end - zero_from, prot).at(Placement::Fixed(zero_from)),
                )?;
            }
            // The rest of the last file page belongs to the zero-initialised data.
            if s.p_filesz > 0 && file_end < file_pages_end && prot.contains(Prot::WRITE) {
                space.clear_bytes(file_end, (file_pages_end - file_end) as usize)?;
            }
        }
    }
    Ok(())
}

/// A place for a position-independent file that keeps its alignment.
fn place(space: &Arc<AddressSpace>, program: &Program) -> Result<u64> {
    let (start, end) = program.extent();
    let align = program.alignment();
    let len = end - start + align - PAGE_SIZE;
    let reserved = space.map(MapRequest::anonymous(len, Prot::NONE))?;
    space.unmap(reserved, len)?;
    Ok(((reserved + align - 1) & !(align - 1)).wrapping_sub(start))
}

/// Builds the new memory: program, interpreter, stack, vDSO.
pub(super) fn load(
    task: &CurrentTask,
    image: &Image,
    program: &Program,
    interpreter: Option<&(Image, Program)>,
    request: &ExecRequest,
) -> Result<Loaded> {
    let random = aslr_seed()?;
    let stack_limit = task
        .task
        .group()
        .rlimit(tuxlet_uapi::resource::RLIMIT_STACK);
    let space = AddressSpace::new(&task.kernel.budget)?;
    space.set_layout(Layout::new(random, stack_limit));
    let (low, high) = program.extent();
    let bias = match program.header.e_type {
        ET_EXEC => 0,
        // A static PIE and the dynamic loader started by hand go where mmap(2) puts things.
        _ if interpreter.is_none() => place(&space, program)?,
        _ => (space.layout().pie_base & !(program.alignment() - 1)).wrapping_sub(low),
    };
    let root = task.fs.root();
    map_segments(&space, &root, image, program, bias)?;

    let program_entry = program.header.e_entry.wrapping_add(bias);
    let (entry, base) = match interpreter {
        Some((file, loader)) => {
            let loader_bias = if loader.header.e_type == ET_EXEC {
                0
            } else {
                place(&space, loader)?
            };
            map_segments(&space, &root, file, loader, loader_bias)?;
            (
                loader.header.e_entry.wrapping_add(loader_bias),
                loader.extent().0.wrapping_add(loader_bias),
            )
        }
        None => (program_entry, 0),
    };
    let data_end = high.wrapping_add(bias);
    space.set_brk_start(data_end, high - low);

    let mut layout = MmLayout::default();
    let text = program.loads().find(|s| s.p_flags & PF_X != 0);
    layout.code = text.map_or((0, 0), |s| {
        (s.p_vaddr + bias, s.p_vaddr + s.p_filesz + bias)
    });
    let data = program.loads().filter(|s| s.p_flags & PF_W != 0).last();
    layout.data = data.map_or((0, 0), |s| {
        (s.p_vaddr + bias, s.p_vaddr + s.p_filesz + bias)
    });
    let vdso = task
        .kernel
        .vdso
        .map(&task.kernel, &task.ns.with_childrens_time(), &space)?;
    layout.vdso = vdso.base;
    layout.sigreturn = vdso.sigreturn;

    let aux = AuxInput {
        headers: program.headers_address().wrapping_add(bias),
        header_count: program.segments.len() as u64,
        base,
        entry: program_entry,
        vdso: vdso.base,
    };
    let stack = stack::build(
        task,
        &space,
        &mut layout,
        request,
        image,
        &aux,
        program.wants_executable_stack(),
    )?;
    let mm = Mm::new(space, layout, Some(request.path.clone()));
    *mm.deny_write.lock() = Some(Arc::clone(&image.deny_write));
    Ok(Loaded { mm, entry, stack })
}

/// Builds the memory of a program that runs natively: a stack with its strings, for `/proc`, and nothing to execute.
pub(super) fn load_native(
    task: &CurrentTask,
    image: &Image,
    request: &ExecRequest,
) -> Result<Loaded> {
    let limit = task
        .task
        .group()
        .rlimit(tuxlet_uapi::resource::RLIMIT_STACK);
    let space = AddressSpace::new(&task.kernel.budget)?;
    space.set_layout(Layout::new(aslr_seed()?, limit));
    let mut layout = MmLayout::default();
    let aux = AuxInput {
        headers: 0,
        header_count: 0,
        base: 0,
        entry: 0,
        vdso: 0,
    };
    let stack = stack::build(task, &space, &mut layout, request, image, &aux, false)?;
    let mm = Mm::new(space, layout, Some(request.path.clone()));
    Ok(Loaded {
        mm,
        entry: 0,
        stack,
    })
}

fn aslr_seed() -> Result<u64> {
    tuxlet_host::entropy::u64().map_err(|_| Errno::EIO)
}
