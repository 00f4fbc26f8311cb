# Unpacks what is pinned, checks by apt that nothing is open with what the target has, names the maintainer scripts that are
# not run, and makes the programs callable.
#
#   why, number   why no script is run; the number of the install
root=$dir/root
apt-get -q install --download-only --yes $(cat packages.txt)
mkdir -p "$root"
merged "$root"
: > own
: > after
count=0 scripts=0 named=
for deb in cache/archives/*.deb; do
    [ -e "$deb" ] || continue
    count=$((count + 1))
    name=$(dpkg-deb -f "$deb" Package)
    echo "$name" >> own
    unpack "$deb" "$root" --no-same-owner --delay-directory-restore
    { echo 'Status: install ok installed'; dpkg-deb -f "$deb"; echo; } >> after
    if dpkg-deb --ctrl-tarfile "$deb" | tar -tf - | grep -qE '^(\./)?(preinst|postinst)$'; then
        scripts=$((scripts + 1))
        named="$named $name"
    fi
done
awk 'BEGIN { while ((getline line < "own") > 0) own[line] = 1; RS = ""; ORS = "\n\n" }
    { match($0, /(^|\n)Package: [^\n]+/); name = substr($0, RSTART, RLENGTH); sub(/.*Package: /, "", name); if (!(name in own)) print }' \
    status >> after
apt-get -q -o "Dir::State::status=$dir/after" check

# The loader of the bundle with the libraries of the bundle, where it has one; else this host stands for the target's base.
bin=$HOME/.local/debian-$number/bin
mkdir -p "$bin"
loader=
for name in lib64/ld-linux-x86-64.so.2 lib/ld-linux-aarch64.so.1; do [ ! -e "$root/$name" ] || loader=$root/$name; done
libraries=$(find "$root/usr/lib" "$root/lib" -maxdepth 1 -type d -name '*-linux-gnu*' 2> /dev/null | sort -u | tr '\n' ':')$root/usr/lib
programs=0
for file in "$root"/usr/games/* "$root"/usr/sbin/* "$root"/usr/bin/*; do
    [ -f "$file" ] && [ -x "$file" ] || continue
    name=${file##*/}
    run="exec '$file' \"\$@\""
    if [ "$(head -c 4 "$file" | tr -d '\0')" = "$(printf '\177ELF')" ]; then
        run="LD_LIBRARY_PATH='$libraries' $run"
        if [ -n "$loader" ]; then
            verified=0; "$loader" --verify "$file" > /dev/null 2>&1 || verified=$?
            case $verified in 0 | 2) run="exec '$loader' --library-path '$libraries' '$file' \"\$@\"" ;; *) run="exec '$file' \"\$@\"" ;; esac
        fi
    fi
    printf '#!/bin/sh\n%s\n' "$run" > "$bin/$name"
    chmod 755 "$bin/$name"
    programs=$((programs + 1))
done
ran="none has a maintainer script"
if [ $scripts != 0 ]; then
    ran="the maintainer scripts of $scripts were not run: $why"
    echo "not-run the maintainer scripts of $scripts packages:$named"
fi
echo "note $count packages unpacked, dependencies checked by apt-get, $programs programs on the path; $ran"
