# musl for gpc-exec, which lies between every start and its service: its start-up takes a quarter of the time of
# glibc's, which asks the processor for its features (in a virtual machine every such question leaves the guest;
# docs/why/cost.md has the figures). And for gpc-init and gpc-enforce, which are always there: they need half the memory. Debian's
# musl-tools brings the library and the specs; libstdc++'s headers are used without the library. Where that does not
# work, or with the sanitizers, glibc serves as well.
#
#   gpcsup_use_musl(PROGRAM)

set(GPCSUP_MUSL_SPECS /usr/lib/${CMAKE_SYSTEM_PROCESSOR}-linux-musl/musl-gcc.specs)

set(gpcsup_musl_compile
    -nostdinc
    # Of libstdc++'s configuration for glibc, what musl does not define; and a header that needs threads.
    "-D__GLIBC_PREREQ(a,b)=0" -D_GLIBCXX_ATOMIC_WAIT_H=1
    # They have one thread, and libstdc++'s guards need glibc.
    -fno-threadsafe-statics)
foreach(directory ${CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES})
  if(directory MATCHES "/c\\+\\+/")
    list(APPEND gpcsup_musl_compile "SHELL:-isystem ${directory}")
  endif()
endforeach()
list(APPEND gpcsup_musl_compile "SHELL:-isystem /usr/include/${CMAKE_SYSTEM_PROCESSOR}-linux-musl")
foreach(directory ${CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES})
  if(directory MATCHES "/lib/gcc/.*/include$")
    list(APPEND gpcsup_musl_compile "SHELL:-isystem ${directory}")
  elseif(NOT directory MATCHES "/c\\+\\+/")
    list(APPEND gpcsup_musl_compile "SHELL:-idirafter ${directory}")  # the kernel's headers
  endif()
endforeach()
set(gpcsup_musl_link -specs=${GPCSUP_MUSL_SPECS} -static -no-pie)

if(EXISTS ${GPCSUP_MUSL_SPECS} AND CMAKE_CXX_COMPILER_ID STREQUAL GNU AND NOT GPCSUP_SANITIZE)
  # Tried with every header that those programs include.
  file(GLOB gpcsup_musl_sources ${CMAKE_SOURCE_DIR}/src/init/*.* ${CMAKE_SOURCE_DIR}/src/exec/*.* ${CMAKE_SOURCE_DIR}/src/enforcement/*.*
       ${CMAKE_SOURCE_DIR}/src/wire/*.h)
  set(gpcsup_musl_headers)
  foreach(source ${gpcsup_musl_sources})
    file(STRINGS ${source} included REGEX "^#include <")
    list(APPEND gpcsup_musl_headers ${included})
  endforeach()
  list(REMOVE_DUPLICATES gpcsup_musl_headers)
  list(JOIN gpcsup_musl_headers "\n" gpcsup_musl_headers)
  file(WRITE ${CMAKE_BINARY_DIR}/musl-check.cpp
       "#define _GNU_SOURCE 1\n${gpcsup_musl_headers}\n"
       "int main(int n, char** v) { std::atomic<int> a{n}; return a.load() + int(std::strlen(v[0])); }\n")
  string(REPLACE ";" " " gpcsup_musl_flags "${gpcsup_musl_compile}")
  string(REPLACE "SHELL:" "" gpcsup_musl_flags "${gpcsup_musl_flags}")
  try_compile(GPCSUP_MUSL ${CMAKE_BINARY_DIR}/musl-check ${CMAKE_BINARY_DIR}/musl-check.cpp
              CMAKE_FLAGS "-DCMAKE_CXX_FLAGS=${gpcsup_musl_flags} -fno-exceptions -fno-rtti"
              LINK_OPTIONS ${gpcsup_musl_link}
              CXX_STANDARD 23 CXX_STANDARD_REQUIRED ON)
endif()
if(GPCSUP_MUSL)
  message(STATUS "gpc-exec, gpc-init and gpc-enforce are linked with musl")
elseif(NOT GPCSUP_SANITIZE)
  message(STATUS "gpc-exec, gpc-init and gpc-enforce are linked with glibc: starts cost more, and so does the memory (musl-tools is missing or does not fit)")
endif()

function(gpcsup_use_musl program)
  if(GPCSUP_MUSL)
    target_compile_options(${program} PRIVATE ${gpcsup_musl_compile})
    target_link_options(${program} PRIVATE ${gpcsup_musl_link})
  endif()
endfunction()
