#!/bin/sh
# run.sh [ROUNDS]: shares the rounds out to several that run beside each other, since a round mostly waits.
set -u
rounds=${1:-10000}
workers=8
share=$(((rounds + workers - 1) / workers))
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
pids=
for worker in $(seq 0 $((workers - 1))); do
  INJECT_ROUNDS=$share INJECT_SEED=$((1 + worker * share)) \
    lua5.4 /usr/bin/busted spec/integration/attack_injection_spec.lua >"$logs/$worker" 2>&1 </dev/null &
  pids="$pids $!"
done
failed=0
for pid in $pids; do
  wait "$pid" || failed=1
done
cat "$logs"/*
exit $failed
