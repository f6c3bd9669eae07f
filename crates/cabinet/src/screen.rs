//! The terminal: taken for the drawing, and left as it was, also after a panic.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::panic::{self, PanicHookInfo};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossterm::cursor::{Hide, Show};
use crossterm::event::{
    self, DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture, KeyCode,
    KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEventKind,
};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::termios::{FlushArg, tcflush};
use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::state::{Event, KeyPress};

/// How long the reader of keys waits until it looks whether it is still needed.
const GLANCE: Duration = Duration::from_millis(100);

/// The terminal, taken: left when this is dropped.
pub(super) struct Screen {
    out: Unwritten,
    /// The last frame; of the next one only what has changed is written.
    shown: Buffer,
    taken: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal. A panic leaves it before it says anything. Fails when the
    /// terminal cannot be set up; it is as before then.
    pub(super) fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        let taken = Arc::new(AtomicBool::new(true));
        let leaving = taken.clone();
        panic::set_hook(after(move || leave(&leaving, Unwritten::new), panic::take_hook()));
        // From here on it is left when this is dropped.
        let mut screen = Self { out: Unwritten::new()?, shown: Buffer::empty(Rect::ZERO), taken };
        execute!(screen.out, EnterAlternateScreen, EnableMouseCapture, EnableBracketedPaste, Hide)?;
        Ok(screen)
    }

    /// Shows the frame that `draw` draws. (ratatui's own `Terminal` asks the terminal
    /// where its cursor is when the size changes, and not every terminal answers.) It is
    /// left out while the terminal has not taken the last one.
    pub(super) fn show(&mut self, draw: impl FnOnce(&mut Buffer)) -> io::Result<()> {
        self.out.flush()?;
        if !self.out.bytes.is_empty() {
            return Ok(());
        }
        let mut backend = CrosstermBackend::new(&mut self.out);
        let size = backend.size()?;
        let area = Rect::new(0, 0, size.width, size.height);
        if area != self.shown.area {
            backend.clear()?;
            self.shown = Buffer::empty(area);
        }
        let mut frame = Buffer::empty(area);
        draw(&mut frame);
        let changes = self.shown.diff(&frame);
        if !changes.is_empty() {
            backend.draw(changes.into_iter())?;
            Backend::flush(&mut backend)?;
        }
        self.shown = frame;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave(&self.taken, Unwritten::new);
    }
}

/// The most bytes that are written at once: a terminal that takes any takes so many without
/// a wait. (In raw mode no key stops it in between.)
const AT_ONCE: usize = 64;

/// What the terminal has still to take: one that nobody reads is not waited for.
struct Unwritten {
    stdout: File,
    bytes: Vec<u8>,
}

impl Unwritten {
    fn new() -> io::Result<Self> {
        Ok(Self { stdout: File::from(io::stdout().as_fd().try_clone_to_owned()?), bytes: Vec::new() })
    }
}

/// Whether it can be read, or written, now.
fn is_ready(stream: impl AsFd, how: PollFlags) -> bool {
    poll(&mut [PollFd::new(stream.as_fd(), how)], 0_u8) == Ok(1)
}

impl Write for Unwritten {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
    }

    /// Writes as much as the terminal takes now.
    fn flush(&mut self) -> io::Result<()> {
        while !self.bytes.is_empty() && is_ready(&self.stdout, PollFlags::POLLOUT) {
            let written = self.stdout.write(&self.bytes[..self.bytes.len().min(AT_ONCE)])?;
            self.bytes.drain(..written);
        }
        Ok(())
    }
}

/// Leaves the terminal as it was; once. What it has not taken makes room.
fn leave<W: Write>(taken: &AtomicBool, out: impl FnOnce() -> io::Result<W>) {
    if taken.swap(false, Ordering::SeqCst) {
        // A terminal that is gone need not be restored.
        let _ = tcflush(io::stdout(), FlushArg::TCOFLUSH);
        let _ = out().and_then(|mut out| {
            execute!(out, DisableBracketedPaste, DisableMouseCapture, LeaveAlternateScreen, Show)
        });
        let _ = disable_raw_mode();
    }
}

/// A panic hook that calls `leave` first.
fn after(
    leave: impl Fn() + Send + Sync + 'static,
    hook: Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync>,
) -> Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync> {
    Box::new(move |info| {
        leave();
        hook(info);
    })
}

/// Reads keys and clicks until `tell` returns false, or the terminal is gone.
///
/// crossterm takes 1,024 bytes of what has come, and looks for the rest only when more comes,
/// which a terminal that is full does not take: what stays there is thrown away.
pub(super) fn read_keys(is_needed: &AtomicBool, tell: impl Fn(Event) -> bool) {
    let mut stays = false;
    while is_needed.load(Ordering::Relaxed) {
        let event = match event::poll(GLANCE) {
            Ok(false) => {
                let has_come = is_ready(io::stdin(), PollFlags::POLLIN);
                // A key may come between the two looks.
                if has_come && stays {
                    let _ = tcflush(io::stdin(), FlushArg::TCIFLUSH);
                }
                stays = has_come;
                continue;
            }
            Ok(true) => event::read(),
            Err(error) => Err(error),
        };
        let Ok(event) = event else { return };
        if let Some(event) = meaning(&event)
            && !tell(event)
        {
            return;
        }
    }
}

fn meaning(event: &event::Event) -> Option<Event> {
    match event {
        event::Event::Key(key) if key.kind != KeyEventKind::Release => key_of(key).map(Event::KeyPress),
        event::Event::Mouse(mouse) => match mouse.kind {
            MouseEventKind::Down(MouseButton::Left) => Some(Event::Click(mouse.column, mouse.row)),
            MouseEventKind::ScrollUp => Some(Event::KeyPress(KeyPress::Rows(3))),
            MouseEventKind::ScrollDown => Some(Event::KeyPress(KeyPress::Rows(-3))),
            _ => None,
        },
        _ => None,
    }
}

fn key_of(key: &KeyEvent) -> Option<KeyPress> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('c' | 'C') if control => KeyPress::Leave,
        _ if control => return None,
        KeyCode::Char(' ') | KeyCode::Enter => KeyPress::Press,
        KeyCode::Char('h' | 'H') => KeyPress::Hold,
        KeyCode::Char('+' | '=') => KeyPress::Faster,
        KeyCode::Char('-' | '_') => KeyPress::Slower,
        KeyCode::Char('p' | 'P') => KeyPress::Plug,
        KeyCode::Char('e' | 'E') => KeyPress::Paper,
        KeyCode::Char('s' | 'S') => KeyPress::Save,
        KeyCode::Char('q' | 'Q') => KeyPress::Leave,
        KeyCode::Up => KeyPress::Rows(1),
        KeyCode::Down => KeyPress::Rows(-1),
        KeyCode::PageUp => KeyPress::Pages(1),
        KeyCode::PageDown => KeyPress::Pages(-1),
        KeyCode::Home => KeyPress::Rows(isize::MAX),
        KeyCode::End => KeyPress::Rows(isize::MIN),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn the_terminal_is_left_once_and_before_a_panic_says_anything() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let (left, told) = (said.clone(), said.clone());
        let taken = AtomicBool::new(true);
        let leave = move || {
            let mut out = Vec::new();
            super::leave(&taken, || Ok(&mut out));
            left.lock().expect("nobody failed with it").push(String::from_utf8(out).expect("text"));
        };
        let before = panic::take_hook();
        let hook =
            after(leave, Box::new(move |_| told.lock().expect("nobody failed").push("said".to_owned())));
        panic::set_hook(hook);
        let _ = panic::catch_unwind(|| panic!("a bug"));
        let _ = panic::catch_unwind(|| panic!("another"));
        panic::set_hook(before);
        let said = said.lock().expect("nobody failed with it");
        assert_eq!(said.len(), 4);
        assert!(said[0].contains("\x1b[?1049l") && said[0].contains("\x1b[?25h"), "{said:?}");
        assert_eq!((said[1].as_str(), said[2].as_str()), ("said", ""));
    }

    #[test]
    fn each_key_that_the_frame_names_has_its_meaning() {
        let key = |code| key_of(&KeyEvent::new(code, KeyModifiers::NONE));
        for (code, meaning) in [
            (KeyCode::Char(' '), KeyPress::Press),
            (KeyCode::Enter, KeyPress::Press),
            (KeyCode::Char('+'), KeyPress::Faster),
            (KeyCode::Char('q'), KeyPress::Leave),
            (KeyCode::Up, KeyPress::Rows(1)),
        ] {
            assert_eq!(key(code), Some(meaning));
        }
        let control = |letter| key_of(&KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL));
        assert_eq!(control('c'), Some(KeyPress::Leave));
        assert_eq!(control('h'), None, "some terminals send it for backspace");
        assert_eq!(key(KeyCode::Char('x')), None);
    }
}
