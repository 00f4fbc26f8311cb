# An apt that has nothing to do with this host's: what the scripts about Debian packages begin with.
#
#   dir, arch, pins   its folder, the architecture, and the address of the published pins
command -v apt-get > /dev/null || skip 'there is no apt-get here'
command -v dpkg-deb > /dev/null || skip 'there is no dpkg here'
echo "client apt $(apt-get --version | head -n 1 | cut -d ' ' -f 2) host"
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true
mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial" "$dir/etc/sources.list.d" "$dir/etc/preferences.d" \
    "$dir/etc/apt.conf.d" "$dir/log"
cd "$dir"
cp /home/prove/.config/stage/stage.sources etc/sources.list.d/
for file in packages.txt preferences; do fetch "$pins/$file" "$file"; done
cp preferences etc/preferences.d/stage
[ -e status ] || : > status
cat > apt.conf <<END
Dir "$dir";
Dir::State "state";
Dir::State::status "$dir/status";
Dir::Cache "cache";
Dir::Etc "etc";
Dir::Etc::sourcelist "none";
Dir::Etc::sourceparts "sources.list.d";
Dir::Etc::preferencesparts "preferences.d";
Dir::Log "log";
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Install-Recommends "false";
APT::Sandbox::User "root";
DPkg::Use-Pty "false";
END
export APT_CONFIG="$dir/apt.conf"
apt-get -q update
# The folders of old that have been links since /usr was merged.
merged() {
    for name in bin sbin lib lib64; do
        mkdir -p "$1/usr/$name"
        [ -e "$1/$name" ] || ln -s "usr/$name" "$1/$name"
    done
}
unpack() { # unpack DEB ROOT [OPTION]...
    deb=$1 to=$2; shift 2
    dpkg-deb --fsys-tarfile "$deb" | tar -C "$to" --keep-directory-symlink --numeric-owner "$@" -xpf -
}
