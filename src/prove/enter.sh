# Runs as the administrator of new network and mount namespaces (and of a user namespace, for whoever is no administrator
# outside). Builds the root that a bundle is proved in, makes it the only one, and waits until its input ends.
#
#   sh enter.sh SCRATCH OWNER [PATH PLACE]...   OWNER has the folder of installed roots, if it is not `-`; each file or
#                                               folder PATH is shown read-only at PLACE
#
# The root has the programs of this host (/usr and what belongs to it), a few files of /etc, loopback, and nothing else of
# this host: no home, no /run with its sockets, no /var, no configuration of clients.
set -eu
umask 022
scratch=$1 owner=$2; shift 2
root=$scratch/root
fail() { echo "$*" >&2; exit 1; }

mount --make-rprivate /
mount -t tmpfs -o mode=755,size=64m stage "$root" || fail "no file system can be mounted here"

# Read-only, with what is locked in a user namespace kept as it is.
seal() {
    options=$(findmnt -nro VFS-OPTIONS --mountpoint "$1" | tail -n 1 | sed 's/^rw/ro/')
    mount -o "remount,bind,$options" "$1"
}
show() { mount --rbind "$1" "$2" && seal "$2"; }

mkdir -p "$root"/dev "$root"/etc/ssl "$root"/home/prove "$root"/proc "$root"/roots "$root"/run "$root"/stage "$root"/tmp \
    "$root"/tools "$root"/usr "$root"/var/lib "$root"/old
ln -s /tmp "$root/var/tmp"
show /usr "$root/usr"
for name in bin sbin lib lib32 lib64 libx32; do
    if [ -L "/$name" ]; then
        ln -s "$(readlink "/$name")" "$root/$name"
    elif [ -d "/$name" ]; then
        mkdir "$root/$name"
        show "/$name" "$root/$name"
    fi
done
for name in alternatives ca-certificates ca-certificates.conf debian_version ld.so.cache ld.so.conf ld.so.conf.d \
    localtime mime.types os-release protocols services ssl/certs ssl/openssl.cnf timezone; do
    if [ -L "/etc/$name" ]; then
        ln -s "$(readlink "/etc/$name")" "$root/etc/$name"
    elif [ -e "/etc/$name" ]; then
        cp -R "/etc/$name" "$root/etc/$name" 2>/dev/null || :
    fi
done
cp "$scratch"/etc/* "$root/etc/"
for name in null zero full random urandom tty; do
    : > "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs -o mode=1777,size=512m shm "$root/dev/shm"
# Without terminals the rest works all the same.
if mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts" 2>/dev/null; then
    ln -s pts/ptmx "$root/dev/ptmx"
fi
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
# Every step gets its own on top, of its own processes.
mount --rbind /proc "$root/proc"
[ "$owner" = - ] || chown "$owner:$owner" "$scratch/inside/roots"
for name in home/prove tmp stage roots; do
    mount --bind "$scratch/inside/$name" "$root/$name"
done
while [ $# -gt 1 ]; do
    mkdir -p "$(dirname "$root$2")"
    if [ -d "$1" ]; then mkdir -p "$root$2"; else : > "$root$2"; fi
    show "$1" "$root$2"
    shift 2
done
hostname -F "$scratch/etc/hostname" || fail "the host name cannot be set"
ip link set lo up || fail "loopback cannot be switched on"
cd "$root"
seal "$root"
pivot_root . old
umount -l /old
echo ready
exec cat
