# .cargo/config.toml makes llama.cpp's CMake read this file. It compiles parts of
# llama.cpp for size: the code that reads models, builds graphs and dispatches
# them is large and takes under 1 % of a token's time. The unary operations
# (unary-ops.cpp) are compiled for size too, since the models used here call none
# of them. Cargo does not watch this file: after a change run
# `cargo clean --release -p llama-cpp-sys-2`, with --target for the board's.
if(PROJECT_IS_TOP_LEVEL)
    cmake_language(DEFER CALL target_compile_options llama PRIVATE -Os)
    set(ggml ${CMAKE_CURRENT_SOURCE_DIR}/ggml/src)
    cmake_language(DEFER CALL set_property
        SOURCE ${ggml}/ggml.c ${ggml}/ggml-alloc.c ${ggml}/ggml-backend.cpp ${ggml}/ggml-backend-meta.cpp
               ${ggml}/ggml-opt.cpp ${ggml}/gguf.cpp
        TARGET_DIRECTORY ggml-base PROPERTY COMPILE_OPTIONS -Os)
    cmake_language(DEFER CALL set_property
        SOURCE ${ggml}/ggml-cpu/unary-ops.cpp
        TARGET_DIRECTORY ggml-cpu PROPERTY COMPILE_OPTIONS -Os)
endif()
