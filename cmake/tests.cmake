# Tools and tests. Every tests/FOLDER/test_NAME.c, .sh and .py is the ctest FOLDER.NAME with the label FOLDER.
#
# C tests link quern_static (they reach internals), cmocka, jansson and tests/support/*.c. Scripts get
# the same facts as environment variables. Exit code 77 means skipped.
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)

set(timeout 600)
if(QN_SANITIZE)
  set(timeout 1200)
endif()
set(environment
  QN_SOURCE_DIR=${CMAKE_SOURCE_DIR}
  QN_BUILD_DIR=${CMAKE_BINARY_DIR}
  QN_WGPU_DIR=${QN_WGPU_DIR}
  CC=${CMAKE_C_COMPILER}
  CMAKE=${CMAKE_COMMAND}
  XDG_CACHE_HOME=${CMAKE_BINARY_DIR}/cache
  UBSAN_OPTIONS=print_stacktrace=1)
if(QN_SANITIZE AND UNIX AND NOT APPLE)
  # the Vulkan drivers and their compiler (LLVM) keep some memory until the end
  add_library(keep_loaded SHARED tests/keep_loaded.c)
  set_target_properties(keep_loaded PROPERTIES C_VISIBILITY_PRESET default)
  list(APPEND environment
    LD_PRELOAD=${CMAKE_BINARY_DIR}/libkeep_loaded.so
    ASAN_OPTIONS=verify_asan_link_order=0
    LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/lsan.supp:print_suppressions=0)
endif()

# What tests and tools share. The tools do not need cmocka to run, so only the tests link it.
add_library(test_support STATIC EXCLUDE_FROM_ALL)
file(GLOB support CONFIGURE_DEPENDS tests/support/*.c)
if(NOT support)
  file(WRITE ${CMAKE_BINARY_DIR}/no_support.c "extern int qn_no_test_support;\nint qn_no_test_support = 0;\n")
  set(support ${CMAKE_BINARY_DIR}/no_support.c)
endif()
target_sources(test_support PRIVATE ${support})
target_include_directories(test_support PUBLIC tests/support tests)
target_include_directories(test_support SYSTEM PUBLIC ${CMOCKA_INCLUDE_DIRS})
target_compile_definitions(test_support PUBLIC
  QN_SOURCE_DIR="${CMAKE_SOURCE_DIR}" QN_BUILD_DIR="${CMAKE_BINARY_DIR}")
target_link_libraries(test_support PUBLIC quern_static)

# tools/NAME.c -> build/tools/NAME
file(GLOB tools CONFIGURE_DEPENDS tools/*.c)
foreach(source IN LISTS tools)
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE test_support)
  set_target_properties(${name} PROPERTIES
    BUILD_RPATH "${origin}/../${wgpu_relative}"
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tools)
endforeach()

file(GLOB tests CONFIGURE_DEPENDS tests/*/test_*.c tests/*/test_*.sh tests/*/test_*.py)
# The build for browsers is one and the same, whatever this one's flags are: only the plain release build tests it.
if(NOT QN_TEST_WEB)
  list(FILTER tests EXCLUDE REGEX "/tests/web/")
endif()
foreach(source IN LISTS tests)
  get_filename_component(folder ${source} DIRECTORY)
  get_filename_component(folder ${folder} NAME)
  get_filename_component(name ${source} NAME_WE)
  get_filename_component(kind ${source} EXT)
  string(REGEX REPLACE "^test_" "" short ${name})
  set(test ${folder}.${short})
  if(kind STREQUAL ".c")
    set(target test_${folder}_${short})
    add_executable(${target} ${source})
    target_link_libraries(${target} PRIVATE test_support PkgConfig::CMOCKA PkgConfig::JANSSON PkgConfig::UTF8PROC)
    set_target_properties(${target} PROPERTIES
      OUTPUT_NAME ${name}
      BUILD_RPATH "${origin}/../../${wgpu_relative}"
      RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/${folder})
    add_test(NAME ${test} COMMAND ${target})
  elseif(kind STREQUAL ".sh")
    add_test(NAME ${test} COMMAND sh ${source})
  else()
    add_test(NAME ${test} COMMAND python3 ${source})
  endif()
  set_tests_properties(${test} PROPERTIES
    LABELS ${folder}
    TIMEOUT ${timeout}
    SKIP_RETURN_CODE 77
    ENVIRONMENT "${environment}")
  if(folder STREQUAL "web")
    set_tests_properties(${test} PROPERTIES RESOURCE_LOCK web) # each builds web/dist
    if(name STREQUAL "test_browser")
      set_tests_properties(${test} PROPERTIES PROCESSORS 2) # it watches how long the page is held up
    endif()
  endif()
endforeach()
