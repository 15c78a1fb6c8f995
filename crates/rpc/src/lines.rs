//! Messages as lines: over standard streams or a Unix socket. Whoever can reach those may use the machine; a socket file's
//! permissions say who can.

use crate::session::Outbox;
use std::{
    io::{self, BufRead, Write},
    sync::{Arc, mpsc},
    thread,
};

/// Messages that wait for the client to read them.
const QUEUE: usize = 256;

/// Where the messages of a connection go: a queue that a thread of its own writes.
#[derive(Clone, Debug)]
struct Queue(mpsc::SyncSender<String>);

impl Outbox for Queue {
    fn send(&self, message: String) -> bool {
        self.0.send(message).is_ok()
    }

    fn try_send(&self, message: String) -> bool {
        self.0.try_send(message).is_ok()
    }
}

/// Serves one client until it ends its side: `handler` is made with the way for replies and gets each line. Returns when the
/// client has been sent everything, or cannot be reached any more. A line that is longer than `limit` bytes ends the connection.
///
/// # Errors
/// Reading or writing fails, or a line is too long.
pub fn serve<H>(
    input: impl BufRead,
    mut output: impl Write + Send,
    limit: usize,
    make: impl FnOnce(Arc<dyn Outbox>) -> H,
) -> io::Result<()>
where
    H: FnMut(&str),
{
    let (sender, messages) = mpsc::sync_channel::<String>(QUEUE);
    thread::scope(|threads| {
        let writer = threads.spawn(move || {
            for mut message in messages {
                message.push('\n');
                output.write_all(message.as_bytes())?;
                output.flush()?;
            }
            Ok(())
        });
        // The queue ends when the handler and all that it has started are gone.
        let read = read_lines(input, limit, make(Arc::new(Queue(sender))));
        let written = writer
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the writing thread panicked")));
        read.and(written)
    })
}

fn read_lines(
    mut input: impl BufRead,
    limit: usize,
    mut handler: impl FnMut(&str),
) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        // One more than allowed tells a line that is too long from one that just fits.
        let mut limited = io::Read::take(&mut input, limit as u64 + 1);
        if limited.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.len() > limit {
            let text = format!("a message of more than {limit} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let text = String::from_utf8_lossy(&line);
        if !text.trim().is_empty() {
            handler(text.trim());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(input: &[u8], limit: usize) -> (io::Result<()>, String) {
        let mut output = Vec::new();
        let result = serve(input, &mut output, limit, |outbox| {
            move |line: &str| {
                outbox.send(format!("<{line}>"));
            }
        });
        (result, String::from_utf8(output).unwrap())
    }

    #[test]
    fn lines_come_one_by_one_and_have_a_limit() {
        let (result, output) = echo(b"a\r\n\n  \nb c\nlast", 100);
        result.unwrap();
        assert_eq!(output, "<a>\n<b c>\n<last>\n");
        assert_eq!(echo(b"1234\n", 5).1, "<1234>\n");
        let (result, output) = echo(b"ok\n123456\nok\n", 5);
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(output, "<ok>\n");
    }
}
