# What our own programs (tests, benchmarks, examples) have in common; none of it is part of the installed targets.

# GCC 12 is wrong about -Wrestrict in std::string (its bug 105651).
add_library(tessera_warnings INTERFACE)
target_compile_options(tessera_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
                       $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> $<$<BOOL:${TESSERA_WERROR}>:-Werror>)

# tessera_program(<name> SOURCES <file>… LINKS <target>… OPTIONAL <component>…): an executable, left out where a target of
# LINKS is missing. It links each optional component that is there and is told so by TESSERA_WITH_<COMPONENT>; sources named
# <component>_… are left out where theirs is missing.
function(tessera_program name)
  cmake_parse_arguments(PARSE_ARGV 1 program "" "" "SOURCES;LINKS;OPTIONAL")
  foreach(library IN LISTS program_LINKS)
    if(NOT TARGET ${library})
      message(STATUS "${name} is left out, since it needs ${library}")
      return()
    endif()
  endforeach()
  set(definitions)
  foreach(component IN LISTS program_OPTIONAL)
    if(TARGET tessera::${component})
      string(TOUPPER TESSERA_WITH_${component} definition)
      list(APPEND definitions ${definition})
      list(APPEND program_LINKS tessera::${component})
    else()
      list(FILTER program_SOURCES EXCLUDE REGEX "(^|/)${component}_[^/]*$")
    endif()
  endforeach()
  if(NOT program_SOURCES)
    return()
  endif()
  add_executable(${name} ${program_SOURCES})
  target_link_libraries(${name} PRIVATE tessera::kernels ${program_LINKS} tessera_warnings)
  target_compile_definitions(${name} PRIVATE ${definitions})
  target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
endfunction()
