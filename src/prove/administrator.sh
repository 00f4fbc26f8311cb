# Runs words as root of a user namespace of many accounts.
#
#   sh -c … sh MAP WORD...   MAP as in /proc/PID/uid_map and gid_map
set -eu
map=$1; shift
own=$(readlink /proc/$$/ns/user)
# Has the namespace until somebody is in it: only from outside can it be given its accounts.
unshare --user -- sleep infinity < /dev/null &
pid=$!
trap 'kill "$pid"' EXIT
tries=0
while [ "$(readlink "/proc/$pid/ns/user")" = "$own" ]; do
    tries=$((tries + 1))
    [ $tries -lt 500 ] || exit 1
    sleep 0.02
done
printf '%s\n' "$map" > "/proc/$pid/uid_map"
printf '%s\n' "$map" > "/proc/$pid/gid_map"
nsenter --target="$pid" --user --setuid=0 --setgid=0 -- "$@" < /dev/null
