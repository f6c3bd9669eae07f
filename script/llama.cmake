# Read by llama.cpp's own CMake files, by way of .cargo/config.toml. What reads
# models, builds graphs and hands them on is large, and what it does while a
# life runs costs under 1 % of a token: small code is better there than fast
# code. So it is for the functions of one number (unary-ops.cpp), of which the
# models of this piece use none. Cargo does not watch this file: after a change
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
