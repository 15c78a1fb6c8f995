//! Typed system call arguments and results.
//!
//! A handler is a plain function of the task and of typed arguments; [`Syscall`] adapts it to six registers.

use crate::task::CurrentTask;
use std::{fmt::Write, marker::PhantomData};
use tuxlet_uapi::errno::{Errno, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A value made of one argument register.
pub trait FromArg: Sized {
    /// Decodes the register.
    fn from_arg(raw: u64) -> Result<Self>;

    /// The register as the trace shows it.
    fn show(raw: u64, task: &CurrentTask) -> String {
        let _ = task;
        show_number(raw)
    }
}

/// A value that goes to `x0`.
pub trait IntoRet {
    /// The register's value.
    fn into_ret(self) -> u64;
}

macro_rules! numbers {
    ($($t:ty),*) => { $(
        impl FromArg for $t {
            fn from_arg(raw: u64) -> Result<Self> {
                // System calls take the low bits of the register: a C int ignores what is above it.
                #[allow(clippy::cast_possible_truncation, reason = "this is what the ABI says")]
                Ok(raw as $t)
            }
            fn show(raw: u64, _: &CurrentTask) -> String {
                #[allow(clippy::cast_possible_truncation, reason = "this is what the ABI says")]
                show_number(raw as $t as i64 as u64)
            }
        }
        impl IntoRet for $t {
            fn into_ret(self) -> u64 {
                #[allow(clippy::cast_sign_loss, reason = "registers have no sign")]
                { self as u64 }
            }
        }
    )* };
}
numbers!(i32, u32, i64, u64, usize);

impl IntoRet for () {
    fn into_ret(self) -> u64 {
        0
    }
}

fn show_number(raw: u64) -> String {
    let signed = raw.cast_signed();
    if (-4096..0x1_0000).contains(&signed) {
        signed.to_string()
    } else {
        format!("{raw:#x}")
    }
}

/// A pointer to a `T` in the caller's memory; may be null.
pub struct UserPtr<T> {
    addr: u64,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for UserPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for UserPtr<T> {}

impl<T> std::fmt::Debug for UserPtr<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.addr)
    }
}

impl<T> UserPtr<T> {
    /// A pointer of its address.
    #[must_use]
    pub fn new(addr: u64) -> Self {
        Self {
            addr,
            of: PhantomData,
        }
    }

    /// The address.
    #[must_use]
    pub fn addr(self) -> u64 {
        self.addr
    }

    /// Whether it is null.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.addr == 0
    }

    /// The pointer `n` elements further.
    #[must_use]
    pub fn offset(self, n: u64) -> Self {
        Self::new(
            self.addr
                .wrapping_add(n.wrapping_mul(size_of::<T>() as u64)),
        )
    }
}

impl<T: FromBytes + IntoBytes + Immutable> UserPtr<T> {
    /// Reads the value. `EFAULT`.
    pub fn read(self, task: &CurrentTask) -> Result<T> {
        task.mm.space.read::<T>(self.addr)
    }

    /// Reads the value unless the pointer is null.
    pub fn read_opt(self, task: &CurrentTask) -> Result<Option<T>> {
        if self.is_null() {
            Ok(None)
        } else {
            self.read(task).map(Some)
        }
    }

    /// Writes the value. `EFAULT`.
    pub fn write(self, task: &CurrentTask, value: &T) -> Result<()> {
        task.mm.space.write::<T>(self.addr, value)
    }

    /// Writes the value unless the pointer is null.
    pub fn write_opt(self, task: &CurrentTask, value: &T) -> Result<()> {
        if self.is_null() {
            Ok(())
        } else {
            self.write(task, value)
        }
    }

    /// Reads `count` values. `EFAULT`.
    pub fn read_vec(self, task: &CurrentTask, count: usize) -> Result<Vec<T>> {
        (0..count as u64)
            .map(|i| self.offset(i).read(task))
            .collect()
    }
}

impl<T> FromArg for UserPtr<T> {
    fn from_arg(raw: u64) -> Result<Self> {
        Ok(Self::new(raw))
    }

    fn show(raw: u64, _: &CurrentTask) -> String {
        if raw == 0 {
            "NULL".into()
        } else {
            format!("{raw:#x}")
        }
    }
}

/// A path in the caller's memory: a C string of at most 4096 bytes with its zero.
#[derive(Clone, Copy, Debug)]
pub struct UserPath(u64);

/// `PATH_MAX`.
const PATH_MAX: usize = 4096;

impl UserPath {
    /// A path of its address.
    #[must_use]
    pub fn new(addr: u64) -> Self {
        Self(addr)
    }

    /// The address.
    #[must_use]
    pub fn addr(self) -> u64 {
        self.0
    }

    /// Reads the string without its zero. `EFAULT`, `ENAMETOOLONG`.
    pub fn read(self, task: &CurrentTask) -> Result<Vec<u8>> {
        task.mm.space.read_cstr(self.0, PATH_MAX)
    }
}

impl FromArg for UserPath {
    fn from_arg(raw: u64) -> Result<Self> {
        Ok(Self(raw))
    }

    fn show(raw: u64, task: &CurrentTask) -> String {
        Self(raw)
            .read(task)
            .map_or_else(|_| format!("{raw:#x}"), |bytes| show_bytes(&bytes, 256))
    }
}

/// Bytes as a C string literal, cut to `max`.
#[must_use]
pub fn show_bytes(bytes: &[u8], max: usize) -> String {
    let mut text = String::from("\"");
    for byte in &bytes[..bytes.len().min(max)] {
        let _ = write!(text, "{}", std::ascii::escape_default(*byte));
    }
    text.push('"');
    if bytes.len() > max {
        text.push_str("...");
    }
    text
}

/// Flags in hexadecimal in the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u32);

impl FromArg for Flags {
    fn from_arg(raw: u64) -> Result<Self> {
        u32::from_arg(raw).map(Self)
    }

    fn show(raw: u64, _: &CurrentTask) -> String {
        format!("{:#x}", raw as u32)
    }
}

impl Flags {
    /// Whether any of the bits is set.
    #[must_use]
    pub fn has(self, bits: u32) -> bool {
        self.0 & bits != 0
    }

    /// `EINVAL` if a bit outside `known` is set.
    pub fn only(self, known: u32) -> Result<u32> {
        if self.0 & !known == 0 {
            Ok(self.0)
        } else {
            Err(Errno::EINVAL)
        }
    }
}

/// A handler function of any arity up to six.
pub trait Syscall<Args> {
    /// Decodes the registers and calls the function.
    fn call(&self, task: &mut CurrentTask, args: &[u64; 6]) -> Result<u64>;
    /// The arguments as the trace shows them.
    fn show(&self, task: &CurrentTask, args: &[u64; 6]) -> String;
}

macro_rules! arity {
    ($($arg:ident $i:literal),*) => {
        impl<Func, R, $($arg),*> Syscall<($($arg,)*)> for Func
        where
            Func: Fn(&mut CurrentTask, $($arg),*) -> Result<R>,
            R: IntoRet,
            $($arg: FromArg,)*
        {
            #[allow(unused_variables, reason = "handlers without arguments")]
            fn call(&self, task: &mut CurrentTask, args: &[u64; 6]) -> Result<u64> {
                self(task, $($arg::from_arg(args[$i])?),*).map(IntoRet::into_ret)
            }
            #[allow(unused_variables, reason = "handlers without arguments")]
            fn show(&self, task: &CurrentTask, args: &[u64; 6]) -> String {
                let shown: Vec<String> = vec![$($arg::show(args[$i], task)),*];
                shown.join(", ")
            }
        }
    };
}
arity!();
arity!(A 0);
arity!(A 0, B 1);
arity!(A 0, B 1, C 2);
arity!(A 0, B 1, C 2, D 3);
arity!(A 0, B 1, C 2, D 3, E 4);
arity!(A 0, B 1, C 2, D 3, E 4, F 5);
