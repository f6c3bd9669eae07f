//! Leads two of ggml's hot loops to `src/kernels/hooks.rs`: the linker renames the
//! calls of them, and nothing of llama.cpp is changed. And says which kernels
//! the machine that this is built for gets, and what the numbers of a life depend
//! on beside its model.

#[path = "build/key.rs"]
mod key;

use std::env;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");
    for function in ["llamafile_sgemm", "ggml_compute_forward_flash_attn_ext"] {
        println!("cargo:rustc-link-arg=-Wl,--wrap={function}");
    }

    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    for source in key::SOURCES {
        println!("cargo:rerun-if-changed={source}");
    }
    let key = key::of(Path::new("."), &[env::var("TARGET")?, features.clone()])?;
    println!("cargo:rustc-env=COMPUTING={key:016x}");

    println!("cargo:rustc-check-cfg=cfg(kernels, values(none(), \"neon\", \"avx2\"))");
    let has = |feature: &str| features.split(',').any(|has| has == feature);
    let kernels = match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("aarch64") => "neon",
        Ok("x86_64") if ["avx2", "fma", "f16c"].into_iter().all(has) => "avx2",
        _ => return Ok(()),
    };
    // With a name, and without one: there are some.
    println!("cargo:rustc-cfg=kernels=\"{kernels}\"");
    println!("cargo:rustc-cfg=kernels");
    Ok(())
}
