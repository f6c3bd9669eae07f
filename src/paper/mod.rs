//! The paper: what a receipt says, and the printer that it is printed on.
//!
//! ```text
//! Receipt ─ text ─► Thought ─ lines ─► Printer ─ queue ─► Press ─ bytes ─► Serial
//! (printing)        (receipt)          (printer)          (its thread)     (the port)
//! ```
//!
//! | file | what it knows |
//! |---|---|
//! | [`printing`] | what is printed when: receipts and the technician's slip |
//! | [`receipt`] | what a receipt says: text in, lines out |
//! | [`slip`] | what the technician's slip says |
//! | [`escpos`] | lines to the printer's bytes; knows its commands |
//! | [`printer`] | the queue to the printer thread, and how a receipt begins and ends |
//! | [`press`] | the printer thread's work: pace, deadlines, when the printer is lost |
//! | [`pace`] | when the printer can accept more bytes |
//! | [`inquiry`] | asks the printer whether it has paper |
//! | [`port`] | the traits of a port and a clock, as the printer thread uses them |
//! | [`serial`] | the serial port |

pub(crate) mod escpos;
mod inquiry;
pub(crate) mod pace;
mod port;
mod press;
pub mod printer;
pub(crate) mod printing;
pub mod receipt;
pub(crate) mod serial;
mod slip;

#[cfg(test)]
mod tests;
