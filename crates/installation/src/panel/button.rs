//! The button: debounces its level into presses. Pure: time and level in,
//! events out.
//!
//! A level counts once it has been stable for [`STABLE`] and was sampled at
//! least three times, so that neither a bounce nor a short glitch that happens
//! to be sampled is a press.

use std::time::Duration;

/// How long a level must stay the same to count.
pub(super) const STABLE: Duration = Duration::from_millis(30);

/// The least number of samples of the level in that time.
const SAMPLES: u32 = 3;

/// How long a button that is already down when the piece is armed must be held,
/// counted from then, to ask for the technician's slip: longer than a child
/// holds a button to see what happens.
pub const HELD: Duration = Duration::from_secs(10);

/// From this second of it on, each second is a [`ButtonEvent::Cue`], so that whoever
/// holds the button knows that it is noticed.
const FIRST_CUE: u64 = 3;

/// A button that is down for longer than this is jammed: three times as long as
/// anybody has a reason to hold it.
pub(super) const JAMMED: Duration = Duration::from_secs(30);

/// How long the button is held to say yes to a question.
pub(super) const YES: Duration = Duration::from_secs(3);

/// What a press means at present.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Role {
    /// Ignored: the level is not read.
    #[default]
    Idle,
    /// A press begins a life.
    Armed,
    /// Held for [`YES`] it says yes, and a shorter press no.
    Asked,
    /// A press is acknowledged by the light and has no other effect.
    Alive,
}

/// What the visitor, or the technician, did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ButtonEvent {
    /// Pressed while armed: the life begins.
    Begin,
    /// Held for [`YES`] or longer while a question is asked, and let go.
    Yes,
    /// Pressed for less while a question is asked.
    No,
    /// Pressed during a life.
    Acknowledge,
    /// Held down from the moment of arming for another second, and not yet for
    /// [`HELD`].
    Cue,
    /// Held down from the moment of arming, and let go after the first cue and before
    /// [`HELD`].
    Again,
    /// Held down for [`HELD`] from the moment of arming.
    Slip,
    /// Down for more than [`JAMMED`]. `first` if it was not reported since the
    /// button was up.
    Jam { first: bool },
    /// Up after a jam; this begins no life.
    Freed,
}

/// The state of a button whose level is polled.
#[derive(Debug, Clone, Default)]
pub(super) struct Button {
    role: Role,
    level: Level,
    /// Since when its stable level is down.
    down: Option<Duration>,
    /// If it has been down ever since it was armed and no slip was asked for:
    /// the second of that time that is the next cue.
    next_cue: Option<u64>,
    /// Whether the present press answers a question.
    answers: bool,
    jam: Jam,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Jam {
    #[default]
    No,
    /// It was before it was armed again, and has not been seen up since.
    Reported,
    Yes,
}

impl Button {
    pub(super) fn set_role(&mut self, role: Role) {
        if role == self.role {
            return;
        }
        self.role = role;
        self.next_cue = None;
        if matches!(role, Role::Armed | Role::Asked) {
            self.answers = false;
            // Its earlier level is ignored: the first stable level after arming
            // tells whether the button is held.
            self.level = Level::default();
            self.down = None;
            if self.jam == Jam::Yes {
                self.jam = Jam::Reported;
            }
        }
    }

    /// Whether its level matters now.
    pub(super) fn is_awake(&self) -> bool {
        self.role != Role::Idle
    }

    /// Whether the last sample is the level that counts: if not, the level may
    /// have changed, and more samples tell.
    pub(super) fn is_settled(&self) -> bool {
        self.level.stable.is_some() && self.level.seen.map(|(down, ..)| down) == self.level.stable
    }

    /// Whether cues are given: the button is held, but not yet for [`HELD`].
    pub(super) fn is_counted(&self) -> bool {
        self.next_cue.is_some_and(|cue| cue > FIRST_CUE)
    }

    pub(super) fn is_jammed(&self) -> bool {
        self.jam == Jam::Yes
    }

    /// Takes the level sampled at the time `now`, which never runs backwards.
    pub(super) fn poll(&mut self, now: Duration, down: bool) -> Option<ButtonEvent> {
        let changed = self.level.sample(now, down);
        if self.role == Role::Idle {
            return None;
        }
        match changed {
            Some((before, since)) if down => {
                self.down = Some(since);
                if before.is_some() {
                    self.answers = self.role == Role::Asked;
                    return match self.role {
                        Role::Armed => Some(ButtonEvent::Begin),
                        Role::Asked => None,
                        _ => Some(ButtonEvent::Acknowledge),
                    };
                }
                self.next_cue = (self.role == Role::Armed).then_some(FIRST_CUE);
                None
            }
            Some(_) => {
                if std::mem::take(&mut self.answers)
                    && let Some(down) = self.down.take()
                {
                    let is_yes = now.saturating_sub(down) >= YES;
                    return Some(if is_yes { ButtonEvent::Yes } else { ButtonEvent::No });
                }
                let was_counted = self.is_counted();
                (self.down, self.next_cue) = (None, None);
                match std::mem::replace(&mut self.jam, Jam::No) {
                    Jam::Yes => Some(ButtonEvent::Freed),
                    _ => was_counted.then_some(ButtonEvent::Again),
                }
            }
            None => self.hold(now.saturating_sub(self.down?)),
        }
    }

    /// What follows from having been down for that time.
    fn hold(&mut self, time: Duration) -> Option<ButtonEvent> {
        if let Some(cue) = self.next_cue {
            if time >= HELD {
                self.next_cue = None;
                return Some(ButtonEvent::Slip);
            }
            if time.as_secs() >= cue {
                self.next_cue = Some(time.as_secs() + 1);
                return Some(ButtonEvent::Cue);
            }
        }
        if time > JAMMED && self.jam != Jam::Yes {
            let first = std::mem::replace(&mut self.jam, Jam::Yes) == Jam::No;
            return Some(ButtonEvent::Jam { first });
        }
        None
    }
}

/// A debounced level.
#[derive(Debug, Clone, Default)]
struct Level {
    /// Whether it is down; `None` until it was stable once.
    stable: Option<bool>,
    /// The level seen last, since when, and how many times.
    seen: Option<(bool, Duration, u32)>,
}

impl Level {
    /// If this is a new stable level: the one before, `None` for the first after
    /// arming, and since when it is stable.
    fn sample(&mut self, now: Duration, down: bool) -> Option<(Option<bool>, Duration)> {
        let (since, times) = match self.seen {
            Some((last, since, times)) if last == down => (since, times.saturating_add(1)),
            _ => (now, 1),
        };
        self.seen = Some((down, since, times));
        let is_stable = times >= SAMPLES && now.saturating_sub(since) >= STABLE;
        (is_stable && self.stable != Some(down)).then(|| (self.stable.replace(down), since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL: Duration = Duration::from_millis(10);

    /// A button and the hand that presses it, on a virtual clock.
    struct Hand {
        button: Button,
        now: Duration,
        events: Vec<ButtonEvent>,
    }

    impl Hand {
        fn armed() -> Self {
            let mut hand = Self { button: Button::default(), now: Duration::ZERO, events: Vec::new() };
            hand.button.set_role(Role::Armed);
            hand
        }

        fn polled_every(&mut self, poll: Duration, down: bool, milliseconds: u64) -> &mut Self {
            let end = self.now + Duration::from_millis(milliseconds);
            while self.now < end {
                self.events.extend(self.button.poll(self.now, down));
                self.now += poll;
            }
            self
        }

        fn down(&mut self, milliseconds: u64) -> &mut Self {
            self.polled_every(POLL, true, milliseconds)
        }

        fn up(&mut self, milliseconds: u64) -> &mut Self {
            self.polled_every(POLL, false, milliseconds)
        }

        fn become_(&mut self, role: Role) -> &mut Self {
            self.button.set_role(role);
            self
        }

        /// Idle for so long, and then armed again.
        fn rearm(&mut self, milliseconds: u64, down: bool) -> &mut Self {
            self.become_(Role::Idle).polled_every(POLL, down, milliseconds).become_(Role::Armed)
        }

        /// A contact that bounces for 50 ms.
        fn bounce(&mut self) -> &mut Self {
            let millisecond = Duration::from_millis(1);
            for (down, milliseconds) in
                [(true, 3), (false, 9), (true, 12), (false, 2), (true, 20), (false, 4)]
            {
                self.polled_every(millisecond, down, milliseconds);
            }
            self
        }

        fn did(&mut self) -> Vec<ButtonEvent> {
            std::mem::take(&mut self.events)
        }
    }

    #[test]
    fn a_press_begins_a_life_30_ms_after_it_is_stable() {
        let mut hand = Hand::armed();
        assert_eq!(hand.up(500).did(), []);
        let pressed = hand.now;
        while hand.events.is_empty() && hand.now < pressed + POLL * 10 {
            hand.down(10);
        }
        assert_eq!(hand.did(), [ButtonEvent::Begin]);
        let last_poll = hand.now - POLL;
        assert!((STABLE..=STABLE + POLL).contains(&(last_poll - pressed)), "{:?}", last_poll - pressed);
    }

    #[test]
    fn a_contact_that_bounces_is_one_press() {
        let mut hand = Hand::armed();
        assert_eq!(hand.up(100).bounce().did(), [], "no level was stable");
        assert_eq!(hand.down(400).bounce().up(400).did(), [ButtonEvent::Begin]);
    }

    #[test]
    fn a_glitch_shorter_than_30_ms_is_nothing() {
        let mut hand = Hand::armed();
        hand.up(100);
        for milliseconds in 1..30 {
            hand.polled_every(Duration::from_millis(1), true, milliseconds).up(60);
        }
        assert_eq!(hand.did(), []);
    }

    #[test]
    fn two_glitches_that_late_polls_meet_are_no_press() {
        let mut hand = Hand::armed();
        hand.up(100).polled_every(Duration::from_millis(400), true, 800).up(100);
        assert_eq!(hand.did(), []);
    }

    #[test]
    fn a_button_that_is_down_when_the_piece_is_armed_starts_nothing_until_it_has_been_up() {
        type Case = (&'static str, fn(&mut Hand) -> &mut Hand, &'static [ButtonEvent]);
        use ButtonEvent::{Again, Cue};
        const CUES_AND_AGAIN: [ButtonEvent; 8] = [Cue, Cue, Cue, Cue, Cue, Cue, Cue, Again];
        let cases: [Case; 6] = [
            ("held", |hand| hand.down(2900), &[]),
            ("held almost for the slip", |hand| hand.down(9900), &CUES_AND_AGAIN),
            ("let go with bounces", |hand| hand.down(1000).bounce(), &[]),
            ("pressed as it is armed", |hand| hand.up(20).down(500), &[]),
            (
                "held through a death",
                |hand| hand.up(100).become_(Role::Alive).down(1000).rearm(2500, true).down(2000),
                &[ButtonEvent::Acknowledge],
            ),
            ("pressed while nobody looked", |hand| hand.up(100).rearm(0, true).down(9900), &CUES_AND_AGAIN),
        ];
        for (name, act, events) in cases {
            let mut hand = Hand::armed();
            assert_eq!(act(&mut hand).up(200).did(), events, "{name}");
            assert_eq!(hand.down(100).did(), [ButtonEvent::Begin], "{name}");
        }
    }

    #[test]
    fn a_button_held_from_the_start_for_10_s_asks_for_the_slip_once_after_a_cue_each_second() {
        let mut hand = Hand::armed();
        assert_eq!(hand.down(2990).did(), []);
        for second in 3..10 {
            assert!(!hand.button.is_counted() || second > 3, "the count begins with the first cue");
            assert_eq!(hand.down(20).did(), [ButtonEvent::Cue], "at {second} s");
            assert!(hand.button.is_counted());
            assert_eq!(hand.down(980).did(), [], "after {second} s");
        }
        assert_eq!(hand.down(20).did(), [ButtonEvent::Slip]);
        assert!(!hand.button.is_counted());
        assert_eq!(hand.down(19_000).did(), [], "once");
        assert_eq!(hand.up(100).down(100).did(), [ButtonEvent::Begin], "and the next press is a life");
    }

    #[test]
    fn cues_that_late_polls_have_missed_are_one() {
        let mut hand = Hand::armed();
        hand.down(100).polled_every(Duration::from_secs(7), true, 7000);
        assert_eq!(hand.down(10).did(), [ButtonEvent::Cue], "at 7.1 s");
        assert_eq!(hand.down(880).did(), []);
        assert_eq!(hand.down(20).did(), [ButtonEvent::Cue], "the next one is on its second again");
    }

    #[test]
    fn a_button_down_for_more_than_30_s_is_jammed_until_it_is_up_and_then_starts_nothing() {
        let mut hand = Hand::armed();
        assert_eq!(hand.down(30_000).did().last(), Some(&ButtonEvent::Slip));
        assert!(!hand.button.is_jammed());
        assert_eq!(hand.down(60_000).did(), [ButtonEvent::Jam { first: true }], "no second slip either");
        assert!(hand.button.is_jammed());
        assert_eq!(hand.up(100).did(), [ButtonEvent::Freed]);
        assert!(!hand.button.is_jammed());
        assert_eq!(hand.down(100).did(), [ButtonEvent::Begin]);
    }

    #[test]
    fn the_press_that_begins_a_life_is_a_jam_too_if_it_stays_down() {
        let mut hand = Hand::armed();
        assert_eq!(hand.up(100).down(10_000).did(), [ButtonEvent::Begin], "and no slip");
        assert_eq!(hand.become_(Role::Alive).down(20_000).did(), []);
        assert_eq!(hand.down(1000).did(), [ButtonEvent::Jam { first: true }]);
        assert_eq!(hand.up(100).down(100).did(), [ButtonEvent::Freed, ButtonEvent::Acknowledge]);
    }

    #[test]
    fn a_jam_that_lasts_until_the_piece_is_armed_again_is_reported_once() {
        let mut hand = Hand::armed();
        let firsts = |hand: &mut Hand| {
            let first = |event| if let ButtonEvent::Jam { first } = event { Some(first) } else { None };
            hand.did().into_iter().filter_map(first).collect::<Vec<_>>()
        };
        hand.up(100).become_(Role::Alive).down(40_000);
        assert_eq!(firsts(&mut hand), [true]);
        hand.rearm(1000, true).down(40_000);
        assert_eq!(firsts(&mut hand), [false]);
        hand.rearm(1000, false).up(1000).rearm(1000, true).down(40_000);
        assert_eq!(firsts(&mut hand), [true], "another jam");
    }

    #[test]
    fn a_press_during_a_life_is_acknowledged_and_not_remembered() {
        let mut hand = Hand::armed();
        assert_eq!(hand.up(100).down(100).did(), [ButtonEvent::Begin]);
        hand.become_(Role::Alive);
        assert_eq!(hand.down(500).did(), [], "the press that began the life is no second one");
        assert_eq!(hand.up(100).down(100).up(100).down(100).did(), [ButtonEvent::Acknowledge; 2]);
        assert_eq!(hand.up(100).rearm(1000, false).up(5000).did(), []);
    }

    #[test]
    fn a_question_is_answered_by_a_press_of_3_s_with_yes_and_by_a_shorter_one_with_no() {
        let mut hand = Hand::armed();
        hand.become_(Role::Asked);
        assert_eq!(hand.down(5000).up(100).did(), [], "it was down before it was asked");
        assert_eq!(hand.down(2900).did(), []);
        assert_eq!(hand.up(100).did(), [ButtonEvent::No]);
        assert_eq!(hand.down(3100).did(), [], "not before it is let go");
        assert_eq!(hand.up(100).did(), [ButtonEvent::Yes]);
        hand.become_(Role::Armed);
        assert_eq!(hand.up(100).down(100).did(), [ButtonEvent::Begin]);
    }

    #[test]
    fn an_idle_button_says_nothing() {
        let mut hand = Hand::armed();
        hand.become_(Role::Idle).up(100).down(5000).up(100);
        assert_eq!(hand.did(), []);
        assert!(!hand.button.is_awake());
    }
}
