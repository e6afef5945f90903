#!/usr/bin/env bash
# Follows the Dockerfile in a chroot and tries the result, or skips it and says why where the machine cannot. Debian's
# roots are kept in IMAGE, outside of the tree, where every tool that walks it would follow their links; what has not
# changed is not made again. One run at a time.
set -euo pipefail
cd "$(dirname "$0")/../.."
export IMAGE=${IMAGE:-/var/cache/rayclusterscaler-image}

if [ "$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then
  exec sudo -n env IMAGE="$IMAGE" TOTALS="${TOTALS:-}" "$0"
fi

# Fails, and says why, in a container that may do little: namespaces and mounts are build.lua's, devices debootstrap's.
try() {
  [ "$(id -u)" = 0 ] || { echo "root is needed, or sudo without a password" && return 1; }
  local scratch code=0
  scratch=$(mktemp -d "$IMAGE.XXXXXX") || return
  unshare --mount --pid --net --fork --kill-child sh -ec '
    mount --bind "$0" "$0"
    mkdir "$0/proc"
    mount -t proc proc "$0/proc"
    mknod "$0/null" c 1 3
    echo >"$0/null"
    chroot / true' "$scratch" || code=$?
  rm -rf "$scratch"
  return "$code"
}

check() { lua5.4 /usr/bin/busted --pattern=_check spec/image; }

if ! IMAGE_OBSTACLE=$(try 2>&1); then
  export IMAGE_OBSTACLE
  check
  exit
fi
exec 9>"$IMAGE.lock"
flock 9
nice -n 19 lua5.4 spec/image/build.lua "$IMAGE" 9>&-
check 9>&-
