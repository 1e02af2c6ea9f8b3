# How our own code is compiled: an interface target, so that no flag is global.
add_library(hakmem_compile INTERFACE)
target_compile_features(hakmem_compile INTERFACE cxx_std_20)
target_include_directories(hakmem_compile INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(hakmem_compile INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wundef -Werror=undef -Wno-interference-size)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(hakmem_compile INTERFACE -Wno-unknown-warning-option)
endif()
target_compile_definitions(hakmem_compile INTERFACE HAKMEM_CHECKS=$<BOOL:${HAKMEM_CHECKS}>)
if(HAKMEM_SANITIZE)
  target_compile_options(hakmem_compile INTERFACE -fsanitize=${HAKMEM_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g)
  target_link_options(hakmem_compile INTERFACE -fsanitize=${HAKMEM_SANITIZE})
endif()
# An engine of another kind brings its instrumentation with the compiler or its flags.
if(HAKMEM_FUZZ AND HAKMEM_FUZZ_ENGINE STREQUAL "-fsanitize=fuzzer")
  target_compile_options(hakmem_compile INTERFACE -fsanitize=fuzzer-no-link
                         -fsanitize-coverage-ignorelist=${PROJECT_SOURCE_DIR}/fuzz/not_instrumented.txt)
endif()
