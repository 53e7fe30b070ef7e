#!/usr/bin/env bash
# Provides Julia 1.5 or newer as FOLDER/julia and prints that path. A `julia` on the PATH that is new
# enough is linked there. Otherwise Julia 1.5.3 of Debian 11 is unpacked into FOLDER, with every
# library it needs; nothing is installed on the system, and no root is needed. About 100 MB to fetch.
# usage: julia.sh FOLDER
set -euo pipefail
(($# == 1)) || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
launcher=$folder/julia

# New enough, and able to show where an error came from (it crashes with another libunwind).
works() {
  "$1" --startup-file=no -e 'try error() catch; stacktrace(catch_backtrace()) end; exit(VERSION >= v"1.5" ? 0 : 1)' >/dev/null 2>&1
}
done_with() { echo "$launcher: $("$launcher" --version)" >&2; echo "$launcher"; exit 0; }

works "$launcher" && done_with
if present=$(command -v julia) && works "$present"; then
  ln -sf "$present" "$launcher"
  done_with
fi

for tool in apt-get dpkg-deb; do
  command -v "$tool" >/dev/null || { echo "install Julia 1.5 or newer; this script can unpack it only where $tool is" >&2; exit 1; }
done

# An apt of our own: it sees Debian 11 and believes that nothing is installed, so the answer does not
# depend on this machine. The mirror is the one that the machine's own apt uses; Debian moves old suites
# from the mirrors to its archive, so that is asked next.
sources=(/etc/apt/sources.list /etc/apt/sources.list.d/*)
mirror=$(grep -hoE 'https?://[^ ]+/debian/?( |$)' "${sources[@]}" 2>/dev/null | head -n 1 | tr -d ' ' || true)
keys=/usr/share/keyrings/debian-archive-keyring.gpg
apt=$folder/apt
rm -rf "$apt" "$folder/root"
mkdir -p "$apt"/{lists/partial,cache/archives/partial,debs} "$folder/root"
: >"$apt/status"
[[ -r $keys ]] && trust="signed-by=$keys" || { echo "$keys is missing; install debian-archive-keyring" >&2; exit 1; }
our_apt() {
  apt-get -qq -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State="$apt" -o Dir::State::lists="$apt/lists" -o Dir::State::status="$apt/status" \
    -o Dir::Cache="$apt/cache" -o APT::Sandbox::User= -o APT::Install-Recommends=false "$@" >&2
}
# What the system has in any case, and must not be mixed with its own version.
in_any_case='libc6|libc-bin|libgcc-s1|gcc-[0-9]+-base|libstdc\+\+6|libcrypt1|debconf|dpkg|perl-base|tar|libselinux1|libpcre2-8-0'
packages_of() { # packages_of MIRROR: the names to download; fails where the mirror has no Julia
  echo "deb [$trust] $1 bullseye main" >"$apt/sources.list"
  our_apt update &&
    (our_apt -s install julia) 2>&1 | awk '/^Inst/ {print $2}' | grep -vE "^($in_any_case)\$"
}
for place in "${mirror:-http://deb.debian.org/debian}" http://archive.debian.org/debian; do
  packages=$(packages_of "$place") && break
  echo "$place gave no Julia of Debian 11" >&2
done
[[ -n $packages ]] || { echo "no mirror offers Julia of Debian 11; install Julia 1.5 or newer" >&2; exit 1; }
# shellcheck disable=SC2086  # one word per package
(cd "$apt/debs" && our_apt download $packages)
for deb in "$apt"/debs/*.deb; do dpkg-deb -x "$deb" "$folder/root"; done

# Debian links Julia's private folder to libraries by absolute path; lead those links into ours.
private=$(dirname "$(find "$folder/root/usr/lib" -name sys.so -path '*julia*' | head -n 1)")
libraries=$(dirname "$private")
find "$private" -xtype l | while read -r link; do
  name=$(basename "$(readlink "$link")")
  for place in "$libraries" "$folder/root/lib/$(basename "$libraries")" "/usr/lib/$(basename "$libraries")" "/lib/$(basename "$libraries")"; do
    [[ -e $place/$name ]] && { ln -sf "$place/$name" "$link"; break; }
  done
done
paths=$libraries:$private:$folder/root/lib/$(basename "$libraries")
find "$libraries" -mindepth 2 -maxdepth 2 \( -name 'libblas.so.3' -o -name 'liblapack.so.3' \) -printf '%h\n' | sort -u >"$apt/extra"
while read -r extra; do paths+=:$extra; done <"$apt/extra"
cat >"$launcher" <<EOF
#!/bin/sh
LD_LIBRARY_PATH=$paths\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH} exec $folder/root/usr/bin/julia "\$@"
EOF
chmod +x "$launcher"
works "$launcher" || { echo "the unpacked Julia does not start:" >&2; "$launcher" -e 'println(VERSION)' >&2; exit 1; }
rm -rf "$apt"
done_with
