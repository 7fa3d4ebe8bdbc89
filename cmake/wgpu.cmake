# The WebGPU implementation: qn_wgpu is a shared library with the header webgpu.h beside it.
#
# scripts/setup.sh lays wgpu-native into third_party/wgpu. On Windows the wheel carries no import library;
# one has to be made from the DLL first and given as QN_WGPU_IMPLIB (untested).
set(QN_WGPU_DIR "${CMAKE_SOURCE_DIR}/third_party/wgpu" CACHE PATH "folder with webgpu.h and the WebGPU library")
set(QN_WGPU_LIBRARY "${QN_WGPU_DIR}/${CMAKE_SHARED_LIBRARY_PREFIX}wgpu_native${CMAKE_SHARED_LIBRARY_SUFFIX}"
  CACHE FILEPATH "the WebGPU library")
set(QN_WGPU_IMPLIB "" CACHE FILEPATH "Windows: import library of QN_WGPU_LIBRARY")

foreach(file ${QN_WGPU_DIR}/webgpu.h ${QN_WGPU_LIBRARY})
  if(NOT EXISTS ${file})
    message(FATAL_ERROR "${file} is missing: run scripts/setup.sh, or set QN_WGPU_DIR")
  endif()
endforeach()

# The wheel's library has no SONAME: linked by its path, that path would end up in libquern's DT_NEEDED.
# IMPORTED_NO_SONAME makes CMake link it as -L<folder> -lwgpu_native.
add_library(qn_wgpu SHARED IMPORTED)
set_target_properties(qn_wgpu PROPERTIES
  IMPORTED_LOCATION ${QN_WGPU_LIBRARY}
  IMPORTED_NO_SONAME TRUE
  INTERFACE_INCLUDE_DIRECTORIES ${QN_WGPU_DIR})
if(QN_WGPU_IMPLIB)
  set_target_properties(qn_wgpu PROPERTIES IMPORTED_IMPLIB ${QN_WGPU_IMPLIB})
endif()
