# Tests, found by folder; each gets the folder's name as its ctest label.
#   tests/unit/test_*.c     internal headers, the static library; once
#   tests/api/test_*.c      public headers and tests/support only; once per backend
#   tests/backend/test_*.c  internal headers; once per backend
#   tests/sim/test_*.c      public headers and the simulated kernel; once
#   tests/FOLDER/*          scripts named test_*.{sh,py} or *_test.{sh,py}: tools, exercises, demo, site once,
#                           http and cmd per backend. Other files there are helpers of the scripts.
# The environment of a test: GYRE_BACKEND and GYRE_BACKEND_STRICT=1 (per backend), GYRE_SOURCE_DIR,
# GYRE_BUILD_DIR, GYRE_PROGRAM (the program), GYRE_CC, GYRE_SANITIZE, GYRE_SLOW (a factor for time
# limits: 1, or 4 under a sanitizer).
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
set(GYRE_BACKENDS epoll poll uring)

set(gyre_slow 1)
set(gyre_launcher)
if(GYRE_SANITIZE OR GYRE_COVERAGE)
  set(gyre_slow 4)
endif()
math(EXPR gyre_test_timeout "60 * ${gyre_slow}")
if(GYRE_SANITIZE MATCHES "thread")
  # gcc 12's TSan cannot map its shadow where the kernel randomises with more than 28 bits.
  execute_process(COMMAND setarch -R true RESULT_VARIABLE status OUTPUT_QUIET ERROR_QUIET)
  if(status EQUAL 0)
    set(gyre_launcher setarch -R)
  endif()
endif()

set(gyre_test_env
  "GYRE_SOURCE_DIR=${CMAKE_CURRENT_SOURCE_DIR}"
  "GYRE_BUILD_DIR=${CMAKE_CURRENT_BINARY_DIR}"
  "GYRE_PROGRAM=${CMAKE_CURRENT_BINARY_DIR}/gyre"
  "GYRE_CC=${CMAKE_C_COMPILER}"
  "GYRE_SANITIZE=${GYRE_SANITIZE}"
  "GYRE_SLOW=${gyre_slow}"
  "ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1"
  "UBSAN_OPTIONS=print_stacktrace=1"
  "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1")

# gyre_add_test(NAME label command...): one ctest entry with our environment and limits.
function(gyre_add_test name label)
  add_test(NAME ${name} COMMAND ${gyre_launcher} ${ARGN})
  set_tests_properties(${name} PROPERTIES
    LABELS ${label} TIMEOUT ${gyre_test_timeout} SKIP_RETURN_CODE 77 ENVIRONMENT "${gyre_test_env}")
endfunction()

# The same once per backend; the backend's name is the last part of the test's name.
function(gyre_add_backend_tests name label)
  foreach(backend IN LISTS GYRE_BACKENDS)
    gyre_add_test(${name}.${backend} ${label} ${ARGN})
    set_property(TEST ${name}.${backend} APPEND PROPERTY
      ENVIRONMENT "GYRE_BACKEND=${backend}" "GYRE_BACKEND_STRICT=1")
  endforeach()
endfunction()

file(GLOB support_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/tests/support/*.c)
if(support_sources)
  add_library(gyre_test_support STATIC ${support_sources})
  if(GYRE_COVERAGE)
    target_compile_definitions(gyre_test_support PRIVATE GYRE_COVERAGE)
  endif()
  target_include_directories(gyre_test_support PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/tests/support)
  target_link_libraries(gyre_test_support
    PRIVATE gyre_flags PUBLIC gyre::static PkgConfig::CMOCKA)
endif()

# Makes one executable for each tests/FOLDER/test_*.c; sets `out` to their names.
function(gyre_c_tests folder internal out)
  set(names)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/tests/${folder}/test_*.c)
  if(NOT GYRE_HTTP)
    list(FILTER sources EXCLUDE REGEX "/test_http_[^/]*$")
  endif()
  foreach(source IN LISTS sources)
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^test_" "" name ${name})
    add_executable(${folder}_${name} ${source})
    set_target_properties(${folder}_${name} PROPERTIES
      RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/tests)
    target_link_libraries(${folder}_${name} PRIVATE
      gyre_flags gyre::static PkgConfig::CMOCKA PkgConfig::LIBURING)
    if(TARGET gyre_test_support)
      target_link_libraries(${folder}_${name} PRIVATE gyre_test_support)
    endif()
    if(internal)
      target_include_directories(${folder}_${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/src)
      if(GYRE_HTTP) # src/http/http.h shows a parser
        target_include_directories(${folder}_${name} SYSTEM PRIVATE ${GYRE_LLHTTP_INCLUDE_DIR})
      endif()
    endif()
    list(APPEND names ${name})
  endforeach()
  set(${out} ${names} PARENT_SCOPE)
endfunction()

gyre_c_tests(unit TRUE names)
foreach(name IN LISTS names)
  gyre_add_test(unit.${name} unit $<TARGET_FILE:unit_${name}>)
endforeach()
gyre_c_tests(api FALSE names)
foreach(name IN LISTS names)
  gyre_add_backend_tests(api.${name} api $<TARGET_FILE:api_${name}>)
endforeach()
gyre_c_tests(backend TRUE names)
foreach(name IN LISTS names)
  gyre_add_backend_tests(backend.${name} backend $<TARGET_FILE:backend_${name}>)
endforeach()

gyre_c_tests(sim FALSE names)
foreach(name IN LISTS names)
  gyre_add_test(sim.${name} sim $<TARGET_FILE:sim_${name}>)
endforeach()

# The demo's engine as it is in the page, on the library as it is here; and scenes written by hand. tests/demo compares.
file(GLOB demo_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/demo/*.c)
list(FILTER demo_sources EXCLUDE REGEX "/exports[.]c$") # what the page calls
add_executable(demo_trace ${CMAKE_CURRENT_SOURCE_DIR}/tests/demo/trace.c ${demo_sources})
target_include_directories(demo_trace PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/demo ${CMAKE_CURRENT_SOURCE_DIR}/src)
add_executable(demo_scenes ${CMAKE_CURRENT_SOURCE_DIR}/tests/demo/scenes.c)
foreach(name demo_trace demo_scenes)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE gyre_flags gyre::static)
endforeach()

# Finds the scripts of a folder as pairs name;path in `out`.
function(gyre_script_tests folder out)
  set(dir ${CMAKE_CURRENT_SOURCE_DIR}/tests/${folder})
  file(GLOB scripts CONFIGURE_DEPENDS
    ${dir}/test_*.sh ${dir}/*_test.sh ${dir}/test_*.py ${dir}/*_test.py)
  set(${out} ${scripts} PARENT_SCOPE)
endfunction()

# gyre_script_command(path name_var command_var): how a script is named and run.
function(gyre_script_command script name_var command_var)
  get_filename_component(name ${script} NAME_WE)
  string(REGEX REPLACE "^test_|_test$" "" name ${name})
  set(${name_var} ${name} PARENT_SCOPE)
  if(script MATCHES "[.]py$")
    set(${command_var} ${GYRE_PYTHON} ${script} PARENT_SCOPE)
  else()
    set(${command_var} sh ${script} PARENT_SCOPE)
  endif()
endfunction()

foreach(folder tools exercises demo site)
  gyre_script_tests(${folder} scripts)
  foreach(script IN LISTS scripts)
    gyre_script_command(${script} name command)
    gyre_add_test(${folder}.${name} ${folder} ${command})
    if(folder STREQUAL site) # a browser, on a machine that does other things
      set_tests_properties(${folder}.${name} PROPERTIES TIMEOUT 240)
    endif()
  endforeach()
endforeach()
set(program_folders cmd)
if(GYRE_HTTP)
  list(APPEND program_folders http)
endif()
foreach(folder IN LISTS program_folders)
  gyre_script_tests(${folder} scripts)
  foreach(script IN LISTS scripts)
    gyre_script_command(${script} name command)
    gyre_add_backend_tests(${folder}.${name} ${folder} ${command})
  endforeach()
endforeach()
# These start many processes, and measure how soon one follows another: nothing else runs beside them.
foreach(backend IN LISTS GYRE_BACKENDS)
  set_tests_properties(cmd.cluster.${backend} PROPERTIES RUN_SERIAL TRUE)
endforeach()

# Each public header compiles alone, as strict C11 and as C++17, without _GNU_SOURCE.
enable_language(CXX)
set(header_checks)
foreach(header IN LISTS gyre_public_headers)
  get_filename_component(name ${header} NAME_WE)
  foreach(suffix c cpp)
    set(check ${CMAKE_CURRENT_BINARY_DIR}/headers/${name}.${suffix})
    file(CONFIGURE OUTPUT ${check} CONTENT "#include <gyre/${name}.h>\n#include <gyre/${name}.h>\n")
    list(APPEND header_checks ${check})
  endforeach()
endforeach()
if(header_checks)
  add_library(gyre_header_check OBJECT ${header_checks})
  set_target_properties(gyre_header_check PROPERTIES
    CXX_STANDARD 17 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF)
  target_include_directories(gyre_header_check PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/include)
  target_compile_options(gyre_header_check PRIVATE -Wall -Wextra -Wpedantic -Wconversion -Wshadow)
  if(GYRE_WERROR)
    target_compile_options(gyre_header_check PRIVATE -Werror)
  endif()
endif()
