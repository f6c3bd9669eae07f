//! The memory of a context is counted as llama.cpp allocates it.

use std::fs;

use crate::support::gguf_file::{Gguf, Value};
use crate::support::nexus::Nexus;

/// Width of the hybrid model below, whose attention has as many heads of keys and values
/// as of queries.
const WIDTH: u64 = 4096;

/// Bytes of a key and a value of that width in the cache: 34 for each 32 numbers.
const KEY_AND_VALUE: u64 = 2 * WIDTH / 32 * 34;

/// A model of architecture lfm2 with ember's vocabulary: its first layer is a convolution
/// with a recurrent state and has no keys and values, its second is attention. The
/// weights are a hole in the file: it takes no disk.
fn hybrid(nexus: &Nexus, name: &str) {
    const F32: u32 = 0;
    const Q8_0: u32 = 8;
    let mut gguf = Gguf::ember();
    let wide = 32;
    gguf.rename_architecture("lfm2")
        .set("lfm2.context_length", Value::u32(u32::MAX))
        .set("lfm2.embedding_length", Value::u32(WIDTH as u32))
        .set("lfm2.block_count", Value::u32(2))
        .set("lfm2.feed_forward_length", Value::u32(wide as u32))
        .set("lfm2.attention.head_count", Value::u32(64))
        .set("lfm2.attention.head_count_kv", Value::i32s(&[0, 64]))
        .set("lfm2.rope.dimension_count", Value::u32(64))
        .set("lfm2.shortconv.l_cache", Value::u32(3));
    let square = &[WIDTH, WIDTH][..];
    gguf.tensors.clear();
    let mut add = |name: &str, sizes: &[u64], kind| _ = gguf.add(&format!("{name}.weight"), sizes, kind);
    for (name, sizes, kind) in [
        ("token_embd", &[WIDTH, 2048][..], Q8_0),
        ("token_embd_norm", &[WIDTH], F32),
        ("blk.0.shortconv.conv", &[3, WIDTH], F32),
        ("blk.0.shortconv.in_proj", &[WIDTH, 3 * WIDTH], Q8_0),
        ("blk.0.shortconv.out_proj", square, Q8_0),
        ("blk.1.attn_q_norm", &[64], F32),
        ("blk.1.attn_k_norm", &[64], F32),
        ("blk.1.attn_q", square, Q8_0),
        ("blk.1.attn_k", square, Q8_0),
        ("blk.1.attn_v", square, Q8_0),
        ("blk.1.attn_output", square, Q8_0),
    ] {
        add(name, sizes, kind);
    }
    for layer in ["blk.0", "blk.1"] {
        for norm in ["attn_norm", "ffn_norm"] {
            add(&format!("{layer}.{norm}"), &[WIDTH], F32);
        }
        add(&format!("{layer}.ffn_gate"), &[WIDTH, wide], Q8_0);
        add(&format!("{layer}.ffn_down"), &[wide, WIDTH], Q8_0);
        add(&format!("{layer}.ffn_up"), &[WIDTH, wide], Q8_0);
    }
    gguf.lay_out().write_with_a_hole(&nexus.path(name));
}

/// The number between two parts of a text.
fn number(text: &str, before: &str, after: &str) -> u64 {
    let rest = text.split_once(before).expect(before).1;
    rest.split_once(after).expect(after).0.trim().parse().expect("a number")
}

#[test]
fn the_cache_of_a_hybrid_model_is_counted_though_its_first_layer_has_none() {
    let nexus = Nexus::new();
    hybrid(&nexus, "hybrid.gguf");
    // More than this machine has, with and without swap.
    let meminfo = fs::read_to_string("/proc/meminfo").expect("/proc/meminfo");
    let kilobytes = |name: &str| number(&meminfo, name, "kB");
    let tokens = (kilobytes("MemTotal:") + kilobytes("SwapTotal:")) * 1100 / KEY_AND_VALUE;
    let ended = nexus.run(["-m", "hybrid.gguf", "-c", &tokens.to_string()]);
    ended.failed(1, &["MB of memory", "the largest that fits is --context-size"]);
    let needed = number(&ended.stderr, "tokens needs", "MB") * 1_000_000;
    let cache = tokens * KEY_AND_VALUE;
    assert!((cache..cache * 5 / 4).contains(&needed), "{needed} bytes for a cache of {cache}");
    let free = number(&ended.stderr, "of memory and", "MB") * 1_000_000;
    let largest = number(&ended.stderr, "--context-size", "\n");
    assert!((free * 3 / 4..free).contains(&(largest * KEY_AND_VALUE)), "{largest} tokens in {free} bytes");
}
