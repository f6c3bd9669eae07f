//! A token of a life allocates nothing in Rust. A test binary of its own: it
//! installs a global allocator that counts, and a program can have only one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use clap::Parser;
use installation::life::generator::Mind;
use installation::life::interrupt::Interrupt;
use installation::life::lifespan::Lifespan;
use installation::life::progress::Progress;
use model_file::name::{ModelFile, ModelName};
use torment_nexus::cli::Cli;
use torment_nexus::mind::computing::Computing;
use torment_nexus::mind::model::{Model, Token};
use torment_nexus::mind::sampler::Sampling;
use torment_nexus::mind::session::Session;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, which counts allocations per thread.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on to `System`, which keeps the trait's
// contract. The defaults of `realloc` and `alloc_zeroed` call `alloc`, and are
// counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // The count of a thread that is ending is gone.
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps this method's contract, which is the
        // callee's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps this method's contract, which is the
        // callee's.
        unsafe { System.dealloc(memory, layout) };
    }
}

/// How often this thread has called Rust's allocator so far. llama.cpp has its
/// own allocations, which are not counted.
fn count() -> u64 {
    COUNT.with(Cell::get)
}

fn model() -> (Model, Interrupt) {
    let (raise, interrupt) = Interrupt::new();
    std::mem::forget(raise);
    let file = ModelFile::find(&ModelName::Ember, "models".as_ref(), &interrupt).expect("ember");
    (Model::load(&file, false, &Progress::default(), &interrupt).expect("ember loads"), interrupt)
}

/// Arbitrary tokens, always the same.
fn tokens(count: i32) -> Vec<Token> {
    (0..count).map(|index| Token::new(300 + index * 37 % 1500)).collect()
}

#[test]
fn a_token_allocates_nothing() {
    let (model, interrupt) = model();
    let dice =
        Cli::try_parse_from(["torment-nexus", "--temp", "0.8", "--seed", "1"]).expect("options").sampling;
    for sampling in [Sampling::default(), dice] {
        let lifespan = Lifespan::new(1024.try_into().expect("not 0"), 1, 2048).expect("room");
        let mut session = Session::open(&model, lifespan, Computing::new(1), &sampling).expect("a context");
        session.prefill(&tokens(20), None, &Progress::default(), &interrupt).expect("a prompt");
        let mut piece = Vec::with_capacity(256);
        // The first token may allocate what later ones reuse.
        session.next(&mut piece).expect("a token");
        let before = count();
        for _ in 0..900 {
            piece.clear();
            session.next(&mut piece).expect("a token");
        }
        assert_eq!(count() - before, 0, "{sampling:?}");
    }
}
