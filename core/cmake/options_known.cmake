# A misspelt -DHAKMEM_... is an error, not a silent default.
set(_hakmem_known HAKMEM_TESTS HAKMEM_BENCH HAKMEM_FUZZ HAKMEM_FUZZ_ENGINE HAKMEM_CHECKS HAKMEM_SANITIZE)
get_cmake_property(_hakmem_variables CACHE_VARIABLES)
foreach(_variable IN LISTS _hakmem_variables)
  if(_variable MATCHES "^HAKMEM_" AND NOT _variable IN_LIST _hakmem_known)
    list(JOIN _hakmem_known ", " _text)
    message(FATAL_ERROR "unknown option ${_variable}; known are ${_text}")
  endif()
endforeach()
