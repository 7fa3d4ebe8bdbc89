# The installed tree:
#   bin/quern                        the command
#   include/*.h                      public headers
#   lib/libquern.so*                 the library (RUNPATH $ORIGIN/quern)
#   lib/quern/libwgpu_native.so      the WebGPU implementation, out of everybody else's way
#   lib/cmake/quern, lib/pkgconfig   for projects that link libquern
#   share/quern/*.gguf               the built-in model
include(CMakePackageConfigHelpers)

if(TARGET quern_command)
  install(TARGETS quern_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(TARGETS quern EXPORT quern
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
file(GLOB headers CONFIGURE_DEPENDS include/*.h)
install(FILES ${headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

if(WIN32) # untested: a DLL is looked for beside the program
  install(PROGRAMS ${QN_WGPU_LIBRARY} DESTINATION ${CMAKE_INSTALL_BINDIR})
else()
  install(PROGRAMS ${QN_WGPU_LIBRARY} DESTINATION ${CMAKE_INSTALL_LIBDIR}/quern)
endif()
file(GLOB licences ${QN_WGPU_DIR}/LICENSE*)
foreach(licence IN LISTS licences)
  install(FILES ${licence} DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/quern RENAME LICENSE.wgpu)
endforeach()
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/quern)
install(FILES ${CMAKE_SOURCE_DIR}/${QN_MODEL} DESTINATION ${CMAKE_INSTALL_DATADIR}/quern)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/quern)
install(EXPORT quern NAMESPACE quern:: FILE quern-targets.cmake DESTINATION ${package})
configure_package_config_file(cmake/quern-config.cmake.in ${CMAKE_BINARY_DIR}/quern-config.cmake
  INSTALL_DESTINATION ${package})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/quern-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/quern-config.cmake ${CMAKE_BINARY_DIR}/quern-config-version.cmake
  DESTINATION ${package})

# Paths relative to quern.pc itself, so that the tree may be installed anywhere (--prefix, DESTDIR).
file(RELATIVE_PATH pc_prefix "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
configure_file(cmake/quern.pc.in ${CMAKE_BINARY_DIR}/quern.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/quern.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
