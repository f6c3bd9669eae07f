//! Options, variables, and input that is refused.

mod bad_input;
mod help;
mod relive;
