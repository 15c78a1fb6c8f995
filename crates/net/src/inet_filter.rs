//! The filters in requests about Internet sockets: a small program of conditional jumps forward, which accepts a socket
//! if it ends exactly at its end.

use crate::inet_info::{Endpoint, InetEntry, InetInfo};
use tuxlet_uapi::{
    errno::{EINVAL, Result},
    sock_diag::*,
    socket::{AF_INET, AF_INET6, AF_UNSPEC, SO_BINDTOIFINDEX, SO_MARK, SOL_SOCKET},
};
use zerocopy::FromBytes;

/// Size of an operation; a port is in the `no` of a second one.
const OP: usize = size_of::<InetDiagBcOp>();
/// Size of the fixed part of an address condition.
const COND: usize = size_of::<InetDiagHostcond>();
/// An IPv4 address in an IPv6 one starts with these.
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// A filter that was checked.
#[derive(Debug)]
pub(crate) struct Filter<'a>(&'a [u8]);

fn op_at(code: &[u8], at: usize) -> Option<InetDiagBcOp> {
    let (op, _) = InetDiagBcOp::read_from_prefix(code.get(at..)?).ok()?;
    Some(op)
}

impl Filter<'_> {
    /// Checks that every way through a filter stays in it. `EINVAL`.
    pub(crate) fn check(code: &[u8]) -> Result<Filter<'_>> {
        let mut at = 0;
        // The places that a jump of `no` may lead to are those that the walk by `yes` comes by.
        let mut starts = vec![];
        let mut targets = vec![];
        while at < code.len() {
            let op = op_at(code, at).ok_or(EINVAL)?;
            let rest = code.len() - at;
            let least = OP + argument_len(&op, &code[at + OP..])?;
            let (yes, no) = (usize::from(op.yes), usize::from(op.no));
            let jump_fits = |to: usize| to >= OP && to <= rest + OP && to.is_multiple_of(4);
            if op.code != INET_DIAG_BC_NOP {
                if !jump_fits(no) {
                    return Err(EINVAL);
                }
                if no < rest {
                    targets.push(at + no);
                }
            }
            if yes < least || !jump_fits(yes) {
                return Err(EINVAL);
            }
            starts.push(at);
            at += yes;
        }
        if at != code.len() || targets.iter().any(|t| !starts.contains(t)) {
            return Err(EINVAL);
        }
        Ok(Filter(code))
    }

    /// Whether the filter accepts a socket.
    pub(crate) fn accepts(&self, entry: &InetEntry, info: &InetInfo) -> bool {
        let mut at = 0;
        while let Some(op) = op_at(self.0, at) {
            let argument = &self.0[at + OP..];
            let port = op_at(argument, 0).map_or(0, |a| a.no);
            let yes = match op.code {
                INET_DIAG_BC_JMP => false,
                INET_DIAG_BC_S_GE => info.local.port >= port,
                INET_DIAG_BC_S_LE => info.local.port <= port,
                INET_DIAG_BC_S_EQ => info.local.port == port,
                INET_DIAG_BC_D_GE => info.peer.port >= port,
                INET_DIAG_BC_D_LE => info.peer.port <= port,
                INET_DIAG_BC_D_EQ => info.peer.port == port,
                INET_DIAG_BC_AUTO => !entry.port_chosen(),
                INET_DIAG_BC_S_COND => fits(argument, info.family, &info.local),
                INET_DIAG_BC_D_COND => fits(argument, info.family, &info.peer),
                INET_DIAG_BC_DEV_COND => {
                    let bound = entry.int_option(SOL_SOCKET, SO_BINDTOIFINDEX);
                    word(argument, 0) == bound.unwrap_or(0)
                }
                INET_DIAG_BC_MARK_COND => {
                    let mark = entry.int_option(SOL_SOCKET, SO_MARK).unwrap_or(0);
                    mark & word(argument, 4) == word(argument, 0)
                }
                _ => true,
            };
            at += usize::from(if yes { u16::from(op.yes) } else { op.no });
        }
        at == self.0.len()
    }
}

/// Length of an operation's argument, in bytes. `EINVAL` if it is not all there, or the operation is unknown.
fn argument_len(op: &InetDiagBcOp, argument: &[u8]) -> Result<usize> {
    let len = match op.code {
        INET_DIAG_BC_NOP | INET_DIAG_BC_JMP | INET_DIAG_BC_AUTO => 0,
        INET_DIAG_BC_S_GE | INET_DIAG_BC_S_LE | INET_DIAG_BC_S_EQ | INET_DIAG_BC_D_GE
        | INET_DIAG_BC_D_LE | INET_DIAG_BC_D_EQ => OP,
        INET_DIAG_BC_DEV_COND => 4,
        INET_DIAG_BC_MARK_COND => 8,
        INET_DIAG_BC_S_COND | INET_DIAG_BC_D_COND => {
            let (cond, _) = InetDiagHostcond::read_from_prefix(argument).map_err(|_| EINVAL)?;
            let address = match u16::from(cond.family) {
                AF_UNSPEC => 0,
                AF_INET => 4,
                AF_INET6 => 16,
                _ => return Err(EINVAL),
            };
            if usize::from(cond.prefix_len) > address * 8 {
                return Err(EINVAL);
            }
            COND + address
        }
        // Control groups of sockets are not known.
        _ => return Err(EINVAL),
    };
    if argument.len() < len {
        return Err(EINVAL);
    }
    Ok(len)
}

fn word(argument: &[u8], at: usize) -> u32 {
    let four = argument.get(at..at + 4).and_then(|b| b.try_into().ok());
    four.map_or(0, u32::from_le_bytes)
}

/// Whether an address and a port are as a condition says.
fn fits(argument: &[u8], family: u16, endpoint: &Endpoint) -> bool {
    let Ok((cond, address)) = InetDiagHostcond::read_from_prefix(argument) else {
        return false;
    };
    if cond.port != -1 && cond.port != i32::from(endpoint.port) {
        return false;
    }
    let bits = usize::from(cond.prefix_len);
    match u16::from(cond.family) {
        AF_UNSPEC => true,
        wanted if wanted == family => same_prefix(&endpoint.address, address, bits),
        AF_INET if family == AF_INET6 && endpoint.address.starts_with(&MAPPED) => {
            same_prefix(&endpoint.address[MAPPED.len()..], address, bits)
        }
        _ => false,
    }
}

fn same_prefix(a: &[u8], b: &[u8], bits: usize) -> bool {
    let whole = bits / 8;
    if a.len() < bits.div_ceil(8) || b.len() < bits.div_ceil(8) || a[..whole] != b[..whole] {
        return false;
    }
    let rest = bits % 8;
    rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_out_of_the_filter_is_refused() {
        let op = |code: u8, yes: u8, no: u16| {
            let [a, b] = no.to_le_bytes();
            [code, yes, a, b]
        };
        let port = op(0, 0, 80);
        let good = [op(INET_DIAG_BC_S_EQ, 8, 12), port].concat();
        assert!(Filter::check(&good).is_ok());
        assert!(Filter::check(&[]).is_ok());
        for bad in [
            // Longer than there is, shorter than its argument, not to an operation, unknown, without argument.
            [op(INET_DIAG_BC_S_EQ, 16, 12), port].concat(),
            [op(INET_DIAG_BC_S_EQ, 4, 12), port].concat(),
            [op(INET_DIAG_BC_S_EQ, 8, 4), port].concat(),
            [op(INET_DIAG_BC_S_EQ, 8, 0), port].concat(),
            [op(99, 8, 12), port].concat(),
            op(INET_DIAG_BC_S_EQ, 8, 8).to_vec(),
            op(INET_DIAG_BC_S_COND, 8, 8).to_vec(),
            vec![0, 4],
        ] {
            assert_eq!(Filter::check(&bad).err(), Some(EINVAL), "{bad:?}");
        }
    }

    #[test]
    fn prefixes_are_compared_by_bits() {
        assert!(same_prefix(&[10, 1, 2, 3], &[10, 1, 3, 0], 23));
        assert!(!same_prefix(&[10, 1, 2, 3], &[10, 1, 3, 0], 24));
        assert!(same_prefix(&[1], &[2], 0));
        assert!(!same_prefix(&[10], &[10], 9));
    }
}
