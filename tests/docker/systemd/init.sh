#!/bin/sh
# Gives systemd a cgroup tree of its own where the engine's is of the old kind.
set -eu
if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
  umount -R /sys/fs/cgroup 2>/dev/null || true
  mount -t cgroup2 none /sys/fs/cgroup
fi
exec /sbin/init "$@"
