# The opt-in parts of Tessera and the libraries that they stand on. Read by Tessera's own build and by the installed
# package, so that both offer the same targets.

set(tessera_components io onednn eigen xtensor)

# Makes the imported target tessera::<component> if its libraries are found; `missing` becomes the list of those that are
# not. A third argument, GLOBAL, makes it visible everywhere.
function(tessera_component component missing)
  if(component STREQUAL "io")  # tessera/io/…, tessera/hub/…
    find_package(nlohmann_json 3.11 CONFIG QUIET)
    set(libraries nlohmann_json::nlohmann_json)
    find_package(PkgConfig QUIET)
    foreach(module libjpeg libpng libutf8proc libpcre2-8)
      if(PkgConfig_FOUND)
        pkg_check_modules(tessera_${module} QUIET IMPORTED_TARGET ${module})
      endif()
      list(APPEND libraries PkgConfig::tessera_${module})
    endforeach()
  elseif(component STREQUAL "onednn")  # tessera/ops/onednn.hpp
    # Not by find_package(dnnl): Debian's asks for OpenCL, which is not needed, and stops where that is missing.
    find_path(tessera_dnnl_include dnnl.hpp)
    find_library(tessera_dnnl_library dnnl)
    mark_as_advanced(tessera_dnnl_include tessera_dnnl_library)
    if(NOT TARGET DNNL::dnnl AND tessera_dnnl_include AND tessera_dnnl_library)
      add_library(DNNL::dnnl UNKNOWN IMPORTED)
      set_target_properties(DNNL::dnnl PROPERTIES IMPORTED_LOCATION "${tessera_dnnl_library}"
                                                  INTERFACE_INCLUDE_DIRECTORIES "${tessera_dnnl_include}")
    endif()
    set(libraries DNNL::dnnl)
  elseif(component STREQUAL "eigen")  # tessera/ops/eigen.hpp, tessera/interop/eigen.hpp
    find_package(Eigen3 CONFIG QUIET)
    set(libraries Eigen3::Eigen)
  elseif(component STREQUAL "xtensor")  # tessera/interop/xtensor.hpp
    find_package(xtensor CONFIG QUIET)
    set(libraries xtensor)
  endif()

  set(absent)
  foreach(library IN LISTS libraries)
    if(NOT TARGET ${library})
      list(APPEND absent ${library})
    endif()
  endforeach()
  string(REPLACE "PkgConfig::tessera_" "" absent "${absent}")
  set(${missing} "${absent}" PARENT_SCOPE)

  if(NOT absent AND NOT TARGET tessera::${component})
    add_library(tessera::${component} INTERFACE IMPORTED ${ARGN})
    target_link_libraries(tessera::${component} INTERFACE tessera::tessera ${libraries})
  endif()
endfunction()
