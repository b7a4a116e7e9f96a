# Writes the description of the extension, one "NAME=value" per line.

get_property(HOST_TESTS GLOBAL PROPERTY HOST_TESTS)
set(_record "PROJECT_NAME=${PROJECT_NAME}\nTESTS=${HOST_TESTS}\n")
get_cmake_property(_variables VARIABLES)
foreach(_variable IN LISTS _variables)
  if(_variable MATCHES "^EXTENSION_")
    string(APPEND _record "${_variable}=${${_variable}}\n")
  endif()
endforeach()
file(WRITE "${CMAKE_BINARY_DIR}/extension.txt" "${_record}")
