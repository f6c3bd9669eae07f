//! The button and the light on a machine without GPIO pins.

use crate::support::nexus::Nexus;

/// Whether this is a real board: no test may use its pins.
fn is_a_board() -> bool {
    std::path::Path::new("/dev/gpiomem").exists()
}

#[test]
fn pins_on_a_machine_without_any_are_a_fault_before_the_model_is_looked_for() {
    if is_a_board() {
        return;
    }
    for option in [["--button", "23"], ["--led", "18"]] {
        let args = ["--model", "absent.gguf"].iter().chain(&option);
        Nexus::new()
            .run(args)
            .failed(1, &["Raspberry Pi", "group gpio", &option.join(" "), "; leave it out"]);
    }
}

#[test]
fn wrong_options_end_with_2_and_help_with_0_on_a_machine_whose_light_cannot_show_it() {
    if is_a_board() {
        return;
    }
    let nexus = Nexus::new();
    nexus.run(["--led", "18", "--context-size", "x"]).failed(2, &["--context-size"]);
    nexus.run(["--led", "18", "--no-such-option"]).failed(2, &["--no-such-option"]);
    nexus.ember_with("TORMENT_LED", "18", &["--temp", "x"]).failed(2, &["--temp"]);
    for option in ["--help", "--version"] {
        let said = nexus.run(["--led", "18", option]);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
        assert!(said.stdout.contains("torment-nexus"), "{}", said.stdout);
    }
}
