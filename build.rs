//! Leads two of ggml's hot loops to `src/ggml.rs`: the linker renames the
//! calls of them, and nothing of llama.cpp is changed. And says which kernels
//! the machine that this is built for gets, and what the numbers of a life depend
//! on beside its model.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::{env, fs};

/// What decides the bits of what is computed: llama.cpp's version and its
/// compiler's flags, and our own part.
const COMPUTING: [&str; 11] = [
    "Cargo.lock",
    ".cargo/config.toml",
    "script/llama.cmake",
    "src/llm.rs",
    "src/ggml.rs",
    "src/attention.rs",
    "src/product.rs",
    "src/blocks.rs",
    "src/kernels_a53.rs",
    "src/kernels_avx2.rs",
    "src/kernels_portable.rs",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for function in ["llamafile_sgemm", "ggml_compute_forward_flash_attn_ext"] {
        println!("cargo:rustc-link-arg=-Wl,--wrap={function}");
    }

    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let mut digest = DefaultHasher::new();
    (env::var("TARGET").ok(), &features).hash(&mut digest);
    for file in COMPUTING {
        println!("cargo:rerun-if-changed={file}");
        fs::read(file).ok().hash(&mut digest);
    }
    println!("cargo:rustc-env=COMPUTING={:016x}", digest.finish());

    println!("cargo:rustc-check-cfg=cfg(kernels, values(none(), \"a53\", \"avx2\"))");
    let has = |feature: &str| features.split(',').any(|has| has == feature);
    let kernels = match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("aarch64") => "a53",
        Ok("x86_64") if ["avx2", "fma", "f16c"].into_iter().all(has) => "avx2",
        _ => return,
    };
    // With a name, and without one: there are some.
    println!("cargo:rustc-cfg=kernels=\"{kernels}\"");
    println!("cargo:rustc-cfg=kernels");
}
