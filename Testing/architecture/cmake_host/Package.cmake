# The files without which packaging does not start.

foreach(_file IN ITEMS EXTENSION_README_FILE EXTENSION_LICENSE_FILE)
  if(NOT EXISTS "${${_file}}")
    message(FATAL_ERROR "${_file} is not set to an existing file: ${${_file}}")
  endif()
endforeach()
