//! The light's curve: what it shows in each phase of the piece, as perceived
//! brightness over time. Pure: time and pattern in, brightness out.
//!
//! The table of `hardware/README.md` says what each pattern looks like: a change here
//! is to be written there too.
//!
//! The length and depth of a beat are fixed when it begins, so that the light
//! does not jump when the fill changes them. The light never flashes more than
//! three times in any second: each pattern, dips included, stays within that by
//! itself, and [`FlashLimit`] checks every frame last, so that it also holds
//! when one pattern follows another.

use std::f64::consts::PI;
use std::time::Duration;

use super::flash_limit::FlashLimit;
use crate::life::lifespan::END_PERCENT;

/// Beats a minute at birth, and at the end of a life.
const RATE: (f64, f64) = (40.0, 150.0);
/// Lightness (L*) between two beats: at birth, and at the end of a life. The
/// dip of a press goes below it, to 0.
const TROUGH: (f64, f64) = (30.0, 6.0);
/// Lightness (L*) of a beat: at birth, and at the end of a life.
const PEAK: (f64, f64) = (60.0, 100.0);
/// The fill at which a life ends.
const LAST_FILL: f64 = END_PERCENT as f64 / 100.0;
/// How long a beat of a dimmed light rises and falls; for the rest of the beat
/// it stays in the trough. Together less than the shortest beat, 400 ms.
const RISE: Duration = Duration::from_millis(80);
const FALL: Duration = Duration::from_millis(220);
/// One beat in so many is missing while the printer is lost.
const MISSING: u8 = 4;

/// Lightness (L*) while the model loads: at first, which is brighter than a mean of
/// [`RESTING`], and when all is ready, which is the top of [`ARMED`].
const LOADING: (f64, f64) = (14.0, 36.0);
/// A breath while the piece is armed, of a lightness (L*) below 10 % of full luminance,
/// so that it does not count as a flash.
const ARMED: Breath = Breath { length: Duration::from_secs(6), low: 10.0, high: 36.0 };
/// The same while the piece rests between two lives: slower and darker.
const RESTING: Breath = Breath { length: Duration::from_secs(12), low: 2.0, high: 18.0 };
/// The same outside opening hours, once in each [`CLOSED_CYCLE`]: it tells a
/// technician that the box has power, and lights no dark room.
const CLOSED: Breath = Breath { length: Duration::from_secs(4), low: 0.0, high: 14.0 };
const CLOSED_CYCLE: Duration = Duration::from_secs(30);
/// Lightness (L*) between the dips of the cues, and between those of a jam.
const COUNTED: f64 = 36.0;
const JAMMED: f64 = 60.0;

/// What a light without PWM shows in place of a steady or breathing one: on and
/// off, in milliseconds. While the model loads it is on for a part of each cycle, from
/// [`LOADING_BLIP`] to half of it.
const LOADING_CYCLE: Duration = Duration::from_millis(3000);
const LOADING_BLIP: Duration = Duration::from_millis(100);
const ARMED_HALVES: [Part; 2] = [on(3000), off(3000)];
const RESTING_BLIPS: [Part; 2] = [on(1000), off(9000)];
const CLOSED_BLIPS: [Part; 2] = [on(100), off(29_900)];

/// What either light shows: on and off, in milliseconds. A pause comes first
/// where whatever was shown before would add a flash to the blinks.
const COUNTED_DIPS: [Part; 2] = [off(300), on(700)];
const JAMMED_DIPS: [Part; 4] = [off(250), on(300), off(250), on(2200)];
const WAITING_BLINKS: [Part; 4] = [off(1500), on(900), off(300), on(300)];
const WRONG_BLINKS: [Part; 2] = [off(1000), on(1000)];
const FAULT_BLINKS: [Part; 7] = [off(1300), on(150), off(250), on(150), off(250), on(150), off(250)];

/// How long a fault is shown: two pauses and two times three blinks.
pub(super) const FAULT_TIME: Duration = Duration::from_secs(5);
/// How long wrong options are shown: three blinks.
pub(super) const WRONG_TIME: Duration = Duration::from_secs(6);

/// The least time that the death's full light is held: 2 s to be seen, and the time by
/// which the flash limit may delay it (0.2 s after a beat at full rate).
pub(super) const DYING_TIME: Duration = Duration::from_millis(2500);

/// The shortest dip that is seen.
const DIP: Duration = Duration::from_millis(200);

/// The time from one frame to the next while the light changes, and while it
/// only breathes, in steps of some half a unit of L* at most.
const FRAME: Duration = Duration::from_millis(20);
const BREATH_FRAME: Duration = Duration::from_millis(40);

/// A part of a rhythm: whether the light is on, and for how long.
#[derive(Debug, Clone, Copy)]
struct Part(bool, Duration);

const fn on(milliseconds: u64) -> Part {
    Part(true, Duration::from_millis(milliseconds))
}

const fn off(milliseconds: u64) -> Part {
    Part(false, Duration::from_millis(milliseconds))
}

/// A slow rise from `low` to `high`, and the fall back.
#[derive(Debug, Clone, Copy)]
struct Breath {
    length: Duration,
    low: f64,
    high: f64,
}

/// What the light shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pattern {
    /// The model loads and takes the prompt in: how far that is, 0 to 1.
    Loading {
        ready: f32,
    },
    /// The piece waits for the button.
    Armed,
    /// The button is held for the technician's slip, which will come.
    Counted,
    /// The piece waits for the button, which does not come up.
    Jammed,
    Alive(LifePosition),
    /// A life that waits for new paper.
    WaitsForPaper,
    /// The pause between two lives.
    Resting,
    /// Outside opening hours.
    Closed,
    WrongOptions,
    /// From the last token until the panic.
    Dying,
    Fault,
    Dark,
}

/// Where a life is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LifePosition {
    /// The share of the context that was used at birth, 0 to 1.
    pub birth: f32,
    /// The share of the context that is used, 0 to 1.
    pub fill: f32,
    /// Whether the printer was lost.
    pub printer_lost: bool,
}

impl LifePosition {
    /// How much of this life is over, 0 to 1.
    fn progress(&self) -> f64 {
        let (birth, fill) = (f64::from(self.birth), f64::from(self.fill));
        let progress = (fill - birth) / (LAST_FILL - birth).max(f64::EPSILON);
        if progress.is_nan() { 0.0 } else { progress.clamp(0.0, 1.0) }
    }
}

/// What the light can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Means {
    /// Any brightness: the pin has hardware PWM.
    Dimmed,
    OnOff,
}

/// What the light shows, and when that changes next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frame {
    /// Perceived brightness, CIE L*, 0 to 100.
    pub lightness: f64,
    /// When the next step is due; `None` while the pattern does not change.
    pub next: Option<Duration>,
}

/// One beat; its values are fixed when it begins.
#[derive(Debug, Clone, Copy)]
struct Beat {
    period: Duration,
    /// Lightness it rises from: the trough of the beat before.
    from: f64,
    peak: f64,
    trough: f64,
}

impl Beat {
    fn new(life: &LifePosition, from: Option<f64>, missing: bool) -> Self {
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

/// Interpolates from `start` to `end` along a half cosine; a `share` beyond 1
/// counts as 1.
fn ease(start: f64, end: f64, share: f64) -> f64 {
    start + (end - start) * (1.0 - (PI * share.min(1.0)).cos()) / 2.0
}

#[derive(Debug, Clone)]
pub(super) struct Pulse {
    means: Means,
    pattern: Pattern,
    /// Time since the pattern began.
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
    /// Whether this beat has had its dip.
    dipped: bool,
    limit: FlashLimit,
    lightness: f64,
}

impl Pulse {
    pub(super) fn new(means: Means) -> Self {
        Self {
            means,
            pattern: Pattern::Dark,
            since: Duration::ZERO,
            beat: Beat::new(&LifePosition { birth: 0.0, fill: 0.0, printer_lost: false }, None, false),
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
    pub(super) fn dip(&mut self) {
        self.pressed = true;
    }

    /// The frame `elapsed` after the last step, while `pattern` is to be shown.
    pub(super) fn step(&mut self, elapsed: Duration, pattern: Pattern) -> Frame {
        let begins = std::mem::discriminant(&pattern) != std::mem::discriminant(&self.pattern);
        self.pattern = pattern;
        self.since = if begins { Duration::ZERO } else { self.since + elapsed };
        let wanted = match pattern {
            Pattern::Alive(life) => self.live(if begins { None } else { Some(elapsed) }, &life),
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

    /// Begins the pattern anew, if the next step is of `pattern`.
    pub(super) fn restart(&mut self, pattern: Pattern) {
        if self.pattern == pattern {
            self.pattern = Pattern::Dark;
        }
    }

    /// The frame of any pattern but [`Pattern::Alive`], before the flash limit.
    fn still(&self) -> Frame {
        let dimmed = self.means == Means::Dimmed;
        let rhythm_from = |parts: &[Part], since| rhythm(parts, since, 100.0);
        let rhythm = |parts: &[Part], lit: f64| rhythm(parts, self.since, if dimmed { lit } else { 100.0 });
        match self.pattern {
            Pattern::Loading { ready } if dimmed => {
                let ready = f64::from(ready.clamp(0.0, 1.0));
                steady(LOADING.0 + (LOADING.1 - LOADING.0) * ready)
            }
            Pattern::Loading { ready } => {
                let most = LOADING_CYCLE / 2 - LOADING_BLIP;
                let lit = LOADING_BLIP + most.mul_f32(ready.clamp(0.0, 1.0));
                // The light goes off at the end of a cycle and begins earlier the more
                // is ready: a step forward adds no blink. The first comes at once.
                let parts = [Part(false, LOADING_CYCLE - lit), Part(true, lit)];
                rhythm_from(&parts, self.since + LOADING_CYCLE - LOADING_BLIP)
            }
            Pattern::Armed if dimmed => ARMED.at(self.since),
            Pattern::Armed => rhythm(&ARMED_HALVES, 100.0),
            Pattern::Counted => rhythm(&COUNTED_DIPS, COUNTED),
            Pattern::Jammed => rhythm(&JAMMED_DIPS, JAMMED),
            Pattern::WaitsForPaper => rhythm(&WAITING_BLINKS, 100.0),
            Pattern::Resting if dimmed => RESTING.at(self.since),
            Pattern::Resting => rhythm(&RESTING_BLIPS, 100.0),
            Pattern::Closed if dimmed => {
                let time = modulo(self.since, CLOSED_CYCLE);
                if time < CLOSED.length { CLOSED.at(time) } else { until(CLOSED.low, CLOSED_CYCLE - time) }
            }
            Pattern::Closed => rhythm(&CLOSED_BLIPS, 100.0),
            Pattern::WrongOptions => rhythm(&WRONG_BLINKS, 100.0),
            Pattern::Fault => rhythm(&FAULT_BLINKS, 100.0),
            Pattern::Dying => steady(100.0),
            Pattern::Dark | Pattern::Alive(_) => steady(0.0),
        }
    }

    /// The frame of a life, before the flash limit. `elapsed` is the time since
    /// the last step, `None` at birth.
    fn live(&mut self, elapsed: Option<Duration>, life: &LifePosition) -> Frame {
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

    fn advance(&mut self, elapsed: Duration, life: &LifePosition) {
        // A light without PWM that is off can show a dip only by staying off
        // when its next beat is due.
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
            // The next beat waits until the dip is over, and so adds no further
            // flash.
            self.phase = 1.0;
            return;
        }
        let late = self.beat.period.mul_f64(self.phase - 1.0);
        self.count = (self.count + 1) % MISSING;
        self.beat = Beat::new(life, Some(self.beat.trough), self.is_missing(life));
        self.phase = late.div_duration_f64(self.beat.period).fract();
        (self.dip, self.dipped) = (None, false);
    }

    fn is_missing(&self, life: &LifePosition) -> bool {
        life.printer_lost && self.count == MISSING - 1
    }

    /// Whether this beat has not reached its peak yet. A dip waits for the peak, so that
    /// the beat stays visible even if the button is pressed all the time.
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

impl Breath {
    fn at(&self, time: Duration) -> Frame {
        let half = self.length / 2;
        let share = 1.0 - (modulo(time, self.length).div_duration_f64(half) - 1.0).abs();
        until(ease(self.low, self.high, share), BREATH_FRAME)
    }
}

/// The frame of a rhythm, `time` after its beginning; it is `lit` while it is
/// on.
fn rhythm(parts: &[Part], time: Duration, lit: f64) -> Frame {
    let mut left = modulo(time, parts.iter().map(|Part(_, length)| *length).sum());
    for Part(on, length) in parts {
        match length.checked_sub(left).filter(|rest| !rest.is_zero()) {
            Some(rest) => return until(if *on { lit } else { 0.0 }, rest),
            None => left -= *length,
        }
    }
    steady(0.0)
}

fn steady(lightness: f64) -> Frame {
    Frame { lightness, next: None }
}

/// The next step is never due at once: if rounding gave 0, the thread would
/// spin.
fn until(lightness: f64, next: Duration) -> Frame {
    Frame { lightness, next: Some(next.max(Duration::from_millis(1))) }
}

fn modulo(time: Duration, cycle: Duration) -> Duration {
    Duration::from_nanos((time.as_nanos() % cycle.as_nanos()) as u64)
}

/// Relative luminance, 0 to 1, of a CIE lightness, 0 to 100 (CIE 15, 1976 L*): what is
/// seen is far from proportional to the light that the LED emits.
pub(super) fn luminance(lightness: f64) -> f64 {
    let lightness = lightness.clamp(0.0, 100.0);
    if lightness <= 8.0 { lightness / 903.3 } else { ((lightness + 16.0) / 116.0).powi(3) }
}

#[cfg(test)]
mod tests;
