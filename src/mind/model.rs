//! A loaded model: its vocabulary, its chat template, and the numbers of its
//! header.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::num::NonZeroU32;

use anyhow::{Context, Result, anyhow, ensure};
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::model::{LlamaChatMessage, LlamaLoraAdapter, LlamaModel};
use llama_cpp_2::token::LlamaToken;

use super::log::{backend, first_error, keep_first_error};
use super::net;
use installation::life::ending::Ending;
use installation::life::interrupt::Interrupt;
use installation::life::progress::{LoadStep, Progress};
use model_file::name::ModelFile;

/// A loaded model: its vocabulary in memory, its weights mapped.
#[derive(Debug)]
pub struct Model {
    pub(super) llama: LlamaModel,
    pub(super) name: String,
    /// Tokens that are never chosen, ascending: end-of-generation tokens,
    /// control tokens, and tokens without text.
    pub(super) banned: Vec<usize>,
    /// A hash that tells the file from others, if it can be read.
    pub(super) identity: Option<[u8; 32]>,
    pub(super) voice: Option<Voice>,
    /// For one thread at a time: `context_cost` changes a setting of llama.cpp's
    /// model and changes it back.
    not_sync: PhantomData<Cell<()>>,
}

/// An adapter (LoRA) that a model speaks with. It is freed with the model.
#[derive(Debug)]
pub(super) struct Voice {
    /// llama.cpp wants it exclusively when a context takes it.
    pub(super) adapter: RefCell<LlamaLoraAdapter>,
    /// Factor of what it adds.
    pub(super) scale: f32,
    /// As that of [`Model`].
    identity: [u8; 32],
}

impl Voice {
    /// What the numbers that a model computes with it depend on.
    pub(super) fn key(&self) -> Vec<u8> {
        [&self.identity[..], &self.scale.to_le_bytes()].concat()
    }
}

impl Model {
    /// Loads a model; its weights stay in the file and are mapped.
    ///
    /// llama.cpp's log goes to stderr if `logs`, and nowhere otherwise.
    ///
    /// # Errors
    ///
    /// When llama.cpp cannot use the file, or [`Ending::Interrupted`] when a
    /// signal comes first.
    pub fn load(
        file: &ModelFile,
        logs: bool,
        progress: &Progress,
        interrupt: &Interrupt,
    ) -> Result<Self, Ending> {
        if !file.is_built_in() {
            net::blame(&file.to_string());
        }
        let backend = backend();
        keep_first_error(logs);
        let (progress, asked) = (progress.clone(), interrupt.clone());
        let params = LlamaModelParams::default()
            .with_use_mmap(true)
            .with_n_gpu_layers(0)
            .with_progress_callback(move |share| {
                progress.at(LoadStep::Model(share));
                !asked.is_raised()
            });
        match LlamaModel::load_from_file(&backend, file.path(), &params) {
            Ok(llama) => Ok(Self::loaded(llama, file)?),
            Err(_) if interrupt.is_raised() => Err(Ending::Interrupted("while loading the model".to_owned())),
            Err(_) => {
                let why = first_error("it is damaged or of an unknown kind");
                let fault = anyhow!(
                    "llama.cpp cannot load model {file}: {why}; -vv shows its log, --model ember works without a file"
                );
                Err(fault.into())
            }
        }
    }

    fn loaded(llama: LlamaModel, file: &ModelFile) -> Result<Self> {
        let banned = banned_tokens(&llama);
        ensure!(
            banned.len() < usize::try_from(llama.n_vocab()).unwrap_or(0),
            "model {file} has no token that can be spoken; name another one with --model"
        );
        Ok(Self {
            llama,
            name: file.to_string(),
            banned,
            identity: file.identity().ok(),
            voice: None,
            not_sync: PhantomData,
        })
    }

    /// Gives the model a voice: an adapter, of which `scale` times what it adds counts.
    /// Its weights are read into memory.
    ///
    /// # Errors
    ///
    /// When it is none of this model.
    pub fn take_voice(&mut self, file: &ModelFile, scale: f32, logs: bool) -> Result<()> {
        if !file.is_built_in() {
            net::blame(&file.to_string());
        }
        // Anew: what the model's load said is no reason.
        keep_first_error(logs);
        let identity = file.identity().with_context(|| format!("cannot read voice {file}"))?;
        let adapter = self.llama.lora_adapter_init(file.path()).map_err(|_| {
            let why = first_error("it is damaged or of an unknown kind");
            anyhow!(
                "voice {file} does not fit model {}: {why}; name another with --lora, or give --lora none",
                self.name
            )
        })?;
        self.voice = Some(Voice { adapter: RefCell::new(adapter), scale, identity });
        Ok(())
    }

    /// Tokenizes a system message, framed by the model's own chat template,
    /// with the assistant's turn opened, and the `opening` of that turn. The
    /// message is framed as the user's if the template leaves out a system
    /// message. Where the model has no template, or one that llama.cpp does
    /// not recognise, the text is tokenized alone.
    ///
    /// Only the template has control tokens: in the message and the opening
    /// their names are text like any other.
    ///
    /// # Errors
    ///
    /// When the text has no token in this vocabulary.
    pub fn tokenize_prompt(&self, text: &str, opening: &str) -> Result<Vec<Token>> {
        let framed = self.framed(text);
        let (before, after) = match framed.as_deref().and_then(|framed| framed.split_once(text)) {
            Some(frame) => frame,
            None if opening.is_empty() => ("", ""),
            None => ("", "\n\n"),
        };
        let vocab = self.llama.vocab();
        let names_control = |text: &str| {
            vocab.tokenize(text.as_bytes(), false, true) != vocab.tokenize(text.as_bytes(), false, false)
        };
        let tokens = if names_control(text) || names_control(opening) {
            let parts = [(before, true), (text, false), (after, true), (opening, false)];
            let tokenize = |(index, (part, special)): (usize, (&str, bool))| {
                vocab.tokenize(part.as_bytes(), index == 0, special)
            };
            parts.into_iter().enumerate().flat_map(tokenize).collect()
        } else {
            // As one text: a tokenizer may join what the parts would divide.
            vocab.tokenize([before, text, after, opening].concat().as_bytes(), true, true)
        };
        ensure!(
            !tokens.is_empty(),
            "model {} has no tokens for the prompt; name another model with --model",
            self.name
        );
        Ok(tokens.into_iter().map(Token).collect())
    }

    /// The tokens of a text, without a frame; names of control tokens are text.
    /// With `start`, the tokens that begin every text of this model come first.
    #[must_use]
    pub fn tokenize(&self, text: &str, start: bool) -> Vec<Token> {
        self.llama.vocab().tokenize(text.as_bytes(), start, false).into_iter().map(Token).collect()
    }

    /// What the user may not expect: that the model has a template, and the prompt goes without.
    #[must_use]
    pub fn warning(&self, prompt: &str) -> Option<String> {
        let template = self.llama.chat_template(None).ok().filter(|_| self.framed(prompt).is_none())?;
        let beginning: String = template.to_str().unwrap_or_default().chars().take(40).collect();
        Some(format!(
            "model {} has a chat template that llama.cpp cannot apply ({beginning:?} …), so the prompt is \
             given to it as plain text; where it does not follow that, name another one with --model",
            self.name
        ))
    }

    fn framed(&self, text: &str) -> Option<String> {
        ["system", "user"].iter().find_map(|role| self.frame(role, text))
    }

    /// `text` as the message of `role`. `None` where the model's template is
    /// missing or unknown, or leaves the message out, as some do with a system
    /// message that no user's message follows.
    fn frame(&self, role: &str, text: &str) -> Option<String> {
        let template = self.llama.chat_template(None).ok()?;
        let message = LlamaChatMessage::new(role.to_owned(), text.to_owned()).ok()?;
        let framed = self.llama.apply_chat_template(&template, &[message], true).ok()?;
        framed.contains(text).then_some(framed)
    }

    /// The longest context that the model was trained for, in tokens; checks
    /// that `context_size` is within it.
    ///
    /// # Errors
    ///
    /// When `context_size` is beyond it, or the header does not say it.
    pub fn trained_context(&self, context_size: NonZeroU32) -> Result<u64> {
        // Not `n_ctx_train()`, which panics where the header says more than
        // an i32 holds.
        let trained = self.number("context_length").filter(|&trained| trained > 0).with_context(|| {
            format!(
                "model {} does not say how long its context may be; name another one with --model",
                self.name
            )
        })?;
        ensure!(
            u64::from(context_size.get()) <= trained,
            "--context-size {context_size} is beyond the {trained} tokens that model {} was trained for; \
             give --context-size {trained} or less",
            self.name
        );
        Ok(trained)
    }

    /// The number that the header has under the model's architecture and `key`.
    fn number(&self, key: &str) -> Option<u64> {
        let architecture = self.llama.meta_val_str("general.architecture").ok()?;
        self.llama.meta_val_str(&format!("{architecture}.{key}")).ok()?.parse().ok()
    }

    /// The length of the attention window in tokens, where attention slides.
    pub(super) fn sliding_window(&self) -> Option<u64> {
        self.number("attention.sliding_window").filter(|&window| window > 0)
    }
}

/// A token of a model's vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(pub(super) LlamaToken);

impl Token {
    /// The token with this id, which is from 0 to below the vocabulary's size.
    #[must_use]
    pub fn new(id: i32) -> Self {
        Self(LlamaToken::new(id))
    }

    /// Its place in the vocabulary.
    #[must_use]
    pub fn id(self) -> i32 {
        self.0.0
    }
}

/// The tokens that are never chosen; ascending.
fn banned_tokens(model: &LlamaModel) -> Vec<usize> {
    let vocab = model.vocab();
    let mut piece = Vec::with_capacity(64);
    let is_banned = |token| {
        piece.clear();
        vocab.token_to_piece_into(token, &mut piece, false, None);
        vocab.is_eog(token) || vocab.is_control(token) || piece.is_empty()
    };
    let banned = vocab.tokens().map(is_banned).enumerate();
    banned.filter_map(|(index, banned)| banned.then_some(index)).collect()
}
