# Where everything goes: GNUInstallDirs, and DESTDIR as CMake has it. Only what a person types is on PATH; the helpers are
# found beside the program that starts them, else in ../libexec/gpcsup seen from there, so a prefix can be moved.
set(gpcsup_libexec ${CMAKE_INSTALL_LIBEXECDIR}/gpcsup)

function(gpcsup_install_program program destination)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${destination})
  endif()
endfunction()

gpcsup_install_program(gpcsup ${CMAKE_INSTALL_BINDIR})
gpcsup_install_program(gpc-init ${CMAKE_INSTALL_SBINDIR})
foreach(helper gpcsupd gpc-enforce gpc-logd gpc-exec gpc-names gpc-reader gpc-graft)
  gpcsup_install_program(${helper} ${gpcsup_libexec})
endforeach()

# A machine's own configuration is /etc's: the programs read it there, also when they are in /usr or /usr/local. Elsewhere it
# goes into the prefix, for --config. What an administrator may have changed is never overwritten.
install(CODE "set(gpcsup_config \"${CMAKE_SOURCE_DIR}/config\")")
install(CODE [[
  set(etc ${CMAKE_INSTALL_PREFIX}/etc)
  if(CMAKE_INSTALL_PREFIX MATCHES "^/usr(/local)?/?$")
    set(etc /etc)
  endif()
  file(GLOB files RELATIVE ${gpcsup_config} ${gpcsup_config}/*.toml)
  foreach(file IN LISTS files)
    if(EXISTS "$ENV{DESTDIR}${etc}/gpcsup/${file}")
      message(STATUS "Kept: $ENV{DESTDIR}${etc}/gpcsup/${file}")
    else()
      file(INSTALL "${gpcsup_config}/${file}" DESTINATION "${etc}/gpcsup")
    endif()
  endforeach()
  file(MAKE_DIRECTORY "$ENV{DESTDIR}${etc}/gpcsup/units")
]])
install(DIRECTORY units/system/ DESTINATION lib/gpcsup/units FILES_MATCHING PATTERN "*.toml")
install(DIRECTORY units/examples DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.toml")
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES README.md CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
foreach(section 1 5 8)
  file(GLOB pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/man/*.${section})
  install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()

# Pages with tables, and the completion, are written by the programs that know: every row is declared once, in the sources.
if(TARGET gpcsup AND TARGET gpcsupd)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/man)
  set(written)
  foreach(page gpcsup.1 gpcsup.toml.5 gpcsup-unit.5)
    set(output ${CMAKE_BINARY_DIR}/man/${page})
    add_custom_command(OUTPUT ${output}
      COMMAND ${CMAKE_COMMAND} -DPAGE=${CMAKE_SOURCE_DIR}/man/${page}.in -DOUTPUT=${output}
              -DCLIENT=$<TARGET_FILE:gpcsup> -DSUPERVISOR=$<TARGET_FILE:gpcsupd> -P ${CMAKE_SOURCE_DIR}/cmake/RenderManual.cmake
      DEPENDS gpcsup gpcsupd ${CMAKE_SOURCE_DIR}/man/${page}.in ${CMAKE_SOURCE_DIR}/cmake/RenderManual.cmake VERBATIM)
    list(APPEND written ${output})
    string(REGEX MATCH "[0-9]$" section ${page})
    install(FILES ${output} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
  endforeach()
  foreach(shell bash zsh)
    set(output ${CMAKE_BINARY_DIR}/completion.${shell})
    add_custom_command(OUTPUT ${output} COMMAND gpcsup completion ${shell} > ${output} DEPENDS gpcsup VERBATIM)
    list(APPEND written ${output})
  endforeach()
  install(FILES ${CMAKE_BINARY_DIR}/completion.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME gpcsup)
  install(FILES ${CMAKE_BINARY_DIR}/completion.zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME _gpcsup)
  add_custom_target(manual ALL DEPENDS ${written})
endif()

# The last place that the programs look for each other in: where this build is meant to be installed.
foreach(target gpc-init room_supervisor room_cli)
  if(TARGET ${target})
    get_target_property(type ${target} TYPE)
    if(NOT type STREQUAL "INTERFACE_LIBRARY")
      target_compile_definitions(${target} PRIVATE GPCSUP_LIBEXECDIR="${CMAKE_INSTALL_FULL_LIBEXECDIR}/gpcsup")
    endif()
  endif()
endforeach()

# What tools/run needs, without the tests: everything that is installed.
add_custom_target(programs)
foreach(target gpcsup gpc-init gpcsupd gpc-enforce gpc-logd gpc-exec gpc-names gpc-reader gpc-graft manual)
  if(TARGET ${target})
    add_dependencies(programs ${target})
  endif()
endforeach()
