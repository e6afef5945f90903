#!/usr/bin/env bash
# Runs the suites that are named, or all of them, and closes with one line of totals. What sanitizers report counts as
# failed, and so does a run that ends without totals.
#
# Specs wait more than they work, so three lanes run beside each other: the thread suite; the other suites, one after
# the other, but the units of one; and of all suites the specs of the watch, which wait for Kubernetes to come back and
# hardly do anything.
set -uo pipefail
cd "$(dirname "$0")/../.."
exec </dev/null # where nothing is open as 0, libuv gets that number for something else, and aborts

scratch=$(mktemp -d)
background=()
trap 'kill "${background[@]}" 2>/dev/null; rm -rf "$scratch"' EXIT

# ---- In a lane: its directory is $lane ----

# judge CODE LINES: a run that ended with that exit code, before which TOTALS had so many lines.
judge() {
  local code=$1 before=$2 after
  after=$(wc -l <"$TOTALS")
  if ((after == before)); then
    echo "it ended with exit code $code and without totals"
    echo fault >>"$lane/faults"
  elif ((code != 0)) && tail -n 1 "$TOTALS" | grep -q ' 0 failed'; then
    echo "it ended with exit code $code"
    echo fault >>"$lane/faults"
  fi
}

# run TITLE SPEC…: busted on these files or directories. What sanitizers need is preloaded for its interpreter, which
# loads native modules, and not for what it starts (summary.lua).
run() {
  local title=$1 before report
  shift
  printf '\n== %s\n' "$title"
  mkdir "$lane/reports"
  before=$(wc -l <"$TOTALS")
  LD_PRELOAD=$preload lua5.4 /usr/bin/busted "$@"
  judge $? "$before"
  for report in "$lane"/reports/*; do
    [ -s "$report" ] || continue
    cat "$report"
    echo fault >>"$lane/faults"
  done
  rm -rf "$lane/reports"
}

libraries() {
  local library
  for library in "$@"; do gcc -print-file-name="$library"; done | paste -sd ' '
}

# part SUITE units|integration|watch
part() {
  local units watch others options="log_path=$lane/reports/report:exitcode=99"
  mapfile -t watch < <(find spec/integration -name 'watch*_spec.lua' | sort)
  mapfile -t others < <(find spec/integration -name '*_spec.lua' -not -name 'watch*' | sort)
  case $1 in
  plain)
    export BUILD_DIR=build
    preload=
    mapfile -t units < <(find spec -name '*_spec.lua' -not -path 'spec/integration/*' | sort)
    ;;
  *)
    export BUILD_DIR=build-$1
    export ASAN_OPTIONS=$options UBSAN_OPTIONS=$options:print_stacktrace=1 TSAN_OPTIONS=$options
    [ "$1" = address ] && preload=$(libraries libasan.so libubsan.so) || preload=$(libraries libtsan.so)
    units=(spec/host)
    ;;
  esac
  case $2 in
  units) run "$1: units" "${units[@]}" ;;
  integration) run "$1: integration" "${others[@]}" ;;
  watch) run "$1: the watch" "${watch[@]}" ;;
  esac
}

image() {
  local before
  printf '\n== image\n'
  before=$(wc -l <"$TOTALS")
  spec/image/run.sh
  judge $? "$before"
}

# ---- Lanes ----

# open_lane NAME: where its totals, faults and output are.
open_lane() {
  lane=$scratch/$1
  mkdir "$lane"
  export TOTALS=$lane/totals
  : >"$TOTALS"
  : >"$lane/faults"
}

# beside NAME COMMAND…: a lane in the background.
beside() {
  (
    trap - EXIT
    open_lane "$1"
    "${@:2}" >"$lane/output" 2>&1
  ) &
  background+=($!)
}

has() { [[ " ${suites[*]} " == *" $1 "* ]]; }

# parts PART…: of the suites that are wanted, "suite part" each.
parts() {
  local wanted
  for wanted in "$@"; do has "${wanted% *}" && part "${wanted% *}" "${wanted#* }"; done
}

first() { parts "plain units" "plain integration" "address integration"; }
second() { parts "thread units" "thread integration" "address units"; }

third() {
  local suite
  for suite in "${suites[@]}"; do part "$suite" watch; done
}

read -ra suites <<<"${*:-plain address thread}"
for suite in "${suites[@]}"; do
  case $suite in
  plain) ;; # built by make
  address) make -s build BUILD=build-address SANITIZE=address,undefined || exit 1 ;;
  thread) make -s build BUILD=build-thread SANITIZE=thread || exit 1 ;;
  *) echo "no such suite: $suite" >&2 && exit 2 ;;
  esac
done

has plain && beside image image # at first it waits for downloads and disks
beside second second
beside third third
open_lane first
first
wait "${background[@]}"
background=()
for lane in third second image; do
  [ ! -f "$scratch/$lane/output" ] || cat "$scratch/$lane/output"
done

awk -v more="$(cat "$scratch"/*/faults | wc -l)" '{ passed += $1; failed += $3; skipped += $5 } END {
  printf "\n%d passed, %d failed, %d skipped\n", passed, failed + more, skipped
  exit failed + more > 0 }' "$scratch"/*/totals
