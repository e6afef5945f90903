#!/usr/bin/env bash
# Runs the suites that are named, or all of them, and closes with one line of totals. What sanitizers report counts as
# failed, and so does a run that ends without totals. Builds are made by `make`.
set -uo pipefail
cd "$(dirname "$0")/../.."
exec </dev/null # where nothing is open as 0, libuv gets that number for something else, and aborts

scratch=$(mktemp -d)
background=
trap 'kill $background 2>/dev/null; rm -rf "$scratch"' EXIT
export TOTALS=$scratch/totals
failed=0

# judge CODE LINES: a run that ended with that exit code, before which TOTALS had so many lines.
judge() {
  local code=$1 before=$2 after
  after=$(wc -l <"$TOTALS")
  if ((after == before)); then
    echo "it ended with exit code $code and without totals"
    failed=$((failed + 1))
  elif ((code != 0)) && tail -n 1 "$TOTALS" | grep -q ' 0 failed'; then
    echo "it ended with exit code $code"
    failed=$((failed + 1))
  fi
}

# run TITLE SPEC…: busted on these files or directories, in the build BUILD_DIR; preload is for its interpreter, which
# loads native modules, and not for what it starts (summary.lua).
preload=
run() {
  local title=$1 before
  shift
  printf '\n== %s\n' "$title"
  mkdir "$scratch/reports"
  before=$(wc -l <"$TOTALS")
  LD_PRELOAD=$preload lua5.4 /usr/bin/busted "$@"
  judge $? "$before"
  for report in "$scratch"/reports/*; do
    [ -s "$report" ] || continue
    cat "$report"
    failed=$((failed + 1))
  done
  rm -rf "$scratch/reports"
}

# sanitized NAME SANITIZERS LIBRARY…: the specs that reach C, in a build with sanitizers.
sanitized() {
  local name=$1 sanitizers=$2 library
  shift 2
  export BUILD_DIR=build-$name
  make -s build BUILD="$BUILD_DIR" SANITIZE="$sanitizers" || exit 1
  local options="log_path=$scratch/reports/report:exitcode=99"
  export ASAN_OPTIONS=$options UBSAN_OPTIONS=$options:print_stacktrace=1 TSAN_OPTIONS=$options
  preload=
  for library in "$@"; do
    preload="$preload $(gcc -print-file-name="$library")"
  done
  run "units ($sanitizers)" spec/host
  run "integration ($sanitizers)" spec/integration
}

# The image is made while specs run: at first its maker waits for downloads and disks.
start_image() {
  TOTALS=$scratch/image_totals spec/image/run.sh >"$scratch/image" 2>&1 </dev/null &
  background=$!
}

finish_image() {
  local before
  before=$(wc -l <"$TOTALS")
  wait "$background"
  local code=$?
  background=
  printf '\n== image\n'
  cat "$scratch/image"
  [ ! -f "$scratch/image_totals" ] || cat "$scratch/image_totals" >>"$TOTALS"
  judge "$code" "$before"
}

plain() {
  start_image
  mapfile -t units < <(find spec -name '*_spec.lua' -not -path 'spec/integration/*' | sort)
  run "units" "${units[@]}"
  run "integration" spec/integration
  finish_image
}

: >"$TOTALS"
for suite in "${@:-plain address thread}"; do
  for name in $suite; do
    case $name in
    plain) plain ;;
    address) sanitized address address,undefined libasan.so libubsan.so ;;
    thread) sanitized thread thread libtsan.so ;;
    *) echo "no such suite: $name" >&2 && exit 2 ;;
    esac
  done
done

awk -v more="$failed" '{ passed += $1; failed += $3; skipped += $5 } END {
  printf "\n%d passed, %d failed, %d skipped\n", passed, failed + more, skipped
  exit failed + more > 0 }' "$TOTALS"
