# How Gyre's own C is compiled. Everything of ours links gyre_flags privately; llhttp does not.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# GYRE_ASSERT is on in release builds too, so NDEBUG has no meaning here.
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g -fno-omit-frame-pointer")
set(CMAKE_CXX_FLAGS_RELEASE "${CMAKE_C_FLAGS_RELEASE}")
set(CMAKE_CXX_FLAGS_DEBUG "${CMAKE_C_FLAGS_DEBUG}")

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(LIBURING REQUIRED IMPORTED_TARGET liburing>=2.3)

add_library(gyre_flags INTERFACE)
target_compile_definitions(gyre_flags INTERFACE _GNU_SOURCE)
target_compile_options(gyre_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes>)
if(GYRE_WERROR)
  target_compile_options(gyre_flags INTERFACE -Werror)
endif()

if(CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_definitions(gyre_flags INTERFACE GYRE_DEBUG=1)
endif()

# Sanitizers and coverage must reach every object and every link, llhttp's too.
if(GYRE_SANITIZE)
  add_compile_options(-fsanitize=${GYRE_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${GYRE_SANITIZE})
endif()
if(GYRE_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()
