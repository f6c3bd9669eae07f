# Read by llama.cpp's own CMake files, by way of .cargo/config.toml. libllama
# reads models and builds graphs: it is large, and what it does while a life
# runs costs under 1 % of a token. Small code is better there than fast code.
if(PROJECT_IS_TOP_LEVEL)
    cmake_language(DEFER CALL target_compile_options llama PRIVATE -Os)
endif()
