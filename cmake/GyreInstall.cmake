# Installation: both libraries, headers, pkg-config file, CMake package, man pages, the program.
include(CMakePackageConfigHelpers)

install(TARGETS gyre_static gyre_shared EXPORT gyreTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET gyre_program)
  install(TARGETS gyre_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h")

# The file says where it is itself, because `cmake --install --prefix` may come with another prefix.
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
  set(gyre_pc_prefix ${CMAKE_INSTALL_PREFIX})
else()
  file(RELATIVE_PATH gyre_pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" gyre_pc_prefix "\${pcfiledir}/${gyre_pc_prefix}")
endif()
configure_file(cmake/gyre.pc.in gyre.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/gyre.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(gyre_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/gyre)
configure_package_config_file(cmake/gyreConfig.cmake.in gyreConfig.cmake
  INSTALL_DESTINATION ${gyre_package_dir})
write_basic_package_version_file(gyreConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT gyreTargets NAMESPACE gyre:: DESTINATION ${gyre_package_dir})
install(FILES
  ${CMAKE_CURRENT_BINARY_DIR}/gyreConfig.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/gyreConfigVersion.cmake
  DESTINATION ${gyre_package_dir})

# Man pages are made from the public headers; without python3 there are none.
find_program(GYRE_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH)
find_program(GYRE_PYTHON NAMES python3)
file(GLOB gyre_public_headers CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/include/gyre/*.h)
if(GYRE_PYTHON AND gyre_public_headers)
  set(apidoc ${CMAKE_CURRENT_SOURCE_DIR}/tools/apidoc)
  set(man_dir ${CMAKE_CURRENT_BINARY_DIR}/man)
  add_custom_command(
    OUTPUT ${man_dir}/stamp
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${man_dir}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${man_dir}
    COMMAND ${GYRE_PYTHON} ${apidoc} --man ${man_dir} --lenient ${gyre_public_headers}
    COMMAND ${CMAKE_COMMAND} -E touch ${man_dir}/stamp
    DEPENDS ${apidoc} ${gyre_public_headers}
    COMMENT "Making man pages from the public headers"
    VERBATIM)
  add_custom_target(man ALL DEPENDS ${man_dir}/stamp)
  install(DIRECTORY ${man_dir}/ DESTINATION ${CMAKE_INSTALL_MANDIR} FILES_MATCHING PATTERN "gyre*")
endif()
file(GLOB gyre_hand_pages ${CMAKE_CURRENT_SOURCE_DIR}/docs/man/*.1)
if(gyre_hand_pages)
  install(FILES ${gyre_hand_pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
