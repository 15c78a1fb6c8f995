//! The C interface: `include/tuxlet.h` says what each function does. Here is only how C's arguments become Rust's and Rust's
//! errors become C's.

#![deny(missing_docs)]

#[macro_use]
mod function;

mod call;
mod changes;
mod command;
mod error;
mod files;
mod hooks;
mod machine;
mod process;
mod tree;

pub use call::{
    Call, tux_builder_native, tux_call_arg, tux_call_argc, tux_call_check, tux_call_cwd,
    tux_call_env, tux_call_pid, tux_call_read, tux_call_read_file, tux_call_write,
    tux_call_write_file,
};
pub use changes::{
    Change, Changes, tux_change_free, tux_changes_dropped, tux_changes_finish, tux_changes_free,
    tux_changes_next, tux_track_changes,
};
pub use command::{
    Command, tux_command_arg, tux_command_context, tux_command_cwd, tux_command_env,
    tux_command_free, tux_command_new, tux_command_stdio, tux_command_terminal, tux_command_user,
};
pub use error::{Code, Error};
pub use files::{tux_bytes_free, tux_read_file, tux_read_range, tux_write_file};
pub use hooks::{
    Drop, Fork, tux_builder_fork_guard, tux_builder_memory_pressure, tux_builder_path_hook,
};
pub use machine::{
    Builder, Machine, Stats, tux_builder_bind, tux_builder_build, tux_builder_env,
    tux_builder_free, tux_builder_hostname, tux_builder_memory, tux_builder_new,
    tux_builder_root_dir, tux_builder_root_memory, tux_builder_root_store, tux_exec,
    tux_machine_free, tux_machine_kill, tux_machine_kill_all, tux_machine_resume,
    tux_machine_stats, tux_machine_suspend, tux_machine_sync, tux_machine_trim,
};
pub use process::{
    Process, Status, tux_process_close, tux_process_finish, tux_process_free, tux_process_kill,
    tux_process_kill_group, tux_process_pid, tux_process_read, tux_process_resize,
    tux_process_wait, tux_process_write,
};

pub use tree::{
    Directory, Entry, Metadata, tux_create_directory, tux_directory_free, tux_directory_next,
    tux_file_metadata, tux_open_directory, tux_read_link, tux_remove, tux_rename, tux_set_mode,
    tux_symlink,
};

use std::ffi::{CStr, c_char};

/// The library's version.
#[unsafe(no_mangle)]
pub extern "C" fn tux_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(text) => text,
            Err(_) => panic!("a version has no zero byte"),
        };
    VERSION.as_ptr()
}
