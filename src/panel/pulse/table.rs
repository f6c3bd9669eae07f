//! The table of the light's patterns in `hardware/README.md`. Its words come from
//! measures of the patterns as they run, so that it cannot differ from the
//! program.
//!
//! After a change of a pattern:
//! `BLESS=1 cargo test --release --locked --lib -- panel::pulse::table`

use std::fs;
use std::path::Path;

use super::*;

/// The file, and the lines between which the table is.
const FILE: &str = "hardware/README.md";
const BEGIN: &str = "<!-- measured from src/panel/pulse.rs by its test; BLESS=1 writes it anew -->\n\n";
const END: &str = "\n<!-- end of what is measured -->";

const SAMPLE: Duration = Duration::from_millis(10);
/// Twice the longest cycle, and some more.
const RECORD: Duration = Duration::from_secs(70);

/// Lightness over time, one sample for each [`SAMPLE`].
fn record(pulse: &mut Pulse, pattern: Pattern, time: Duration) -> Vec<f64> {
    let samples = time.as_nanos() / SAMPLE.as_nanos();
    (0..samples).map(|_| pulse.step(SAMPLE, pattern).lightness).collect()
}

/// The same from a dark light on, without the first second.
fn settled(means: Means, pattern: Pattern) -> Vec<f64> {
    let mut pulse = Pulse::new(means);
    record(&mut pulse, pattern, Duration::from_secs(1));
    record(&mut pulse, pattern, RECORD)
}

/// The time of so many samples in seconds, without zeros at its end.
fn seconds(samples: usize) -> String {
    let seconds = format!("{:.2}", (SAMPLE * samples as u32).as_secs_f64());
    seconds.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The same, rounded down to a tenth.
fn tenths(samples: usize) -> String {
    seconds(samples / 10 * 10)
}

fn extremes(samples: &[f64]) -> (f64, f64) {
    samples.iter().fold((f64::MAX, f64::MIN), |(low, high), &sample| (low.min(sample), high.max(sample)))
}

/// A lightness in words, with the share of full brightness that is perceived.
fn level(lightness: f64) -> String {
    let word = match lightness {
        ..1.0 => return "dark".to_owned(),
        ..5.0 => "almost dark",
        ..20.0 => "faint",
        ..50.0 => "dim",
        ..99.5 => "bright",
        _ => return "full".to_owned(),
    };
    format!("{word} ({lightness:.0} %)")
}

/// The least number of samples after which all repeats.
fn period(samples: &[f64]) -> usize {
    let repeats = |shift: &usize| {
        let pairs = samples.iter().zip(&samples[*shift..]);
        pairs.into_iter().all(|(one, other)| (one - other).abs() < 0.01)
    };
    (1..=samples.len() / 2).find(repeats).expect("the record is longer than two cycles")
}

/// One cycle as lengths of on and off, from the end of the longest off on.
fn runs(cycle: &[f64]) -> (Vec<usize>, Vec<usize>) {
    let (low, high) = extremes(cycle);
    let is_on: Vec<_> = cycle.iter().map(|&sample| sample > (low + high) / 2.0).collect();
    let turn = (0..is_on.len()).find(|&at| is_on[at] && !is_on[(at + is_on.len() - 1) % is_on.len()]);
    let (ons, offs) = is_on.split_at(turn.expect("it goes on"));
    let rotated = [offs, ons].concat();
    let lengths = |on: bool| {
        rotated.chunk_by(|a, b| a == b).filter(|run| run[0] == on).map(<[bool]>::len).collect::<Vec<_>>()
    };
    let (mut ons, mut offs) = (lengths(true), lengths(false));
    let longest = (0..offs.len()).max_by_key(|&at| offs[at]).expect("it goes off");
    let first = (longest + 1) % offs.len();
    ons.rotate_left(first);
    offs.rotate_left(first);
    (ons, offs)
}

/// A pattern that repeats, in words.
fn describe(samples: &[f64]) -> String {
    let (low, high) = extremes(samples);
    if high - low < 1.0 {
        return if high < 1.0 { "dark".to_owned() } else { format!("{}, steady", level(high)) };
    }
    let cycle = &samples[..period(samples)];
    let length = seconds(cycle.len());
    let steepest = samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f64::max);
    if steepest < (high - low) / 10.0 {
        let rest = cycle.iter().filter(|&&sample| sample == low).count();
        return if rest > cycle.len() / 2 {
            let breath = tenths(cycle.len() - rest + 1);
            format!("{}, with a breath of {breath} s to {} every {length} s", level(low), level(high))
        } else {
            format!("a breath of {length} s between {} and {}", level(low), level(high))
        };
    }
    let (ons, offs) = runs(cycle);
    let same = |runs: &[usize]| runs.iter().all(|run| *run == runs[0]);
    let (on, off): (usize, usize) = (ons.iter().sum(), offs.iter().sum());
    let several = |count: usize, thing: &str, length: usize| match count {
        1 => format!("a {thing} of {} s", seconds(length)),
        count => format!("{count} {thing}s of {} s", seconds(length)),
    };
    if on == off && ons.len() == 1 {
        format!("on for {} s, off for {} s", seconds(on), seconds(off))
    } else if on > off && same(&offs) {
        format!("{}, with {} every {length} s", level(high), several(offs.len(), "gap", offs[0]))
    } else if same(&ons) {
        format!("{} every {length} s", several(ons.len(), "blink", ons[0]))
    } else {
        let each: Vec<_> = ons.iter().map(|run| format!("{} s", seconds(*run))).collect();
        format!("blinks of {}, every {length} s", each.join(" and "))
    }
}

fn alive(fill: f64, printer_lost: bool) -> Pattern {
    Pattern::Alive(Life { birth: 0.05, fill: fill as f32, printer_lost })
}

/// The fills at birth and at the end of a life.
const FILLS: [f64; 2] = [0.05, LAST_FILL];

fn describe_life(means: Means) -> String {
    let measure = |fill| {
        let samples = settled(means, alive(fill, false));
        let (ons, offs) = runs(&samples[..period(&samples)]);
        let length: usize = ons.iter().chain(&offs).sum();
        let rate = Duration::from_secs(60).div_duration_f64(SAMPLE * length as u32);
        (rate.round(), extremes(&samples), ons[0] as f64 / length as f64)
    };
    let [(first, (low, high), share), (last, (lowest, highest), last_share)] = FILLS.map(measure);
    let rate = format!("beats, {first:.0} a minute at first and {last:.0} at the end");
    match means {
        Means::Dimmed => format!(
            "{rate}, at first between {} and {}, at the end between {} and {}",
            level(low),
            level(high),
            level(lowest),
            level(highest)
        ),
        Means::OnOff => {
            assert!((share - last_share).abs() < 0.02, "{share}, {last_share}");
            let share = if (share - 0.5).abs() < 0.02 { "half".to_owned() } else { format!("{share:.2}") };
            format!("{rate}, on for {share} of each")
        }
    }
}

fn describe_load(means: Means) -> String {
    let [first, last] =
        [0.0, 1.0].map(|ready| describe(&settled(means, Pattern::Loading { ready })).replace(", steady", ""));
    format!("{first} at first, and when all is ready {last}")
}

fn describe_lost_printer(means: Means) -> String {
    let missing = FILLS.map(|fill| {
        let of = |lost| {
            let samples = settled(means, alive(fill, lost));
            let (low, high) = extremes(&samples);
            samples
                .windows(2)
                .filter(|pair| pair[0] <= (low + high) / 2.0 && pair[1] > (low + high) / 2.0)
                .count()
        };
        let (with, without) = (of(false), of(true));
        (with as f64 / (with - without) as f64).round()
    });
    assert_eq!(missing[0], missing[1]);
    format!("beats, of which one in {} is missing", missing[0])
}

/// What a press in a life changes, over all moments of a beat.
fn describe_press(means: Means) -> String {
    let shortest = FILLS
        .into_iter()
        .flat_map(|fill| (0..150).map(move |moment| (fill, moment)))
        .map(|(fill, moment)| {
            let mut pressed = Pulse::new(means);
            record(&mut pressed, alive(fill, false), Duration::from_secs(6) + SAMPLE * moment);
            let mut left = pressed.clone();
            pressed.dip();
            let time = Duration::from_secs(2);
            let pressed = record(&mut pressed, alive(fill, false), time);
            let left = record(&mut left, alive(fill, false), time);
            match means {
                Means::Dimmed => pressed.iter().filter(|&&lightness| lightness == 0.0).count(),
                Means::OnOff => pressed.iter().zip(&left).filter(|(one, other)| one != other).count(),
            }
        })
        .min()
        .expect("moments");
    match means {
        Means::Dimmed => format!("dark for {} s or a little more", tenths(shortest)),
        Means::OnOff => format!("a beat comes late or ends early, by {} s or more", tenths(shortest)),
    }
}

fn describe_death(means: Means) -> String {
    let shortest = (0..80)
        .map(|moment| {
            let mut pulse = Pulse::new(means);
            record(&mut pulse, alive(LAST_FILL, false), Duration::from_secs(5) + SAMPLE * moment);
            let dying = record(&mut pulse, Pattern::Dying, DYING_TIME);
            dying.iter().rev().take_while(|&&lightness| lightness == 100.0).count()
        })
        .min()
        .expect("moments");
    format!("{} for {} s at least, then dark", level(100.0), tenths(shortest))
}

fn table() -> String {
    let still = |pattern: Pattern| move |means: Means| describe(&settled(means, pattern));
    let limited = |pattern: Pattern, time: Duration, then: &'static str| {
        move |means: Means| {
            format!("{}; for {} s, {then}", describe(&settled(means, pattern)), time.as_secs())
        }
    };
    type Words = Box<dyn Fn(Means) -> String>;
    let rows: [(&str, Words); 14] = [
        ("gets ready", Box::new(describe_load)),
        ("waits for a press", Box::new(still(Pattern::Armed))),
        ("notices that the button is held for a status slip", Box::new(still(Pattern::Counted))),
        ("waits for a press, but the button is jammed", Box::new(still(Pattern::Jammed))),
        ("lives", Box::new(describe_life)),
        ("lives, but the printer is lost", Box::new(describe_lost_printer)),
        ("lives, and waits for paper", Box::new(still(Pattern::WaitsForPaper))),
        ("has noticed a press while it lives", Box::new(describe_press)),
        ("dies", Box::new(describe_death)),
        ("rests between two lives", Box::new(still(Pattern::Resting))),
        ("is closed", Box::new(still(Pattern::Closed))),
        ("has a fault", Box::new(limited(Pattern::Fault, FAULT_TIME, "then dark until it tries again"))),
        ("has wrong options", Box::new(limited(Pattern::WrongOptions, WRONG_TIME, "once a minute"))),
        ("does not run", Box::new(still(Pattern::Dark))),
    ];
    let mut table =
        "| what the program does | light with PWM | light without PWM |\n|---|---|---|\n".to_owned();
    for (what, words) in rows {
        let (dimmed, plain) = (words(Means::Dimmed), words(Means::OnOff));
        let plain = if plain == dimmed { "the same" } else { &plain };
        table += &format!("| {what} | {dimmed} | {plain} |\n");
    }
    table
}

#[test]
fn the_technicians_table_of_the_light_is_what_the_light_shows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let text = fs::read_to_string(&path).expect("the technician's file");
    let (before, rest) = text.split_once(BEGIN).expect("the table's first mark");
    let (written, after) = rest.split_once(END).expect("the table's last mark");
    let measured = table();
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{measured}{END}{after}")).expect("the table is written");
    } else {
        assert!(
            written == measured,
            "{FILE} differs from the light; see src/panel/pulse/table.rs:\n{measured}"
        );
    }
}

#[test]
fn words_follow_the_numbers() {
    let cycle = |parts: &[Part], lit: f64| -> Vec<f64> {
        (0..7000).map(|sample| rhythm(parts, SAMPLE * sample, lit).lightness).collect()
    };
    for (parts, lit, words) in [
        (&[on(3000), off(3000)][..], 100.0, "on for 3 s, off for 3 s"),
        (&[off(300), on(700)], 36.0, "dim (36 %), with a gap of 0.3 s every 1 s"),
        (&[on(100), off(2900)], 100.0, "a blink of 0.1 s every 3 s"),
        (&[on(150), off(250), on(150), off(1450)], 100.0, "2 blinks of 0.15 s every 2 s"),
        (&[off(300), on(300), off(1500), on(900)], 100.0, "blinks of 0.9 s and 0.3 s, every 3 s"),
        (&[on(5000)], 8.0, "faint (8 %), steady"),
        (&[off(5000)], 8.0, "dark"),
    ] {
        assert_eq!(describe(&cycle(parts, lit)), words);
    }
    let breath = Breath { length: Duration::from_secs(4), low: 10.0, high: 30.0 };
    let breath: Vec<_> = (0..7000).map(|sample| breath.at(SAMPLE * sample).lightness).collect();
    assert_eq!(describe(&breath), "a breath of 4 s between faint (10 %) and dim (30 %)");
}
