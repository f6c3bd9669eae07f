//! What the piece does, as systemd shows it and as the cabinet draws it.

use std::fmt;

/// What the piece does now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It loads the model and computes the prompt.
    Loading,
    /// It waits for a press.
    Armed {
        /// How many lives there were, if they are counted.
        lives: Option<u64>,
    },
    /// It lives.
    Living {
        /// The life's number, once it is known.
        number: Option<u64>,
        /// The fill of the context, in steps of 5 per cent.
        percent: u32,
        /// What the printer does.
        printer: Printing,
    },
    /// The death is printed.
    Dying {
        /// Whether it waits for a new roll.
        out_of_paper: bool,
    },
    /// It rests after a life.
    Resting,
    /// It is outside opening hours.
    Closed,
    /// It has ended in this way, and not in the death.
    Ended(String),
}

/// What the printer does while the piece lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Printing {
    /// There is none.
    None,
    /// It prints.
    Prints,
    /// It waits for a new roll.
    WaitsForPaper,
    /// It is lost for this life.
    Lost,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loading => f.write_str("loads the model"),
            Self::Armed { lives: None } => f.write_str("armed"),
            Self::Armed { lives: Some(lives) } => write!(f, "armed, {lives} lives so far"),
            Self::Living { number: Some(number), percent, printer } => {
                write!(f, "life {number} at {percent} %{printer}")
            }
            Self::Living { number: None, percent, printer } => write!(f, "life at {percent} %{printer}"),
            Self::Dying { out_of_paper: false } => f.write_str("dies"),
            Self::Dying { out_of_paper: true } => f.write_str("dies, waits for paper"),
            Self::Resting => f.write_str("rests after a life"),
            Self::Closed => f.write_str("is closed"),
            Self::Ended(how) => f.write_str(how),
        }
    }
}

impl fmt::Display for Printing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "",
            Self::Prints => ", printing",
            Self::WaitsForPaper => ", waits for paper",
            Self::Lost => ", the printer is lost",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_no_more_than_is_known() {
        let living = |number, percent, printer| Status::Living { number, percent, printer }.to_string();
        assert_eq!(living(None, 0, Printing::Lost), "life at 0 %, the printer is lost");
        assert_eq!(living(Some(2), 95, Printing::None), "life 2 at 95 %");
        assert_eq!(Status::Armed { lives: Some(6) }.to_string(), "armed, 6 lives so far");
    }
}
