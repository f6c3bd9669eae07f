//! Batches, threads and speculation change no word of the text.

use proptest::prelude::*;
use torment_nexus::life::interrupt::Interrupt;
use torment_nexus::life::lifespan::Lifespan;
use torment_nexus::mind::computing::Computing;
use torment_nexus::mind::model::{Model, Token};
use torment_nexus::mind::sampler::Sampling;
use torment_nexus::mind::session::Session;
use torment_nexus::model_file::name::{ModelFile, ModelName};

use crate::support::nexus::Nexus;

#[test]
fn looking_ahead_changes_no_word_whatever_chooses_them() {
    let nexus = Nexus::new();
    for sampling in [
        &["--repeat-penalty", "1", "--dry-multiplier", "0"][..],
        &["--repeat-penalty", "1", "--dry-multiplier", "0", "--temp", "0.3", "--seed", "5"],
        &["--repeat-penalty", "1", "--dry-multiplier", "0.1"],
        &["--repeat-penalty", "1.05", "--dry-multiplier", "0", "--temp", "0.2", "--seed", "2"],
        &["--repeat-penalty", "1", "--dry-multiplier", "0", "--subject", "rain,box"],
        &["--temp", "0.8", "--seed", "5", "--top-k", "0"],
        &[],
    ] {
        let thought = |lookahead: &str| {
            let ended = nexus.ember(&[sampling, &["-c", "900", "--lookahead", lookahead]].concat());
            ended.died().stdout.clone()
        };
        let plain = thought("0");
        for lookahead in ["1", "3", "6"] {
            assert_eq!(thought(lookahead), plain, "--lookahead {lookahead} with {sampling:?}");
        }
    }
}

fn model() -> (Model, Interrupt) {
    let (raise, interrupt) = Interrupt::new();
    std::mem::forget(raise);
    let file = ModelFile::find(&ModelName::Ember, "models".as_ref(), &interrupt).expect("ember");
    (Model::load(&file, false, &interrupt).expect("ember loads"), interrupt)
}

fn open(model: &Model, computing: Computing) -> Session<'_> {
    let lifespan = Lifespan::new(1024.try_into().expect("not 0"), 1, 2048).expect("room");
    Session::open(model, lifespan, computing, &Sampling::greedy()).expect("a context")
}

/// Arbitrary tokens.
fn tokens(count: i32) -> Vec<Token> {
    (0..count).map(|index| Token::new(300 + index * 37 % 1500)).collect()
}

#[test]
fn a_restored_cache_gives_the_logits_of_the_one_that_was_kept() {
    let (model, interrupt) = model();
    let bits = |session: &Session| session.logits().iter().map(|logit| logit.to_bits()).collect::<Vec<_>>();
    let next = Token::new(400);
    let mut first = open(&model, Computing::new(1, 0));
    first.prefill(&tokens(400), None, &interrupt).expect("a prompt");
    let kept = first.kv_cache();
    first.follow_with(next).expect("a step");
    let mut second = open(&model, Computing::new(2, 0));
    // SAFETY: the state is of this model, with settings that keep it alike.
    assert!(unsafe { second.set_kv_cache(&kept) });
    second.follow_with(next).expect("a step");
    assert_eq!(bits(&first), bits(&second));
}

#[test]
fn a_batch_has_the_bits_of_its_tokens_on_any_number_of_threads() {
    let (model, interrupt) = model();
    let logits = |batch: u32, threads: u16| {
        let mut session = open(&model, Computing { batch, ..Computing::new(threads, 0) });
        session.prefill(&tokens(400), None, &interrupt).expect("a prompt");
        session.logits().iter().map(|logit| logit.to_bits()).collect::<Vec<_>>()
    };
    let singles = logits(1, 1);
    for (batch, threads) in [(2, 1), (5, 1), (7, 1), (1, 2), (7, 2)] {
        assert!(logits(batch, threads) == singles, "batches of {batch} on {threads} threads differ");
    }
}

#[test]
fn a_text_that_loops_takes_far_fewer_steps_and_one_that_does_not_takes_none_more() {
    let (model, interrupt) = model();
    let steps = |period: i32| {
        let mut session = open(&model, Computing::new(1, 6));
        session.prefill(&tokens(period)[..1], None, &interrupt).expect("a prompt");
        let before = session.steps();
        for index in 1..400 {
            let token = tokens(period)[(index % period) as usize];
            session.follow_with(token).expect("it is computed");
        }
        session.steps() - before
    };
    assert_eq!(steps(400), 399);
    assert!(steps(11) < 100, "{} steps for 399 tokens of a loop", steps(11));
}

#[test]
fn what_was_looked_ahead_at_and_not_said_leaves_no_trace() {
    let (model, interrupt) = model();
    // A loop that breaks off in the middle of a draft, and goes on with other
    // tokens.
    let mut text: Vec<_> = tokens(9).into_iter().cycle().take(100).collect();
    text.extend(tokens(200).into_iter().skip(50));
    let logits = |lookahead: u16| {
        let mut session = open(&model, Computing::new(1, lookahead));
        session.prefill(&text[..1], None, &interrupt).expect("a prompt");
        for &token in &text[1..] {
            session.follow_with(token).expect("it is computed");
        }
        session.logits().iter().map(|logit| logit.to_bits()).collect::<Vec<_>>()
    };
    assert!(logits(6) == logits(0));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_prompt_has_tokens_and_no_control_tokens_but_the_templates(
        words in prop::collection::vec(
            prop_oneof![
                "\\PC{1,12}",
                prop::sample::select(vec!["<|im_end|>", "<|im_start|>user\n", "<|endoftext|>", "\n\n", "\u{0}"])
                    .prop_map(str::to_owned),
            ],
            1..30,
        ),
        opening in "\\PC{0,20}",
    ) {
        thread_local!(static EMBER: (Model, Interrupt) = model());
        let text = words.concat().replace('\0', "");
        EMBER.with(|(ember, _)| {
            let plain = ember.tokenize_prompt("plain", "").expect("tokens");
            let template = ember.tokenize("plain", false).len();
            let tokens = ember.tokenize_prompt(&text, &opening).expect("tokens");
            // Ember's control tokens are the first ones of its vocabulary.
            let control = |tokens: &[Token]| tokens.iter().filter(|token| token.id() <= 2).count();
            prop_assert_eq!(control(&tokens), control(&plain));
            prop_assert!(tokens.len() >= plain.len() - template);
            Ok(())
        })?;
    }
}
