# cmake -DCOMMAND=.../s3dlio -DSHARE=folder -P pages.cmake: writes the command's man pages and completions below
# `folder`.

function(written file)
  get_filename_component(folder "${file}" DIRECTORY)
  file(MAKE_DIRECTORY "${folder}")
  execute_process(COMMAND "${COMMAND}" ${ARGN} OUTPUT_FILE "${file}" ERROR_VARIABLE said RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "s3dlio: `${COMMAND} ${ARGN}` failed (${failed}): ${said}")
  endif()
endfunction()

written("${SHARE}/bash-completion/completions/s3dlio" completions bash)
written("${SHARE}/zsh/_s3dlio" completions zsh)
written("${SHARE}/fish/vendor_completions.d/s3dlio.fish" completions fish)
written("${SHARE}/man1/s3dlio.1" man)
# Its list of verbs names their pages: `s3dlio\-ls(1)`.
file(READ "${SHARE}/man1/s3dlio.1" page)
string(REGEX MATCHALL "s3dlio\\\\-[a-z\\\\-]+\\(1\\)" pages "${page}")
if(NOT pages)
  message(FATAL_ERROR "s3dlio: the manual page of the command lists no verbs")
endif()
foreach(name IN LISTS pages)
  string(REGEX REPLACE "^s3dlio.-(.*)\\(1\\)$" "\\1" verb "${name}")
  string(REPLACE "\\" "" verb "${verb}")
  written("${SHARE}/man1/s3dlio-${verb}.1" man ${verb})
endforeach()
