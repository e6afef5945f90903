#!/usr/bin/env bash
# Runs the suites that are named, or all of them, and closes with one line of totals. What sanitizers report counts as
# failed, and so does a run that ends without totals. Builds are made by `make`.
set -uo pipefail
cd "$(dirname "$0")/../.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export TOTALS=$scratch/totals
failed=0

# run TITLE SPEC…: busted on these files or directories, in the build BUILD_DIR; preload is for its interpreter, which
# loads native modules, and not for what it starts (summary.lua).
preload=
run() {
  local title=$1 before after
  shift
  printf '\n== %s\n' "$title"
  mkdir "$scratch/reports"
  before=$(wc -l <"$TOTALS")
  LD_PRELOAD=$preload lua5.4 /usr/bin/busted "$@"
  local code=$?
  after=$(wc -l <"$TOTALS")
  if ((after == before)); then
    echo "it ended with exit code $code and without totals"
    failed=$((failed + 1))
  elif ((code != 0)) && tail -n 1 "$TOTALS" | grep -q ' 0 failed'; then
    echo "it ended with exit code $code"
    failed=$((failed + 1))
  fi
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

plain() {
  mapfile -t units < <(find spec -name '*_spec.lua' -not -path 'spec/integration/*' | sort)
  run "units" "${units[@]}"
  run "integration" spec/integration
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
