//! Options, variables, and input that is refused.

mod bad_input;
mod check;
mod help;
mod relive;
