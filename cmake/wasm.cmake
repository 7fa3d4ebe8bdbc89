# Toolchain of the build for browsers: Debian's clang, lld and wasi-libc. QN_WASM_CLANG names another clang.
set(CMAKE_SYSTEM_NAME Generic) # CMake 3.25 knows no WASI
set(CMAKE_SYSTEM_PROCESSOR wasm32)
find_program(QN_WASM_CLANG NAMES clang-19 clang REQUIRED)
set(CMAKE_C_COMPILER ${QN_WASM_CLANG})
set(CMAKE_C_COMPILER_TARGET wasm32-wasi)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
