//! ELF64: headers, notes and constants, `elf`(5).

consts! {
    /// File types of `e_type`.
    pub ET: u16 {
        ET_NONE = 0,
        ET_REL = 1,
        ET_EXEC = 2,
        ET_DYN = 3,
        ET_CORE = 4,
    }
}

consts! {
    /// Machines of `e_machine`.
    pub EM: u16 {
        EM_386 = 3,
        EM_ARM = 40,
        EM_X86_64 = 62,
        EM_AARCH64 = 183,
        EM_RISCV = 243,
        EM_PPC64 = 21,
        EM_S390 = 22,
    }
}

consts! {
    /// Types of program headers.
    pub PT: u32 {
        PT_NULL = 0x0,
        PT_LOAD = 0x1,
        PT_DYNAMIC = 0x2,
        PT_INTERP = 0x3,
        PT_NOTE = 0x4,
        PT_SHLIB = 0x5,
        PT_PHDR = 0x6,
        PT_TLS = 0x7,
        PT_GNU_EH_FRAME = 0x6474e550,
        PT_GNU_STACK = 0x6474e551,
        PT_GNU_RELRO = 0x6474e552,
        PT_GNU_PROPERTY = 0x6474e553,
    }
}

consts! {
    /// Permissions of program headers.
    pub PF: u32 {
        PF_X = 0x1,
        PF_W = 0x2,
        PF_R = 0x4,
    }
}

consts! {
    /// Indices in `e_ident`.
    pub EI: usize {
        EI_MAG0 = 0,
        EI_CLASS = 4,
        EI_DATA = 5,
        EI_VERSION = 6,
        EI_OSABI = 7,
        EI_PAD = 8,
        EI_NIDENT = 16,
    }
}

consts! {
    /// Values in `e_ident`.
    pub EIDENT: u8 {
        ELFCLASS32 = 1,
        ELFCLASS64 = 2,
        ELFDATA2LSB = 1,
        ELFDATA2MSB = 2,
        EV_CURRENT = 1,
        ELFOSABI_NONE = 0,
        ELFOSABI_LINUX = 3,
    }
}

consts! {
    /// Tags of the dynamic section.
    pub DT: i64 {
        DT_NULL = 0x0,
        DT_NEEDED = 0x1,
        DT_HASH = 0x4,
        DT_STRTAB = 0x5,
        DT_SYMTAB = 0x6,
        DT_STRSZ = 0xa,
        DT_SYMENT = 0xb,
        DT_SONAME = 0xe,
        DT_VERSYM = 0x6ffffff0,
        DT_VERDEF = 0x6ffffffc,
        DT_VERDEFNUM = 0x6ffffffd,
        DT_GNU_HASH = 0x6ffffef5,
    }
}

consts! {
    /// Section types.
    pub SHT: u32 {
        SHT_NULL = 0,
        SHT_PROGBITS = 1,
        SHT_SYMTAB = 2,
        SHT_STRTAB = 3,
        SHT_RELA = 4,
        SHT_HASH = 5,
        SHT_DYNAMIC = 6,
        SHT_NOTE = 7,
        SHT_NOBITS = 8,
        SHT_DYNSYM = 11,
    }
}

consts! {
    /// Symbol bindings and types.
    pub STB: u8 {
        STB_GLOBAL = 1,
        STB_WEAK = 2,
        STT_FUNC = 2,
        STT_OBJECT = 1,
    }
}

consts! {
    /// Note types of core dumps and `ptrace`(2) register sets.
    pub NT: u32 {
        NT_PRSTATUS = 0x1,
        NT_PRFPREG = 0x2,
        NT_PRPSINFO = 0x3,
        NT_AUXV = 0x6,
        NT_SIGINFO = 0x53494749,
        NT_FILE = 0x46494c45,
        NT_ARM_TLS = 0x401,
        NT_ARM_HW_BREAK = 0x402,
        NT_ARM_HW_WATCH = 0x403,
        NT_ARM_SYSTEM_CALL = 0x404,
    }
}

consts! {
    /// Types of GNU notes.
    pub NOTE_GNU: u32 {
        NT_GNU_ABI_TAG = 1,
        NT_GNU_BUILD_ID = 3,
        NT_GNU_PROPERTY_TYPE_0 = 5,
    }
}

consts! {
    /// Properties of arm64.
    pub GNU_PROPERTY: u32 {
        GNU_PROPERTY_AARCH64_FEATURE_1_AND = 0xc0000000,
        GNU_PROPERTY_AARCH64_FEATURE_1_BTI = 0x1,
    }
}

/// The four bytes at the start of an ELF file.
pub const ELFMAG: [u8; 4] = *b"\x7fELF";

abi! {
    /// `Elf64_Ehdr`.
    pub struct Elf64Ehdr = "Elf64_Ehdr" {
        e_ident: [u8; EI_NIDENT],
        e_type: u16,
        e_machine: u16,
        e_version: u32,
        e_entry: u64,
        e_phoff: u64,
        e_shoff: u64,
        e_flags: u32,
        e_ehsize: u16,
        e_phentsize: u16,
        e_phnum: u16,
        e_shentsize: u16,
        e_shnum: u16,
        e_shstrndx: u16,
    }

    /// `Elf64_Phdr`.
    pub struct Elf64Phdr = "Elf64_Phdr" {
        p_type: u32,
        p_flags: u32,
        p_offset: u64,
        p_vaddr: u64,
        p_paddr: u64,
        p_filesz: u64,
        p_memsz: u64,
        p_align: u64,
    }

    /// `Elf64_Shdr`.
    pub struct Elf64Shdr = "Elf64_Shdr" {
        sh_name: u32,
        sh_type: u32,
        sh_flags: u64,
        sh_addr: u64,
        sh_offset: u64,
        sh_size: u64,
        sh_link: u32,
        sh_info: u32,
        sh_addralign: u64,
        sh_entsize: u64,
    }

    /// `Elf64_Sym`.
    pub struct Elf64Sym = "Elf64_Sym" {
        st_name: u32,
        st_info: u8,
        st_other: u8,
        st_shndx: u16,
        st_value: u64,
        st_size: u64,
    }

    /// `Elf64_Dyn`.
    pub struct Elf64Dyn = "Elf64_Dyn" {
        d_tag: i64,
        d_un: u64,
    }

    /// `Elf64_Nhdr`: the head of a note; name and descriptor follow, each padded to 4 bytes.
    pub struct Elf64Nhdr = "Elf64_Nhdr" {
        n_namesz: u32,
        n_descsz: u32,
        n_type: u32,
    }
}
