//! `/proc/PID/stat`, `statm`, `status`, `limits` and the OOM scores: proc_pid_stat(5), proc_pid_status(5).

use super::{
    Snapshot,
    pid::{oom_adjust, parse},
};
use crate::task::{MmLayout, RunState};
use std::{fmt::Write, sync::atomic::Ordering};
use tuxlet_mem::Usage;
use tuxlet_uapi::{
    errno::{Errno, Result},
    resource::{RLIM_INFINITY, RLIMIT_SIGPENDING},
    signal::Signal,
};
use tuxlet_vfs::{Cx, cx::cap};

/// Nanoseconds of a clock tick (`USER_HZ` is 100).
pub(super) const NS_PER_TICK: u64 = 10_000_000;

fn state(s: &Snapshot) -> RunState {
    if s.zombie.is_some() {
        RunState::Zombie
    } else {
        s.task.run_state()
    }
}

fn memory(s: &Snapshot) -> (Usage, MmLayout, u64) {
    s.resources()
        .map(|r| {
            let layout = r.mm.layout.lock().clone();
            (r.mm.space.usage(), layout, r.mm.space.brk_range().0)
        })
        .unwrap_or_default()
}

/// Priority and nice value as `stat` shows them.
fn priority(s: &Snapshot) -> (i64, i32, u32, u32) {
    let settings = *s.task.settings.lock();
    let nice = s.task.nice.load(Ordering::Relaxed);
    let shown = if settings.is_realtime() {
        -1 - i64::from(settings.priority)
    } else {
        20 + i64::from(nice)
    };
    (shown, nice, settings.priority, settings.policy)
}

pub(super) fn stat(s: &Snapshot, cx: &Cx) -> Result<Vec<u8>> {
    let inspect = s.may_inspect(cx).is_ok();
    let (usage, layout, brk) = memory(s);
    let (tty, foreground) = s
        .kernel
        .terminals
        .of_session(s.sid)
        .map_or((0, -1), |(tty, pgid)| (tty, i64::from(s.shown(pgid))));
    let (user, system) = s.times;
    let children = &s.group.child_times;
    let (shown, nice, rt_priority, policy) = priority(s);
    let (blocked, pending) = {
        let signals = s.task.signals.lock();
        (signals.blocked.0, signals.queue.pending().0)
    };
    let (ignored, caught) = s.group.sighand.read().summary();
    let secret = |value: u64| if inspect { value } else { 0 };
    let code = if inspect { layout.code } else { (1, 1) };
    let exit_signal = s.exit_signal.map_or(0, Signal::number);
    let exit_code = match s.zombie {
        Some(status) if inspect => status.raw(),
        _ => 0,
    };
    let head = format!("{} (", s.shown(s.task.tid()));
    let mut out = head.into_bytes();
    out.extend(s.task.comm());
    let fields = [
        format!(") {}", state(s) as u8 as char),
        s.shown(s.parent).to_string(),
        s.shown(s.pgid).to_string(),
        s.shown(s.sid).to_string(),
        tty.to_string(),
        foreground.to_string(),
        // Flags: what matters is whether it is a kernel thread; none is.
        "4194304 0 0 0 0".to_owned(),
        (user / NS_PER_TICK).to_string(),
        (system / NS_PER_TICK).to_string(),
        (children.user_ns() / NS_PER_TICK).to_string(),
        (children.system_ns() / NS_PER_TICK).to_string(),
        shown.to_string(),
        nice.to_string(),
        s.threads.len().max(1).to_string(),
        "0".to_owned(),
        (s.kernel
            .namespaces_of(cx)
            .time
            .shown_boottime(s.task.start_ns)
            / NS_PER_TICK)
            .to_string(),
        (usage.mapped * 4096).to_string(),
        usage.rss().to_string(),
        s.group
            .rlimit(tuxlet_uapi::resource::RLIMIT_RSS)
            .to_string(),
        format!("{} {}", code.0, code.1),
        secret(layout.start_stack).to_string(),
        "0 0".to_owned(),
        // As decimal numbers of 32 bits; `status` has them whole.
        format!(
            "{} {} {} {}",
            pending & 0x7fff_ffff,
            blocked & 0x7fff_ffff,
            ignored.0 & 0x7fff_ffff,
            caught.0 & 0x7fff_ffff
        ),
        "0 0 0".to_owned(),
        exit_signal.to_string(),
        "0".to_owned(),
        rt_priority.to_string(),
        policy.to_string(),
        "0 0 0".to_owned(),
        format!("{} {}", secret(layout.data.0), secret(layout.data.1)),
        secret(brk).to_string(),
        format!("{} {}", secret(layout.args.0), secret(layout.args.1)),
        format!("{} {}", secret(layout.env.0), secret(layout.env.1)),
        exit_code.to_string(),
    ];
    out.extend_from_slice(fields.join(" ").as_bytes());
    out.push(b'\n');
    Ok(out)
}

pub(super) fn statm(s: &Snapshot, _: &Cx) -> Result<Vec<u8>> {
    let (usage, layout, _) = memory(s);
    let text = (layout.code.1.saturating_sub(layout.code.0)).div_ceil(4096);
    Ok(format!(
        "{} {} {} {text} 0 {} 0\n",
        usage.mapped,
        usage.rss(),
        usage.rss_file + usage.rss_shmem,
        usage.data + usage.stack,
    )
    .into_bytes())
}

/// A name with line ends and backslashes escaped.
fn escaped(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in name {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            other => out.push(*other),
        }
    }
    out
}

fn state_name(state: RunState) -> &'static str {
    match state {
        RunState::Running => "R (running)",
        RunState::Sleeping => "S (sleeping)",
        RunState::Stopped => "T (stopped)",
        RunState::Traced => "t (tracing stop)",
        RunState::Zombie => "Z (zombie)",
    }
}

/// A set of CPUs as a mask of 32-bit words and as a list.
pub(crate) fn cpu_set(mask: u64, processors: usize) -> (String, String) {
    let all = if processors >= 64 {
        u64::MAX
    } else {
        (1 << processors) - 1
    };
    let mask = mask & all;
    let words = if processors > 32 {
        format!("{:08x},{:08x}", mask >> 32, mask & 0xffff_ffff)
    } else {
        format!("{mask:x}")
    };
    let mut ranges: Vec<String> = Vec::new();
    let mut at = 0;
    while at < 64 {
        if mask >> at & 1 == 0 {
            at += 1;
            continue;
        }
        let first = at;
        while at < 64 && mask >> at & 1 != 0 {
            at += 1;
        }
        ranges.push(if at - first == 1 {
            first.to_string()
        } else {
            format!("{first}-{}", at - 1)
        });
    }
    (words, ranges.join(","))
}

/// An id in the file system's namespace and in those within it, down to the process's own.
fn nested(s: &Snapshot, id: u32) -> String {
    let mut shown = Vec::new();
    let mut ns = Some(&s.group.pid_ns);
    while let Some(at) = ns.filter(|at| at.is_within(&s.pid_ns)) {
        shown.push(at.shown(id));
        ns = at.parent();
    }
    let words = shown.iter().rev().map(|id| format!("\t{id}"));
    words.collect()
}

pub(super) fn status(s: &Snapshot, cx: &Cx) -> Result<Vec<u8>> {
    let reader = &cx.cred.user_ns;
    let cred = s.task.cred();
    let resources = s.resources();
    let mut out = b"Name:\t".to_vec();
    out.extend(escaped(&s.task.comm()));
    let mut text = String::from("\n");
    if let Some(r) = &resources {
        line(&mut text, format_args!("Umask:\t{:04o}", r.fs.umask()));
    }
    let tid = s.shown(s.task.tid());
    let tgid = s.shown(s.group.tgid());
    line(&mut text, format_args!("State:\t{}", state_name(state(s))));
    line(
        &mut text,
        format_args!("Tgid:\t{tgid}\nNgid:\t0\nPid:\t{tid}"),
    );
    line(
        &mut text,
        format_args!(
            "PPid:\t{}\nTracerPid:\t{}",
            s.shown(s.parent),
            s.shown(s.task.tracer_id())
        ),
    );
    line(
        &mut text,
        format_args!(
            "Uid:\t{}\t{}\t{}\t{}",
            reader.shown_uid(cred.uid),
            reader.shown_uid(cred.euid),
            reader.shown_uid(cred.suid),
            reader.shown_uid(cred.fsuid)
        ),
    );
    line(
        &mut text,
        format_args!(
            "Gid:\t{}\t{}\t{}\t{}",
            reader.shown_gid(cred.gid),
            reader.shown_gid(cred.egid),
            reader.shown_gid(cred.sgid),
            reader.shown_gid(cred.fsgid)
        ),
    );
    let fd_size = resources
        .as_ref()
        .map_or(0, |r| r.fds.len().max(64).next_power_of_two());
    let groups: String = cred
        .groups
        .iter()
        .map(|g| format!("{} ", reader.shown_gid(*g)))
        .collect();
    line(
        &mut text,
        format_args!("FDSize:\t{fd_size}\nGroups:\t{groups}"),
    );
    line(
        &mut text,
        format_args!(
            "NStgid:{}\nNSpid:{}\nNSpgid:{}\nNSsid:{}\nKthread:\t0",
            nested(s, s.group.tgid()),
            nested(s, s.task.tid()),
            nested(s, s.pgid),
            nested(s, s.sid)
        ),
    );
    if let Some(r) = &resources {
        memory_lines(&mut text, &r.mm);
    }
    signal_lines(&mut text, s);
    for (name, set) in [
        ("Inh", cred.cap_inheritable),
        ("Prm", cred.cap_permitted),
        ("Eff", cred.cap_effective),
        ("Bnd", cred.cap_bounding),
        ("Amb", cred.cap_ambient),
    ] {
        line(&mut text, format_args!("Cap{name}:\t{set:016x}"));
    }
    let (seccomp, filters) = s.task.seccomp_status();
    line(
        &mut text,
        format_args!(
            "NoNewPrivs:\t{}\nSeccomp:\t{seccomp}\nSeccomp_filters:\t{filters}",
            u8::from(cred.no_new_privs)
        ),
    );
    let (mask, list) = cpu_set(
        s.task.affinity.load(Ordering::Relaxed),
        s.kernel.config.processors,
    );
    line(
        &mut text,
        format_args!("Cpus_allowed:\t{mask}\nCpus_allowed_list:\t{list}"),
    );
    line(
        &mut text,
        format_args!("Mems_allowed:\t1\nMems_allowed_list:\t0"),
    );
    // DEVIATION: the host switches contexts, and does not tell us of it.
    line(
        &mut text,
        format_args!("voluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0"),
    );
    out.extend_from_slice(text.as_bytes());
    Ok(out)
}

fn line(to: &mut String, args: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = to.write_fmt(args);
    to.push('\n');
}

fn memory_lines(text: &mut String, mm: &crate::task::Mm) {
    let usage = mm.space.usage();
    let layout = mm.layout.lock().clone();
    let code = layout.code.1.saturating_sub(layout.code.0).div_ceil(4096);
    let rows = [
        ("VmPeak", usage.mapped),
        ("VmSize", usage.mapped),
        ("VmLck", usage.locked),
        ("VmPin", 0),
        ("VmHWM", usage.rss_peak.max(usage.rss())),
        ("VmRSS", usage.rss()),
        ("RssAnon", usage.rss_anon),
        ("RssFile", usage.rss_file),
        ("RssShmem", usage.rss_shmem),
        ("VmData", usage.data),
        ("VmStk", usage.stack),
        ("VmExe", code),
        ("VmLib", usage.exec.saturating_sub(code)),
        ("VmSwap", 0),
    ];
    for (name, pages) in rows {
        line(text, format_args!("{name}:\t{:8} kB", pages * 4));
    }
}

fn signal_lines(text: &mut String, s: &Snapshot) {
    let (shared, queued) = {
        let group = s.group.signals.lock();
        (group.queue.pending().0, group.queue.len())
    };
    let (own, blocked, own_queued) = {
        let signals = s.task.signals.lock();
        (
            signals.queue.pending().0,
            signals.blocked.0,
            signals.queue.len(),
        )
    };
    let (ignored, caught) = s.group.sighand.read().summary();
    line(text, format_args!("Threads:\t{}", s.threads.len().max(1)));
    line(
        text,
        format_args!(
            "SigQ:\t{}/{}",
            queued + own_queued,
            s.group.rlimit(RLIMIT_SIGPENDING)
        ),
    );
    for (name, set) in [
        ("SigPnd", own),
        ("ShdPnd", shared),
        ("SigBlk", blocked),
        ("SigIgn", ignored.0),
        ("SigCgt", caught.0),
    ] {
        line(text, format_args!("{name}:\t{set:016x}"));
    }
}

/// Names and units of the limits, by number: getrlimit(2).
const LIMITS: [(&str, &str); 16] = [
    ("Max cpu time", "seconds"),
    ("Max file size", "bytes"),
    ("Max data size", "bytes"),
    ("Max stack size", "bytes"),
    ("Max core file size", "bytes"),
    ("Max resident set", "bytes"),
    ("Max processes", "processes"),
    ("Max open files", "files"),
    ("Max locked memory", "bytes"),
    ("Max address space", "bytes"),
    ("Max file locks", "locks"),
    ("Max pending signals", "signals"),
    ("Max msgqueue size", "bytes"),
    ("Max nice priority", ""),
    ("Max realtime priority", ""),
    ("Max realtime timeout", "us"),
];

pub(super) fn limits(s: &Snapshot, _: &Cx) -> Result<Vec<u8>> {
    let all = *s.group.rlimits.lock();
    let show = |value: u64| {
        if value == RLIM_INFINITY {
            "unlimited".to_owned()
        } else {
            value.to_string()
        }
    };
    let mut text = format!(
        "{:<25} {:<20} {:<20} {:<10}\n",
        "Limit", "Soft Limit", "Hard Limit", "Units"
    );
    for ((name, unit), limit) in LIMITS.iter().zip(all) {
        let (soft, hard) = (show(limit.rlim_cur), show(limit.rlim_max));
        text += &format!("{name:<25} {soft:<20} {hard:<20} {unit:<10}\n");
    }
    Ok(text.into_bytes())
}

/// How likely the OOM killer takes the process: 0 to 1000, shifted by the adjustment.
pub(super) fn oom_score(s: &Snapshot, _: &Cx) -> Result<Vec<u8>> {
    let (usage, _, _) = memory(s);
    let total = (s.kernel.budget.limit_pages() as i64).max(1);
    let part = (usage.rss_anon + usage.rss_shmem).cast_signed() * 1000 / total;
    let score = match oom_adjust(s) {
        -1000 => 0,
        adjust => (part + i64::from(adjust)).clamp(0, 2000) * 2 / 3,
    };
    Ok(format!("{score}\n").into_bytes())
}

pub(super) fn oom_score_adj(s: &Snapshot, _: &Cx) -> Result<Vec<u8>> {
    Ok(format!("{}\n", oom_adjust(s)).into_bytes())
}

fn adjust(s: &Snapshot, cx: &Cx, value: i32) -> Result<()> {
    if value < oom_adjust(s) && !cx.cred.has_cap(cap::SYS_RESOURCE) {
        return Err(Errno::EACCES);
    }
    s.group.oom_score_adj.store(value, Ordering::Relaxed);
    Ok(())
}

pub(super) fn set_oom_score_adj(s: &Snapshot, cx: &Cx, data: &[u8]) -> Result<()> {
    let value: i32 = parse(data)?;
    if !(-1000..=1000).contains(&value) {
        return Err(Errno::EINVAL);
    }
    adjust(s, cx, value)
}

/// The old scale: -17 (never) to 15.
pub(super) fn oom_adj(s: &Snapshot, _: &Cx) -> Result<Vec<u8>> {
    let shown = match oom_adjust(s) {
        1000 => 15,
        value => value * 17 / 1000,
    };
    Ok(format!("{shown}\n").into_bytes())
}

pub(super) fn set_oom_adj(s: &Snapshot, cx: &Cx, data: &[u8]) -> Result<()> {
    let value: i32 = parse(data)?;
    if !(-17..=15).contains(&value) {
        return Err(Errno::EINVAL);
    }
    let scaled = if value == 15 { 1000 } else { value * 1000 / 17 };
    adjust(s, cx, scaled)
}

#[cfg(test)]
mod tests {
    use super::cpu_set;

    #[test]
    fn cpu_sets_are_cut_to_the_processors() {
        assert_eq!(cpu_set(u64::MAX, 4), ("f".into(), "0-3".into()));
        assert_eq!(cpu_set(0b1_0110, 8), ("16".into(), "1-2,4".into()));
        assert_eq!(cpu_set(u64::MAX, 1), ("1".into(), "0".into()));
        let (words, list) = cpu_set(u64::MAX, 64);
        assert_eq!(
            (words.as_str(), list.as_str()),
            ("ffffffff,ffffffff", "0-63")
        );
    }
}
