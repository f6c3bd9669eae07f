//! Chooses the kernels for the target, and has the linker redirect ggml's functions to
//! `src/kernels/hooks.rs` (`--wrap`); llama.cpp itself is not changed. Checks that what
//! the hooks copy of ggml's private ABI is what ggml's headers say. Compiles the count of
//! a context's memory against llama.cpp's headers, and the check of the processor.
//! Computes the part of the prompt state's key that depends on the code, and writes the
//! table of the printer's transliterations.

#[path = "build/key.rs"]
mod key;
#[path = "build/transliterations.rs"]
mod transliterations;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=src/board/processor.c");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return Err(
            "torment-nexus runs on Linux only: it needs /proc, memfd, GPIO and termios as Linux has them; \
                    build with --target x86_64-unknown-linux-gnu or aarch64-unknown-linux-gnu"
                .into(),
        );
    }
    let llama = llama_source()?;
    // With llama.cpp's private headers. llama-cpp-sys-2 links libstdc++.
    cc::Build::new()
        .cpp(true)
        .cpp_link_stdlib(None)
        .file("src/mind/context_cost.cpp")
        .includes(["include", "src", "ggml/include"].map(|folder| llama.join(folder)))
        .std("c++17")
        .warnings(false)
        .try_compile("context_cost")?;

    fs::write(Path::new(&env::var("OUT_DIR")?).join("transliterations.rs"), transliterations::source())?;

    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    for source in key::SOURCES {
        println!("cargo:rerun-if-changed={source}");
    }
    let key = key::of(Path::new("."), &[env::var("TARGET")?, features.clone()])?;
    println!("cargo:rustc-env=COMPUTING={key:016x}");

    println!("cargo:rustc-check-cfg=cfg(kernels, values(none(), \"neon\", \"avx2\"))");
    let has = |feature: &str| features.split(',').any(|has| has == feature);
    let wrap = |function| println!("cargo:rustc-link-arg=-Wl,--wrap={function}");
    let kernels = match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("aarch64") => {
            wrap("llamafile_sgemm");
            "neon"
        }
        Ok("x86_64") if ["avx2", "fma", "f16c"].into_iter().all(has) => {
            // For every processor, since it tells whether this one has more.
            cc::Build::new()
                .file("src/board/processor.c")
                .inherit_rustflags(false)
                .flag("-march=x86-64")
                .try_compile("processor")?;
            "avx2"
        }
        _ => return Ok(()),
    };
    // `kernels = "name"` for the one set, and `kernels` for code that needs
    // any.
    println!("cargo:rustc-cfg=kernels=\"{kernels}\"");
    println!("cargo:rustc-cfg=kernels");
    wrap("ggml_compute_forward_flash_attn_ext");
    check_abi(&llama.join("ggml"))
}

/// Compiles `src/kernels/abi.c` against the headers of the ggml that is linked.
/// Nothing of it is linked.
fn check_abi(ggml: &Path) -> Result<(), Box<dyn Error>> {
    cc::Build::new()
        .file("src/kernels/abi.c")
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
                "src/kernels/abi.c: {error}; ggml's private ABI may have changed: see docs/UPGRADING-LLAMA.md"
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
