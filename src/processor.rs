//! A program for PCs looks at the processor before anything else: without AVX2 it
//! would end with `Illegal instruction`.

unsafe extern "C" {
    fn torment_nexus_check_processor();
}

/// The loader calls the functions of this section before every other initialiser, those
/// of the shared libraries included.
#[used]
#[unsafe(link_section = ".preinit_array")]
static CHECK: unsafe extern "C" fn() = torment_nexus_check_processor;
