//! `#!` scripts: execve(2), "Interpreter scripts".

use super::ExecRequest;
use crate::task::CurrentTask;
use tuxlet_uapi::errno::{Errno, Result};
use tuxlet_vfs::resolver::{self, LookupFlags};

/// The interpreter and its optional single argument.
fn parse(head: &[u8]) -> Result<(&[u8], Option<&[u8]>)> {
    let blank = |b: &u8| *b == b' ' || *b == b'\t';
    let line = &head[2..];
    let (line, complete) = match line.iter().position(|b| *b == b'\n' || *b == 0) {
        Some(end) => (&line[..end], true),
        None => (line, head.len() < 256),
    };
    let line = line.trim_ascii();
    if line.is_empty() {
        return Err(Errno::ENOEXEC);
    }
    match line.iter().position(blank) {
        Some(end) => {
            let arg = line[end..].trim_ascii();
            Ok((&line[..end], (!arg.is_empty()).then_some(arg)))
        }
        // A name that the buffer cuts off would run the wrong program.
        None if !complete => Err(Errno::ENOEXEC),
        None => Ok((line, None)),
    }
}

/// Puts the interpreter, its argument and the script's name before the arguments.
pub(super) fn rewrite(task: &CurrentTask, request: &mut ExecRequest, head: &[u8]) -> Result<()> {
    let (interpreter, argument) = parse(head)?;
    let path = resolver::lookup(
        &task.cx(),
        &task.fs.at_cwd(),
        interpreter,
        LookupFlags::FOLLOW,
    )?;
    let mut args = vec![interpreter.to_vec()];
    args.extend(argument.map(<[u8]>::to_vec));
    args.push(request.filename.clone());
    args.extend(request.args.drain(..).skip(1));
    request.args = args;
    request.path = path;
    request.filename = interpreter.to_vec();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_line_is_one_argument() {
        assert_eq!(parse(b"#!/bin/sh\necho"), Ok((&b"/bin/sh"[..], None)));
        assert_eq!(
            parse(b"#! /usr/bin/env  -S perl -w \n"),
            Ok((&b"/usr/bin/env"[..], Some(&b"-S perl -w"[..])))
        );
        assert_eq!(parse(b"#!\n"), Err(Errno::ENOEXEC));
        assert_eq!(parse(b"#!/bin/true"), Ok((&b"/bin/true"[..], None)));
    }
}
