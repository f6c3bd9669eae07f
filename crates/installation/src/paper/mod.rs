//! The paper: what a receipt says, and the printer that it is printed on.
//!
//! ```text
//! Receipt ─ text ─► Thought ─ lines ─► Printer ─ queue ─► Press ─ bytes ─► Serial
//! (printing)        (receipt)          (printer)          (its thread)     (or LinePrinter)
//! ```
//!
//! | file | what it knows |
//! |---|---|
//! | [`printing`] | what is printed when: receipts and the technician's slip |
//! | [`template`] | what a receipt says before and after the thought; the artist's own |
//! | [`receipt`] | sets lines and the thought: wraps them, chooses bold, centred and double size; text in, chunks of bytes out |
//! | [`slip`] | what the technician's slip says |
//! | [`strip`] | what `torment-nexus check` prints |
//! | `format` | the kind of printer, the font, the columns |
//! | [`escpos`] | a line and its style to the printer's bytes; knows its commands |
//! | [`code_page`] | the printer's characters, and any text in them |
//! | [`reading`] | the printer's bytes to lines, as a printer reads them |
//! | [`settings`] | the settings of a printer, and whether it can be used |
//! | [`printer`] | the queue to the printer thread, and how a receipt begins and ends |
//! | [`press`] | the printer thread's work: pace, deadlines, when the printer is lost |
//! | [`pace`] | when the printer can accept more bytes |
//! | [`inquiry`] | asks the printer whether it has paper |
//! | [`port`] | the traits of a port, a BUSY wire and a clock, as the printer thread uses them |
//! | [`busy`] | the printer's BUSY wire |
//! | [`device`] | which devices can be printers; locks them |
//! | [`missing`] | what there is where a device is missing |
//! | [`serial`] | a printer on a serial port |
//! | [`lp`] | a printer of the USB printer class |

mod busy;
mod code_page;
mod device;
pub(crate) mod escpos;
pub mod format;
mod inquiry;
mod lp;
mod missing;
pub mod pace;
mod port;
mod press;
pub mod printer;
pub mod printing;
pub mod reading;
pub mod receipt;
pub mod serial;
pub mod settings;
mod slip;
pub mod strip;
pub mod template;

#[cfg(test)]
mod tests;
