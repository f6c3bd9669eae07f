//! `requantize FROM TO`: requantizes a GGUF model to Q4_K_M as llama.cpp's own
//! tool does. `script/real-model` runs it.
//!
//! FROM is itself quantized, so the new weights keep its rounding errors. Their
//! tensor types and sizes are those of Q4_K_M.

use std::env;
use std::error::Error;
use std::ffi::CString;

use llama_cpp_sys_2::{
    LLAMA_FTYPE_MOSTLY_Q4_K_M, llama_backend_init, llama_model_quantize, llama_model_quantize_default_params,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let (Some(from), Some(to), None) = (args.next(), args.next(), args.next()) else {
        return Err("usage: requantize FROM.gguf TO.gguf".into());
    };
    // This call makes sure that the program's hooks are linked: the linker
    // redirects calls of ggml to them.
    kernels::hooks::leave_to_ggml();
    let (from, to) = (CString::new(from)?, CString::new(to)?);
    // SAFETY: both paths are C strings that outlive the call.
    let failed = unsafe {
        llama_backend_init();
        let mut params = llama_model_quantize_default_params();
        params.ftype = LLAMA_FTYPE_MOSTLY_Q4_K_M;
        params.allow_requantize = true;
        llama_model_quantize(from.as_ptr(), to.as_ptr(), &raw const params)
    };
    if failed == 0 { Ok(()) } else { Err(format!("llama.cpp cannot requantize {from:?}").into()) }
}
