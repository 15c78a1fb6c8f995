//! Builders and machines.

use crate::{
    command::{Command, variable},
    error::{self, Code, Failure, Result, borrow, borrow_mut, give, guard, store, text},
    process::Process,
};
use std::ffi::{c_char, c_int};
use tuxlet::{Bind, Root};

/// `tux_builder`.
#[derive(Debug)]
pub struct Builder(Option<tuxlet::Builder>);

/// `tux_machine`.
#[derive(Debug)]
pub struct Machine(pub(crate) tuxlet::Machine);

/// `struct tux_stats`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Stats {
    processes: u64,
    threads: u64,
    memory: u64,
    memory_limit: u64,
}

impl Builder {
    pub(crate) fn change(
        &mut self,
        change: impl FnOnce(tuxlet::Builder) -> tuxlet::Builder,
    ) -> Result<()> {
        let builder = self.0.take();
        let builder =
            builder.ok_or_else(|| Failure::new(Code::Invalid, "the builder is used up"))?;
        self.0 = Some(change(builder));
        Ok(())
    }
}

/// A new builder.
#[unsafe(no_mangle)]
pub extern "C" fn tux_builder_new() -> *mut Builder {
    give(Builder(Some(tuxlet::Machine::builder())))
}

frees! {
    /// Frees a builder.
    fn tux_builder_free(builder: *mut Builder);
}

functions! {
    /// The root is an empty file system in memory.
    fn tux_builder_root_memory(builder: *mut Builder) {
        borrow_mut(builder)?.change(|b| b.root(Root::Memory))
    }

    /// The root is a directory of the host.
    fn tux_builder_root_dir(builder: *mut Builder, dir: *const c_char) {
        let dir = text(dir)?;
        borrow_mut(builder)?.change(|b| b.root(Root::HostDir(dir.into())))
    }

    /// The root is a store.
    fn tux_builder_root_store(builder: *mut Builder, dir: *const c_char) {
        let dir = text(dir)?;
        borrow_mut(builder)?.change(|b| b.root(Root::Store(dir.into())))
    }

    /// Shows a directory or file of the host.
    fn tux_builder_bind(
        builder: *mut Builder,
        host: *const c_char,
        guest: *const c_char,
        read_only: c_int,
    ) {
        let bind = Bind {
            host: text(host)?.into(),
            guest: text(guest)?.into(),
            read_only: read_only != 0,
        };
        borrow_mut(builder)?.change(|b| b.bind(bind))
    }

    /// Sets the host name.
    fn tux_builder_hostname(builder: *mut Builder, name: *const c_char) {
        let name = text(name)?;
        borrow_mut(builder)?.change(|b| b.hostname(name))
    }

    /// Sets the memory limit.
    fn tux_builder_memory(builder: *mut Builder, bytes: u64) {
        borrow_mut(builder)?.change(|b| b.memory(bytes))
    }

    /// Sets a variable for every command.
    fn tux_builder_env(builder: *mut Builder, name: *const c_char, value: *const c_char) {
        let (name, value) = variable(name, value)?;
        borrow_mut(builder)?.change(|b| b.env(name, value))
    }

    /// Starts the machine.
    fn tux_builder_build(builder: *mut Builder, machine: *mut *mut Machine) {
        let builder = error::take(builder);
        let builder = builder.and_then(|b| b.0);
        let builder = builder.ok_or_else(|| Failure::new(Code::Invalid, "a handle is NULL"))?;
        store(machine, std::ptr::null_mut())?;
        store(machine, give(Machine(builder.build()?)))
    }
}

frees! {
    /// Frees a machine.
    fn tux_machine_free(machine: *mut Machine);
}

functions! {
    /// Makes everything durable.
    fn tux_machine_sync(machine: *mut Machine) {
        Ok(borrow(machine)?.0.sync()?)
    }

    /// Holds the machine still and lets go of its files.
    fn tux_machine_suspend(machine: *mut Machine, timeout_ms: u64) {
        let timeout = std::time::Duration::from_millis(timeout_ms);
        Ok(borrow(machine)?.0.suspend(timeout)?)
    }

    /// Lets a suspended machine go on.
    fn tux_machine_resume(machine: *mut Machine) {
        Ok(borrow(machine)?.0.resume()?)
    }

    /// What the machine uses.
    fn tux_machine_stats(machine: *mut Machine, stats: *mut Stats) {
        let now = borrow(machine)?.0.stats();
        let now = Stats {
            processes: now.processes as u64,
            threads: now.threads as u64,
            memory: now.memory,
            memory_limit: now.memory_limit,
        };
        store(stats, now)
    }
}

/// Gives memory back.
///
/// # Safety
/// As the header says of handles.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tux_machine_trim(machine: *mut Machine) -> u64 {
    // SAFETY: the caller's promise.
    let freed = unsafe {
        guard(std::ptr::null_mut(), || {
            Ok(borrow(machine)?.0.trim().cast_signed())
        })
    };
    u64::try_from(freed).unwrap_or(0)
}

functions! {
    /// Sends a signal to any process.
    fn tux_machine_kill(machine: *mut Machine, pid: u32, signal: c_int) {
        Ok(borrow(machine)?.0.kill(pid, signal)?)
    }

    /// Kills all processes.
    fn tux_machine_kill_all(machine: *mut Machine) {
        borrow(machine)?.0.kill_all();
        Ok(())
    }

    /// Starts a program.
    fn tux_exec(machine: *mut Machine, command: *mut Command, process: *mut *mut Process) {
        let command = error::take(command);
        let command = command.and_then(|c| c.0);
        let command = command.ok_or_else(|| Failure::new(Code::Invalid, "a handle is NULL"))?;
        store(process, std::ptr::null_mut())?;
        let started = borrow(machine)?.0.exec(command)?;
        store(process, give(Process::new(started)))
    }
}
