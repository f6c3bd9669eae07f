//! The light's curve: what it shows in each state of the piece, as perceived
//! brightness over time. Pure: time and state in, brightness out.
//!
//! | state | dimmed by PWM | only on and off |
//! |---|---|---|
//! | [`State::Loading`] | dim, steady | a blip every 3 s |
//! | [`State::Armed`] | a faint breath of 6 s | 3 s on, 3 s off |
//! | [`State::Alive`] | a beat, 40 to 150 a minute, ever deeper | half of each beat on |
//! | the same, printer lost | every fourth beat is missing | the same |
//! | [`State::Dying`] | full | on |
//! | [`State::Fault`] | a pause and three blinks, every 2.5 s | the same |
//! | [`State::Dark`] | off | off |
//!
//! A beat's length and depth are chosen when it begins, so that it never jumps
//! when they change. The light never flashes more than three times in any
//! second: each state keeps within that by itself, dips included, and
//! [`FlashLimit`], which all of it passes last, whatever follows upon what.

use std::f64::consts::PI;
use std::time::Duration;

/// Beats a minute at birth, and at the end of a life.
const RATE: (f64, f64) = (40.0, 150.0);
/// Lightness (L*) between two beats: at birth, and at the end of a life. The
/// dip of a press goes below it, to 0.
const TROUGH: (f64, f64) = (30.0, 6.0);
/// Lightness (L*) of a beat: at birth, and at the end of a life.
const PEAK: (f64, f64) = (60.0, 100.0);
/// The fill at which a life ends.
const LAST_FILL: f64 = 0.95;
/// How long a dimmed beat rises and falls; the rest of it is trough. Together
/// less than the shortest beat, 400 ms.
const RISE: Duration = Duration::from_millis(80);
const FALL: Duration = Duration::from_millis(220);
/// One beat in so many is missing while the printer is lost.
const MISSING: u8 = 4;

/// Lightness (L*) while the model loads.
const LOADING: f64 = 22.0;
/// A blip's time, and from one to the next, while the model loads.
const BLIP: Duration = Duration::from_millis(100);
const BLIP_CYCLE: Duration = Duration::from_secs(3);
/// A breath's length, and the lightness (L*) it moves between: below 10 % of
/// the luminance, so that it counts as no flash.
const BREATH: Duration = Duration::from_secs(6);
const BREATH_LIGHTNESS: (f64, f64) = (10.0, 36.0);

/// A blink's time, and from one to the next. The pause comes first, so that
/// whatever was shown before adds no flash to the blinks.
const BLINK: Duration = Duration::from_millis(150);
const BLINK_STEP: Duration = Duration::from_millis(400);
const BLINKS: u32 = 3;
/// A pause and its blinks.
const FAULT_CYCLE: Duration = Duration::from_millis(2500);
/// How long a fault is shown: two pauses and two times three blinks.
pub const FAULT_TIME: Duration = Duration::from_secs(5);

/// The least time that the death's full light is held: 2 s to be seen, and
/// what the flash limit may put it off (0.2 s after a beat at full rate).
pub const DYING_TIME: Duration = Duration::from_millis(2500);

/// The shortest dip that is seen.
const DIP: Duration = Duration::from_millis(200);

/// From one frame to the next while the light moves, and while it only
/// breathes: a step of less than half a unit of L*.
const FRAME: Duration = Duration::from_millis(20);
const BREATH_FRAME: Duration = Duration::from_millis(40);

/// What the light shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum State {
    /// The model loads and takes the prompt in.
    Loading,
    /// The piece waits for the button.
    Armed,
    /// A life.
    Alive(Life),
    /// From the last token until the panic.
    Dying,
    /// Something failed.
    Fault,
    /// Nothing.
    Dark,
}

/// Where a life is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Life {
    /// The share of the context that was used at birth, 0 to 1.
    pub birth: f32,
    /// The share of the context that is used, 0 to 1.
    pub fill: f32,
    /// Whether the printer was lost.
    pub printer_lost: bool,
}

impl Life {
    /// How much of this life is over, 0 to 1.
    fn progress(&self) -> f64 {
        let (birth, fill) = (f64::from(self.birth), f64::from(self.fill));
        let progress = (fill - birth) / (LAST_FILL - birth).max(f64::EPSILON);
        if progress.is_nan() { 0.0 } else { progress.clamp(0.0, 1.0) }
    }
}

/// What the light can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// Any brightness: the pin has hardware PWM.
    Dimmed,
    /// On and off.
    OnOff,
}

/// What is to be seen, and for how long it stays so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// Perceived brightness, CIE L*, 0 to 100.
    pub lightness: f64,
    /// When the next step is due; `None` while the state does not change.
    pub next: Option<Duration>,
}

/// One beat, as it was chosen when it began.
#[derive(Debug, Clone, Copy)]
struct Beat {
    period: Duration,
    /// Lightness it rises from: the trough of the beat before.
    from: f64,
    peak: f64,
    trough: f64,
}

impl Beat {
    fn new(life: &Life, from: Option<f64>, missing: bool) -> Self {
        let progress = life.progress();
        let between = |(birth, end): (f64, f64)| birth + (end - birth) * progress;
        let trough = between(TROUGH);
        let from = from.unwrap_or(trough);
        let peak = if missing { from } else { between(PEAK) };
        Self { period: Duration::from_secs_f64(60.0 / between(RATE)), from, peak, trough }
    }

    /// Lightness at a phase of 0 to 1.
    fn lightness(&self, phase: f64) -> f64 {
        let time = self.period.mul_f64(phase);
        if time < RISE {
            ease(self.from, self.peak, time.div_duration_f64(RISE))
        } else {
            ease(self.peak, self.trough, (time - RISE).div_duration_f64(FALL))
        }
    }
}

/// From `start` to `end` without a corner, at a share of the way that may be
/// beyond 1.
fn ease(start: f64, end: f64, share: f64) -> f64 {
    start + (end - start) * (1.0 - (PI * share.min(1.0)).cos()) / 2.0
}

/// Where the light is in its curve.
#[derive(Debug, Clone)]
pub struct Pulse {
    means: Means,
    state: State,
    /// Time since the state began.
    since: Duration,
    beat: Beat,
    /// The part of the beat that is over, 0 to 1.
    phase: f64,
    /// Beats since birth, modulo [`MISSING`].
    count: u8,
    /// Pressed since the last step.
    pressed: bool,
    /// How long the dip of a press has lasted.
    dip: Option<Duration>,
    /// This beat has had its dip.
    dipped: bool,
    limit: FlashLimit,
    lightness: f64,
}

impl Pulse {
    /// A dark light.
    #[must_use]
    pub fn new(means: Means) -> Self {
        Self {
            means,
            state: State::Dark,
            since: Duration::ZERO,
            beat: Beat::new(&Life { birth: 0.0, fill: 0.0, printer_lost: false }, None, false),
            phase: 0.0,
            count: 0,
            pressed: false,
            dip: None,
            dipped: false,
            limit: FlashLimit::default(),
            lightness: 0.0,
        }
    }

    /// Acknowledges a press during a life, from the next step on. A beat has
    /// at most one dip: more presses merge with it.
    pub fn dip(&mut self) {
        self.pressed = true;
    }

    /// What is seen `elapsed` after the last step, `state` being the state
    /// now.
    pub fn step(&mut self, elapsed: Duration, state: State) -> Frame {
        let begins = std::mem::discriminant(&state) != std::mem::discriminant(&self.state);
        self.state = state;
        self.since = if begins { Duration::ZERO } else { self.since + elapsed };
        let wanted = match state {
            State::Alive(life) => self.live(if begins { None } else { Some(elapsed) }, &life),
            _ => {
                self.pressed = false;
                self.still()
            }
        };
        let next = if self.limit.admits(elapsed, luminance(wanted.lightness)) {
            self.lightness = wanted.lightness;
            wanted.next
        } else {
            Some(FRAME)
        };
        Frame { lightness: self.lightness, next }
    }

    /// What a state that is no life wants to be seen.
    fn still(&self) -> Frame {
        let dimmed = self.means == Means::Dimmed;
        match self.state {
            State::Loading if dimmed => steady(LOADING),
            State::Loading => {
                let time = modulo(self.since, BLIP_CYCLE);
                if time < BLIP { until(100.0, BLIP - time) } else { until(0.0, BLIP_CYCLE - time) }
            }
            State::Armed => {
                let time = modulo(self.since, BREATH);
                let half = BREATH / 2;
                if dimmed {
                    let (low, high) = BREATH_LIGHTNESS;
                    let share = 1.0 - (time.div_duration_f64(half) - 1.0).abs();
                    until(ease(low, high, share), BREATH_FRAME)
                } else if time < half {
                    until(100.0, half - time)
                } else {
                    until(0.0, BREATH - time)
                }
            }
            State::Fault => {
                let pause = FAULT_CYCLE - BLINK_STEP * BLINKS;
                let Some(time) = modulo(self.since, FAULT_CYCLE).checked_sub(pause) else {
                    return until(0.0, pause - modulo(self.since, FAULT_CYCLE));
                };
                let time = modulo(time, BLINK_STEP);
                if time < BLINK { until(100.0, BLINK - time) } else { until(0.0, BLINK_STEP - time) }
            }
            State::Dying => steady(100.0),
            State::Dark | State::Alive(_) => steady(0.0),
        }
    }

    /// The beat of a life, `elapsed` later; `None` at birth.
    fn live(&mut self, elapsed: Option<Duration>, life: &Life) -> Frame {
        match elapsed {
            None => {
                (self.phase, self.count, self.dip, self.dipped) = (0.0, 0, None, false);
                self.beat = Beat::new(life, None, false);
            }
            Some(elapsed) => self.advance(elapsed, life),
        }
        if std::mem::take(&mut self.pressed) && !self.dipped {
            (self.dip, self.dipped) = (Some(Duration::ZERO), true);
        }
        if let Some(dip) = self.dip
            && !self.is_rising()
        {
            if dip < DIP || !self.is_at_rest() {
                return until(0.0, FRAME);
            }
            self.dip = None;
        }
        let lightness = match self.means {
            Means::Dimmed => self.beat.lightness(self.phase),
            Means::OnOff if self.is_at_rest() || self.is_missing(life) => 0.0,
            Means::OnOff => 100.0,
        };
        let left = self.beat.period.mul_f64(1.0 - self.phase);
        let next = match self.means {
            _ if self.is_at_rest() => left,
            _ if self.dip.is_some() => FRAME,
            Means::Dimmed => FRAME,
            Means::OnOff => left - self.beat.period / 2,
        };
        until(lightness, next)
    }

    fn advance(&mut self, elapsed: Duration, life: &Life) {
        // A light that is off can only dip by staying off when its beat is
        // due.
        let dips = self.means == Means::Dimmed || !self.is_at_rest() || self.phase >= 1.0;
        let dips = dips && !self.is_rising();
        if let Some(dip) = &mut self.dip
            && dips
        {
            *dip += elapsed;
        }
        self.phase += elapsed.div_duration_f64(self.beat.period);
        if self.phase < 1.0 {
            return;
        }
        if self.dip.is_some_and(|dip| dip < DIP) {
            // The beat waits for the dip, and so adds no flash to it.
            self.phase = 1.0;
            return;
        }
        let late = self.beat.period.mul_f64(self.phase - 1.0);
        self.count = (self.count + 1) % MISSING;
        self.beat = Beat::new(life, Some(self.beat.trough), self.is_missing(life));
        self.phase = late.div_duration_f64(self.beat.period).fract();
        (self.dip, self.dipped) = (None, false);
    }

    fn is_missing(&self, life: &Life) -> bool {
        life.printer_lost && self.count == MISSING - 1
    }

    /// Whether this beat still has to be seen: a dip waits for its peak, so
    /// that a light beats on beneath a button that is pressed all the time.
    fn is_rising(&self) -> bool {
        self.beat.period.mul_f64(self.phase) < RISE
    }

    /// Whether this beat's rise and fall are over.
    fn is_at_rest(&self) -> bool {
        match self.means {
            Means::Dimmed => self.beat.period.mul_f64(self.phase) >= RISE + FALL,
            Means::OnOff => self.phase >= 0.5,
        }
    }
}

fn steady(lightness: f64) -> Frame {
    Frame { lightness, next: None }
}

/// Never due at once: rounding must not become a spin.
fn until(lightness: f64, next: Duration) -> Frame {
    Frame { lightness, next: Some(next.max(Duration::from_millis(1))) }
}

fn modulo(time: Duration, cycle: Duration) -> Duration {
    Duration::from_nanos((time.as_nanos() % cycle.as_nanos()) as u64)
}

/// Relative luminance, 0 to 1, of a CIE lightness, 0 to 100: what the eye
/// perceives is far from what the LED emits (CIE 15, 1976 L*).
#[must_use]
pub fn luminance(lightness: f64) -> f64 {
    let lightness = lightness.clamp(0.0, 100.0);
    if lightness <= 8.0 { lightness / 903.3 } else { ((lightness + 16.0) / 116.0).powi(3) }
}

/// Lets no more than three flashes pass in any second.
///
/// A flash is what WCAG 2 calls one, the LED's full light taken as the
/// greatest luminance: a pair of opposing changes of at least 10 % of it, the
/// darker of the two being below 80 %. Here the rises and the falls are each
/// limited to three a second, which is stricter than to limit the pairs.
#[derive(Debug, Clone, Default)]
pub struct FlashLimit {
    /// The greatest luminance since the last fall that counted, or the least
    /// since the last rise.
    extreme: f64,
    /// Whether the last change that counted was a rise.
    risen: bool,
    rises: Changes,
    falls: Changes,
}

/// A change of this share of full luminance may be half of a flash,
const CHANGE: f64 = 0.10;
/// where the darker side is below this.
const DARKER: f64 = 0.80;
/// In any such time there are at most three flashes.
const SECOND: Duration = Duration::from_secs(1);

/// The ages of the last three changes of one direction, latest first.
#[derive(Debug, Clone)]
struct Changes([Duration; 3]);

impl Default for Changes {
    fn default() -> Self {
        Self([Duration::MAX; 3])
    }
}

impl Changes {
    fn grow(&mut self, elapsed: Duration) {
        self.0 = self.0.map(|age| age.saturating_add(elapsed));
    }

    /// Counts a change that happens now, if it may.
    fn admits(&mut self) -> bool {
        let [first, second, third] = self.0;
        let admitted = third > SECOND;
        if admitted {
            self.0 = [Duration::ZERO, first, second];
        }
        admitted
    }
}

impl FlashLimit {
    /// Whether the light may have this luminance, 0 to 1, `elapsed` after the
    /// last question; if not, it must stay as it is.
    pub fn admits(&mut self, elapsed: Duration, luminance: f64) -> bool {
        self.rises.grow(elapsed);
        self.falls.grow(elapsed);
        if self.risen {
            if self.extreme - luminance >= CHANGE && luminance < DARKER {
                if !self.falls.admits() {
                    return false;
                }
                (self.risen, self.extreme) = (false, luminance);
            }
            self.extreme = self.extreme.max(luminance);
        }
        if !self.risen {
            if luminance - self.extreme >= CHANGE && self.extreme < DARKER {
                if !self.rises.admits() {
                    return false;
                }
                (self.risen, self.extreme) = (true, luminance);
            }
            self.extreme = self.extreme.min(luminance);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(5);

    fn alive(fill: f32) -> State {
        State::Alive(Life { birth: 0.05, fill, printer_lost: false })
    }

    fn without_printer(fill: f32) -> State {
        State::Alive(Life { birth: 0.05, fill, printer_lost: true })
    }

    /// Lightness over time, a sample a [`STEP`].
    struct Seen {
        pulse: Pulse,
        samples: Vec<f64>,
    }

    impl Seen {
        fn by(means: Means) -> Self {
            Self { pulse: Pulse::new(means), samples: Vec::new() }
        }

        fn show(&mut self, state: State, time: Duration) -> &mut Self {
            for _ in 0..steps(time) {
                self.samples.push(self.pulse.step(STEP, state).lightness);
            }
            self
        }
    }

    fn steps(time: Duration) -> usize {
        (time.as_nanos() / STEP.as_nanos()) as usize
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A small generator of pseudo-random numbers (Steele's SplitMix64).
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)) % bound
        }
    }

    /// The most opposing pairs of changes of 10 % of full luminance, the
    /// darker below 80 %, that begin and end within any second: counted from
    /// the turning points of the whole record, without the limiter's state.
    fn most_flashes_in_a_second(samples: &[f64]) -> usize {
        let mut turns: Vec<(usize, f64)> = vec![(0, 0.0)];
        // Changes that count: (when it first was one, whether it was a rise).
        let mut changes: Vec<(usize, bool)> = Vec::new();
        for (at, luminance) in samples.iter().map(|&lightness| luminance(lightness)).enumerate() {
            let (_, last) = turns[turns.len() - 1];
            let rising = changes.last().is_some_and(|&(_, rise)| rise);
            if rising && luminance > last || !rising && luminance < last {
                turns.pop();
                turns.push((at, luminance));
            } else if (luminance - last).abs() >= 0.1 && luminance.min(last) < 0.8 {
                turns.push((at, luminance));
                changes.push((at, luminance > last));
            }
        }
        let second = steps(seconds(1));
        (0..changes.len())
            .map(|first| {
                let within = changes[first..].iter().take_while(|(at, _)| at - changes[first].0 <= second);
                let (rises, falls): (Vec<bool>, Vec<bool>) =
                    within.map(|&(_, rise)| rise).partition(|&rise| rise);
                rises.len().max(falls.len())
            })
            .max()
            .unwrap_or(0)
    }

    /// Times between the moments at which it becomes brighter than half way
    /// between its extremes.
    fn beats(samples: &[f64]) -> Vec<Duration> {
        let (low, high) = extremes(samples);
        let middle = (low + high) / 2.0;
        let rises: Vec<_> =
            (1..samples.len()).filter(|&at| samples[at - 1] < middle && samples[at] >= middle).collect();
        rises.windows(2).map(|pair| STEP * (pair[1] - pair[0]) as u32).collect()
    }

    fn extremes(samples: &[f64]) -> (f64, f64) {
        samples.iter().fold((f64::MAX, f64::MIN), |(low, high), &sample| (low.min(sample), high.max(sample)))
    }

    #[test]
    fn the_beat_is_40_a_minute_at_birth_and_150_at_the_end() {
        for means in [Means::Dimmed, Means::OnOff] {
            for (fill, period) in [(0.05, 1500), (0.95, 400)] {
                let mut seen = Seen::by(means);
                seen.show(alive(fill), seconds(30));
                for beat in beats(&seen.samples) {
                    assert!(
                        beat.abs_diff(Duration::from_millis(period)) <= STEP,
                        "{means:?} {fill}: {beat:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_beat_becomes_faster_and_deeper_with_every_token() {
        let (mut last_period, mut last_depth) = (Duration::MAX, 0.0);
        for tokens in 0..=1843_u16 {
            let life = Life { birth: 0.05, fill: 0.05 + f32::from(tokens) / 2048.0, printer_lost: false };
            let beat = Beat::new(&life, None, false);
            let depth = beat.peak - beat.trough;
            assert!(beat.period < last_period && depth > last_depth, "at {tokens} tokens");
            (last_period, last_depth) = (beat.period, depth);
        }
        let depth = |fill| {
            let mut seen = Seen::by(Means::Dimmed);
            seen.show(alive(fill), seconds(20));
            let (low, high) = extremes(&seen.samples[steps(seconds(3))..]);
            high - low
        };
        assert!(depth(0.05) > 25.0 && depth(0.5) > depth(0.05) && depth(0.95) > depth(0.5));
    }

    #[test]
    fn the_beat_never_jumps_when_its_rate_changes() {
        let millisecond = Duration::from_millis(1);
        let mut dice = Dice(1);
        let mut pulse = Pulse::new(Means::Dimmed);
        let mut last = pulse.step(millisecond, alive(0.05)).lightness;
        for _ in 0..100_000 {
            let fill = dice.below(1000) as f32 / 1000.0;
            let lightness = pulse.step(millisecond, alive(fill)).lightness;
            // A half cosine over 100 units in 80 ms is nowhere steeper.
            assert!((lightness - last).abs() <= PI / 2.0 * 100.0 / 80.0, "from {last} to {lightness}");
            last = lightness;
        }
    }

    #[test]
    fn the_detector_of_flashes_detects_them() {
        let blinking = |period: usize| -> Vec<f64> {
            (0..2000).map(|at| if at % period < period / 2 { 100.0 } else { 0.0 }).collect()
        };
        assert_eq!(most_flashes_in_a_second(&blinking(steps(Duration::from_millis(400)))), 3);
        assert!(most_flashes_in_a_second(&blinking(steps(Duration::from_millis(330)))) > 3);
        assert_eq!(most_flashes_in_a_second(&[20.0, 36.0, 20.0, 36.0, 20.0]), 0);
    }

    #[test]
    fn whole_lives_flash_at_most_three_times_in_any_second_whatever_is_pressed() {
        for seed in 0..40 {
            let mut dice = Dice(seed);
            let means = if seed % 2 == 0 { Means::Dimmed } else { Means::OnOff };
            let mut seen = Seen::by(means);
            seen.show(State::Loading, seconds(dice.below(9)));
            seen.show(State::Armed, seconds(dice.below(15)));
            let length = 60 + dice.below(60);
            let presses = 1 + dice.below(60);
            let lost_at = dice.below(2 * length);
            for step in 0..steps(seconds(length)) {
                let past = step as f32 / steps(seconds(length)) as f32;
                let fill = 0.05 + 0.9 * past;
                let lost = step > steps(seconds(lost_at));
                seen.show(if lost { without_printer(fill) } else { alive(fill) }, STEP);
                if dice.below(presses * 20) == 0 {
                    seen.pulse.dip();
                }
            }
            let end = if seed % 4 < 2 { State::Dying } else { State::Fault };
            seen.show(end, seconds(5)).show(State::Dark, seconds(1));
            let most = most_flashes_in_a_second(&seen.samples);
            assert!(most <= 3, "{most} flashes in a second, seed {seed}");
            assert!(most >= 2, "seed {seed} shows nothing");
        }
    }

    #[test]
    fn no_order_of_states_fills_and_presses_flashes_more_than_three_times_in_a_second() {
        for seed in 0..200 {
            let mut dice = Dice(seed);
            let mut seen = Seen::by(if seed % 2 == 0 { Means::Dimmed } else { Means::OnOff });
            while seen.samples.len() < steps(seconds(60)) {
                let fill = dice.below(1000) as f32 / 1000.0;
                let states = [
                    State::Loading,
                    State::Armed,
                    alive(fill),
                    without_printer(fill),
                    State::Dying,
                    State::Fault,
                    State::Dark,
                ];
                let state = states[dice.below(7) as usize];
                seen.show(state, STEP * (1 + dice.below(60)) as u32);
                seen.pulse.dip();
            }
            let most = most_flashes_in_a_second(&seen.samples);
            assert!(most <= 3, "{most} flashes in a second, seed {seed}");
        }
    }

    #[test]
    fn a_press_is_seen_as_a_dip_at_any_moment_of_a_dimmed_beat() {
        for fill in [0.05, 0.3, 0.6, 0.95] {
            for moment in 0..steps(Duration::from_millis(1500)) {
                let mut seen = Seen::by(Means::Dimmed);
                seen.show(alive(fill), seconds(6) + STEP * moment as u32);
                seen.pulse.dip();
                let pressed = seen.samples.len();
                seen.show(alive(fill), seconds(3));
                let after = &seen.samples[pressed..];
                let until_dark = after.iter().position(|&lightness| lightness == 0.0).expect("a dip");
                let dark = after[until_dark..].iter().take_while(|&&lightness| lightness == 0.0).count();
                let dark = STEP * dark as u32;
                assert!(STEP * until_dark as u32 <= RISE, "{until_dark} steps late at {fill}, {moment}");
                let (shortest, longest) = (DIP - STEP, RISE + FALL + 2 * STEP);
                assert!((shortest..=longest).contains(&dark), "dark for {dark:?} at {fill}, {moment}");
            }
        }
    }

    #[test]
    fn a_press_is_seen_within_a_beat_where_there_is_only_on_and_off() {
        for fill in [0.05, 0.95] {
            for moment in 0..steps(Duration::from_millis(1500)) {
                let mut pressed = Seen::by(Means::OnOff);
                pressed.show(alive(fill), seconds(6) + STEP * moment as u32);
                let mut left = Seen { pulse: pressed.pulse.clone(), samples: Vec::new() };
                pressed.samples.clear();
                pressed.pulse.dip();
                pressed.show(alive(fill), seconds(2));
                left.show(alive(fill), seconds(2));
                let differ = pressed.samples.iter().zip(&left.samples).filter(|(a, b)| a != b).count();
                assert!(differ >= steps(DIP) - 2, "{fill}, {moment}: {differ} samples differ");
            }
        }
    }

    #[test]
    fn presses_in_a_row_are_one_dip() {
        let mut seen = Seen::by(Means::Dimmed);
        seen.show(alive(0.5), seconds(5));
        for _ in 0..steps(seconds(20)) {
            seen.pulse.dip();
            seen.show(alive(0.5), STEP);
        }
        let (_, high) = extremes(&seen.samples[steps(seconds(20))..]);
        assert!(high > 70.0, "the beat goes on beneath a pressed button: {high}");
    }

    #[test]
    fn every_fourth_beat_is_missing_without_a_printer() {
        for means in [Means::Dimmed, Means::OnOff] {
            let mut seen = Seen::by(means);
            seen.show(without_printer(0.5), seconds(60));
            let beats = beats(&seen.samples);
            let (short, long): (Vec<Duration>, Vec<Duration>) =
                beats.iter().partition(|&&beat| beat < beats[0] * 3 / 2);
            assert!(long.len() >= 10 && short.len().abs_diff(2 * long.len()) <= 2, "{means:?} {beats:?}");
            for beat in long {
                assert!(beat.abs_diff(beats[0] * 2) <= 2 * STEP, "{means:?} {beat:?}");
            }
        }
    }

    #[test]
    fn the_death_is_full_for_two_seconds_whenever_it_comes() {
        for means in [Means::Dimmed, Means::OnOff] {
            for moment in 0..steps(Duration::from_millis(800)) {
                let mut seen = Seen::by(means);
                seen.show(alive(0.95), seconds(5) + STEP * moment as u32);
                seen.pulse.dip();
                seen.samples.clear();
                seen.show(State::Dying, DYING_TIME);
                let full = seen.samples.iter().rev().take_while(|&&lightness| lightness == 100.0).count();
                assert!(STEP * full as u32 >= seconds(2), "{means:?} {moment}: {full}");
            }
        }
    }

    #[test]
    fn a_fault_is_two_times_three_blinks_whatever_came_before() {
        for means in [Means::Dimmed, Means::OnOff] {
            for before in [State::Loading, State::Armed, alive(0.95), State::Dark] {
                let mut seen = Seen::by(means);
                seen.show(before, Duration::from_millis(4150));
                seen.samples.clear();
                seen.show(State::Fault, FAULT_TIME);
                let lit: Vec<_> = seen.samples.iter().map(|&lightness| lightness > 50.0).collect();
                let blinks = lit.windows(2).filter(|pair| !pair[0] && pair[1]).count();
                assert_eq!(blinks, 6, "{means:?} after {before:?}");
                assert_eq!(seen.pulse.step(STEP, State::Dark).lightness, 0.0);
            }
        }
    }

    #[test]
    fn no_two_states_look_alike_however_they_are_shifted_in_time() {
        let sample = Duration::from_millis(50);
        for means in [Means::Dimmed, Means::OnOff] {
            let states = [
                State::Loading,
                State::Armed,
                alive(0.05),
                without_printer(0.05),
                alive(0.95),
                without_printer(0.95),
                State::Dying,
                State::Fault,
                State::Dark,
            ];
            let seen: Vec<Vec<f64>> = states
                .iter()
                .map(|&state| {
                    let mut pulse = Pulse::new(means);
                    (0..600).map(|_| pulse.step(sample, state).lightness).collect()
                })
                .collect();
            for (one, first) in seen.iter().enumerate() {
                for (other, second) in seen.iter().enumerate().skip(one + 1) {
                    for shift in 0..300 {
                        let apart = (0..300)
                            .map(|at| (first[at + 100] - second[at + shift]).abs())
                            .fold(0.0, f64::max);
                        let (one, other) = (states[one], states[other]);
                        assert!(apart > 10.0, "{one:?} looks like {other:?} to {means:?}, {apart} apart");
                    }
                }
            }
        }
    }

    #[test]
    fn without_pwm_the_light_is_only_on_or_off() {
        let mut seen = Seen::by(Means::OnOff);
        for state in [State::Loading, State::Armed, alive(0.5), State::Fault, State::Dying, State::Dark] {
            seen.show(state, seconds(12));
            seen.pulse.dip();
        }
        assert!(seen.samples.iter().all(|&lightness| lightness == 0.0 || lightness == 100.0));
    }

    #[test]
    fn a_step_that_waits_as_long_as_it_was_told_misses_nothing() {
        for means in [Means::Dimmed, Means::OnOff] {
            for state in [State::Loading, State::Armed, alive(0.4), without_printer(0.9), State::Fault] {
                let (mut told, mut often) = (Pulse::new(means), Pulse::new(means));
                let (mut lightness, mut wait) = (0.0, Duration::ZERO);
                let (mut since, mut differ) = (Duration::ZERO, 0);
                for _ in 0..60_000 {
                    let millisecond = Duration::from_millis(1);
                    since += millisecond;
                    let now = often.step(millisecond, state).lightness;
                    if since >= wait {
                        let frame = told.step(since, state);
                        (lightness, wait) = (frame.lightness, frame.next.unwrap_or(Duration::MAX));
                        since = Duration::ZERO;
                    }
                    differ += u32::from((now - lightness).abs() > 30.0);
                }
                // A frame is late by at most 1 ms each time here.
                assert!(differ < 4000, "{means:?} {state:?}: {differ} ms");
            }
        }
    }

    #[test]
    fn a_clock_that_jumps_or_a_fill_that_is_no_number_breaks_nothing() {
        let mut pulse = Pulse::new(Means::Dimmed);
        for fill in [f32::NAN, f32::INFINITY, -1.0, 2.0] {
            for elapsed in [0, 1, 3600, 1_000_000] {
                let lightness = pulse.step(seconds(elapsed), alive(fill)).lightness;
                assert!((0.0..=100.0).contains(&lightness), "{lightness}");
            }
        }
    }

    #[test]
    fn luminance_is_what_the_cie_says() {
        for (lightness, expected) in
            [(0.0, 0.0), (8.0, 0.008_856), (50.0, 0.184_187), (100.0, 1.0), (150.0, 1.0)]
        {
            assert!((luminance(lightness) - expected).abs() < 1e-6, "L* {lightness}");
        }
    }
}
