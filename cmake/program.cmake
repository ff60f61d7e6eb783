# What our own programs (tests, benchmarks, examples) have in common; none of it is part of the installed targets.

# GCC 12 is wrong about -Wrestrict in std::string (its bug 105651).
add_library(tessera_warnings INTERFACE)
target_compile_options(tessera_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
                       $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> $<$<BOOL:${TESSERA_WERROR}>:-Werror>)

# tessera_program(<name> SOURCES <file>… LINKS <target>…): an executable, left out where a target is missing.
function(tessera_program name)
  cmake_parse_arguments(PARSE_ARGV 1 program "" "" "SOURCES;LINKS")
  foreach(library IN LISTS program_LINKS)
    if(NOT TARGET ${library})
      message(STATUS "${name} is left out, since it needs ${library}")
      return()
    endif()
  endforeach()
  add_executable(${name} ${program_SOURCES})
  target_link_libraries(${name} PRIVATE tessera::tessera ${program_LINKS} tessera_warnings)
  target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
endfunction()
