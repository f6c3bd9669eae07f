//! llama.cpp's process-wide state: its backend and its log.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_sys_2::{GGML_LOG_LEVEL_ERROR, ggml_log_level, llama_log_set};

use installation::text::stderr::say;

/// llama.cpp's process-wide state. A static is never dropped, so that it
/// outlives every model and context.
static BACKEND: LazyLock<Mutex<LlamaBackend>> = LazyLock::new(|| {
    Mutex::new(LlamaBackend::init().expect("this is the only place that initialises llama.cpp"))
});

/// The first error of llama.cpp's log; later ones are usually its consequences.
static FIRST_ERROR: Mutex<String> = Mutex::new(String::new());

/// Keeps llama.cpp's first error from now on, and drops the rest of its log; or, with
/// `logs`, says all of it.
pub(super) fn keep_first_error(logs: bool) {
    /// # Safety
    ///
    /// `text` is a C string.
    unsafe extern "C" fn keep(level: ggml_log_level, text: *const c_char, _: *mut c_void) {
        let mut first = FIRST_ERROR.lock().unwrap_or_else(PoisonError::into_inner);
        if level == GGML_LOG_LEVEL_ERROR && first.is_empty() {
            // SAFETY: llama.cpp passes a C string that lives during the call.
            let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
            // The line is `function: what`. `what` may quote names from the
            // file, hence the limit on its length and the filter.
            let what = text.split_once(": ").map_or(&*text, |(_, what)| what);
            let what = what.trim_start_matches("error loading model: ");
            *first = what.trim().chars().take(200).filter(|c| !c.is_control()).collect();
        }
    }
    /// llama.cpp's own way would wait for ever for whoever reads stderr.
    ///
    /// # Safety
    ///
    /// `text` is a C string.
    unsafe extern "C" fn say_all(_: ggml_log_level, text: *const c_char, _: *mut c_void) {
        // SAFETY: llama.cpp passes a C string that lives during the call.
        say(unsafe { CStr::from_ptr(text) }.to_string_lossy());
    }
    FIRST_ERROR.lock().unwrap_or_else(PoisonError::into_inner).clear();
    // SAFETY: the callback is a plain function and takes no user data.
    unsafe { llama_log_set(Some(if logs { say_all } else { keep }), ptr::null_mut()) };
}

/// llama.cpp's first error since [`keep_first_error`], else what `or` says.
pub(super) fn first_error(or: &str) -> String {
    let first = FIRST_ERROR.lock().unwrap_or_else(PoisonError::into_inner);
    if first.is_empty() { or.to_owned() } else { first.clone() }
}

pub(super) fn backend() -> MutexGuard<'static, LlamaBackend> {
    BACKEND.lock().unwrap_or_else(PoisonError::into_inner)
}
