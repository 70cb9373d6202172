#!/bin/sh
# Runs one step of an expci action with a Python that is new enough. Where there is none,
# the job goes on without expci, unless it is strict.
verb=$1
here=$(cd "$(dirname "$0")" && pwd)
suits='import sys, fcntl; sys.exit(sys.version_info < (3, 11))'

for python in python3 python3.14 python3.13 python3.12 python3.11 \
  "${RUNNER_TOOL_CACHE:-/nowhere}"/Python/3.1[1-9]*/*/bin/python3; do
  # -I: nothing of the checkout or the job's environment is imported; -S: nothing installed.
  if "$python" -I -S -c "$suits" >/dev/null 2>&1; then
    # What is measured, and what it makes git run in the checkout afterwards, can read the
    # environment that its ancestors were started with.
    case "$verb" in lab | trial-run | trial-end | record) unset INPUT_TOKEN ;; esac
    exec "$python" -I -S "$here/start.py" "$verb"
  fi
done

if [ "$verb" = trial-run ]; then
  shell=$(command -v bash || echo sh)
  exec env -u INPUT_TOKEN "$shell" -e -c "$INPUT_RUN"
fi
need='expci needs Python 3.11 or newer on Linux or macOS; put actions/setup-python before it'
case "$verb:$INPUT_STRICT" in
  pass:* | site:* | validate:* | find:* | start-lab:* | *:true)
    echo "::error title=expci::$need"
    exit 1
    ;;
esac
echo "::warning title=expci::$need. The job goes on without expci."
