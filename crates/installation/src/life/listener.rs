//! The listeners that each token of a life is told to: stdout, the light and
//! the paper.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use super::ending::Ending;
use super::interrupt::Interrupt;
use super::lifespan::Fill;
use crate::text::stderr::warn;
use crate::text::stdout::Output;

/// Pause before a stdout whose reader does not keep up is tried again: less than
/// a token takes on the board.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a life that is printed waits for the reader of stdout.
const PATIENCE: Duration = Duration::from_secs(2);

/// Something that is told each token of a life.
pub trait Listener {
    /// Takes a token's text, which may be empty, and the fill with that token. Fails
    /// when the life cannot go on without this listener.
    fn token(&mut self, text: &str, fill: Fill) -> Result<(), Ending>;

    /// Called after the last token: ends an unfinished line.
    fn finish(&mut self) -> Result<(), Ending> {
        Ok(())
    }
}

impl<W: Write> Listener for Output<W> {
    fn token(&mut self, text: &str, _: Fill) -> Result<(), Ending> {
        self.text(text).map_err(cannot_write)
    }

    fn finish(&mut self) -> Result<(), Ending> {
        Output::finish(self).map_err(cannot_write)
    }
}

fn would_block(told: &io::Result<()>) -> bool {
    matches!(told, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn cannot_write(error: io::Error) -> Ending {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ending::Unheard,
        io::ErrorKind::WouldBlock => {
            anyhow!("nobody reads the thought from stdout; read it, or give it somewhere else to go").into()
        }
        _ => anyhow!("cannot write the thought to stdout: {error}; give it somewhere else to go").into(),
    }
}

/// Stdout, and after it every other listener.
pub struct Listeners<'a, W> {
    interrupt: &'a Interrupt,
    /// `None` once it has failed and the life goes on without it.
    stdout: Option<Output<W>>,
    /// Whether the life goes on when stdout fails: it does if it is printed.
    stdout_may_fail: bool,
    others: Vec<&'a mut dyn Listener>,
}

impl<'a, W: Write> Listeners<'a, W> {
    /// Tells `stdout` and then `others`. If the life is `printed`, a stdout that fails, or
    /// that nobody reads for 2 s, is warned about once and the life goes on without it.
    /// Otherwise a failure ends it, and a reader is waited for until the `interrupt`.
    pub fn new(
        stdout: Output<W>,
        others: Vec<&'a mut dyn Listener>,
        printed: bool,
        interrupt: &'a Interrupt,
    ) -> Self {
        Self { interrupt, stdout: Some(stdout), stdout_may_fail: printed, others }
    }

    fn tell_stdout(&mut self, tell: impl FnOnce(&mut Output<W>) -> io::Result<()>) -> Result<(), Ending> {
        let Some(stdout) = &mut self.stdout else { return Ok(()) };
        let mut told = tell(stdout);
        if would_block(&told) {
            let start = Instant::now();
            while would_block(&told) && !(self.stdout_may_fail && start.elapsed() >= PATIENCE) {
                if self.interrupt.is_raised_within(PAUSE) {
                    // The life ends now. A reader that comes in this moment
                    // gets the end of the line; what nobody reads is left out.
                    thread::sleep(PAUSE);
                    let _ = stdout.resume();
                    return Ok(());
                }
                told = stdout.resume();
            }
        }
        let Err(ending) = told.map_err(cannot_write) else { return Ok(()) };
        if !self.stdout_may_fail {
            return Err(ending);
        }
        self.stdout = None;
        warn(format_args!("{ending}; the life goes on without it"));
        Ok(())
    }
}

impl<W: Write> Listener for Listeners<'_, W> {
    fn token(&mut self, text: &str, fill: Fill) -> Result<(), Ending> {
        self.tell_stdout(|stdout| stdout.text(text))?;
        self.others.iter_mut().try_for_each(|other| other.token(text, fill))
    }

    fn finish(&mut self) -> Result<(), Ending> {
        self.tell_stdout(Output::finish)?;
        self.others.iter_mut().try_for_each(|other| other.finish())
    }
}

/// How the printer is: its thread sets this, the light shows it. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct PrinterStatus {
    lost: Arc<AtomicBool>,
    out_of_paper: Arc<AtomicBool>,
    near_its_end: Arc<AtomicBool>,
}

impl PrinterStatus {
    /// Whether it was lost in this life.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Marks it as lost, for the rest of the life.
    pub fn set_lost(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    /// Whether the life waits for new paper.
    #[must_use]
    pub fn is_out_of_paper(&self) -> bool {
        self.out_of_paper.load(Ordering::Relaxed) && !self.is_lost()
    }

    /// Whether it was lost because no new paper came.
    pub(crate) fn is_left_without_paper(&self) -> bool {
        self.out_of_paper.load(Ordering::Relaxed) && self.is_lost()
    }

    /// Says whether the life waits for new paper.
    pub fn set_out_of_paper(&self, out: bool) {
        self.out_of_paper.store(out, Ordering::Relaxed);
    }

    /// Whether the printer says that little paper is left.
    #[must_use]
    pub fn is_near_its_end(&self) -> bool {
        self.near_its_end.load(Ordering::Relaxed)
    }

    /// Says whether little paper is left.
    pub fn set_near_its_end(&self, near: bool) {
        self.near_its_end.store(near, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILL: Fill = Fill { used: 1, context_size: 2 };

    /// A writer that always fails with this kind of error.
    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_left_is_told_from_a_full_disk() {
        let failure = |kind| Output::new(Failing(kind)).token("a", FILL).expect_err("it fails");
        assert!(matches!(failure(io::ErrorKind::BrokenPipe), Ending::Unheard));
        let Ending::Fault(full) = failure(io::ErrorKind::StorageFull) else { panic!("no fault") };
        assert!(full.to_string().contains("stdout"), "{full}");
    }

    #[test]
    fn every_listener_hears_every_token_and_its_fill_in_order() {
        #[derive(Default)]
        struct Recorder(Vec<(String, u32)>);
        impl Listener for Recorder {
            fn token(&mut self, text: &str, fill: Fill) -> Result<(), Ending> {
                self.0.push((text.to_owned(), fill.used));
                Ok(())
            }
        }
        let (mut one, mut two) = (Recorder::default(), Recorder::default());
        // A stdout that has failed does not keep the others from being told.
        let stdout = Output::new(Failing(io::ErrorKind::BrokenPipe));
        let (_raise, interrupt) = Interrupt::new();
        let mut listeners = Listeners::new(stdout, vec![&mut one, &mut two], true, &interrupt);
        for used in 1..=3 {
            listeners.token("word", Fill { used, ..FILL }).expect("printed lives go on");
        }
        listeners.finish().expect("printed lives go on");
        assert_eq!(one.0, [1, 2, 3].map(|used| ("word".to_owned(), used)));
        assert_eq!(one.0, two.0);
    }
}
