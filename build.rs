//! Leads ggml's hot loops to `src/ggml.rs`: the linker renames the calls of
//! these functions, and nothing of llama.cpp is changed.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let mut led = vec!["llamafile_sgemm"];
    if env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("aarch64") {
        led.push("ggml_compute_forward_flash_attn_ext");
    }
    for function in led {
        println!("cargo:rustc-link-arg=-Wl,--wrap={function}");
    }
}
