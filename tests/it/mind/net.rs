//! Whatever ends the process from inside is a line and an exit code. Without a
//! user's model, and in our own kernels, it is a bug; `model_file::gguf` has what
//! a user's model does.

use std::env;
use std::ffi::c_void;
use std::process::Command;
use std::sync::Barrier;
use std::{mem, ptr, thread};

use installation::life::interrupt::Interrupt;
use installation::life::progress::Progress;
use llama_cpp_sys_2::{GGML_TYPE_F16, GGML_TYPE_F32, GGML_TYPE_Q8_0, ggml_tensor};
use model_file::name::{ModelFile, ModelName};
use nix::sys::signal::Signal;
use torment_nexus::mind::model::Model;
use torment_nexus::mind::net;

use crate::support::nexus::{Ended, Nexus, ember_gguf};

/// Says to a child of the test, which is the test's own program, how to end.
const CHILD: &str = "TEST_OF_THE_NET";

unsafe extern "C-unwind" {
    /// `std::terminate`.
    #[link_name = "_ZSt9terminatev"]
    fn terminate();

    /// Throws `std::bad_alloc`.
    #[link_name = "_ZSt17__throw_bad_allocv"]
    fn throw_bad_alloc();
}

unsafe extern "C" {
    /// Where the linker redirects ggml's attention to: a share of the threads, and the
    /// result, which names its operands.
    fn __wrap_ggml_compute_forward_flash_attn_ext(share: &[u64; 5], result: &ggml_tensor);
}

/// The same on a thread that Rust knows nothing of, as those of OpenMP.
fn throw_in_a_thread() {
    let mut thread = 0;
    // SAFETY: a thread's function gets an argument, which this one does not read.
    unsafe {
        let throw = mem::transmute::<unsafe extern "C-unwind" fn(), extern "C" fn(*mut c_void) -> *mut c_void>(
            throw_bad_alloc,
        );
        libc::pthread_create(&mut thread, ptr::null(), throw, ptr::null_mut());
        libc::pthread_join(thread, ptr::null_mut());
    }
}

fn recurse(depth: u64) -> u64 {
    let numbers = std::hint::black_box([depth; 512]);
    if depth == u64::MAX { 0 } else { recurse(depth + 1) + numbers[7] }
}

/// Many threads crash at the same time.
fn crash_in_threads() {
    let together = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                together.wait();
                // SAFETY: this takes a number.
                unsafe { libc::raise(libc::SIGFPE) };
            });
        }
    });
}

/// Loads a user's model, which is blamed from now on, unless it is our own fault.
fn load_a_users_model() {
    let nexus = Nexus::new();
    let path = ModelName::Path(nexus.file("mind.gguf", ember_gguf()));
    let (_raise, interrupt) = Interrupt::new();
    let file = ModelFile::find(&path, "models".as_ref(), &interrupt).expect("a model");
    Model::load(&file, false, &Progress::default(), &interrupt).expect("it loads");
}

/// A panic that must not unwind, as one that llama.cpp would get.
extern "C" fn panic_in_a_callback() {
    panic!("a bug")
}

/// Our attention reads memory that is not there.
fn crash_in_a_kernel() {
    // One head of 32 numbers over 8 positions, whose numbers are nowhere.
    let tensor = |kind: u32, sizes: [i64; 2], number: usize, row: usize| {
        // SAFETY: zeros are a tensor.
        let zeros: ggml_tensor = unsafe { mem::zeroed() };
        let (ne, nb) = ([sizes[0], sizes[1], 1, 1], [number, row, row * sizes[1] as usize, 0]);
        ggml_tensor { type_: kind, ne, nb, data: ptr::without_provenance_mut(8), ..zeros }
    };
    let mut operands = [
        tensor(GGML_TYPE_F32, [32, 1], 4, 128),
        tensor(GGML_TYPE_Q8_0, [32, 8], 34, 34),
        tensor(GGML_TYPE_Q8_0, [32, 8], 34, 34),
        tensor(GGML_TYPE_F16, [8, 1], 2, 16),
    ];
    let mut result = tensor(GGML_TYPE_F32, [32, 1], 4, 128);
    for (source, operand) in result.src.iter_mut().zip(&mut operands) {
        *source = operand;
    }
    // The first of one thread, without work memory.
    let share = [1_u64 << 32, 0, 0, 0, 0];
    // SAFETY: none of it is; that is what is tested.
    unsafe { __wrap_ggml_compute_forward_flash_attn_ext(&share, &result) };
}

/// Ends the process as `how` says.
fn end(how: &str) {
    net::above(|| {
        // SAFETY: none of it is; that is what is tested.
        unsafe {
            match how {
                "terminate" => terminate(),
                "exception" => throw_bad_alloc(),
                "thread" => throw_in_a_thread(),
                "threads" => crash_in_threads(),
                "kernel" => {
                    load_a_users_model();
                    crash_in_a_kernel();
                }
                "panic" => {
                    load_a_users_model();
                    panic_in_a_callback();
                }
                "abort" => libc::abort(),
                "overflow" => _ = recurse(0),
                "segv" => ptr::without_provenance_mut::<u8>(8).write_volatile(1),
                signal => _ = libc::raise(signal.parse::<Signal>().expect("a signal") as i32),
            }
        }
    });
}

#[test]
fn whatever_ends_the_process_is_a_line_and_never_a_bare_signal() {
    let own = "mind::net::whatever_ends_the_process_is_a_line_and_never_a_bare_signal";
    if let Ok(how) = env::var(CHILD) {
        return end(&how);
    }
    for (how, reason) in [
        ("terminate", "terminate"),
        ("exception", "an exception of C++"),
        ("thread", "bad_alloc"),
        ("threads", "SIGFPE"),
        ("kernel", "SIGSEGV"),
        ("panic", "SIGABRT"),
        ("abort", "SIGABRT"),
        ("overflow", "SIGSEGV"),
        ("segv", "SIGSEGV"),
        ("SIGFPE", "SIGFPE"),
        ("SIGILL", "SIGILL"),
        ("SIGBUS", "SIGBUS"),
    ] {
        let mut child = Command::new(env::current_exe().expect("this program"));
        let ended = Ended::of(child.args(["--exact", own, "--nocapture"]).env(CHILD, how).output());
        assert_eq!(ended.code, Some(70), "{how}: {}", ended.stderr);
        let lines: Vec<_> = ended.stderr.lines().collect();
        // A panic has said its message before.
        let lines = if how == "panic" { &lines[lines.len() - 2..] } else { &lines };
        assert!(
            matches!(lines, [what, bug] if what.starts_with("error: ") && what.contains(reason)
                && bug.contains("not the artwork")),
            "{how}: {lines:?}"
        );
    }
}
