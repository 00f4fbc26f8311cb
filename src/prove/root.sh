# Makes an installed root the only one, read-only, with the folders that the sandbox has, and runs words in it.
#
#   sh -c … sh ROOT PLACES WORD...   PLACES: further folders to show, one a line
set -eu
umask 022
root=$1 places=$2; shift 2
mount -n --make-rprivate /
mount -n --bind "$root" "$root"
cd "$root"
mkdir -p dev etc home/prove proc stage tmp tools
show() { [ ! -e "/$1" ] || mount -n --rbind "/$1" "$1"; }
for place in dev home/prove stage tmp tools; do show $place; done
for name in hostname hosts nsswitch.conf resolv.conf; do
    rm -f "etc/$name"
    cp "/etc/$name" "etc/$name"
done
printf '%s\n' "$places" | while IFS= read -r place; do
    [ -d "$place" ] || continue
    mkdir -p ".$place"
    mount -n --rbind "$place" ".$place"
done
mount -n -t proc proc proc
mount -n -o remount,bind,ro .
mount -n --move . /
exec chroot . "$@"
