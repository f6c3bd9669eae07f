//! When a press begins a life: the economy of a show. Pure: the time in, what the
//! piece does out.

use std::time::Duration;

/// Minutes in a day.
const DAY: u16 = 24 * 60;

/// How often the clock is looked at: it may be set at any time.
pub const GLANCE: Duration = Duration::from_secs(10);

/// When the piece may live.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Schedule {
    /// The pause after a life.
    pub rest: Duration,
    /// The most lives in a day of the calendar.
    pub lives_per_day: Option<u32>,
    /// The opening hours.
    pub open: Option<Hours>,
}

/// Opening hours, the same on every day; they may go past midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// Minutes since midnight.
    from: u16,
    to: u16,
}

impl Hours {
    /// Parses hours as 10:00-18:00; an error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let minutes = |text: &str| -> Option<u16> {
            let (hours, minutes) = text.trim().split_once(':')?;
            Some(number(hours, 24)? * 60 + number(minutes, 60)?)
        };
        let parsed = text.split_once('-').and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)));
        match parsed {
            Some((from, to)) if from != to => Ok(Self { from, to }),
            Some(_) => Err("it opens and closes at the same time; leave it out to be open always".to_owned()),
            None => Err("not hours as in 10:00-18:00".to_owned()),
        }
    }

    /// Whether a minute since midnight lies in them.
    fn contain(self, minute: u16) -> bool {
        let open_for = (self.to + DAY - self.from) % DAY;
        (minute + DAY - self.from) % DAY < open_for
    }
}

/// A number of digits only, below `bound`.
fn number(digits: &str, bound: u16) -> Option<u16> {
    let number = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    (number < bound).then_some(number)
}

/// What is known when it is asked whether a life may begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moment {
    /// The time since the last life, if there was one since the board was switched on.
    pub since_life: Option<Duration>,
    /// Minutes since midnight; `None` while the clock is not believed.
    pub minute: Option<u16>,
    /// Lives that were begun today; `None` while the date is not known.
    pub today: Option<u32>,
}

/// What the piece does at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// A press begins a life.
    Open,
    /// It rests after a life, for so long.
    Rests(Duration),
    /// It is closed: outside its hours, or it has lived enough for the day.
    Closed,
}

impl Schedule {
    /// What the piece does.
    #[must_use]
    pub fn at(&self, moment: Moment) -> Availability {
        let closed = self.open.zip(moment.minute).is_some_and(|(hours, minute)| !hours.contain(minute));
        let enough = self.lives_per_day.zip(moment.today).is_some_and(|(most, today)| today >= most);
        if closed || enough {
            return Availability::Closed;
        }
        let left = moment.since_life.map_or(Duration::ZERO, |since| self.rest.saturating_sub(since));
        if left.is_zero() { Availability::Open } else { Availability::Rests(left) }
    }

    /// Whether it asks for the time of day or the date.
    #[must_use]
    pub fn needs_a_clock(&self) -> bool {
        self.open.is_some() || self.lives_per_day.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn at(hours: u16, minutes: u16) -> Option<u16> {
        Some(hours * 60 + minutes)
    }

    #[test]
    fn outside_its_hours_it_is_closed_also_when_they_go_past_midnight() {
        for (hours, open, closed) in [
            ("10:00-18:00", [at(10, 0), at(17, 59)], [at(9, 59), at(18, 0)]),
            ("18:30-2:15", [at(18, 30), at(2, 14)], [at(2, 15), at(18, 29)]),
            (" 00:00 - 23:59 ", [at(0, 0), at(23, 58)], [at(23, 59), at(23, 59)]),
        ] {
            let schedule = Schedule { open: Some(Hours::parse(hours).expect(hours)), ..Schedule::default() };
            let doing = |minute| schedule.at(Moment { minute, ..Moment::default() });
            assert_eq!(open.map(doing), [Availability::Open; 2], "{hours}");
            assert_eq!(closed.map(doing), [Availability::Closed; 2], "{hours}");
            assert_eq!(doing(None), Availability::Open, "a clock that is not believed");
        }
    }

    #[test]
    fn what_is_no_pair_of_times_is_refused() {
        for wrong in
            ["", "10-18", "10:00", "10:00-24:00", "10:60-18:00", "+1:00-2:00", "10:00-10:00", "a:b-c:d"]
        {
            assert!(Hours::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn after_so_many_lives_it_is_closed_for_the_day() {
        let schedule = Schedule { lives_per_day: Some(3), ..Schedule::default() };
        let after = |today| schedule.at(Moment { today, ..Moment::default() });
        assert_eq!(
            [after(Some(2)), after(Some(3)), after(None)],
            [Availability::Open, Availability::Closed, Availability::Open]
        );
    }

    #[test]
    fn it_rests_after_a_life_and_not_when_it_is_switched_on() {
        let second = Duration::from_secs;
        let schedule = Schedule { rest: second(60), ..Schedule::default() };
        let since = |since_life| schedule.at(Moment { since_life, ..Moment::default() });
        assert_eq!(since(None), Availability::Open);
        assert_eq!(since(Some(second(20))), Availability::Rests(second(40)));
        assert_eq!(since(Some(second(60))), Availability::Open);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn hours_and_their_opposite_share_out_the_day(from in 0..DAY, to in 0..DAY, minute in 0..DAY) {
            prop_assume!(from != to);
            let open = Hours { from, to }.contain(minute);
            prop_assert_ne!(open, Hours { from: to, to: from }.contain(minute));
        }
    }
}
