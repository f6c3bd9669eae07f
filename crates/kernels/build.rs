//! Chooses the kernels for the target, and tells the linker, for the tests here, and the
//! build scripts of programs which functions of ggml are theirs (`--wrap`). Checks that
//! what the hooks copy of ggml's private ABI is what ggml's headers say.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/abi.c");
    println!("cargo:rustc-check-cfg=cfg(kernels, values(none(), \"neon\", \"avx2\"))");
    let llama = llama_source()?;
    println!("cargo:llama={}", llama.display());
    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let has = |feature: &str| features.split(',').any(|has| has == feature);
    let (kernels, functions): (_, &[&str]) = match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("aarch64") => ("neon", &["llamafile_sgemm", "ggml_compute_forward_flash_attn_ext"]),
        Ok("x86_64") if ["avx2", "fma", "f16c"].into_iter().all(has) => {
            ("avx2", &["ggml_compute_forward_flash_attn_ext"])
        }
        _ => return Ok(()),
    };
    // `kernels = "name"` for the one set, and `kernels` for code that needs any.
    println!("cargo:rustc-cfg=kernels=\"{kernels}\"");
    println!("cargo:rustc-cfg=kernels");
    println!("cargo:wrap={}", functions.join(" "));
    for function in functions {
        println!("cargo:rustc-link-arg=-Wl,--wrap={function}");
    }
    check_abi(&llama.join("ggml"))
}

/// Compiles `src/abi.c` against the headers of the ggml that is linked. Nothing of it is
/// linked.
fn check_abi(ggml: &Path) -> Result<(), Box<dyn Error>> {
    cc::Build::new()
        .file("src/abi.c")
        .includes(["include", "src", "src/ggml-cpu"].map(|folder| ggml.join(folder)))
        .std("c11")
        .flag("-Werror=incompatible-pointer-types")
        .flag("-Werror=implicit-function-declaration")
        // Warnings in ggml's own headers are not ours.
        .warnings(false)
        .cargo_metadata(false)
        .try_compile_intermediates()
        .map_err(|error| {
            format!(
                "crates/kernels/src/abi.c: {error}; ggml's private ABI may have changed: see docs/UPGRADING-LLAMA.md"
            )
        })?;
    Ok(())
}

/// The folder of llama.cpp's source that llama-cpp-sys-2 has compiled.
fn llama_source() -> Result<PathBuf, Box<dyn Error>> {
    // The variable names …/out/lib/cmake; CMake's cache is in …/out/build.
    let cmake = PathBuf::from(env::var("DEP_LLAMA_GGML_CMAKE_DIR")?);
    let cache = cmake.ancestors().nth(2).ok_or("no build folder of llama.cpp")?.join("build/CMakeCache.txt");
    let text = fs::read_to_string(&cache).map_err(|error| format!("{}: {error}", cache.display()))?;
    let source = text.lines().find_map(|line| line.strip_prefix("CMAKE_HOME_DIRECTORY:INTERNAL="));
    Ok(source.ok_or("CMakeCache.txt does not name llama.cpp's source")?.into())
}
