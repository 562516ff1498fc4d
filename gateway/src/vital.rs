//! What the process cannot live without: tasks and threads whose panic ends it at once.
//!
//! A gateway whose line or journal has died but whose listeners still answer is worse than none. The journal holds
//! everything that was promised, so a supervisor's restart is the repair. What may fail alone (one session, one HTTP
//! connection) is not vital: its task ends, the rest goes on.

use std::panic::PanicHookInfo;

use tracing::error;

/// Held by vital code while it runs; dropped by a panic, it ends the process with SIGABRT.
pub struct Vital(pub &'static str);

impl Drop for Vital {
    fn drop(&mut self) {
        if std::thread::panicking() {
            error!(what = self.0, "cannot go on after a panic: stopping now; restart, the journal holds everything");
            std::process::abort();
        }
    }
}

/// Logs where a panic happened. What it says stays out of the log: it may hold a message's text or number.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        error!(place, thread = thread.name().unwrap_or_default(), "internal error: a panic");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    /// Runs itself again as the process that is to end.
    #[test]
    fn a_vital_panic_ends_the_process_and_keeps_its_words_to_itself() {
        if std::env::var_os("QIAO_TEST_VITAL").is_some() {
            tracing_subscriber::fmt().with_writer(std::io::stderr).init();
            log_panics();
            let caught = std::panic::catch_unwind(|| {
                let _vital = Vital("the test");
                panic!("the text of a message");
            });
            std::process::exit(if caught.is_err() { 7 } else { 8 });
        }
        let test = "vital::tests::a_vital_panic_ends_the_process_and_keeps_its_words_to_itself";
        let mut again = Command::new(std::env::current_exe().unwrap());
        let ended = again.args(["--exact", test, "--nocapture"]).env("QIAO_TEST_VITAL", "1").output().unwrap();
        assert_eq!(ended.status.signal(), Some(6), "{:?}", ended.status);
        let log = String::from_utf8_lossy(&ended.stderr);
        assert!(log.contains("vital.rs") && log.contains("the journal holds everything"), "{log}");
        assert!(!log.contains("the text of a message"), "{log}");
    }

    #[test]
    fn an_orderly_end_is_no_panic() {
        drop(Vital("the test"));
    }
}
