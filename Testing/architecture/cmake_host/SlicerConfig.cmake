# The test host for our CMake files: a minimal stand-in for find_package(Slicer) with its documented behavior. It
# builds nothing; it installs the files that Slicer would install, and records the description.

set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseHost.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/Record.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/Package.cmake")
