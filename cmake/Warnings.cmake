# One target that every room links: warnings are errors, and what the sanitizers need.
add_library(gpcsup_options INTERFACE)
target_compile_options(gpcsup_options INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wnull-dereference
  -Wduplicated-cond -Wlogical-op -Wno-missing-field-initializers -fno-semantic-interposition
  -ffunction-sections -fdata-sections)
target_link_options(gpcsup_options INTERFACE -Wl,--gc-sections)
target_include_directories(gpcsup_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_definitions(gpcsup_options INTERFACE _GNU_SOURCE GPCSUP_VERSION="${PROJECT_VERSION}")
if(GPCSUP_SANITIZE)
  # Left out: null (address stops there, too), vptr and object-size. They double the time to compile (33 s instead of 16 s
  # for a file of supervisor/) and the size of what the tests run.
  target_compile_options(gpcsup_options INTERFACE -fsanitize=address,undefined -fno-sanitize=null,vptr,object-size
    -fno-sanitize-recover=undefined -fno-omit-frame-pointer
    -Wno-maybe-uninitialized)  # GCC sees ghosts in std::variant once the checks are woven in
  target_link_options(gpcsup_options INTERFACE -fsanitize=address,undefined)
endif()
