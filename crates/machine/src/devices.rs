//! Devices of the host's that guests may use if the embedder has a handler for them: the clipboard, opening addresses, notifications, where
//! the host is.

use crate::{Error, Result};
use std::{
    any::Any,
    fmt::{self, Write as _},
    sync::Arc,
};
use tuxlet_kernel::{CurrentTask, Kernel, special::CharDevice};
use tuxlet_mem::{IoRead, IoWrite};
use tuxlet_sync::Mutex;
use tuxlet_uapi::{Errno, fcntl::OpenFlags};
use tuxlet_vfs::{At, Attr, Cx, DeviceId, FileOps, FileType, NewKind, create};

/// Major number of the miscellaneous devices.
const MISC_MAJOR: u32 = 10;
/// Linux gives minor numbers from here on to those that have no number of their own.
const FIRST_MINOR: u32 = 256;
/// Most bytes that a guest may write into one open file, or at once, for the embedder to hear of them.
const MOST: usize = 1 << 20;

type Answer<T> = std::result::Result<T, Errno>;
type Read = Arc<dyn Fn() -> Answer<String> + Send + Sync>;
type Write = Arc<dyn Fn(&str) -> Answer<()> + Send + Sync>;

/// Something that a guest wants its user to see: [`crate::Builder::on_notification`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The first line.
    pub title: String,
    /// What follows it; may be empty.
    pub body: String,
}

/// Where the host is: [`crate::Builder::location`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Location {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Metres above the sea.
    pub altitude: Option<f64>,
    /// Within how many metres that is so, for two out of three.
    pub accuracy: Option<f64>,
}

impl Location {
    /// One line of JSON; `EIO` for numbers that JSON has not.
    fn json(&self) -> Answer<String> {
        let mut text = String::from("{");
        let fields = [
            ("latitude", Some(self.latitude)),
            ("longitude", Some(self.longitude)),
            ("altitude", self.altitude),
            ("accuracy", self.accuracy),
        ];
        for (name, value) in fields {
            let Some(value) = value else { continue };
            if !value.is_finite() {
                return Err(Errno::EIO);
            }
            let comma = if text.len() > 1 { "," } else { "" };
            write!(text, "{comma}\"{name}\":{value}").map_err(|_| Errno::EIO)?;
        }
        text.push_str("}\n");
        Ok(text)
    }
}

/// A device in `/dev` and what the embedder does for it.
pub(crate) struct HostDevice {
    name: &'static str,
    number: u32,
    read: Option<Read>,
    write: Option<Write>,
    /// What is written to one open file is one text, of which the handler gets all so far; otherwise each write is a text.
    whole: bool,
}

impl fmt::Debug for HostDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostDevice({})", self.name)
    }
}

impl HostDevice {
    pub(crate) fn clipboard(
        read: impl Fn() -> Answer<String> + Send + Sync + 'static,
        write: impl Fn(&str) -> Answer<()> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: "clipboard",
            number: 0,
            read: Some(Arc::new(read)),
            write: Some(Arc::new(write)),
            whole: true,
        }
    }

    pub(crate) fn open_url(open: impl Fn(&str) -> Answer<()> + Send + Sync + 'static) -> Self {
        let write = move |text: &str| {
            let url = text.trim();
            if url.is_empty() || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
                return Err(Errno::EINVAL);
            }
            open(url)
        };
        Self {
            name: "open-url",
            number: 1,
            read: None,
            write: Some(Arc::new(write)),
            whole: false,
        }
    }

    pub(crate) fn notify(
        notify: impl Fn(&Notification) -> Answer<()> + Send + Sync + 'static,
    ) -> Self {
        let write = move |text: &str| {
            let text = text.trim_end();
            let (title, body) = text.split_once('\n').unwrap_or((text, ""));
            if title.is_empty() {
                return Err(Errno::EINVAL);
            }
            notify(&Notification {
                title: title.to_owned(),
                body: body.to_owned(),
            })
        };
        Self {
            name: "notify",
            number: 2,
            read: None,
            write: Some(Arc::new(write)),
            whole: false,
        }
    }

    pub(crate) fn location(locate: impl Fn() -> Answer<Location> + Send + Sync + 'static) -> Self {
        Self {
            name: "location",
            number: 3,
            read: Some(Arc::new(move || locate()?.json())),
            write: None,
            whole: false,
        }
    }

    fn mode(&self) -> u32 {
        let read = if self.read.is_some() { 0o444 } else { 0 };
        let write = if self.write.is_some() { 0o222 } else { 0 };
        read | write
    }

    fn id(&self) -> DeviceId {
        DeviceId::new(MISC_MAJOR, FIRST_MINOR + self.number)
    }

    /// Registers the driver, and makes the node in `/dev` if there is one.
    pub(crate) fn add(self, kernel: &Arc<Kernel>, cx: &Cx) -> Result<()> {
        let (name, id, mode) = (self.name, self.id(), self.mode());
        let driver = Arc::new(Driver(Arc::new(self)));
        kernel.devices.register(id.major, Some(id.minor), driver);
        let path = format!("/dev/{name}");
        let at = At::root(kernel.mounts.root());
        let made = create::mknod(cx, &at, path.as_bytes(), NewKind::CharDevice(id), mode);
        made.map(drop).map_err(|errno| Error::Mount {
            target: path,
            errno,
        })
    }
}

#[derive(Debug)]
struct Driver(Arc<HostDevice>);

impl CharDevice for Driver {
    fn open(
        &self,
        task: &mut CurrentTask,
        _minor: u32,
        _flags: OpenFlags,
    ) -> Answer<Arc<dyn FileOps>> {
        let attr = Attr {
            kind: FileType::CharDevice,
            mode: self.0.mode(),
            rdev: self.0.id(),
            ..tuxlet_kernel::anon::attr(&task.cx())
        };
        Ok(Arc::new(Open {
            device: Arc::clone(&self.0),
            attr,
            state: Mutex::default(),
        }))
    }
}

/// An open device.
#[derive(Debug)]
struct Open {
    device: Arc<HostDevice>,
    attr: Attr,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What is being read, and how much of it has been.
    text: Option<(Vec<u8>, usize)>,
    written: Vec<u8>,
}

impl FileOps for Open {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn attr(&self, _cx: &Cx) -> Answer<Attr> {
        Ok(self.attr)
    }

    fn seekable(&self) -> bool {
        false
    }

    /// The first read asks the embedder; after the end of the text has been read, the next one asks again.
    fn read_at(&self, _cx: &Cx, _offset: u64, to: &mut dyn IoWrite) -> Answer<usize> {
        let read = self.device.read.as_ref().ok_or(Errno::EINVAL)?;
        let mut state = self.state.lock();
        let (text, at) = match &mut state.text {
            Some(text) => text,
            none => none.insert((read()?.into_bytes(), 0)),
        };
        let length = to.remaining().min(text.len() - *at);
        let n = to.write_from(&text[*at..*at + length])?;
        *at += n;
        if n == 0 {
            state.text = None;
        }
        Ok(n)
    }

    fn write_at(&self, _cx: &Cx, _offset: u64, from: &mut dyn IoRead) -> Answer<usize> {
        let write = self.device.write.as_ref().ok_or(Errno::EINVAL)?;
        let length = from.remaining();
        let mut state = self.state.lock();
        let kept = if self.device.whole {
            state.written.len()
        } else {
            0
        };
        if length > MOST - kept {
            return Err(Errno::EFBIG);
        }
        let mut text = state.written[..kept].to_vec();
        text.resize(kept + length, 0);
        if from.read_into(&mut text[kept..])? < length {
            return Err(Errno::EFAULT);
        }
        let valid = match std::str::from_utf8(&text) {
            Ok(valid) => valid,
            // The rest of a character comes with the next write.
            Err(error) if self.device.whole && error.error_len().is_none() => {
                std::str::from_utf8(&text[..error.valid_up_to()]).map_err(|_| Errno::EILSEQ)?
            }
            Err(_) => return Err(Errno::EILSEQ),
        };
        write(valid)?;
        if self.device.whole {
            state.written = text;
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_json() {
        let mut location = Location {
            latitude: 52.5,
            longitude: -13.25,
            altitude: None,
            accuracy: Some(10.0),
        };
        let json = "{\"latitude\":52.5,\"longitude\":-13.25,\"accuracy\":10}\n";
        assert_eq!(location.json().unwrap(), json);
        location.altitude = Some(f64::NAN);
        assert_eq!(location.json(), Err(Errno::EIO));
    }
}
