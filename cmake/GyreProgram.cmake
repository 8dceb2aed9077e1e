# The program `gyre` and the examples: both see include/ only, never src/.
file(GLOB gyre_program_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/cmd/gyre/*.c)
if(NOT GYRE_HTTP)
  list(FILTER gyre_program_sources EXCLUDE REGEX "/(serve|log|swarm_http)[.]c$")
endif()
if(gyre_program_sources)
  add_executable(gyre_program ${gyre_program_sources})
  set_target_properties(gyre_program PROPERTIES
    OUTPUT_NAME gyre
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
  if(GYRE_HTTP)
    target_compile_definitions(gyre_program PRIVATE GYRE_HAVE_HTTP=1)
  endif()
  target_link_libraries(gyre_program PRIVATE gyre_flags gyre::static)
endif()

# Examples link the shared library: what it does not export, they cannot use.
file(GLOB gyre_example_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/examples/*.c)
if(NOT GYRE_HTTP)
  list(FILTER gyre_example_sources EXCLUDE REGEX "/fibonacci[.]c$")
endif()
foreach(source IN LISTS gyre_example_sources)
  get_filename_component(name ${source} NAME_WE)
  add_executable(example_${name} ${source})
  set_target_properties(example_${name} PROPERTIES
    OUTPUT_NAME ${name}
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/examples)
  target_link_libraries(example_${name} PRIVATE gyre_flags gyre::gyre)
endforeach()
