//! Leads two of ggml's hot loops to `src/ggml.rs`: the linker renames the
//! calls of them, and nothing of llama.cpp is changed.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for function in ["llamafile_sgemm", "ggml_compute_forward_flash_attn_ext"] {
        println!("cargo:rustc-link-arg=-Wl,--wrap={function}");
    }
}
