# Sourced before every program script. The variables come from run.py:
#   COMPAT_PRELOAD  the library to preload; unset in the run without it
#   COMPAT_STATS    set in the run that proves which allocator was used: standard error of each command under test, which
#                   then holds the library's statistics, goes to a file of its own in COMPAT_REPORTS
commands_under_test=0

# Runs a command, and all that it starts, on the library.
under_test() {
  commands_under_test=$((commands_under_test + 1))
  if [ -z "${COMPAT_PRELOAD:-}" ]; then
    "$@"
  elif [ -z "${COMPAT_STATS:-}" ]; then
    LD_PRELOAD=$COMPAT_PRELOAD "$@"
  else
    HAKMEM_STATS=1 LD_PRELOAD=$COMPAT_PRELOAD "$@" 2>"$COMPAT_REPORTS/$BASHPID.$commands_under_test.${1##*/}"
  fi
}
