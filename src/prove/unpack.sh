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

# Each program by its name: with the loader and the libraries of the bundle where it has them, else this host stands for the
# base of the target.
bin=$HOME/.local/debian-$number/bin
mkdir -p "$bin"
cat > "$bin/../launch" <<END
#!/bin/sh
root='$root'
END
cat >> "$bin/../launch" <<'END'
name=${0##*/} file=
for folder in usr/games usr/sbin usr/bin; do [ ! -x "$root/$folder/$name" ] || file=$root/$folder/$name; done
[ "$(/usr/bin/head -c 4 "$file" | /usr/bin/tr -d '\0')" = "$(printf '\177ELF')" ] || exec "$file" "$@"
libraries=
for folder in "$root"/usr/lib/*-linux-gnu* "$root"/usr/lib; do libraries=$libraries${libraries:+:}$folder; done
for loader in "$root"/lib64/ld-linux-x86-64.so.2 "$root"/lib/ld-linux-aarch64.so.1; do
    [ -e "$loader" ] || continue
    code=0
    "$loader" --verify "$file" > /dev/null 2>&1 || code=$?
    case $code in
        0 | 2) exec "$loader" --library-path "$libraries" "$file" "$@" ;;
        *) exec "$file" "$@" ;;
    esac
done
LD_LIBRARY_PATH=$libraries exec "$file" "$@"
END
chmod 755 "$bin/../launch"
find "$root/usr/games" "$root/usr/sbin" "$root/usr/bin" -maxdepth 1 -perm -u+x ! -type d -printf '%f\n' 2> /dev/null | sort -u > programs
(cd "$bin" && xargs -r -I NAME ln -sf ../launch NAME) < programs
programs=$(grep -c . programs || :)
ran="none has a maintainer script"
if [ $scripts != 0 ]; then
    ran="the maintainer scripts of $scripts were not run: $why"
    echo "not-run the maintainer scripts of $scripts packages:$named"
fi
echo "note $count packages unpacked, dependencies checked by apt-get, $programs programs on the path; $ran"
