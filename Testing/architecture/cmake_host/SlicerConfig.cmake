# The test host of our CMake files: what find_package(Slicer) has to give, in as few lines as keep its documented
# behavior. It builds nothing; it installs what would be installed and records what was asked for.

set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseHost.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/Record.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/Package.cmake")
