//! The net under llama.cpp: whatever ends the process from inside it is one
//! line and an exit code, and never a bare signal.
//!
//! | what happens | what catches it |
//! |---|---|
//! | an assertion of ggml fails | its abort callback |
//! | nobody catches a C++ exception, such as one for want of memory | `std::set_terminate`; [`above`], where it passes through Rust, whose runtime would abort |
//! | memory that is not the program's, a division by zero, an illegal instruction, an abort | a signal handler, on the stack that Rust's runtime has for stack overflows |
//! | the file of the mapped model is cut short, or the SD card fails | the same, SIGBUS |
//!
//! With a user's model this is a fault (exit 1): the model made llama.cpp do it.
//! With ember, in our own kernels, or after a panic it is a bug (70). The light,
//! the receipt and the pins are left as they are: nothing may touch them here.
//!
//! A hang is not caught: that is the watchdog's, of systemd.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::Path;
use std::sync::OnceLock;
use std::{mem, ptr, thread};

use llama_cpp_sys_2::ggml_set_abort_callback;

use installation::life::ending::{BUG, FAULT, end_at_once};
use kernels::hooks::is_computing;

/// The signals that a fault in the program's own code raises, in words.
const SIGNALS: [(c_int, &str); 5] = [
    (libc::SIGSEGV, "SIGSEGV, invalid memory"),
    (libc::SIGBUS, "SIGBUS, invalid memory"),
    (libc::SIGFPE, "SIGFPE, division by zero"),
    (libc::SIGILL, "SIGILL, illegal instruction"),
    (libc::SIGABRT, "SIGABRT, abort"),
];

/// The user's model, once one is loaded.
static MODEL: OnceLock<String> = OnceLock::new();

/// The beginning of C++'s `std::type_info`.
#[repr(C)]
struct TypeInfo {
    table: *const c_void,
    name: *const c_char,
}

unsafe extern "C" {
    /// `std::set_terminate`, under the name that the C++ ABI gives it.
    #[link_name = "_ZSt13set_terminatePFvvE"]
    fn set_terminate(handler: extern "C" fn()) -> *const c_void;

    /// The type of the exception that nobody has caught; null if there is none.
    fn __cxa_current_exception_type() -> *const TypeInfo;
}

/// Spreads the net, for the whole process, and does `work` above it.
pub fn above<T>(work: impl FnOnce() -> T) -> T {
    struct Unwound;
    impl Drop for Unwound {
        fn drop(&mut self) {
            // Nor is it a panic.
            if !thread::panicking() {
                end("an exception of C++");
            }
        }
    }
    spread();
    let unwound = Unwound;
    let done = work();
    mem::forget(unwound);
    done
}

fn spread() {
    // SAFETY: plain functions are passed, which may be called on any thread. A
    // `sigaction` of zeros is valid; the handler calls only functions that are
    // safe in one.
    unsafe {
        ggml_set_abort_callback(Some(assertion_failed));
        set_terminate(exception_uncaught);
        for (signal, _) in SIGNALS {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = signalled as extern "C" fn(c_int) as usize;
            action.sa_flags = libc::SA_ONSTACK;
            libc::sigaction(signal, &raw const action, ptr::null_mut());
        }
    }
}

/// From now on what is caught is the fault of this model.
pub(super) fn blame(model: &str) {
    let _ = MODEL.set(model.to_owned());
}

/// # Safety
///
/// `message` is a C string.
unsafe extern "C" fn assertion_failed(message: *const c_char) {
    // SAFETY: ggml_abort passes a C string in its own stack frame.
    let message = unsafe { CStr::from_ptr(message) }.to_string_lossy();
    // The message is `path:line: what`, with the path on the machine that
    // compiled llama.cpp, and may quote names from the file.
    let (path, what) = message.split_once(':').unwrap_or(("llama.cpp", &message));
    let file = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
    end(&format!("{file}:{what}").replace(char::is_control, " "))
}

extern "C" fn exception_uncaught() {
    // SAFETY: a type's name is a C string that lives as long as the program.
    let name = unsafe {
        let exception = __cxa_current_exception_type();
        if exception.is_null() { c"terminate" } else { CStr::from_ptr((*exception).name) }
    };
    // Such as `St9bad_alloc`: those of `std` begin with `St` and a length.
    let name = name.to_str().unwrap_or_default();
    end(name.trim_start_matches("St").trim_start_matches(|c: char| c.is_ascii_digit()))
}

extern "C" fn signalled(signal: c_int) {
    match MODEL.get() {
        Some(model) if signal == libc::SIGBUS => {
            let what = " can no longer be read: its file was cut short, or the SD card fails; \
                        copy or download it again, and replace the card if this comes back\n";
            end_at_once(FAULT, &["error: model ", model, what])
        }
        _ => end(SIGNALS.iter().find(|(one, _)| *one == signal).map_or("signal", |(_, what)| what)),
    }
}

/// Ends the process; safe in a signal handler.
fn end(what: &str) -> ! {
    match MODEL.get() {
        Some(model) if !thread::panicking() && !is_computing() => {
            let next = "); name another one with --model, or give --model ember\n";
            end_at_once(FAULT, &["error: llama.cpp cannot go on with model ", model, " (", what, next])
        }
        _ => end_at_once(BUG, &["error: the program cannot go on (", what, ")\n"]),
    }
}
