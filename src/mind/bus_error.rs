//! SIGBUS: the kernel's answer where a page of the mapped model cannot be read,
//! because the file was cut short or the card fails.

use std::sync::OnceLock;

use libc::{c_int, c_void, siginfo_t};

/// The line that the handler writes; set before the handler is installed.
static LINE: OnceLock<String> = OnceLock::new();

/// From now on SIGBUS ends the process with exit status 1 and a line that names
/// the model. The light, the receipt and the pins are left as they are: a
/// signal handler may not touch them.
pub(super) fn name_model(name: &str) {
    let line = format!(
        "error: model {name} can no longer be read: its file was cut short, or the SD card fails; \
         copy or download it again, and replace the card if this comes back\n"
    );
    if LINE.set(line).is_err() {
        return;
    }
    // SAFETY: a `sigaction` of zeros is valid; the handler calls only functions
    // that are safe in a signal handler.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = fail as extern "C" fn(c_int, *mut siginfo_t, *mut c_void) as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut());
    }
}

extern "C" fn fail(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
    if let Some(line) = LINE.get() {
        // SAFETY: `write` and `_exit` are safe in a signal handler; the line is
        // never changed.
        unsafe {
            libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len());
        }
    }
    // SAFETY: as above.
    unsafe { libc::_exit(1) }
}
