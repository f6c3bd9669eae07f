//! The shipped program on an emulated Raspberry Pi Zero 2 W: a kernel, real
//! registers, a pressed button, a lit LED and a printed receipt.
//!
//! These tests boot an emulated machine and take minutes: `script/pi-run`,
//! `script/pi-emulate`, `script/pi-memory` and `script/pi-exhibit` prepare it and
//! run them. The emulator is several times slower than the board; no test asserts
//! how long anything takes.

mod board;
mod exhibit;

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use self::board::{ANSWER, BUTTON, Board, LIGHT, LIMIT, Wire, run, tree};
use crate::support::receipt_reader::Paper;

/// The golden life: the text that ember generates on a Cortex-A53 with greedy
/// sampling. It is written anew if `BLESS` is set; a change of this text is a
/// change of the piece.
const GOLDEN: &str = "hardware/emulator/life-of-ember.txt";

/// Lives that simulated visitors begin: `script/pi-emulate`.
mod exhibition {
    use super::*;

    /// Mean seconds between the first and between the last of these beats of a life.
    fn first_and_last(beats: &[Instant]) -> (f64, f64) {
        let gaps: Vec<f64> = beats.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        let few = gaps.len() / 4;
        let mean = |gaps: &[f64]| gaps.iter().sum::<f64>() / gaps.len() as f64;
        (mean(&gaps[..few]), mean(&gaps[gaps.len() - few..]))
    }

    /// Presses the button for life number `life`, watches the light, and waits
    /// for the program to exit. Returns when the light went on. With `hold` the button is down again at the death,
    /// and stays down.
    fn visit(board: &Board, life: usize, hold: bool) -> Result<Vec<Instant>, String> {
        board.wait_for("waiting for a press of the button", life, LIMIT)?;
        let (said, printed) = (board.console().len(), board.printed().len());
        // Enough time to notice a life that begins without a press.
        thread::sleep(Duration::from_secs(3));
        if board.console().len() != said || board.printed().len() != printed {
            return Err(format!("it did not wait for the press: {}", board.console()));
        }
        board.drive(BUTTON, false);
        let pressed = Instant::now();
        while board.console().len() == said {
            if pressed.elapsed() > ANSWER {
                return Err("the press begins no life".to_owned());
            }
            thread::sleep(Duration::from_millis(20));
        }
        board.drive(BUTTON, true);
        let mut beats = Vec::new();
        let mut was_high = true;
        while board.console().matches("tokens used").count() < life {
            if pressed.elapsed() > LIMIT {
                return Err(format!("the life does not end: {}", board.console()));
            }
            let high = board.is_high(LIGHT);
            if high && !was_high {
                beats.push(Instant::now());
            }
            was_high = high;
            thread::sleep(Duration::from_millis(10));
        }
        board.drive(BUTTON, !hold);
        board.wait_for("exit ", life, LIMIT)?;
        Ok(beats)
    }

    /// Waits for the slip of a button that is held through a death, and lets it go.
    /// Returns how often the light was off meanwhile.
    fn wait_for_the_slip(board: &Board, lives: usize) -> Result<usize, String> {
        board.wait_for("armed after", lives + 1, LIMIT)?;
        let armed = Instant::now();
        let (mut gaps, mut was_high) = (0, false);
        let slip = |board: &Board| {
            let printed = board.printed();
            let text = String::from_utf8_lossy(&printed);
            text.split_once("technician's slip").is_some_and(|(_, slip)| slip.contains("free memory"))
        };
        while !slip(board) {
            if armed.elapsed() > LIMIT {
                return Err("no slip is printed".to_owned());
            }
            let high = board.is_high(LIGHT);
            gaps += usize::from(was_high && !high);
            was_high = high;
            thread::sleep(Duration::from_millis(20));
        }
        board.drive(BUTTON, true);
        Ok(gaps)
    }

    /// Runs that many lives, each begun by a visitor, and restarts the program
    /// as systemd does by the unit: soon after a death, later after a fault. Wrong
    /// usage, which the unit tries again after a minute, ends the test.
    fn exhibition(pin: u8, wire: Wire, lives: usize) -> Result<(), String> {
        // A small context, so that the light goes through all its rates in less
        // than a minute and each life prints about a page; and a line time that
        // is meant not to hold up the generator. By way of `cat`, because the
        // console is a terminal, which would get its lines broken.
        let life = format!(
            r#"lives=0
while [ $lives -le {lives} ]; do
    {{
        torment-nexus --verbose --model ember --threads 1 --context-size 768 --button {pin} --led {LIGHT} --printer /dev/ttyAMA0 --printer-line-ms 700 --state-dir /state
        echo $? >/tmp/code
    }} 2>&1 | cat >/dev/console
    code=$(cat /tmp/code)
    echo "exit $code"
    lives=$((lives + 1))
    case $code in 101|130) sleep 1 ;; 2) break ;; *) sleep 5 ;; esac
done
"#
        );
        let board = Board::boot(&life, wire, &[], None);
        // QEMU does not emulate pull-ups, so the pins are driven high.
        board.drive(pin, true);
        board.drive(BUTTON, true);
        for life in 1..=lives {
            let beats = visit(&board, life, life == lives)?;
            let (first, last) = first_and_last(&beats);
            if first.is_nan() || last.is_nan() || first < 1.5 * last {
                return Err(format!(
                    "the light does not beat faster: {first:.2} s, then {last:.2} s from beat to beat"
                ));
            }
            println!("life {life}: {} beats, {first:.2} s apart at first, {last:.2} s at last", beats.len());
        }
        let gaps = match wire {
            Wire::Printer => wait_for_the_slip(&board, lives)?,
            Wire::Nowhere => 0,
        };
        let console = board.console();
        if console.matches("exit 101\n").count() != lives {
            return Err(format!("{lives} lives do not end with 101: {console}"));
        }
        let lines = Paper::read(&board.printed()).map_err(|error| format!("the receipt: {error}"))?.lines();
        let receipts: Vec<_> = lines.split(|line| line == "TORMENT NEXUS").skip(1).collect();
        if receipts.len() != lives {
            return Err(format!("{} receipts were printed, not {lives}", receipts.len()));
        }
        for (index, receipt) in receipts.iter().enumerate() {
            let number = format!("life {}", index + 1);
            let is_whole = receipt.contains(&number)
                && receipt.contains(&"terminating.'".to_owned())
                && receipt.iter().any(|line| line.starts_with("tokens") && line.ends_with("729 of 768"));
            if !is_whole {
                return Err(format!("receipt {number} is not complete: {receipt:#?}"));
            }
            // The printed text is the text on the console.
            let thought = receipt.split(|line| line.starts_with('─')).nth(1).unwrap_or_default().join(" ");
            let words: Vec<_> = thought.split_whitespace().collect();
            let waits = format!("waiting for a press of the button on GPIO {pin}\n");
            let said = console.split(&waits).nth(index + 1).unwrap_or_default();
            if !said.split_whitespace().collect::<Vec<_>>().starts_with(&words) || words.len() < 100 {
                return Err(format!("receipt {number} differs from what was said: {thought}\n{said}"));
            }
        }
        if wire == Wire::Printer {
            let slip = lines.iter().skip_while(|line| !line.contains("technician's slip"));
            let slip: Vec<_> =
                slip.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
            if !slip.contains(&format!("lives {lives}")) || gaps < 5 {
                return Err(format!("the slip, after {gaps} dips of the light: {slip:#?}"));
            }
            println!("a slip held through a death, after {gaps} dips of the light");
        }
        println!(
            "{lives} presses, {lives} receipts, {lives} deaths; {} bytes printed",
            board.printed().len()
        );
        Ok(())
    }

    #[test]
    #[ignore = "boots an emulated Zero 2 W: script/pi-emulate"]
    fn each_press_is_a_life_with_a_receipt_and_a_light_that_beats_faster() {
        exhibition(BUTTON, Wire::Printer, 3).unwrap_or_else(|fault| panic!("{fault}"));
    }

    #[test]
    #[ignore = "boots an emulated Zero 2 W: script/pi-emulate"]
    fn a_wrong_button_pin_is_caught() {
        let fault = exhibition(24, Wire::Printer, 1).expect_err("the visitor presses GPIO 23");
        assert_eq!(fault, "the press begins no life");
    }

    #[test]
    #[ignore = "boots an emulated Zero 2 W: script/pi-emulate"]
    fn a_stuck_uart_is_caught() {
        let fault = exhibition(BUTTON, Wire::Nowhere, 1).expect_err("nothing arrives at the printer");
        assert_eq!(fault, "0 receipts were printed, not 1");
    }

    #[test]
    #[ignore = "boots an emulated Zero 2 W: script/pi-emulate"]
    fn a_dot_product_is_caught_by_the_build_and_by_the_machine() {
        let folder = TempDir::new().expect("a folder");
        let source = "#include <arm_neon.h>\n\
                      int main(int n, char **words) {\n\
                      int8x16_t bytes = vdupq_n_s8((signed char)n);\n\
                      return vgetq_lane_s32(vdotq_s32(vdupq_n_s32(0), bytes, bytes), 0) - 4;\n}\n";
        fs::write(folder.path().join("dot.c"), source).expect("a file");
        let compile = ["-O2", "-static", "-march=armv8.2-a+dotprod", "dot.c", "-o", "dot"];
        run(Command::new("aarch64-linux-gnu-gcc").args(compile).current_dir(folder.path()));
        let program = folder.path().join("dot");
        let built = Command::new(tree("script/portable")).arg(&program).output().expect("it starts");
        assert!(!built.status.success());
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(said.contains("instructions that a Cortex-A53 lacks") && said.contains("sdot"), "{said}");
        let dot = fs::read(program).expect("a program");
        let board = Board::boot("dot; echo \"exit $?\"", Wire::Nowhere, &[("dot", dot)], None);
        board.wait_for("the end", 1, LIMIT).expect("it boots");
        // 128 + SIGILL (4).
        assert!(board.console().contains("exit 132\n"), "{}", board.console());
    }
}

/// The golden text, and the kernels that compute it: `script/pi-run`.
mod golden {
    use super::*;

    #[test]
    #[ignore = "boots an emulated Zero 2 W: script/pi-run"]
    fn ember_lives_its_golden_life_on_an_a53() {
        let script = "torment-nexus --model ember --threads 1 >/tmp/life 2>/tmp/death; echo \"exit $?\"\n\
                      echo 'life:'; cat /tmp/life; echo 'death:'; cat /tmp/death";
        let board = Board::boot(script, Wire::Nowhere, &[], None);
        board.wait_for("the end", 1, LIMIT).expect("it lives and dies");
        let console = board.console();
        assert!(console.contains("exit 101\n"), "{console}");
        let life =
            console.split_once("life:\n").expect("a life").1.split_once("death:\n").expect("a death").0;
        let golden = tree(GOLDEN);
        if std::env::var_os("BLESS").is_some() {
            fs::write(&golden, life).expect("the golden life is written");
        }
        let golden = fs::read_to_string(golden).expect("the golden life");
        assert!(life == golden, "ember says something else on an A53 than {GOLDEN}: {life}");
        println!("{} words, the golden ones", life.split_whitespace().count());
    }

    #[test]
    #[ignore = "boots an emulated Zero 2 W: script/pi-run"]
    fn the_kernels_pass_their_unit_tests_on_an_a53() {
        let tests = std::env::var("BOARD_UNIT_TESTS").expect("BOARD_UNIT_TESTS names the program");
        let script = "unit-tests 2>&1; echo \"exit $?\"";
        let program = fs::read(tree(&tests)).expect("the unit tests are built for the board");
        let board = Board::boot(script, Wire::Nowhere, &[("unit-tests", program)], None);
        board.wait_for("the end", 1, LIMIT).expect("they end");
        let console = board.console();
        assert!(console.contains("exit 0\n"), "{console}");
        for kind in ["q5_0", "q8_0", "q4_k", "q6_k"] {
            let passed = format!("products_of_{kind}_are_ggmls_whatever_is_computed_at_once ... ok");
            assert!(console.contains(&passed), "{console}");
        }
    }
}

/// The memory that the default model takes: `script/pi-memory`.
mod memory {
    use super::*;

    /// A script that mounts the card, takes memory until only `left` MB are
    /// available, and runs a life of the model on the card until it has
    /// generated 64 tokens (232 bytes at 3.6 each).
    fn memory_script(left: u32) -> String {
        format!(
            r#"mkdir -p /sd /balloon
for module in /lib/*.ko; do insmod $module; done
tries=0
while [ ! -e /dev/mmcblk0 ] && [ $tries -lt 60 ]; do sleep 1; tries=$((tries + 1)); done
mount -t ext4 -o ro /dev/mmcblk0 /sd
# With less, reads of the emulated card under memory pressure go wrong.
echo 16384 >/proc/sys/vm/min_free_kbytes
available() {{ awk '/MemAvailable/ {{ print $2 }}' /proc/meminfo; }}
surplus=$(( ($(available) - {left} * 1000) / 1024 ))
mount -t tmpfs tmpfs /balloon
[ $surplus -le 0 ] || dd if=/dev/zero of=/balloon/taken bs=1M count=$surplus 2>/dev/null
echo 'You are here.' >/tmp/prompt
echo "available before: $(available) kB"
torment-nexus --model /sd/shape.gguf --threads 1 --prompt-file /tmp/prompt >/tmp/life 2>/tmp/death &
pid=$!
lowest=$(available)
while kill -0 $pid 2>/dev/null && [ $(wc -c </tmp/life) -lt 232 ]; do
    now=$(available)
    [ $now -ge $lowest ] || lowest=$now
    sleep 1
done
grep -E 'VmHWM|RssAnon|RssFile' /proc/$pid/status
awk '{{ print "major faults: " $12 }}' /proc/$pid/stat
echo "available at the least: $lowest kB"
kill -TERM $pid; wait $pid; echo "exit $?"
cat /tmp/death
dmesg | grep -i 'out of memory'"#
        )
    }

    /// Prints measurements for the README; asserts only that the model runs and
    /// the memory suffices.
    #[test]
    #[ignore = "boots an emulated Zero 2 W with the default model's shape: script/pi-memory"]
    fn the_default_models_shape_lives_beside_the_system_in_512_mb() {
        let folder = TempDir::new().expect("a folder");
        let files = folder.path().join("files");
        fs::create_dir(&files).expect("a folder");
        // The default model's real weights, where they have been made: fetching
        // and quantizing them is script/real-model's work.
        let real = tree("target/real-model/smollm2-q4_k_m.gguf");
        if real.exists() {
            fs::copy(real, files.join("shape.gguf")).expect("the real weights");
        } else {
            run(Command::new("python3").arg(tree("models/shape.py")).arg(files.join("shape.gguf")));
        }
        let card = folder.path().join("card");
        // QEMU requires the size of a card to be a power of two.
        run(Command::new("/sbin/mke2fs").args(["-q", "-t", "ext4", "-d"]).args([&files, &card]).arg("256M"));
        // All memory of the board, and what is left beside other programs.
        for left in [1000, 240, 188] {
            let board = Board::boot(&memory_script(left), Wire::Nowhere, &[], Some(&card));
            board.wait_for("the end", 1, LIMIT).expect("it lives");
            let console = board.console();
            println!("{}", console.trim_start_matches('\u{fffd}'));
            assert!(
                console.contains("exit 130\n") && !console.to_lowercase().contains("out of memory"),
                "{console}"
            );
        }
    }
}
