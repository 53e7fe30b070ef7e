#!/bin/bash
# Builds and runs the tests of the C++ binding. Last line: "N passed, N failed".
#
#     tests/cpp/run.sh [NAME...]      only tests whose name/backend holds every NAME
#
# S3DLIO_LIB_DIR      folder of libs3dlio.so; default: what cargo built
# S3DLIO_INCLUDE_DIR  folder of s3dlio.h; default: include/
# S3DLIO_TEST_*       the test servers; python3 tests/support/servers.py run -- tests/cpp/run.sh sets them
# CXX                 compilers to compile with, the first one's C++17 runs; default: those of g++, clang++-19 there are
# SANITIZE=1          with AddressSanitizer and UBSan
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/s3dlio/target}
lib=${S3DLIO_LIB_DIR:-$target/release}
include=${S3DLIO_INCLUDE_DIR:-$root/include}
compilers=${CXX:-$(for c in g++ clang++-19; do command -v $c >/dev/null && echo $c; done)}
export S3DLIO_TEST_FAULTD=${S3DLIO_TEST_FAULTD:-$lib/faultd} S3DLIO_TEST_CELLS=$root/tests/faults/cells.tsv
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ ! -e "$lib/libs3dlio.so" ]; then
    echo "tests/cpp: there is no $lib/libs3dlio.so; run: cargo build --release" >&2
    exit 1
fi
ln -s "$(readlink -f "$lib/libs3dlio.so")" "$work/libs3dlio.so"
ln -s libs3dlio.so "$work/libs3dlio.so.0"

flags=(-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Werror -I"$include" -I"$root/bindings/cpp")
first=
for compiler in $compilers; do
    for standard in 17 20; do
        program=$work/tests-$compiler-$standard
        if [ -z "$first" ]; then
            extra=(-O1 -g)
            [ -z "${SANITIZE:-}" ] || extra+=(-fsanitize=address,undefined -fno-sanitize-recover=undefined)
            # Several units include the header: linking them proves that it may be.
            for unit in "$here"/*.cpp; do
                "$compiler" -std=c++$standard "${flags[@]}" "${extra[@]}" -c -o "$program-$(basename "$unit").o" "$unit"
            done
            "$compiler" "${extra[@]}" -o "$program" "$program"-*.o -L"$work" -ls3dlio -Wl,-rpath,"$work" -pthread
            first=$program
        else
            for unit in "$here"/*.cpp; do "$compiler" -std=c++$standard "${flags[@]}" -fsyntax-only "$unit"; done
        fi
    done
done
status=0
"$first" "$@" | tee "$work/said" || status=$?
[ $# -gt 0 ] && exit "$status"
read -r passed _ failed _ < <(tail -n 1 "$work/said")

# The guide's examples are programs; the README's is a piece of one, on a store of its own. All are run.
blocks() { awk -v base="$1" '/^```cpp$/ { n++; on = 1; next } /^```/ { on = 0 } on { print > (base "-" n ".cpp") }' "$2"; }
blocks "$work/guide" "$root/docs/cpp.md"
blocks "$work/readme" "$root/README.md"
for unit in "$work"/guide-*.cpp "$work"/readme-*.cpp; do
    if ! grep -q 'int main' "$unit"; then
        sed -i -e '1i #include <s3dlio.hpp>\n#include <iostream>\nint main() {' -e 's@"s3://bucket/run1"@"memory://readme"@' "$unit"
        printf '}\n' >>"$unit"
    fi
    if "${compilers%%[[:space:]]*}" -std=c++17 "${flags[@]}" -Wno-unused -o "$unit.run" "$unit" -L"$work" -ls3dlio -Wl,-rpath,"$work" &&
        timeout 60 "$unit.run" >"$unit.out" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED example $(basename "$unit")"
        cat "$unit" "$unit.out" 2>/dev/null || true
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] || status=1
exit "$status"
