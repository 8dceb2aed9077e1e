# The instruction budget (tests/perf): exact counts under valgrind, for gcc's release build only,
# because another compiler or a sanitizer makes other instructions.
find_program(GYRE_VALGRIND valgrind)
if(GYRE_VALGRIND AND CMAKE_C_COMPILER_ID STREQUAL "GNU" AND CMAKE_BUILD_TYPE STREQUAL "Release"
   AND NOT GYRE_SANITIZE AND NOT GYRE_COVERAGE)
  add_executable(perf_budget ${CMAKE_CURRENT_SOURCE_DIR}/tests/perf/budget.c)
  set_target_properties(perf_budget PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/tests)
  target_link_libraries(perf_budget PRIVATE gyre_flags gyre::static)
  gyre_add_backend_tests(perf.budget perf
    ${GYRE_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/tests/perf/budget_test.py
    $<TARGET_FILE:perf_budget>)
endif()
