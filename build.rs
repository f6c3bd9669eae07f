//! Has the linker redirect ggml's functions to `crates/kernels` (`--wrap`); llama.cpp
//! itself is not changed. Compiles the count of a context's memory against llama.cpp's
//! headers, and the check of the processor. Computes the part of the prompt state's key
//! that depends on the code.

#[path = "build/key.rs"]
mod key;

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=src/processor.c");
    // From crates/kernels/build.rs: llama.cpp's source, and what is redirected.
    let llama = PathBuf::from(env::var("DEP_NEXUS_KERNELS_LLAMA")?);
    let wrapped = env::var("DEP_NEXUS_KERNELS_WRAP").unwrap_or_default();
    for function in wrapped.split_whitespace() {
        println!("cargo:rustc-link-arg=-Wl,--wrap={function}");
    }
    // With llama.cpp's private headers. llama-cpp-sys-2 links libstdc++.
    cc::Build::new()
        .cpp(true)
        .cpp_link_stdlib(None)
        .file("src/mind/context_cost.cpp")
        .includes(["include", "src", "ggml/include"].map(|folder| llama.join(folder)))
        .std("c++17")
        .warnings(false)
        .try_compile("context_cost")?;

    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    for source in key::SOURCES {
        println!("cargo:rerun-if-changed={source}");
    }
    let key = key::of(Path::new("."), &[env::var("TARGET")?, features.clone()])?;
    println!("cargo:rustc-env=COMPUTING={key:016x}");

    println!("cargo:rustc-check-cfg=cfg(checks_processor)");
    let is_pc = env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("x86_64");
    if is_pc && features.split(',').any(|feature| feature == "avx2") {
        // For every processor, since it tells whether this one has more.
        println!("cargo:rustc-cfg=checks_processor");
        cc::Build::new()
            .file("src/processor.c")
            .inherit_rustflags(false)
            .flag("-march=x86-64")
            .try_compile("processor")?;
    }
    Ok(())
}
