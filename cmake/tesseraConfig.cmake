# find_package(tessera): tessera::tessera, and tessera::<component> for each component whose libraries are found.
# find_package(tessera COMPONENTS io …): tessera::tessera and the components that are named, which must be there.
# The components: io onednn eigen xtensor.

include(CMakeFindDependencyMacro)
find_dependency(OpenMP COMPONENTS CXX)
include(${CMAKE_CURRENT_LIST_DIR}/tesseraTargets.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/tesseraComponents.cmake)

set(tessera_wanted ${tessera_FIND_COMPONENTS})
if(NOT tessera_wanted)
  set(tessera_wanted ${tessera_components})
endif()
foreach(component IN LISTS tessera_wanted)
  if(component IN_LIST tessera_components)
    tessera_component(${component} tessera_missing)
    set(tessera_reason "tessera::${component} needs ${tessera_missing}")
  else()
    set(tessera_missing ${component})
    list(JOIN tessera_components ", " tessera_names)
    set(tessera_reason "tessera has no component ${component}, only ${tessera_names}")
  endif()
  if(NOT tessera_missing)
    set(tessera_${component}_FOUND TRUE)
  elseif(tessera_FIND_REQUIRED_${component})
    set(tessera_FOUND FALSE)
    set(tessera_NOT_FOUND_MESSAGE "${tessera_reason}")
  endif()
endforeach()
