//! The kernel's log: syslog(2) and `/dev/kmsg`.

use parking_lot::Mutex;
use std::collections::VecDeque;
use tuxlet_sync::WaitQueue;
use tuxlet_vfs::Events;

/// What `SYSLOG_ACTION_SIZE_BUFFER` says: most bytes of text that are kept.
pub const LOG_SIZE: usize = 256 << 10;
/// Longest message.
pub const LINE_MAX: usize = 992;
/// Facility and level of the kernel's own messages: `LOG_KERN | LOG_INFO`.
const KERN_INFO: u32 = 6;

/// A message.
#[derive(Clone, Debug)]
pub struct Record {
    /// Facility and level: syslog(3).
    pub priority: u32,
    /// Microseconds since the machine's start.
    pub time_us: u64,
    /// The text, without a line end.
    pub text: Vec<u8>,
}

impl Record {
    /// As `/dev/kmsg` shows it, with its number.
    #[must_use]
    pub fn extended(&self, number: u64) -> Vec<u8> {
        let mut line = format!("{},{number},{},-;", self.priority, self.time_us);
        for byte in &self.text {
            match byte {
                b'\\' => line.push_str("\\\\"),
                b' '..=b'~' => line.push(char::from(*byte)),
                other => line.push_str(&format!("\\x{other:02x}")),
            }
        }
        line.push('\n');
        line.into_bytes()
    }

    /// As syslog(2) shows it.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let (seconds, us) = (self.time_us / 1_000_000, self.time_us % 1_000_000);
        let mut line = format!("<{}>[{seconds:5}.{us:06}] ", self.priority).into_bytes();
        line.extend_from_slice(&self.text);
        line.push(b'\n');
        line
    }
}

#[derive(Debug, Default)]
struct State {
    records: VecDeque<Record>,
    /// Number of the first record that is kept.
    first: u64,
    bytes: usize,
    /// First record after the last clearing.
    cleared: u64,
    /// First record that `SYSLOG_ACTION_READ` has not given yet, and how much of it has.
    unread: u64,
    unread_offset: usize,
}

impl State {
    fn next(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    /// The records from a number on.
    fn from(&self, number: u64) -> impl Iterator<Item = &Record> {
        let skip = number.saturating_sub(self.first);
        self.records
            .iter()
            .skip(usize::try_from(skip).unwrap_or(usize::MAX))
    }

    /// The unread text of `SYSLOG_ACTION_READ`, record by record.
    fn unread(&self) -> impl Iterator<Item = Vec<u8>> {
        let lost = self.unread < self.first;
        let skip = if lost { 0 } else { self.unread_offset };
        self.from(self.unread).enumerate().map(move |(i, record)| {
            let mut line = record.line();
            if i == 0 {
                line.drain(..skip.min(line.len()));
            }
            line
        })
    }
}

/// The log of a machine.
#[derive(Debug, Default)]
pub struct KernelLog {
    state: Mutex<State>,
    changed: WaitQueue,
}

/// What there is at a reader's place.
#[derive(Debug)]
pub enum Found {
    /// The record.
    Record(Record),
    /// Nothing yet.
    Nothing,
    /// It has been dropped; the first that is kept has this number.
    Lost(u64),
}

impl KernelLog {
    /// Woken by each message.
    #[must_use]
    pub fn changed(&self) -> &WaitQueue {
        &self.changed
    }

    /// Adds a message of the kernel's own.
    pub fn info(&self, time_ns: u64, text: &str) {
        self.push(KERN_INFO, time_ns, text.as_bytes());
    }

    /// Adds a message; the oldest go if there is no room.
    pub fn push(&self, priority: u32, time_ns: u64, text: &[u8]) {
        let mut state = self.state.lock();
        state.bytes += text.len();
        state.records.push_back(Record {
            priority,
            time_us: time_ns / 1000,
            text: text.to_vec(),
        });
        while state.bytes > LOG_SIZE
            && let Some(old) = state.records.pop_front()
        {
            state.bytes -= old.text.len();
            state.first += 1;
        }
        drop(state);
        self.changed.wake_all(Events::READABLE.bits());
    }

    /// The record with a number.
    #[must_use]
    pub fn get(&self, number: u64) -> Found {
        let state = self.state.lock();
        if number < state.first {
            return Found::Lost(state.first);
        }
        let record = state.from(number).next().cloned();
        record.map_or(Found::Nothing, Found::Record)
    }

    /// Numbers of the first record that is kept, of the first after the last clearing, and of the next.
    #[must_use]
    pub fn bounds(&self) -> (u64, u64, u64) {
        let state = self.state.lock();
        (state.first, state.cleared.max(state.first), state.next())
    }

    /// `SYSLOG_ACTION_CLEAR`.
    pub fn clear(&self) {
        let mut state = self.state.lock();
        state.cleared = state.next();
    }

    /// `SYSLOG_ACTION_READ_ALL`: the last whole lines since the last clearing that fit into `room` bytes.
    #[must_use]
    pub fn read_all(&self, room: usize) -> Vec<u8> {
        let state = self.state.lock();
        let lines: Vec<_> = state.from(state.cleared).map(Record::line).collect();
        let mut left = room;
        let fitting = lines.iter().rev().take_while(|line| {
            let fits = line.len() <= left;
            left = left.saturating_sub(line.len());
            fits
        });
        let count = fitting.count();
        lines[lines.len() - count..].concat()
    }

    /// `SYSLOG_ACTION_READ`: takes up to `room` bytes of what has not been read.
    pub fn read(&self, room: usize) -> Vec<u8> {
        let mut state = self.state.lock();
        let mut text = Vec::new();
        let (mut number, mut offset) = (state.unread.max(state.first), 0);
        if number == state.unread {
            offset = state.unread_offset;
        }
        for line in state.unread() {
            let part = line.len().min(room - text.len());
            text.extend_from_slice(&line[..part]);
            if part < line.len() {
                offset += part;
                break;
            }
            (number, offset) = (number + 1, 0);
        }
        (state.unread, state.unread_offset) = (number, offset);
        text
    }

    /// `SYSLOG_ACTION_SIZE_UNREAD`, in bytes.
    #[must_use]
    pub fn unread_len(&self) -> usize {
        self.state.lock().unread().map(|line| line.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_consumes_and_reading_all_does_not() {
        let log = KernelLog::default();
        log.push(6, 1_500_000_000, b"one");
        log.push(14, 2_000_001_000, b"two");
        let all = b"<6>[    1.500000] one\n<14>[    2.000001] two\n";
        assert_eq!(log.read_all(1000), all);
        assert_eq!(log.unread_len(), all.len());
        assert_eq!(log.read(5), &all[..5]);
        assert_eq!(log.read(1000), &all[5..]);
        assert_eq!((log.read(1000), log.unread_len()), (Vec::new(), 0));
        assert_eq!(log.read_all(30), &all[22..]);
        log.clear();
        assert_eq!(log.read_all(1000), b"");
    }

    #[test]
    fn the_oldest_go_and_are_missed() {
        let log = KernelLog::default();
        for _ in 0..3 {
            log.push(6, 0, &vec![b'x'; LOG_SIZE / 2]);
        }
        assert!(matches!(log.get(0), Found::Lost(1)));
        assert!(matches!(log.get(1), Found::Record(_)));
        assert!(matches!(log.get(3), Found::Nothing));
    }

    #[test]
    fn the_extended_form_escapes() {
        let record = Record {
            priority: 14,
            time_us: 7,
            text: b"a\\b\x01\xff".to_vec(),
        };
        assert_eq!(record.extended(3), b"14,3,7,-;a\\\\b\\x01\\xff\n");
    }
}
