//! A repository of the hub, named as llama.cpp's `-hf` takes it, `user/repo[:quant]`; and
//! which of its files is meant.

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::address::HUB;
use super::answers::{Answer, Next, Refusal};
use super::files::Origin;

/// The quantizations that are taken where none is asked for, the first that there is.
const PREFERRED: [&str; 3] = ["Q4_K_M", "Q4_0", "Q8_0"];

/// What stands in the names of GGUF files that are no models that write text; as in
/// llama.cpp, which keeps some of them beside a model.
const NO_MODELS: [&str; 6] = ["mmproj", "imatrix", "mtp-", "eagle3-", "dflash-", "dspark-"];

/// At most so many bytes of the hub's answer about a repository are read: thousands of files.
const MAX_ANSWER: u64 = 8 << 20;

/// A repository, and the quantization that is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// `user/repo`.
    name: String,
    quant: Option<String>,
}

impl Repository {
    /// Reads `user/repo[:quant]`. `None` where it is something else, as a path is that begins
    /// with a folder that is there.
    pub(crate) fn named(text: &str) -> Option<Self> {
        let (name, quant) = text.split_once(':').map_or((text, None), |(name, quant)| (name, Some(quant)));
        let (user, repo) = name.split_once('/')?;
        let is_name = |part: &str| {
            part.starts_with(|first: char| first.is_ascii_alphanumeric())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        let is_path = text.ends_with(".gguf") || Path::new(user).exists() || Path::new(text).exists();
        ([user, repo].into_iter().chain(quant).all(is_name) && !is_path)
            .then(|| Self { name: name.to_owned(), quant: quant.map(str::to_owned) })
    }

    /// Where the hub tells what is in it.
    pub(super) fn address(&self) -> String {
        format!("{HUB}/api/models/{}", self.name)
    }

    fn folder(&self) -> String {
        format!("{HUB}/{}/resolve/main/", self.name)
    }

    /// The address of the file that is meant, by what the hub answers.
    pub(super) fn file(&self, answer: Answer) -> Result<String, Refusal> {
        let Answer { host, body, .. } = answer;
        let mut text = Vec::new();
        let broke_off =
            |error| Refusal { next: Next::Again(None), ..super::answers::unreachable(&host, &error) };
        body.take(MAX_ANSWER).read_to_end(&mut text).map_err(broke_off)?;
        let answer: Value = serde_json::from_slice(&text).unwrap_or_default();
        let files = answer["siblings"].as_array().with_context(|| {
            format!("what {host} sends is no list of files; if this network has a login page, log in and start again")
        })?;
        let files: Vec<_> = files.iter().filter_map(|file| file["rfilename"].as_str()).collect();
        Ok(self.folder() + self.choose(&files)?)
    }

    /// The address of a file that is meant, if one, or a part of it, is in `dir`: the hub need
    /// not be asked then.
    pub(crate) fn kept(&self, dir: &Path) -> Option<String> {
        let mut files: Vec<String> = fs::read_dir(dir)
            .ok()?
            .filter_map(|entry| {
                // Beside a model or a part.
                let record = entry.ok()?.path();
                let url = Origin::read(&record).filter(|_| record.with_extension("").is_file())?.url;
                url.strip_prefix(&self.folder()).map(str::to_owned)
            })
            .collect();
        files.sort();
        self.choose(&files).ok().map(|file| self.folder() + file)
    }

    fn choose<'a>(&self, files: &'a [impl AsRef<str>]) -> Result<&'a str> {
        let Self { name: repo, quant } = self;
        let named = |file: &'a _| Some((stem(AsRef::as_ref(file))?, AsRef::as_ref(file)));
        let mut models: Vec<_> = files.iter().filter_map(named).collect();
        models.retain(|(name, _)| !is_part(name) && !NO_MODELS.iter().any(|no| name.contains(no)));
        let of = |quant: &str| models.iter().find(|(name, _)| is_of(name, quant)).map(|(_, file)| *file);
        let chosen = match (quant, &models[..]) {
            (Some(quant), _) => of(quant),
            (None, [(_, only)]) => Some(*only),
            (None, _) => PREFERRED.into_iter().find_map(of),
        };
        if let Some(file) = chosen {
            return Ok(file);
        }
        ensure!(
            !models.is_empty(),
            "{repo} has no model in one GGUF file; name another repository (many that have one end in -GGUF)"
        );
        let wanted = quant.as_deref().unwrap_or("Q4_K_M, Q4_0 or Q8_0");
        let mut there: Vec<_> =
            models.iter().filter_map(|(name, _)| name.rsplit(['-', '.']).next()).collect();
        there.dedup();
        let there = there.join(", ");
        bail!("{repo} has no {wanted} in one file; add one of these after a colon: {there}")
    }
}

/// The name of a GGUF file, without its folder and its ending.
fn stem(file: &str) -> Option<&str> {
    file.rsplit('/').next()?.strip_suffix(".gguf")
}

/// Whether a file of this name is one of several parts, `…-00001-of-00003`.
fn is_part(name: &str) -> bool {
    name.rsplit_once("-of-").is_some_and(|(_, count)| count.parse().is_ok_and(|count: u32| count > 1))
}

/// Whether a file of this name is of this quantization: a piece of it is, in any case of letters.
fn is_of(name: &str, quant: &str) -> bool {
    let [name, quant] = [name, quant].map(|text| format!("-{}-", text.to_lowercase().replace('.', "-")));
    name.contains(&quant) || name.contains(&quant.replacen('-', "_", 1))
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, quant } = self;
        f.write_str(name)?;
        quant.iter().try_for_each(|quant| write!(f, ":{quant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_what_llama_cpp_takes_for_one_and_no_path() {
        let named = |text: &str| Repository::named(text).map(|repo| repo.to_string());
        for text in ["bartowski/SmolLM2-135M-Instruct-GGUF:Q4_K_M", "ggml-org/gemma.3_270m", "a/b:UD-Q4_K_M"]
        {
            assert_eq!(named(text).as_deref(), Some(text));
        }
        // `src` is a folder here.
        for text in
            ["src/repo", "models/m.gguf", "./a/b", "../a", "/a/b", "a/b/c", "a/b:", "a", "a/", "~/a", "a/b c"]
        {
            assert_eq!(named(text), None, "{text}");
        }
    }

    #[test]
    fn the_file_of_the_quantization_is_chosen_or_those_there_are_are_named() {
        let many = "README.md mmproj-m-Q4_K_M.gguf imatrix.gguf M-Q4_K_L.gguf M-Q8_0-00001-of-00002.gguf \
                    M-Q8_0-00002-of-00002.gguf sub/M-Q4_K_M.gguf M-UD-Q2_K.gguf m_q5_0.gguf M-Q4_0.gguf";
        for (text, files, file) in [
            ("u/r", many, Ok("sub/M-Q4_K_M.gguf")),
            ("u/r:q4_k_m", many, Ok("sub/M-Q4_K_M.gguf")),
            ("u/r:UD-Q2_K", many, Ok("M-UD-Q2_K.gguf")),
            ("u/r:Q5_0", many, Ok("m_q5_0.gguf")),
            (
                "u/r:Q8_0",
                many,
                Err("u/r has no Q8_0 in one file; add one of these after a colon: Q4_K_L, Q4_K_M, Q2_K, "),
            ),
            ("u/r:Q4_K", many, Err("u/r has no Q4_K in one file")),
            ("u/r", "M.Q4_0.gguf M.Q2_K.gguf", Ok("M.Q4_0.gguf")),
            ("u/r", "M-F16.gguf", Ok("M-F16.gguf")),
            (
                "u/r",
                "M-F16.gguf M-BF16.gguf",
                Err("no Q4_K_M, Q4_0 or Q8_0 in one file; add one of these after a colon: F16, BF16"),
            ),
            ("u/r", "model.safetensors", Err("u/r has no model in one GGUF file")),
        ] {
            let files: Vec<_> = files.split_whitespace().collect();
            match (Repository::named(text).expect("a repository").choose(&files), file) {
                (Ok(chosen), Ok(file)) => assert_eq!(chosen, file, "{text}"),
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
                (chosen, _) => panic!("{text}: {chosen:?}"),
            }
        }
    }
}
