//! Generic netlink: the controller, which finds families by name. It is the only family there is.

use crate::message::{self, Message, To, attribute, text};
use tuxlet_uapi::{
    errno::{EINVAL, ENOENT, EOPNOTSUPP, Result},
    genetlink::*,
};
use zerocopy::FromBytes;

/// The controller's name, version and group.
const NAME: &str = "nlctrl";
const VERSION: u32 = 2;
const GROUP: &str = "notify";

/// The datagrams that answer what a program sent; `port` is its netlink port.
pub(crate) fn answer(request: &[u8], port: u32) -> Vec<Vec<u8>> {
    message::answer(request, port, one)
}

fn one(to: &To, body: &[u8]) -> Result<Vec<Vec<u8>>> {
    if to.header.nlmsg_type != GENL_ID_CTRL {
        return Err(ENOENT);
    }
    let (header, rest) = Genlmsghdr::read_from_prefix(body).map_err(|_| EINVAL)?;
    if header.cmd != CTRL_CMD_GETFAMILY {
        return Err(EOPNOTSUPP);
    }
    if !to.dump() {
        let by_id = attribute(rest, CTRL_ATTR_FAMILY_ID)
            .map(|data| u16::read_from_prefix(data).map_err(|_| EINVAL))
            .transpose()?
            .map(|(id, _)| id == GENL_ID_CTRL);
        let by_name = attribute(rest, CTRL_ATTR_FAMILY_NAME).map(|n| text(n) == NAME.as_bytes());
        // A name decides over a number.
        if !by_name.or(by_id).ok_or(EINVAL)? {
            return Err(ENOENT);
        }
    }
    Ok(vec![family(to)])
}

fn family(to: &To) -> Vec<u8> {
    let body = Genlmsghdr {
        cmd: CTRL_CMD_NEWFAMILY,
        version: VERSION as u8,
        reserved: 0,
    };
    let mut message = Message::new(GENL_ID_CTRL, to.flags(), to, &body);
    message.text(CTRL_ATTR_FAMILY_NAME, NAME);
    message.attribute(CTRL_ATTR_FAMILY_ID, &GENL_ID_CTRL.to_le_bytes());
    message.int(CTRL_ATTR_VERSION, VERSION);
    message.int(CTRL_ATTR_HDRSIZE, 0);
    message.int(CTRL_ATTR_MAXATTR, u32::from(CTRL_ATTR_MAX));
    message.nested(CTRL_ATTR_OPS, |m| {
        m.nested(1, |m| {
            m.int(CTRL_ATTR_OP_ID, u32::from(CTRL_CMD_GETFAMILY));
            m.int(CTRL_ATTR_OP_FLAGS, GENL_CMD_CAP_DO | GENL_CMD_CAP_DUMP);
        });
    });
    message.nested(CTRL_ATTR_MCAST_GROUPS, |m| {
        m.nested(1, |m| {
            m.int(CTRL_ATTR_MCAST_GRP_ID, u32::from(GENL_ID_CTRL));
            m.text(CTRL_ATTR_MCAST_GRP_NAME, GROUP);
        });
    });
    message.finish()
}
