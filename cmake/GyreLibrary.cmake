# libgyre: one object set, linked twice. A platform is chosen by the list of folders.
set(GYRE_SOURCE_FOLDERS base core backend os/posix net fs proc dns work obs sim sim/posix cluster)
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  list(APPEND GYRE_SOURCE_FOLDERS os/linux)
endif()
if(GYRE_HTTP)
  list(APPEND GYRE_SOURCE_FOLDERS http)
endif()

set(gyre_sources)
foreach(folder IN LISTS GYRE_SOURCE_FOLDERS)
  file(GLOB found CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/${folder}/*.c)
  list(APPEND gyre_sources ${found})
endforeach()
if(NOT gyre_sources)
  file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/empty.c "typedef int gyrei_empty;\n")
  list(APPEND gyre_sources ${CMAKE_CURRENT_BINARY_DIR}/empty.c)
endif()

add_library(gyre_objects OBJECT ${gyre_sources})
target_include_directories(gyre_objects
  PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/include
  PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/src)
target_compile_definitions(gyre_objects PRIVATE GYRE_BUILDING=1)
target_compile_options(gyre_objects PRIVATE -fvisibility=hidden)
target_link_libraries(gyre_objects PRIVATE gyre_flags PkgConfig::LIBURING Threads::Threads)
set(gyre_all_objects $<TARGET_OBJECTS:gyre_objects>)

# llhttp is generated code: compiled as it is, without our warnings. Its global names get our prefix,
# so that a program may link libgyre.a beside an llhttp of its own.
if(GYRE_HTTP)
  file(GLOB llhttp_sources ${GYRE_LLHTTP_SOURCE_DIR}/*.c)
  if(NOT llhttp_sources OR NOT EXISTS ${GYRE_LLHTTP_INCLUDE_DIR}/llhttp.h)
    message(FATAL_ERROR "llhttp not found: install Debian's node-llhttp, set "
      "GYRE_LLHTTP_SOURCE_DIR and GYRE_LLHTTP_INCLUDE_DIR, or configure with -DGYRE_HTTP=OFF")
  endif()
  set(llhttp_names)
  foreach(source IN LISTS llhttp_sources)
    file(STRINGS ${source} lines REGEX "llhttp_[a-z0-9_]+\\(")
    string(REGEX MATCHALL "llhttp_[a-z0-9_]+\\(" names "${lines}")
    list(APPEND llhttp_names ${names})
  endforeach()
  list(REMOVE_DUPLICATES llhttp_names)
  list(SORT llhttp_names)
  set(renames "")
  foreach(name IN LISTS llhttp_names)
    string(REPLACE "(" "" name ${name})
    string(APPEND renames "#define ${name} gyrei_${name}\n")
  endforeach()
  set(llhttp_renames ${CMAKE_CURRENT_BINARY_DIR}/llhttp_renames.h)
  file(CONFIGURE OUTPUT ${llhttp_renames} CONTENT "${renames}" @ONLY)

  add_library(gyre_llhttp OBJECT ${llhttp_sources})
  target_include_directories(gyre_llhttp SYSTEM PUBLIC ${GYRE_LLHTTP_INCLUDE_DIR})
  target_compile_options(gyre_llhttp PRIVATE -w -fvisibility=hidden -include ${llhttp_renames})
  target_include_directories(gyre_objects SYSTEM PRIVATE ${GYRE_LLHTTP_INCLUDE_DIR})
  file(GLOB http_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/http/*.c)
  set_property(SOURCE ${http_sources} APPEND PROPERTY COMPILE_OPTIONS -include ${llhttp_renames})
  target_compile_definitions(gyre_objects PRIVATE GYRE_HAVE_HTTP=1)
  list(APPEND gyre_all_objects $<TARGET_OBJECTS:gyre_llhttp>)
endif()

add_library(gyre_static STATIC ${gyre_all_objects})
add_library(gyre_shared SHARED ${gyre_all_objects})
foreach(kind static shared)
  set_target_properties(gyre_${kind} PROPERTIES OUTPUT_NAME gyre LINKER_LANGUAGE C)
  target_include_directories(gyre_${kind} INTERFACE
    $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(gyre_${kind} INTERFACE c_std_11)
endforeach()
set_target_properties(gyre_static PROPERTIES EXPORT_NAME static)
# A plain -luring in the exported interface: a user of libgyre.a needs no liburing-dev module file.
target_link_libraries(gyre_static PUBLIC Threads::Threads INTERFACE uring)
add_library(gyre::static ALIAS gyre_static)

# Until 1.0 each minor version may break the ABI, so the SONAME carries it.
set(gyre_map ${CMAKE_CURRENT_SOURCE_DIR}/src/libgyre.map)
set_target_properties(gyre_shared PROPERTIES
  EXPORT_NAME gyre
  VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
  LINK_DEPENDS ${gyre_map})
target_link_libraries(gyre_shared PRIVATE PkgConfig::LIBURING Threads::Threads)
target_link_options(gyre_shared PRIVATE -Wl,--version-script=${gyre_map})
if(NOT GYRE_SANITIZE)
  target_link_options(gyre_shared PRIVATE -Wl,--no-undefined)
endif()
add_library(gyre::gyre ALIAS gyre_shared)
