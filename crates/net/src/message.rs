//! Netlink messages: taking requests apart, building answers, packing them into datagrams.

use tuxlet_uapi::{
    errno::{Errno, Result},
    netlink::*,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Size of the message header.
const HEADER: usize = size_of::<Nlmsghdr>();
/// A datagram of a dump holds about this many bytes.
const DATAGRAM: usize = 8192;
/// The bits of an attribute's type that are no flags.
const TYPE_MASK: u16 = 0x3fff;

/// Whom an answer goes to: the request's header and the netlink port that it came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct To {
    pub(crate) header: Nlmsghdr,
    pub(crate) port: u32,
}

impl To {
    /// Whether all objects are asked for.
    pub(crate) fn dump(&self) -> bool {
        self.header.nlmsg_flags & NLM_F_DUMP != 0
    }

    /// The flags of messages that answer: those of a dump are one of many.
    pub(crate) fn flags(&self) -> u16 {
        if self.dump() { NLM_F_MULTI } else { 0 }
    }
}

/// One message under construction.
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// A message of type `kind` with a family's header.
    pub(crate) fn new<T: IntoBytes + Immutable>(
        kind: u16,
        flags: u16,
        to: &To,
        body: &T,
    ) -> Message {
        let header = Nlmsghdr {
            nlmsg_len: 0,
            nlmsg_type: kind,
            nlmsg_flags: flags,
            nlmsg_seq: to.header.nlmsg_seq,
            nlmsg_pid: to.port,
        };
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(body.as_bytes());
        Message(bytes)
    }

    /// Adds an attribute. What fills it up belongs to the message, even behind the last one: Go relies on it.
    pub(crate) fn attribute(&mut self, kind: u16, data: &[u8]) {
        let len = (size_of::<Rtattr>() + data.len()) as u16;
        self.0.extend_from_slice(
            Rtattr {
                rta_len: len,
                rta_type: kind,
            }
            .as_bytes(),
        );
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// Adds a string with its NUL.
    pub(crate) fn text(&mut self, kind: u16, text: &str) {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes);
    }

    /// Adds a number of 32 bits.
    pub(crate) fn int(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_le_bytes());
    }

    /// Adds numbers of 32 bits in one attribute.
    pub(crate) fn ints(&mut self, kind: u16, values: &[u32]) {
        self.attribute(kind, values.as_bytes());
    }

    /// Adds an attribute that holds the attributes which `fill` adds.
    pub(crate) fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Message)) {
        let start = self.0.len();
        self.attribute(kind, &[]);
        fill(self);
        let len = (self.0.len() - start) as u16;
        self.0[start..start + 2].copy_from_slice(&len.to_le_bytes());
    }

    /// The bytes, with their length in the header.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        // The padding of the last attribute counts, as in Linux; iproute2 misses it otherwise.
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        let len = self.0.len() as u32;
        self.0[..4].copy_from_slice(&len.to_le_bytes());
        self.0
    }
}

/// The datagrams that answer what a program sent from `port`. `one` gives the messages for one request; those for a
/// dump are ended here.
pub(crate) fn answer(
    mut request: &[u8],
    port: u32,
    one: impl Fn(&To, &[u8]) -> Result<Vec<Vec<u8>>>,
) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    while let Ok((header, _)) = Nlmsghdr::read_from_prefix(request) {
        let len = header.nlmsg_len as usize;
        if len < HEADER || len > request.len() {
            break;
        }
        let to = To { header, port };
        let body = &request[HEADER..len];
        request = request.get(len.next_multiple_of(4)..).unwrap_or_default();
        if header.nlmsg_flags & NLM_F_REQUEST == 0 || header.nlmsg_type < NLMSG_MIN_TYPE {
            if header.nlmsg_flags & NLM_F_ACK != 0 {
                datagrams.push(error(&to, None));
            }
            continue;
        }
        match one(&to, body) {
            Ok(messages) => {
                pack(&mut datagrams, messages);
                if to.dump() {
                    datagrams.push(Message::new(NLMSG_DONE, NLM_F_MULTI, &to, &0i32).finish());
                } else if header.nlmsg_flags & NLM_F_ACK != 0 {
                    datagrams.push(error(&to, None));
                }
            }
            Err(e) => datagrams.push(error(&to, Some(e))),
        }
    }
    datagrams
}

/// Puts messages together into datagrams.
fn pack(datagrams: &mut Vec<Vec<u8>>, messages: Vec<Vec<u8>>) {
    let mut current = Vec::new();
    for message in messages {
        if !current.is_empty() && current.len() + message.len() > DATAGRAM {
            datagrams.push(std::mem::take(&mut current));
        }
        current.extend(message);
    }
    if !current.is_empty() {
        datagrams.push(current);
    }
}

/// `NLMSG_ERROR`: an error, or an acknowledgement.
fn error(to: &To, error: Option<Errno>) -> Vec<u8> {
    let body = Nlmsgerr {
        error: error.map_or(0, |e| -e.raw()),
        msg: to.header,
    };
    Message::new(NLMSG_ERROR, 0, to, &body).finish()
}

/// The attributes behind a family's header.
pub(crate) fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut all = Vec::new();
    while let Ok((attr, _)) = Rtattr::read_from_prefix(bytes) {
        let len = usize::from(attr.rta_len);
        let Some(data) = bytes.get(size_of::<Rtattr>()..len) else {
            break;
        };
        all.push((attr.rta_type & TYPE_MASK, data));
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    all
}

/// The attribute of a type, if there is one.
pub(crate) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    let found = attributes(bytes).into_iter().find(|&(k, _)| k == kind);
    found.map(|(_, data)| data)
}

/// A string in an attribute, without its NUL.
pub(crate) fn text(data: &[u8]) -> &[u8] {
    data.split(|&b| b == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_attributes_count_what_is_in_them() {
        let to = To {
            header: Nlmsghdr::default(),
            port: 7,
        };
        let mut message = Message::new(20, 0, &to, &0u32);
        message.nested(6, |m| {
            m.int(1, 5);
            m.text(2, "abcd");
        });
        let bytes = message.finish();
        let inner = attribute(&bytes[HEADER + 4..], 6).unwrap();
        assert_eq!(attribute(inner, 1), Some(&5u32.to_le_bytes()[..]));
        assert_eq!(text(attribute(inner, 2).unwrap()), b"abcd");
    }
}
