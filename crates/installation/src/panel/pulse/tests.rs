use super::*;

const STEP: Duration = Duration::from_millis(5);

fn alive(fill: f32) -> Pattern {
    Pattern::Alive(LifePosition { birth: 0.05, fill, printer_lost: false })
}

fn loading(ready: f32) -> Pattern {
    Pattern::Loading { ready }
}

fn without_printer(fill: f32) -> Pattern {
    Pattern::Alive(LifePosition { birth: 0.05, fill, printer_lost: true })
}

/// Every pattern, with lives at their beginning and at their end.
fn patterns() -> [Pattern; 16] {
    [
        loading(0.0),
        loading(1.0),
        Pattern::Armed,
        Pattern::Counted,
        Pattern::Jammed,
        alive(0.05),
        without_printer(0.05),
        alive(0.95),
        without_printer(0.95),
        Pattern::WaitsForPaper,
        Pattern::Resting,
        Pattern::Closed,
        Pattern::WrongOptions,
        Pattern::Fault,
        Pattern::Dying,
        Pattern::Dark,
    ]
}

const BOTH: [Means; 2] = [Means::Dimmed, Means::OnOff];

/// Lightness over time, one sample for each [`STEP`].
struct Shown {
    pulse: Pulse,
    samples: Vec<f64>,
}

impl Shown {
    fn by(means: Means) -> Self {
        Self { pulse: Pulse::new(means), samples: Vec::new() }
    }

    /// What that light shows of a pattern in this time.
    fn of(means: Means, pattern: Pattern, time: Duration) -> Self {
        let mut seen = Self::by(means);
        seen.show(pattern, time);
        seen
    }

    /// How often the light goes on.
    fn blinks(&self) -> usize {
        self.samples.windows(2).filter(|pair| pair[0] < 50.0 && pair[1] > 50.0).count()
    }

    fn show(&mut self, pattern: Pattern, time: Duration) -> &mut Self {
        for _ in 0..steps(time) {
            self.samples.push(self.pulse.step(STEP, pattern).lightness);
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

/// The most rises, or falls, within any second that are half of a flash:
/// changes of 10 % of full luminance where the darker luminance is below 80 %.
/// They are counted from the turning points of the whole record, without the
/// limiter's state.
fn most_flashes_in_a_second(samples: &[f64]) -> usize {
    let mut turns: Vec<(usize, f64)> = vec![(0, 0.0)];
    // Changes that count: the sample at which each first did, and whether it is
    // a rise.
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

/// The times between the moments at which the light rises above the middle of
/// its extremes.
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
fn the_technicians_table_has_the_figures_of_the_patterns() {
    let guide = include_str!("../../../../../hardware/README.md");
    let breath = |Breath { length, low, high }: Breath, dark: &str, bright: &str| {
        format!("a breath of {} s between {dark} ({low} %) and {bright} ({high} %)", length.as_secs())
    };
    for figures in [
        format!("faint ({} %) at first, and when all is ready dim ({} %)", LOADING.0, LOADING.1),
        format!("{} a minute at first and {} at the end", RATE.0, RATE.1),
        format!(
            "between dim ({} %) and bright ({} %), at the end between faint ({} %)",
            TROUGH.0, PEAK.0, TROUGH.1
        ),
        breath(ARMED, "faint", "dim"),
        breath(RESTING, "almost dark", "faint"),
        format!("a breath of {} s to faint ({} %)", CLOSED.length.as_secs(), CLOSED.high),
        format!("of which one in {MISSING} is missing"),
        format!("for {} s, then dark until it tries again", FAULT_TIME.as_secs()),
        format!("for {} s, once a minute", WRONG_TIME.as_secs()),
    ] {
        assert!(guide.contains(&figures), "hardware/README.md does not say {figures:?}");
    }
}

#[test]
fn the_beat_is_40_a_minute_at_birth_and_150_at_the_end() {
    for means in BOTH {
        for (fill, period) in [(0.05, 1500), (0.95, 400)] {
            let seen = Shown::of(means, alive(fill), seconds(30));
            for beat in beats(&seen.samples) {
                assert!(beat.abs_diff(Duration::from_millis(period)) <= STEP, "{means:?} {fill}: {beat:?}");
            }
        }
    }
}

#[test]
fn the_beat_becomes_faster_and_deeper_with_every_token() {
    let (mut last_period, mut last_depth) = (Duration::MAX, 0.0);
    for tokens in 0..=1843_u16 {
        let life = LifePosition { birth: 0.05, fill: 0.05 + f32::from(tokens) / 2048.0, printer_lost: false };
        let beat = Beat::new(&life, None, false);
        let depth = beat.peak - beat.trough;
        assert!(beat.period < last_period && depth > last_depth, "at {tokens} tokens");
        (last_period, last_depth) = (beat.period, depth);
    }
    let depth = |fill| {
        let seen = Shown::of(Means::Dimmed, alive(fill), seconds(20));
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
        // The steepest slope of a half cosine over 100 units in 80 ms.
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
        let mut seen = Shown::by(BOTH[seed as usize % 2]);
        for part in 0..10 {
            seen.show(loading(part as f32 / 9.0), Duration::from_millis(dice.below(900)));
        }
        seen.show(Pattern::Armed, seconds(dice.below(15)));
        if dice.below(3) == 0 {
            for _ in 3..10 {
                seen.pulse.restart(Pattern::Counted);
                seen.show(Pattern::Counted, seconds(1));
            }
        }
        let (length, presses) = (60 + dice.below(60), 1 + dice.below(60));
        let lost_at = dice.below(2 * length);
        for step in 0..steps(seconds(length)) {
            let past = step as f32 / steps(seconds(length)) as f32;
            let fill = 0.05 + 0.9 * past;
            let pattern = match step {
                _ if step / steps(seconds(7)) % 5 == 4 => Pattern::WaitsForPaper,
                _ if step > steps(seconds(lost_at)) => without_printer(fill),
                _ => alive(fill),
            };
            seen.show(pattern, STEP);
            if dice.below(presses * 20) == 0 {
                seen.pulse.dip();
            }
        }
        let end = if seed % 4 < 2 { Pattern::Dying } else { Pattern::Fault };
        seen.show(end, seconds(5)).show(Pattern::Dark, seconds(1));
        let most = most_flashes_in_a_second(&seen.samples);
        assert!(most <= 3, "{most} flashes in a second, seed {seed}");
        assert!(most >= 2, "seed {seed} shows nothing");
    }
}

#[test]
fn no_order_of_patterns_fills_and_presses_flashes_more_than_three_times_in_a_second() {
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let mut seen = Shown::by(BOTH[seed as usize % 2]);
        while seen.samples.len() < steps(seconds(60)) {
            let fill = dice.below(1000) as f32 / 1000.0;
            let patterns = [&patterns()[..], &[alive(fill), without_printer(fill)]].concat();
            let pattern = patterns[dice.below(patterns.len() as u64) as usize];
            if dice.below(4) == 0 {
                seen.pulse.restart(pattern);
            }
            seen.show(pattern, STEP * (1 + dice.below(60)) as u32);
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
            let mut seen = Shown::of(Means::Dimmed, alive(fill), seconds(6) + STEP * moment as u32);
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
            let mut pressed = Shown::of(Means::OnOff, alive(fill), seconds(6) + STEP * moment as u32);
            let mut left = Shown { pulse: pressed.pulse.clone(), samples: Vec::new() };
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
    let mut seen = Shown::of(Means::Dimmed, alive(0.5), seconds(5));
    for _ in 0..steps(seconds(20)) {
        seen.pulse.dip();
        seen.show(alive(0.5), STEP);
    }
    let (_, high) = extremes(&seen.samples[steps(seconds(20))..]);
    assert!(high > 70.0, "the beat goes on beneath a pressed button: {high}");
}

#[test]
fn every_fourth_beat_is_missing_without_a_printer() {
    for means in BOTH {
        let seen = Shown::of(means, without_printer(0.5), seconds(60));
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
    for means in BOTH {
        for moment in 0..steps(Duration::from_millis(800)) {
            let mut seen = Shown::of(means, alive(0.95), seconds(5) + STEP * moment as u32);
            seen.pulse.dip();
            seen.samples.clear();
            seen.show(Pattern::Dying, DYING_TIME);
            let full = seen.samples.iter().rev().take_while(|&&lightness| lightness == 100.0).count();
            assert!(STEP * full as u32 >= seconds(2), "{means:?} {moment}: {full}");
        }
    }
}

#[test]
fn a_fault_is_two_times_three_blinks_and_wrong_options_are_three_whatever_came_before() {
    for means in BOTH {
        for before in [loading(0.5), Pattern::Armed, alive(0.95), Pattern::Dark] {
            for (pattern, time, blinks) in
                [(Pattern::Fault, FAULT_TIME, 6), (Pattern::WrongOptions, WRONG_TIME, 3)]
            {
                let mut seen = Shown::of(means, before, Duration::from_millis(4150));
                seen.samples.clear();
                seen.show(pattern, time);
                assert_eq!(seen.blinks(), blinks, "{means:?}: {pattern:?} after {before:?}");
                assert_eq!(seen.pulse.step(STEP, Pattern::Dark).lightness, 0.0);
            }
        }
    }
}

#[test]
fn no_two_patterns_look_alike_however_they_are_shifted_in_time() {
    // Half a minute of one pattern, the longest cycle, against every half minute
    // of the other that begins in its first half minute.
    let sample = Duration::from_millis(50);
    let window = 600;
    for means in BOTH {
        let seen = patterns().map(|pattern| {
            let mut pulse = Pulse::new(means);
            let samples = (0..2 * window + 100).map(|_| pulse.step(sample, pattern).lightness);
            (pattern, samples.collect::<Vec<_>>())
        });
        for (at, (one, first)) in seen.iter().enumerate() {
            for (other, second) in &seen[at + 1..] {
                for shift in 0..window {
                    let apart = (0..window)
                        .map(|at| (first[at + 100] - second[at + shift]).abs())
                        .fold(0.0, f64::max);
                    assert!(apart > 10.0, "{one:?} looks like {other:?} to {means:?}, {apart} apart");
                }
            }
        }
    }
}

#[test]
fn without_pwm_the_light_is_only_on_or_off() {
    let mut seen = Shown::by(Means::OnOff);
    for pattern in patterns() {
        seen.show(pattern, seconds(12));
        seen.pulse.dip();
    }
    assert!(seen.samples.iter().all(|&lightness| lightness == 0.0 || lightness == 100.0));
}

#[test]
fn the_light_that_waits_for_an_opening_hour_is_darker_than_the_one_that_waits_for_a_press() {
    let brightest = |pattern| extremes(&Shown::of(Means::Dimmed, pattern, seconds(60)).samples).1;
    let brightness = [Pattern::Closed, Pattern::Resting, Pattern::Armed].map(brightest);
    assert!(brightness.is_sorted_by(|a, b| a < b), "{brightness:?}");
}

#[test]
fn a_cue_is_a_dip_that_begins_with_it() {
    for means in BOTH {
        for early in 0..20 {
            let mut seen = Shown::of(means, Pattern::Armed, seconds(3));
            seen.show(Pattern::Counted, seconds(1) - STEP * early);
            seen.pulse.restart(Pattern::Counted);
            seen.samples.clear();
            seen.show(Pattern::Counted, seconds(1));
            let dark = seen.samples.iter().take_while(|&&lightness| lightness == 0.0).count();
            assert_eq!(STEP * dark as u32, Duration::from_millis(300), "{means:?}");
        }
    }
}

#[test]
fn a_step_that_waits_as_long_as_it_was_told_misses_nothing() {
    for means in BOTH {
        for pattern in patterns().into_iter().chain([alive(0.4)]) {
            let (mut told, mut often) = (Pulse::new(means), Pulse::new(means));
            let (mut lightness, mut wait) = (0.0, Duration::ZERO);
            let (mut since, mut differ) = (Duration::ZERO, 0);
            for _ in 0..60_000 {
                let millisecond = Duration::from_millis(1);
                since += millisecond;
                let now = often.step(millisecond, pattern).lightness;
                if since >= wait {
                    let frame = told.step(since, pattern);
                    (lightness, wait) = (frame.lightness, frame.next.unwrap_or(Duration::MAX));
                    since = Duration::ZERO;
                }
                differ += u32::from((now - lightness).abs() > 30.0);
            }
            // In this test each frame is late by at most 1 ms.
            assert!(differ < 4000, "{means:?} {pattern:?}: {differ} ms");
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
    for (lightness, expected) in [(0.0, 0.0), (8.0, 0.008_856), (50.0, 0.184_187), (100.0, 1.0), (150.0, 1.0)]
    {
        assert!((luminance(lightness) - expected).abs() < 1e-6, "L* {lightness}");
    }
}

#[test]
fn the_light_of_a_load_only_grows() {
    let mut seen = Shown::by(Means::Dimmed);
    for percent in 0..=100 {
        seen.show(loading(percent as f32 / 100.0), STEP * 20);
    }
    assert!(seen.samples.is_sorted(), "it falls");
    assert_eq!((seen.samples[0], seen.samples.last()), (LOADING.0, Some(&LOADING.1)));
    // Without PWM each cycle has one blink, however far the load jumps in it.
    for (at, jump) in (0..600).flat_map(|at| [(at, 0.3), (at, 1.0)]) {
        let mut seen = Shown::of(Means::OnOff, loading(0.0), LOADING_BLIP + STEP * at);
        seen.show(loading(jump), LOADING_CYCLE - STEP * at);
        assert!(seen.samples[0] > 0.0 && seen.blinks() <= 1, "{at}, {jump}: {}", seen.blinks());
    }
}
