//! Threads, a restored cache and what was dropped from it change no word of the text.

use installation::life::ending::Ending;
use installation::life::generator::Mind;
use installation::life::interrupt::Interrupt;
use installation::life::lifespan::Lifespan;
use installation::life::progress::Progress;
use model_file::name::{ModelFile, ModelName};
use proptest::prelude::*;
use torment_nexus::mind::careful::Revocable;
use torment_nexus::mind::computing::Computing;
use torment_nexus::mind::model::{Model, Token};
use torment_nexus::mind::sampler::Sampling;
use torment_nexus::mind::session::Session;

fn model() -> (Model, Interrupt) {
    let (raise, interrupt) = Interrupt::new();
    std::mem::forget(raise);
    let file = ModelFile::find(&ModelName::Ember, "models".as_ref(), &interrupt).expect("ember");
    (Model::load(&file, false, &Progress::default(), &interrupt).expect("ember loads"), interrupt)
}

fn open(model: &Model, threads: u16) -> Session<'_> {
    let lifespan = Lifespan::new(1024.try_into().expect("not 0"), 1, 2048).expect("room");
    Session::open(model, lifespan, Computing::new(threads), &Sampling::default()).expect("a context")
}

/// Arbitrary tokens.
fn tokens(count: i32) -> Vec<Token> {
    (0..count).map(|index| Token::new(300 + index * 37 % 1500)).collect()
}

fn bits(session: &Session) -> Vec<u32> {
    session.logits().iter().map(|logit| logit.to_bits()).collect()
}

#[test]
fn a_restored_cache_gives_the_logits_of_the_one_that_was_kept() {
    let (model, interrupt) = model();
    let next = Token::new(400);
    let mut first = open(&model, 1);
    first.prefill(&tokens(400), None, &Progress::default(), &interrupt).expect("a prompt");
    let kept = first.kv_cache();
    first.follow_with(next).expect("a step");
    let mut second = open(&model, 2);
    // SAFETY: the state is of this model, with settings that keep it alike.
    assert!(unsafe { second.set_kv_cache(&kept) });
    second.follow_with(next).expect("a step");
    assert_eq!(bits(&first), bits(&second));
}

#[test]
fn a_text_has_the_same_bits_on_any_number_of_threads() {
    let (model, interrupt) = model();
    let logits = |threads: u16| {
        let mut session = open(&model, threads);
        session.prefill(&tokens(400), None, &Progress::default(), &interrupt).expect("a prompt");
        for token in tokens(20) {
            session.follow_with(token).expect("a step");
        }
        bits(&session)
    };
    let expected = logits(1);
    for threads in [2, 3] {
        assert!(logits(threads) == expected, "{threads} threads");
    }
}

#[test]
fn what_is_dropped_from_the_cache_leaves_no_trace() {
    let (model, interrupt) = model();
    let after = |dropped: usize| {
        let mut session = open(&model, 1);
        session.prefill(&tokens(100), None, &Progress::default(), &interrupt).expect("a prompt");
        for &token in &tokens(300)[..dropped] {
            session.follow_with(token).expect("a step");
        }
        session.drop_from(100).expect("ember can");
        session.follow_with(Token::new(400)).expect("a step");
        bits(&session)
    };
    assert!(after(40) == after(0));
}

#[test]
fn a_signal_ends_the_computing_of_a_token_and_of_a_prompt_at_its_next_operation() {
    let (model, _) = model();
    let (raise, interrupt) = Interrupt::new();
    let mut session = open(&model, 2);
    session.prefill(&tokens(20), None, &Progress::default(), &interrupt).expect("a prompt");
    session.follow_with(Token::new(400)).expect("a step");
    drop(raise);
    session.follow_with(Token::new(401)).expect_err("it is broken off");
    let prefill = open(&model, 2).prefill(&tokens(20), None, &Progress::default(), &interrupt);
    let Err(Ending::Interrupted(place)) = prefill else { panic!("no interrupt") };
    assert_eq!(place, "while reading the prompt, at 0 of 20 tokens");
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

#[test]
fn what_was_taken_back_leaves_no_trace_and_another_token_follows() {
    let (model, interrupt) = model();
    let lifespan = Lifespan::new(1024.try_into().expect("not 0"), 1, 2048).expect("room");
    let sampling = Sampling {
        repeat_penalty: Some(1.1),
        repeat_last_n: 256,
        dry_multiplier: 0.8,
        dry_base: 1.75,
        dry_allowed_length: 2,
        dry_penalty_last_n: -1,
        ..Sampling::default()
    };
    let open = || {
        let mut session = Session::open(&model, lifespan, Computing::new(1), &sampling).expect("a context");
        session.prefill(&tokens(100), None, &Progress::default(), &interrupt).expect("a prompt");
        session
    };
    let says = |session: &mut Session, count: usize| {
        let mut text = Vec::new();
        (0..count).for_each(|_| session.next(&mut text).expect("a token"));
        text
    };
    let (mut straight, mut back) = (open(), open());
    assert_eq!(says(&mut straight, 4), says(&mut back, 4));
    says(&mut back, 3);
    assert!(back.take_back(3).expect("a step"));
    // The fifth token follows the logits of the fourth.
    let fifth = says(&mut straight, 1);
    assert_eq!(bits(&straight), bits(&back));
    let other = says(&mut back, 1);
    assert_ne!(other, fifth, "it was refused");
    assert!(back.take_back(1).expect("a step"));
    let third = says(&mut back, 1);
    assert!(third != fifth && third != other, "both were refused");
}
