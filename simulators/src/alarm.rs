//! A clock that rings at its moment. The runtime's own timers are a millisecond coarse: a carrier 20 ms away would be 21 ms
//! away by them, and answer a twentieth less per second than its window allows.

use std::io;
use std::time::Instant;

use rustix::fs::Timespec;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};
use tokio::net::unix::pipe::Receiver;

/// See the module's head. To those who wait for it a timer is read as a pipe is.
#[derive(Debug)]
pub struct Alarm(Receiver);

impl Alarm {
    /// An alarm on the current runtime.
    ///
    /// # Errors
    /// The system has no timers left.
    pub fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self(Receiver::from_owned_fd_unchecked(timer)?))
    }

    /// Waits until `at`. One wait at a time: a later call takes the alarm over.
    ///
    /// # Errors
    /// The system does not take the time.
    pub async fn until(&self, at: Instant) -> io::Result<()> {
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            },
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        loop {
            self.0.readable().await?;
            match self.0.try_read(&mut [0; 8]) {
                // What an earlier wait left behind reads as nothing.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map(drop),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Poll;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_rings_neither_early_nor_for_an_earlier_call() {
        let alarm = Alarm::new().unwrap();
        let started = Instant::now();
        alarm.until(started).await.unwrap();
        // A wait that is given up, though it has rung already.
        let soon = started + Duration::from_millis(1);
        {
            let mut given_up = pin!(alarm.until(soon));
            std::future::poll_fn(|context| {
                let _ = given_up.as_mut().poll(context);
                Poll::Ready(())
            })
            .await;
            while soon.elapsed() < Duration::from_millis(1) {
                tokio::task::yield_now().await;
            }
        }
        for ms in [5, 9, 10] {
            let at = Instant::now() + Duration::from_millis(ms);
            alarm.until(at).await.unwrap();
            assert!(Instant::now() >= at, "{ms}");
        }
    }
}
