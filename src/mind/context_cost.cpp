// Counts what a context would take, by llama.cpp's own simulation (`no_alloc`, made for
// its --fit): a context whose key-value cache and compute buffers are not allocated.
// llama.cpp switches it on when a model is loaded; here it is switched on in a model that
// is loaded already, because loading it once more would read the whole vocabulary again.
#include "llama-context.h"
#include "llama-model.h"

#include <algorithm>
#include <malloc.h>
#include <numeric>

// Bytes of the cache, the recurrent state and the buffers that a batch is computed in;
// 0 where llama.cpp cannot make the context. The model is as before afterwards.
extern "C" size_t torment_nexus_context_bytes(llama_model * model, const llama_context_params * params) {
    model->hparams.no_alloc = true;
    size_t bytes = 0;
    if (llama_context * context = llama_init_from_model(model, *params)) {
        llama_memory_context_ptr full;
        if (llama_memory_t memory = context->get_memory()) {
            for (const auto & buffer : memory->memory_breakdown()) {
                bytes += buffer.second;
            }
            full = memory->init_full();
        }
        // As when llama.cpp reserves for the largest batch. llama_get_memory_breakdown
        // would give the same sizes, but asserts that the model has no weights.
        const uint32_t tokens  = std::min(context->n_ctx(), context->n_ubatch());
        const uint32_t outputs = std::min(tokens, context->get_cparams().n_outputs_max);
        std::vector<size_t> buffers(ggml_backend_sched_get_n_backends(context->get_sched()));
        context->graph_reserve(tokens, context->n_seq_max(), outputs, full.get(), true, buffers.data());
        bytes = std::accumulate(buffers.begin(), buffers.end(), bytes);
        llama_free(context);
        malloc_trim(0); // gives back what loading and this have freed
    }
    model->hparams.no_alloc = false;
    return bytes;
}
