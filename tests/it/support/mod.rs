//! What the tests share: the program started in a folder of its own, a
//! simulated printer on a pseudo-terminal, a reader of receipts, an HTTP
//! server, a writer of GGUF files, a real systemd, a terminal, a dice.

pub mod dice;
pub mod exhibition;
pub mod fake_printer;
pub mod gguf_file;
pub mod nexus;
pub mod receipt_reader;
pub mod server;
pub mod systemd;
pub mod terminal;
