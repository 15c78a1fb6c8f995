//! settimeofday(2), adjtimex(2), clock_adjtime(2).

use super::UserPtr;
use crate::task::CurrentTask;
use tuxlet_uapi::{
    errno::{Errno, Result},
    time::{
        ADJ_NANO, ADJ_SETOFFSET, CLOCK_REALTIME, STA_NANO, STA_UNSYNC, TIME_ERROR, Timeval, Timex,
        Timezone,
    },
};
use tuxlet_vfs::cx::cap;

/// Microseconds between two ticks of a kernel with 100 of them a second.
const TICK: i64 = 10_000;
/// Errors of a clock that nobody disciplines, in microseconds.
const MAX_ERROR: i64 = 16_000_000;
/// Largest frequency error that could be corrected, in parts per million shifted by 16.
const TOLERANCE: i64 = 500 << 16;

pub(super) fn sys_settimeofday(
    task: &mut CurrentTask,
    tv: UserPtr<Timeval>,
    tz: UserPtr<Timezone>,
) -> Result<()> {
    let tv = tv.read_opt(task)?;
    if tv.is_some_and(|tv| !tv.is_valid()) {
        return Err(Errno::EINVAL);
    }
    let tz = tz.read_opt(task)?;
    if !task.task.cred().has_cap(cap::SYS_TIME) {
        return Err(Errno::EPERM);
    }
    if tz.is_some_and(|tz| tz.tz_minuteswest.unsigned_abs() > 15 * 60) {
        return Err(Errno::EINVAL);
    }
    if let Some(tv) = tv {
        task.kernel
            .set_realtime(i64::try_from(tv.to_nanos()).unwrap_or(i64::MAX));
    }
    Ok(())
}

pub(super) fn sys_adjtimex(task: &mut CurrentTask, buf: UserPtr<Timex>) -> Result<u32> {
    sys_clock_adjtime(task, CLOCK_REALTIME, buf)
}

pub(super) fn sys_clock_adjtime(
    task: &mut CurrentTask,
    clock: u32,
    buf: UserPtr<Timex>,
) -> Result<u32> {
    if clock != CLOCK_REALTIME {
        return Err(if clock <= 11 {
            Errno::EOPNOTSUPP
        } else {
            Errno::EINVAL
        });
    }
    let asked = buf.read(task)?;
    if asked.modes != 0 && !task.task.cred().has_cap(cap::SYS_TIME) {
        return Err(Errno::EPERM);
    }
    let nano = asked.modes & ADJ_NANO != 0;
    if asked.modes & ADJ_SETOFFSET != 0 {
        let per_second = if nano { 1_000_000_000 } else { 1_000_000 };
        if !(0..per_second).contains(&asked.time.tv_usec) {
            return Err(Errno::EINVAL);
        }
        let fraction = asked.time.tv_usec * (1_000_000_000 / per_second);
        let step = asked
            .time
            .tv_sec
            .saturating_mul(1_000_000_000)
            .saturating_add(fraction);
        let now = task.kernel.clock.realtime_ns();
        task.kernel.set_realtime(now.saturating_add(step));
    } else if asked.modes & !ADJ_NANO != 0 {
        // DEVIATION: the host disciplines the clock; the guest can only step it.
        return Err(Errno::EOPNOTSUPP);
    }
    let ns = task.kernel.clock.realtime_ns();
    let unit = if nano { 1 } else { 1000 };
    let answer = Timex {
        modes: asked.modes,
        maxerror: MAX_ERROR,
        esterror: MAX_ERROR,
        status: (STA_UNSYNC | if nano { STA_NANO } else { 0 }).cast_signed(),
        constant: 2,
        precision: 1,
        tolerance: TOLERANCE,
        time: Timeval {
            tv_sec: ns.div_euclid(1_000_000_000),
            tv_usec: ns.rem_euclid(1_000_000_000) / unit,
        },
        tick: TICK,
        ..Timex::default()
    };
    buf.write(task, &answer)?;
    Ok(TIME_ERROR)
}
