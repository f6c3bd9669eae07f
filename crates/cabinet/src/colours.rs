//! Which colours the terminal has, and what the light and the paper look like in them.

use ratatui::style::{Color, Modifier, Style};

/// The gamma of a screen, whose values are shares of what is seen and not of light.
const GAMMA: f64 = 2.2;

/// The light when it is dark, and in full: an amber LED.
const DARK: [u8; 3] = [52, 40, 28];
const FULL: [u8; 3] = [255, 196, 84];

/// The light as a character, from dark to full.
const LEVELS: [char; 6] = [' ', '·', '░', '▒', '▓', '█'];

/// The colours of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    /// None: light and paper are drawn by characters alone.
    None,
    /// The 16 that every colour terminal has.
    Sixteen,
    /// Those of xterm's table.
    Table,
    /// All.
    True,
}

impl Colours {
    /// The colours that the environment says, see <https://no-color.org>.
    pub(super) fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let is = |name: &str| variable(name).unwrap_or_default();
        let term = is("TERM");
        if !is("NO_COLOR").is_empty() || matches!(term.as_str(), "dumb" | "vt100" | "vt220") {
            Self::None
        } else if ["truecolor", "24bit"].contains(&is("COLORTERM").as_str()) || term.contains("direct") {
            Self::True
        } else if term.contains("256") {
            Self::Table
        } else {
            Self::Sixteen
        }
    }

    /// The light at this luminance, 0 to 1: a character to fill it with, and its style.
    pub(super) fn light(self, luminance: f32) -> (char, Style) {
        let seen = f64::from(luminance).clamp(0.0, 1.0).powf(1.0 / GAMMA);
        let level = LEVELS[(seen * (LEVELS.len() - 1) as f64).round() as usize];
        let mixed = |at: usize| {
            let (dark, full) = (f64::from(DARK[at]), f64::from(FULL[at]));
            (dark + (full - dark) * seen).round() as u8
        };
        let [red, green, blue] = [mixed(0), mixed(1), mixed(2)];
        match self {
            Self::None => (level, Style::new()),
            Self::Sixteen => {
                let colour = match seen {
                    seen if seen < 0.15 => Color::DarkGray,
                    seen if seen < 0.7 => Color::Yellow,
                    seen if seen < 0.97 => Color::LightYellow,
                    _ => Color::White,
                };
                (level, Style::new().fg(colour))
            }
            Self::Table => (level, on(Color::Indexed(nearest(red, green, blue)), Color::Indexed(16))),
            // The whole field has the colour; the character is for those who see none.
            Self::True => (level, on(Color::Rgb(red, green, blue), Color::Rgb(red, green, blue))),
        }
    }

    /// Ink on paper.
    pub(super) fn paper(self) -> Style {
        match self {
            Self::None => Style::new(),
            Self::Sixteen => on(Color::Black, Color::White),
            Self::Table => on(Color::Indexed(236), Color::Indexed(255)),
            Self::True => on(Color::Rgb(0x2B, 0x29, 0x2E), Color::Rgb(0xF6, 0xF4, 0xEE)),
        }
    }

    /// The printer's face, around the slot.
    pub(super) fn face(self) -> Style {
        match self {
            Self::None => Style::new().add_modifier(Modifier::REVERSED),
            Self::Sixteen => on(Color::White, Color::DarkGray),
            Self::Table => on(Color::Indexed(252), Color::Indexed(238)),
            Self::True => on(Color::Rgb(0xD8, 0xD4, 0xCC), Color::Rgb(0x3A, 0x38, 0x36)),
        }
    }

    /// What is worth a look: the state, a fault.
    pub(super) fn strong(self) -> Style {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        if self == Self::None { bold } else { bold.fg(Color::Yellow) }
    }

    /// What need not be read: the keys.
    pub(super) fn faint(self) -> Style {
        if self == Self::None { Style::new() } else { Style::new().fg(Color::DarkGray) }
    }
}

fn on(ink: Color, ground: Color) -> Style {
    Style::new().fg(ink).bg(ground)
}

/// The nearest colour of xterm's cube of 6 x 6 x 6, whose steps are 0, 95, 135, 175, 215
/// and 255.
fn nearest(red: u8, green: u8, blue: u8) -> u8 {
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let step = |value: u8| {
        let near = STEPS.iter().enumerate().min_by_key(|(_, step)| step.abs_diff(value));
        near.map_or(0, |(at, _)| at as u8)
    };
    16 + 36 * step(red) + 6 * step(green) + step(blue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_which_colours_there_are() {
        for (set, colours) in [
            (&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")][..], Colours::True),
            (&[("TERM", "xterm-256color")], Colours::Table),
            (&[("TERM", "linux")], Colours::Sixteen),
            (&[], Colours::Sixteen),
            (&[("TERM", "xterm-256color"), ("NO_COLOR", "1")], Colours::None),
            (&[("TERM", "xterm"), ("NO_COLOR", "")], Colours::Sixteen),
            (&[("TERM", "dumb"), ("COLORTERM", "truecolor")], Colours::None),
        ] {
            let of =
                |name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(Colours::of(of), colours, "{set:?}");
        }
    }

    #[test]
    fn a_brighter_light_looks_brighter_in_every_terminal() {
        for colours in [Colours::None, Colours::Sixteen, Colours::Table, Colours::True] {
            let looks: Vec<_> = [0.0, 0.02, 0.2, 1.0].map(|luminance| colours.light(luminance)).into();
            for (at, look) in looks.iter().enumerate() {
                assert!(!looks[..at].contains(look), "{colours:?}: {looks:?}");
            }
        }
        assert_eq!(Colours::None.light(1.0), ('█', Style::new()));
        assert_eq!(Colours::True.light(1.0).1.fg, Some(Color::Rgb(255, 196, 84)));
        assert_eq!(nearest(255, 196, 84), 16 + 36 * 5 + 6 * 4 + 1);
    }
}
