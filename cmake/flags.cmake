# qn_flags: how every C file of the project is compiled.
add_library(qn_flags INTERFACE)
if(MSVC)
  target_compile_options(qn_flags INTERFACE /W4 /utf-8)
else()
  target_compile_options(qn_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes
    -Wundef -Wvla
    # a*b+c is never fused behind the code's back: the references give the same bits on every machine
    -ffp-contract=off
    # messages are cut to the size of qn_status on purpose
    $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation>)
endif()
if(UNIX AND NOT APPLE)
  # POSIX and 64-bit file offsets, which -std=c11 hides; no library is needed at run time that nothing calls
  target_compile_definitions(qn_flags INTERFACE _DEFAULT_SOURCE=1 _FILE_OFFSET_BITS=64)
  target_link_options(qn_flags INTERFACE -Wl,--as-needed)
endif()
if(QN_WERROR)
  target_compile_options(qn_flags INTERFACE $<IF:$<C_COMPILER_ID:MSVC>,/WX,-Werror>)
endif()
if(QN_NO_BLOCKING)
  target_compile_definitions(qn_flags INTERFACE QN_NO_BLOCKING)
endif()
if(QN_SANITIZE)
  target_compile_options(qn_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined
    -fno-omit-frame-pointer -g)
  target_link_options(qn_flags INTERFACE -fsanitize=address,undefined)
endif()
