# hakmem_library(NAME FILE entry.cpp [more.cpp...])
# The two forms in which an allocator ships: NAME_shared (libFILE.so) and NAME_static (libFILE.a).
# They need libc alone: no C++ library, no unwinder, no start-up code that allocates.
function(hakmem_library name file entry)
  add_library(${name}_objects OBJECT ${entry} ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/../api/new_handler.cpp
              ${HAKMEM_CORE_SOURCES} ${ARGN})
  target_link_libraries(${name}_objects PRIVATE hakmem_compile)
  # The names that the compiler would treat as libc's own are the ones defined here.
  target_compile_options(${name}_objects PRIVATE
      -fno-rtti -fvisibility=hidden -fvisibility-inlines-hidden -ftls-model=initial-exec
      -fasynchronous-unwind-tables -fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc
      -fno-builtin-free -fno-builtin-aligned_alloc -fno-builtin-memalign)
  set_target_properties(${name}_objects PROPERTIES POSITION_INDEPENDENT_CODE ON)
  # A catch clause, without a C++ library: see the file.
  set_source_files_properties(${entry} ${HAKMEM_CORE_SOURCES} ${ARGN} PROPERTIES COMPILE_OPTIONS -fno-exceptions)

  set(map ${PROJECT_SOURCE_DIR}/core/api/exports.map)
  add_library(${name}_shared SHARED $<TARGET_OBJECTS:${name}_objects>)
  set_target_properties(${name}_shared PROPERTIES
      OUTPUT_NAME ${file} VERSION ${PROJECT_VERSION} SOVERSION 0 LINKER_LANGUAGE CXX LINK_DEPENDS ${map})
  # Not the libraries that a C++ link brings by default: libc, and the compiler's static helpers.
  target_link_options(${name}_shared PRIVATE -nodefaultlibs)
  target_link_libraries(${name}_shared PRIVATE c gcc)
  # Bound at start, because the first call may come from the dynamic linker itself; never unloaded,
  # because blocks and exit handlers outlive any dlclose.
  target_link_options(${name}_shared PRIVATE
      -Wl,--version-script=${map} -Wl,-z,defs -Wl,-z,now -Wl,-z,relro -Wl,-z,nodelete)

  add_library(${name}_static STATIC $<TARGET_OBJECTS:${name}_objects>)
  set_target_properties(${name}_static PROPERTIES OUTPUT_NAME ${file} LINKER_LANGUAGE CXX)

  foreach(form IN ITEMS shared static)
    target_include_directories(${name}_${form} PUBLIC
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/core/include> $<INSTALL_INTERFACE:include>)
  endforeach()
  add_library(hakmem::${name} ALIAS ${name}_shared)
  add_library(hakmem::${name}_static ALIAS ${name}_static)
endfunction()
