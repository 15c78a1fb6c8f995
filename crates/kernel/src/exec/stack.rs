//! The initial stack: strings, auxiliary vector, environment and argument pointers.

use super::{
    ExecRequest, MAX_ARG_LEN,
    aux::{self, AuxInput, AuxStrings},
    image::Image,
};
use crate::task::{CurrentTask, MmLayout};
use std::sync::Arc;
use tuxlet_mem::{AddressSpace, MapRequest, Placement, Prot, VmaFlags, page_up};
use tuxlet_uapi::{
    errno::{Errno, Result},
    resource::RLIMIT_STACK,
};

/// The name in `AT_PLATFORM`.
const PLATFORM: &[u8] = b"aarch64";
/// Strings may always take this much: execve(2), "Limits on size of arguments and environment".
const MIN_ARGS: u64 = 128 << 10;
/// And never more than this: three quarters of `_STK_LIM`.
const MAX_ARGS: u64 = 6 << 20;

/// Mapped below the strings; the rest grows on demand.
const INITIAL_STACK: u64 = 128 << 10;

/// Pushes downwards.
struct Pusher<'a> {
    space: &'a AddressSpace,
    at: u64,
}

impl Pusher<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> Result<u64> {
        self.at -= bytes.len() as u64;
        self.space.write_bytes(self.at, bytes)?;
        Ok(self.at)
    }

    fn string(&mut self, bytes: &[u8]) -> Result<u64> {
        self.bytes(&[0])?;
        self.bytes(bytes)
    }
}

/// Maps and fills the stack; returns the initial stack pointer.
pub(super) fn build(
    task: &CurrentTask,
    space: &Arc<AddressSpace>,
    layout: &mut MmLayout,
    request: &ExecRequest,
    image: &Image,
    input: &AuxInput,
    executable: bool,
) -> Result<u64> {
    let strings = request.args.iter().chain(&request.env);
    if strings.clone().any(|s| s.len() >= MAX_ARG_LEN) {
        return Err(Errno::E2BIG);
    }
    let pointers = (request.args.len() + request.env.len()) as u64 * 8;
    let total: u64 = strings.map(|s| s.len() as u64 + 1).sum::<u64>() + pointers;
    let limit = (task.task.group().rlimit(RLIMIT_STACK) / 4).clamp(MIN_ARGS, MAX_ARGS);
    if total > limit {
        return Err(Errno::E2BIG);
    }

    let prot = if executable { Prot::RWX } else { Prot::RW };
    let top = space.layout().stack_top;
    let len = page_up(total + INITIAL_STACK).ok_or(Errno::E2BIG)?;
    let mut mapping = MapRequest::anonymous(len, prot).at(Placement::Fixed(top - len));
    mapping.flags = VmaFlags::STACK | VmaFlags::GROWSDOWN;
    space.map(mapping)?;
    let mut push = Pusher { space, at: top };
    push.bytes(&[0; 8])?;
    let filename = push.string(&request.filename)?;
    layout.env.1 = push.at;
    let env = push_all(&mut push, &request.env)?;
    layout.env.0 = push.at;
    layout.args.1 = push.at;
    let args = push_all(&mut push, &request.args)?;
    layout.args.0 = push.at;
    let platform = push.string(PLATFORM)?;
    let mut seed = [0; 16];
    tuxlet_host::entropy::fill(&mut seed).map_err(|_| Errno::EIO)?;
    push.at &= !15;
    let random = push.bytes(&seed)?;

    let pairs = aux::build(
        task,
        image,
        input,
        &AuxStrings {
            random,
            platform,
            filename,
        },
    )?;
    let mut words = vec![args.len() as u64];
    words.extend(&args);
    words.push(0);
    words.extend(&env);
    words.push(0);
    let aux_at = words.len() * 8;
    words.extend(pairs.iter().flat_map(|(k, v)| [*k, *v]));
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    layout.auxv = bytes[aux_at..].to_vec();
    // The stack pointer is 16-byte aligned at entry: AAPCS64 6.4.5.
    push.at = (push.at - bytes.len() as u64) & !15;
    space.write_bytes(push.at, &bytes)?;
    layout.start_stack = push.at;
    Ok(push.at)
}

/// Pushes strings so that the first has the lowest address; their addresses in order.
fn push_all(push: &mut Pusher<'_>, strings: &[Vec<u8>]) -> Result<Vec<u64>> {
    let mut addresses = Vec::with_capacity(strings.len());
    for string in strings.iter().rev() {
        addresses.push(push.string(string)?);
    }
    addresses.reverse();
    Ok(addresses)
}
