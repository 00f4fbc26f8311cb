//! SIGINT and SIGTERM: both end the program with 130, after what the running command would leave behind is tidied up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Exit code of an interrupted command.
const INTERRUPTED: i32 = 130;

/// What the running command has done first.
type Last = Box<dyn FnOnce() + Send>;

static LAST: Mutex<Option<Last>> = Mutex::new(None);
static ONCE: Once = Once::new();
static ENDING: AtomicBool = AtomicBool::new(false);

/// Has this done before a signal ends the program. Most commands need nothing: every output gets its name only when it is
/// whole, and an import that was killed is swept by the next one.
#[cfg(feature = "connected")]
pub(in crate::cli) fn first(last: impl FnOnce() + Send + 'static) {
    *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(last));
}

/// Installs the handlers, once in a process. A host that refuses them ends the program as it sees fit.
pub(in crate::cli) fn listen() {
    ONCE.call_once(|| {
        let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else {
            return;
        };
        let wait = move || {
            if signals.forever().next().is_some() {
                end();
            }
        };
        let thread = std::thread::Builder::new().name("signals".to_owned());
        if thread.spawn(wait).is_err() {}
    });
}

/// Goes on only if no signal is ending the program: what a command says while it is pulled down is of no use.
pub(in crate::cli) fn hold() {
    while ENDING.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

#[expect(
    clippy::exit,
    reason = "an interrupt ends the process, whatever its threads do"
)]
fn end() {
    ENDING.store(true, Ordering::SeqCst);
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(last) = last {
        last();
    }
    std::process::exit(INTERRUPTED);
}
