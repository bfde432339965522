#!/usr/bin/env bash
# Boot a systemd of its own, for tests: private_systemd.sh SCRATCH_FOLDER
#
# It has its own processes, mounts, network, /dev and control group over a copy-on-write view of
# this machine, so what a test installs there is gone when it ends, and kernel settings are read-only.
# Prints the pid of its first process as seen from outside, then runs until that process is killed.
set -euo pipefail

base=$1
tree=/sys/fs/cgroup
[ -f "$tree/cgroup.procs" ] || tree=$tree/unified
[ -f "$tree/cgroup.procs" ] || {
  echo "no writable cgroup v2 tree" >&2
  exit 1
}
group=$tree/paddock-test-$$
mkdir -p "$base" "$group"
trap 'find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true' EXIT

# shellcheck disable=SC2016  # expanded by the shell inside
inside='
set -euo pipefail
base=$1
mount --make-rprivate /
mount -t tmpfs tmpfs "$base"
mkdir "$base/upper" "$base/work" "$base/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$base/root"
cd "$base/root"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for node in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0"; do
  set -- $node
  mknod -m 666 "dev/$1" c "$2" "$3"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755 tmpfs run
mkdir run/lock
ip link set lo up 2>/dev/null || true

# Only what the tests need of a machine: a bus and a journal, nothing that touches hardware.
rm -rf etc/systemd/system/* etc/systemd/user/*
for name in systemd-journald-audit.socket systemd-remount-fs.service tmp.mount; do
  ln -sf /dev/null "etc/systemd/system/$name"
done
for unit in usr/lib/systemd/system/sysinit.target.wants/* usr/lib/systemd/system/multi-user.target.wants/*; do
  name=${unit##*/}
  case $name in systemd-journald.service | "*") ;; *) ln -sf /dev/null "etc/systemd/system/$name" ;; esac
done
printf "[Unit]\nRequires=dbus.socket\nAfter=dbus.socket\nAllowIsolate=yes\n" >etc/systemd/system/private.target
mkdir -p etc/systemd/journald.conf.d
printf "[Journal]\nReadKMsg=no\nAudit=no\nStorage=volatile\n" >etc/systemd/journald.conf.d/private.conf
rm -f etc/machine-id
: >etc/machine-id

mkdir -p mnt
pivot_root . mnt
umount -l /mnt
export container=private
exec </dev/null
exec "$(command -v /usr/lib/systemd/systemd || echo /lib/systemd/systemd)" --system --unit=private.target --log-target=journal
'

# The namespace of control groups must be entered from inside the new group.
echo $BASHPID >"$group/cgroup.procs"
unshare --fork --pid --mount --cgroup --uts --ipc --net --kill-child=SIGKILL \
  bash -c "$inside" private "$base" &
outer=$!
for _ in $(seq 50); do
  first=$(cat "/proc/$outer/task/$outer/children" 2>/dev/null || true)
  [ -z "$first" ] || break
  sleep 0.1
done
echo "${first%% *}"
# The parent leaves, so that the group is empty once the inside has ended.
echo $BASHPID >"$tree/cgroup.procs"
wait "$outer"
