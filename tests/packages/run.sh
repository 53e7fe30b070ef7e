#!/bin/bash
# Packs the .deb and installs it in a clean Debian, where the command runs and CMake projects link; lints the
# Dockerfile, and with S3DLIO_TEST_DOCKER=1 builds it, which compiles everything anew. Root, for chroot. Last line: "N passed, N failed".
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
tools=${S3DLIO_TEST_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/s3dlio/tools}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/s3dlio/target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
clean=$work/clean
passed=0
failed=0

# check NAME COMMAND...: the command must succeed; its output is shown only if it does not.
check() {
    local name=$1
    shift
    if "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $name: $*"
        tail -n 30 "$work/log" | sed 's/^/    /'
    fi
}
# Inside the clean Debian: nothing of this machine's environment, and no network where that can be taken away.
apart=(unshare --net --pid --fork --kill-child)
"${apart[@]}" true 2>/dev/null || { echo "unshare is not permitted here: a plain chroot is used"; apart=(); }
inside() { "${apart[@]}" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root chroot "$clean" "$@"; }
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
arch=$(dpkg --print-architecture)
deb=s3dlio_${version}_$arch.deb

# ---- pack
check "configure" cmake -S "$root" -B "$work/build" -DCMAKE_INSTALL_PREFIX=/usr
check "build" cmake --build "$work/build"
pack() { cd "$work/build" && cpack -G DEB; }
check "pack" pack
[ -s "$work/build/$deb" ] || { ls "$work/build"; echo "$passed passed, $((failed + 1)) failed"; exit 1; }
field() { dpkg-deb -f "$work/build/$deb" "$1"; }
check "version" test "$(field Version)" = "$version"
depends_only_on_libc() { field Depends | tr ',' '\n' | sed 's/^ *//; s/ .*//' | sort | diff - <(printf 'libc6\nlibgcc-s1\n'); }
check "depends on the C library and nothing else" depends_only_on_libc
names_no_build() {
    dpkg-deb -x "$work/build/$deb" "$work/unpacked" && ! grep -ralE "$work|$CARGO_TARGET_DIR|$root/" "$work/unpacked"
}
check "names no path of the build" names_no_build

# ---- cargo install, of what was built above
check "cargo install" cargo install --locked --path "$root" --root "$work/cargo" --target-dir "$CARGO_TARGET_DIR"
check "cargo installs the command alone" test "$(ls "$work/cargo/bin")" = s3dlio
command_of_cargo() { env -i "$work/cargo/bin/s3dlio" "$@"; }
cargo_says_version() { command_of_cargo version | grep -q " $version\$"; }
check "cargo's command says its version" cargo_says_version
check "cargo's command puts" command_of_cargo put "file://$work/of-cargo/" -n 3 -s 10
cargo_lists() { test "$(command_of_cargo ls "file://$work/of-cargo/" | wc -l)" = 3; }
check "cargo's command lists" cargo_lists
check "cargo's command gets" command_of_cargo get "file://$work/of-cargo/"

# ---- install
cp -a "$tools/clean-root" "$clean"
cp "$work/build/$deb" "$clean/root/"
cp -r "$root/tests/cmake/consumer" "$clean/root/consumer"
check "the root is clean" test ! -e "$clean/usr/include/s3dlio.h" -a ! -e "$clean/usr/bin/s3dlio"
check "install" inside dpkg -i "/root/$deb"
check "dpkg agrees" inside dpkg --verify s3dlio
check "ldconfig knows the library" inside sh -c 'ldconfig -p | grep -q "libs3dlio\.so\.0 "'
for file in bin/s3dlio include/s3dlio.h include/s3dlio.hpp share/man/man1/s3dlio.1 share/bash-completion/completions/s3dlio \
    share/zsh/vendor-completions/_s3dlio share/fish/vendor_completions.d/s3dlio.fish share/doc/s3dlio/LICENSE; do
    check "installs $file" test -s "$clean/usr/$file"
done

# ---- the command, on a store of its own
says_version() { inside s3dlio version | tee /dev/stderr | grep -q "$version"; }
check "the command says its version" says_version
check "put and list" inside sh -ec '
    head -c 100000 /dev/urandom >/tmp/data
    mkdir /tmp/store
    s3dlio upload /tmp/data file:///tmp/store/
    s3dlio ls file:///tmp/store/ | grep -q data
    s3dlio cat file:///tmp/store/data | cmp - /tmp/data'
check "the man page is one" sh -c "head -n 5 '$clean/usr/share/man/man1/s3dlio.1' | grep -q '^\.TH s3dlio 1'"
check "bash takes the completions" inside bash -c '. /usr/share/bash-completion/completions/s3dlio && complete -p s3dlio'

# ---- consumers
check "find_package" inside cmake -S /root/consumer -B /root/use
check "build the consumers" inside cmake --build /root/use
for program in c_shared c_static cxx_shared cxx_static; do
    check "$program runs" test "$(inside /root/use/$program)" = "$version"
done
check "c_shared links the package's library" inside sh -c 'ldd /root/use/c_shared | grep -q "libs3dlio\.so\.0 => /"'
check "pkg-config" inside sh -ec 'cc -o /tmp/use /root/consumer/use.c $(pkg-config --cflags --libs s3dlio) && /tmp/use'

# ---- remove
check "remove" inside dpkg --purge s3dlio
left() { ! find "$clean/usr" "$clean/etc" -name '*s3dlio*' | grep .; }
check "nothing is left" left

# ---- the image
check "the Dockerfile has no fault that hadolint knows" "$tools/packages/bin/hadolint" "$root/Dockerfile"
# What .dockerignore lets through is enough for cargo to know every crate, and for CMake to configure and to install.
context() {
    mkdir "$work/context" && (cd "$root" && sed -n 's,^!/,,p' .dockerignore | xargs git ls-files -z -- |
        xargs -0 cp --parents -t "$work/context") &&
        cargo metadata --locked --offline --no-deps --manifest-path "$work/context/Cargo.toml" &&
        cmake -S "$work/context" -B "$work/context-build" -DCMAKE_INSTALL_PREFIX=/usr &&
        cp -a "$work/build/lib" "$work/build/bin" "$work/build/share" "$work/context-build/" &&
        DESTDIR=$work/out cmake --install "$work/context-build"
}
check "the context of the image has what its build reads" context
if [ "${S3DLIO_TEST_DOCKER:-}" = 1 ]; then
    check "build the image" docker build -q -t s3dlio-test "$root"
    image() { docker run --rm "$@"; }
    image_says_version() { image s3dlio-test version | grep -q "$version"; }
    check "the image says the version" image_says_version
    check "the image writes to /data" image s3dlio-test put file:///data/some/ -n 2 -s 10
    image_runs_as_1000() { test "$(image --entrypoint id s3dlio-test -u)" = 1000; }
    check "the image runs as user 1000" image_runs_as_1000
    check "build the image to compile in" docker build -q -t s3dlio-test-dev --target dev "$root"
    check "a program compiles in it" image -v "$root/tests/cmake/consumer:/consumer:ro" s3dlio-test-dev sh -ec '
        cc -o /tmp/use /consumer/use.c $(pkg-config --cflags --libs s3dlio)
        /tmp/use
        cmake -S /consumer -B /tmp/use.d && cmake --build /tmp/use.d && /tmp/use.d/cxx_shared'
    docker image rm -f s3dlio-test s3dlio-test-dev >/dev/null 2>&1
else
    echo "the image was linted, not built: S3DLIO_TEST_DOCKER=1 builds it"
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
