//! `sysinfo`(2).

abi! {
    /// `struct sysinfo`, 112 bytes; memory in units of `mem_unit` bytes, loads times 65536.
    pub struct Sysinfo = "struct sysinfo" {
        uptime: i64,
        loads: [u64; 3],
        totalram: u64,
        freeram: u64,
        sharedram: u64,
        bufferram: u64,
        totalswap: u64,
        freeswap: u64,
        procs: u16,
        pad: u16,
        _pad0: u32,
        totalhigh: u64,
        freehigh: u64,
        mem_unit: u32,
        _pad1: u32,
    }
}
