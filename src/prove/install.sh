# Installs what is pinned into an empty root, as root of many accounts: the essential packages first, as debootstrap does,
# then everything by apt-get and dpkg, each with its maintainer scripts, which run inside.
#
#   root, account, group   the root, and the account that will use it
mkdir -p "$root"
merged "$root"
mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates" "$root/var/lib/dpkg/triggers" "$root/var/lib/dpkg/alternatives" \
    "$root/var/cache/apt/archives" "$root/dev" "$root/etc" "$root/proc" "$root/tmp" "$root/usr/sbin"
chmod 1777 "$root/tmp"
: >> "$root/var/lib/dpkg/status"
: >> "$root/var/lib/dpkg/available"
sed "s|^Dir::State::status .*|Dir::State::status \"$root/var/lib/dpkg/status\";|" apt.conf > own && mv own apt.conf
# Nothing is started: there is nobody to run it.
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"

essential=$(apt-cache dumpavail | awk '/^Package: /{name = $2} /^Essential: yes/{print name}')
[ -n "$essential" ] || { echo 'no package of the bundle is essential: there is no base to install on'; exit 1; }
apt-get -q -s install $essential > plan
apt-get -q install --download-only --yes $(cat packages.txt)
awk '/^Inst /{print $2}' plan > base
debs=
for deb in cache/archives/*.deb; do
    name=$(dpkg-deb -f "$deb" Package)
    if grep -qxF -e "$name" -e "$name:$arch" base; then
        unpack "$deb" "$root"
        debs="$debs $deb"
    fi
done
mount -n --rbind /dev "$root/dev"
mount -n --rbind /proc "$root/proc"
# Without --force-depends dpkg does not find an order for packages that need each other; see mmdebstrap(1).
dpkg --root="$root" --force-unsafe-io --force-depends --install $debs
apt-get -q install --yes -o DPkg::Options::="--root=$root" -o DPkg::Options::=--force-unsafe-io $(cat packages.txt)
apt-get -q check
left=$(dpkg --root="$root" --audit)
[ -z "$left" ] || { echo "$left"; exit 1; }
rm -f "$root/usr/sbin/policy-rc.d"
umount -n -l "$root/proc" "$root/dev"

for program in env prlimit sh setpriv timeout unshare; do
    chroot "$root" sh -c "command -v $program" > /dev/null || { echo "the installed root has no $program: no check can run in it"; exit 1; }
done
grep -q '^prove:' "$root/etc/passwd" || echo "prove:x:$account:$group:prove:/home/prove:/bin/sh" >> "$root/etc/passwd"
grep -q "^[^:]*:[^:]*:$group:" "$root/etc/group" || echo "prove:x:$group:" >> "$root/etc/group"
count=$(dpkg --root="$root" -l | grep -c '^ii')
echo "note $count packages installed with their maintainer scripts; the checks run in this root"
