# Provides find_package(Slicer) without a build of Slicer: the unmodified CMake files of its sources.
# Slicer and CTK are source trees: -DSLICER_SOURCE=FOLDER -DCTK_SOURCE=FOLDER.

set(Slicer_CMAKE_DIR "${SLICER_SOURCE}/CMake")
set(Slicer_EXTENSIONS_CMAKE_DIR "${SLICER_SOURCE}/Extensions/CMake")
set(CTK_CMAKE_DIR "${CTK_SOURCE}/CMake")
set(Slicer_USE_FILE "${Slicer_CMAKE_DIR}/UseSlicer.cmake.in")
set(Slicer_EXTENSION_GENERATE_CONFIG "${Slicer_CMAKE_DIR}/SlicerExtensionGenerateConfig.cmake")
set(Slicer_EXTENSION_CPACK "${Slicer_CMAKE_DIR}/SlicerExtensionCPack.cmake")
set(Slicer_PYTHON_MODULE_TEST_TEMPLATES_DIR "${SLICER_SOURCE}/Base/QTCore/Testing/Python")

# Stand-ins for included files that exist only in a build of Slicer, and that an extension without C++ does not use.
set(_absent "${CMAKE_BINARY_DIR}/absent")
foreach(_package IN ITEMS CTKAppLauncher PythonQt SlicerExecutionModel)
  file(WRITE "${_absent}/${_package}Config.cmake" "")
  set(${_package}_DIR "${_absent}")
endforeach()
file(WRITE "${_absent}/vtkMacroKitPythonWrap.cmake" "")
set(SlicerExecutionModel_USE_FILE "${_absent}/vtkMacroKitPythonWrap.cmake")
function(ctkAppLauncherConfigureForExecutable)
endfunction()
list(PREPEND CMAKE_MODULE_PATH
  "${_absent}" "${Slicer_CMAKE_DIR}" "${Slicer_EXTENSIONS_CMAKE_DIR}" "${CTK_CMAKE_DIR}")
include(ctkFunctionExtractOptimizedLibrary)

# No compiler is asked, and nothing starts Slicer.
set(Slicer_SKIP_SlicerBlockPlatformCheck TRUE)
set(Slicer_SKIP_SET_CMAKE_C_CXX_FLAGS TRUE)
set(Slicer_USE_CTKAPPLAUNCHER OFF)
set(Slicer_USE_PYTHONQT ON)

set(Slicer_ARCHITECTURE "any")
set(Slicer_OS "any")
set(Slicer_INSTALL_ROOT "./")
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer/qt-scripted-modules")
set(Slicer_SHARE_DIR "share/Slicer")
set(Slicer_REVISION "sources")
set(Slicer_WC_ROOT "${SLICER_SOURCE}")

# Scripts are compiled by the Python that runs this.
set(PYTHONINTERP_FOUND TRUE)
set(PYTHONLIBS_FOUND TRUE)
set(PYTHON_LIBRARIES "${PYTHON_EXECUTABLE}")
