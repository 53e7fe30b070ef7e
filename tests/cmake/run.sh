#!/bin/bash
# Installs libs3dlio into a temporary prefix, moves that, and uses it in every documented way.
# Needs cargo, cmake, a C and C++ compiler, pkg-config. Last line: "N passed, N failed".
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/s3dlio/target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
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
# The command must fail and say something that matches the pattern.
check_refused() {
    local name=$1 pattern=$2
    shift 2
    if ! "$@" >"$work/log" 2>&1 && tr '\n' ' ' <"$work/log" | grep -qE "$pattern"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $name: was not refused with \"$pattern\": $*"
        tail -n 30 "$work/log" | sed 's/^/    /'
    fi
}
needs_shared() { readelf -d "$1" | grep -q 'NEEDED.*libs3dlio\.so\.0\]'; }
needs_no_shared() { readelf -d "$1" | grep -q NEEDED && ! readelf -d "$1" | grep -q libs3dlio; }
says_version() { [ "$("$1")" = "$version" ]; }
configure() { # configure DIR ARGS...: the consumer project
    local dir=$1
    shift
    rm -rf "$dir"
    cmake -S "$here/consumer" -B "$dir" "$@"
}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
minor=${version%.*}
next_minor=${minor%.*}.$((${minor#*.} + 1))

# ---- build and install
check "configure" cmake -S "$root" -B "$work/build" -DCMAKE_INSTALL_PREFIX="$work/first" -DCMAKE_INSTALL_LIBDIR=lib
check "build" cmake --build "$work/build"
check "install" cmake --install "$work/build"
mv "$work/first" "$work/moved" # the package must not know where it was installed
prefix=$work/moved
lib=$prefix/lib
for file in include/s3dlio.h include/s3dlio.hpp "lib/libs3dlio.so.$version" lib/libs3dlio.a \
    lib/cmake/s3dlio/s3dlioConfig.cmake lib/cmake/s3dlio/s3dlioConfigVersion.cmake \
    lib/pkgconfig/s3dlio.pc share/doc/s3dlio/LICENSE; do
    check "installs $file" test -s "$prefix/$file"
done
check "libs3dlio.so is a link" test "$(readlink "$lib/libs3dlio.so")" = libs3dlio.so.0
check "libs3dlio.so.0 is a link" test "$(readlink "$lib/libs3dlio.so.0")" = "libs3dlio.so.$version"
soname() { readelf -d "$lib/libs3dlio.so" | grep -q 'SONAME.*\[libs3dlio\.so\.0\]'; }
check "SONAME" soname
stripped() { ! readelf -SW "$lib/libs3dlio.so" | grep -qE '\.(debug_info|debug_line|symtab)'; }
check "the shared library is stripped" stripped
names_no_build() { ! grep -rlE "$work|$CARGO_TARGET_DIR|$root/" "$lib/cmake" "$lib/pkgconfig"; }
check "package files name no path of the build" names_no_build
second_build_is_idle() {
    local before after
    before=$(stat -c %Y.%i "$work/build/lib/libs3dlio.so.$version") || return 1
    cmake --build "$work/build" || return 1
    after=$(stat -c %Y.%i "$work/build/lib/libs3dlio.so.$version")
    [ "$before" = "$after" ]
}
check "a second build changes nothing" second_build_is_idle
check "install with DESTDIR" env DESTDIR="$work/dest" cmake --install "$work/build" --prefix /usr
check "DESTDIR is honoured" test -s "$work/dest/usr/lib/libs3dlio.so.$version"

# ---- find_package
found=(-DCMAKE_PREFIX_PATH="$prefix")
check "find_package" configure "$work/use" "${found[@]}"
check "it is ours" grep -q "s3dlio_DIR.*=$lib/cmake/s3dlio" "$work/use/CMakeCache.txt"
check "build the consumer" cmake --build "$work/use"
for program in c_shared c_static cxx_shared cxx_static; do
    check "$program runs" says_version "$work/use/$program"
done
check "cxx_wrapped runs" "$work/use/cxx_wrapped"
check "c_shared is shared" needs_shared "$work/use/c_shared"
check "cxx_shared is shared" needs_shared "$work/use/cxx_shared"
check "cxx_wrapped is shared" needs_shared "$work/use/cxx_wrapped"
check "c_static is static" needs_no_shared "$work/use/c_static"
check "cxx_static is static" needs_no_shared "$work/use/cxx_static"

check "this minor version" configure "$work/v" "${found[@]}" -DWANTED_VERSION="$minor"
check "this version" configure "$work/v" "${found[@]}" -DWANTED_VERSION="$version"
check_refused "the next minor version" "compatible +with +requested" configure "$work/v" "${found[@]}" -DWANTED_VERSION="$next_minor"
check_refused "a newer patch" "compatible +with +requested" configure "$work/v" "${found[@]}" -DWANTED_VERSION="$minor.999"
check_refused "the next major version" "compatible +with +requested" configure "$work/v" "${found[@]}" -DWANTED_VERSION=9.0
check_refused "an older minor version" "compatible +with +requested" configure "$work/v" "${found[@]}" -DWANTED_VERSION=0.0
check "all components" configure "$work/v" "${found[@]}" "-DWANTED_COMPONENTS=shared;static;cxx"
check_refused "an unknown component" "component +\"gpu\" +is +not" configure "$work/v" "${found[@]}" "-DWANTED_COMPONENTS=shared;gpu"
mv "$lib/libs3dlio.a" "$work/kept.a"
check_refused "a component that is not installed" "component +\"static\" +is +not" configure "$work/v" "${found[@]}" "-DWANTED_COMPONENTS=static"
mv "$work/kept.a" "$lib/libs3dlio.a"

# ---- pkg-config
export PKG_CONFIG_PATH=$lib/pkgconfig
check "pkg-config knows the version" test "$(pkg-config --modversion s3dlio)" = "$version"
check_refused "pkg-config refuses a newer one" "is" pkg-config --print-errors "s3dlio >= 99"
pc_shared() {
    cc -o "$work/pc_shared" "$here/consumer/use.c" $(pkg-config --cflags --libs s3dlio) &&
        LD_LIBRARY_PATH=$lib says_version "$work/pc_shared" && needs_shared "$work/pc_shared"
}
check "pkg-config, shared C" pc_shared
pc_cxx() {
    c++ -std=c++17 -o "$work/pc_cxx" "$here/consumer/use.cpp" $(pkg-config --cflags --libs s3dlio) &&
        LD_LIBRARY_PATH=$lib says_version "$work/pc_cxx"
}
check "pkg-config, shared C++" pc_cxx
pc_static() {
    local libs
    libs=$(pkg-config --static --libs s3dlio)
    cc -o "$work/pc_static" "$here/consumer/use.c" $(pkg-config --cflags s3dlio) ${libs/-ls3dlio/-l:libs3dlio.a} &&
        says_version "$work/pc_static" && needs_no_shared "$work/pc_static"
}
check "pkg-config, static C" pc_static

# ---- add_subdirectory
check "add_subdirectory" configure "$work/sub" -DFROM=subdirectory -DS3DLIO_SOURCE="$root"
check "build the subdirectory" cmake --build "$work/sub"
for program in c_shared c_static cxx_shared cxx_static; do
    check "$program of the subdirectory runs" says_version "$work/sub/$program"
done
check "cxx_shared of the subdirectory is shared" needs_shared "$work/sub/cxx_shared"
check "cxx_static of the subdirectory is static" needs_no_shared "$work/sub/cxx_static"

# ---- the examples
check "with examples" cmake -S "$root" -B "$work/examples" -DS3DLIO_BUILD_EXAMPLES=ON
check "build the examples" cmake --build "$work/examples"
mkdir "$work/stored"
check "the C example runs" "$work/examples/examples/roundtrip" "file://$work/stored/c"
says_verified() { "$work/examples/examples/checkpoint" "file://$work/stored/cpp" 16MiB | grep -i "every byte came back"; }
check "the C++ example runs" says_verified
check "and the project that adds the subdirectory may ask for them" \
    configure "$work/more" -DFROM=subdirectory -DS3DLIO_SOURCE="$root" -DS3DLIO_BUILD_EXAMPLES=ON
check "build them there" cmake --build "$work/more" --target s3dlio_checkpoint s3dlio_roundtrip
check "one of them runs" "$work/more/s3dlio/examples/roundtrip" "file://$work/stored/more"

# ---- the list of native libraries is rustc's own
native_libs() {
    local said
    said=$(cd "$root" && cargo rustc --release --lib --locked --crate-type staticlib -- --print native-static-libs 2>&1 |
        sed -n 's/^note: native-static-libs: //p')
    echo "rustc: $said; ours: $(cat "$root/cmake/native-static-libs.txt")"
    [ -n "$said" ] && [ "$said" = "$(cat "$root/cmake/native-static-libs.txt")" ]
}
check "native libraries of the static library" native_libs

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
