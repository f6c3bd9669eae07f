//! Lives on a printer that is played on a pseudo-terminal.

mod printing;
