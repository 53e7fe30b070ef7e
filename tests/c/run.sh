#!/bin/bash
# The C tests: tests/c/run.sh [plain|valgrind|asan] [PROGRAM...]
#   plain     builds every program against the library and runs it; checks header and exports
#   valgrind  runs them under Valgrind: no error, nothing lost
#   asan      builds the library and the programs with AddressSanitizer
# S3DLIO_LIB_DIR has the library (plain, valgrind); default: target/release. The last line is
# "N passed, N failed". Run it under tests/support/servers.py for the tests that need servers.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mode=${1:-plain}
shift || true
programs=${*:-basic abuse panic bad_input stress queue checkpoint loader datagen formats faults traffic fork exit}
target=${CARGO_TARGET_DIR:-$root/target}
lib=${S3DLIO_LIB_DIR:-$target/release}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cc=${CC:-cc}
cxx=${CXX:-c++}
# faultd is beside the library, but another build of the library has none.
export S3DLIO_TEST_FAULTD=${S3DLIO_TEST_FAULTD:-$target/release/faultd} S3DLIO_TEST_CELLS=$root/tests/faults/cells.tsv
most_bytes=$((16 << 20)) # of the stripped library
passed=0
failed=0
# Backtraces of errors take a lock that a fork does not know of: nothing that succeeds may make one.
export RUST_BACKTRACE=1

count() { # count NAME STATUS
    if [ "$2" -eq 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $1"; fi
}

# Adds what a program summed up; a program that ended otherwise is one failure.
tally() { # tally NAME STATUS LOG
    local line
    line=$(grep -aE "^$1: [0-9]+ passed, [0-9]+ failed$" "$3" | tail -1)
    if [ -n "$line" ]; then
        passed=$((passed + $(echo "$line" | sed -E 's/.*: ([0-9]+) passed.*/\1/')))
        failed=$((failed + $(echo "$line" | sed -E 's/.* ([0-9]+) failed/\1/')))
    fi
    if [ "$2" -ne 0 ] && { [ -z "$line" ] || echo "$line" | grep -q ' 0 failed'; }; then
        failed=$((failed + 1))
        echo "FAILED: $1 ended with status $2"
    fi
    if [ "$2" -ne 0 ]; then grep -a "failed:" "$3" | head -n 10; tail -n 15 "$3"; else echo "$line"; fi
}

header() {
    printf '#include "s3dlio.h"\n' >"$out/once.c"
    printf '#include "s3dlio.h"\n#include "s3dlio.h"\nint unused_;\n' >"$out/twice.c"
    for file in once twice; do
        for standard in c99 c11 c++17 c++20; do
            compiler=$cc language=c
            case $standard in c++*) compiler=$cxx language=c++ ;; esac
            $compiler -std=$standard -x $language -Wall -Wextra -Wpedantic -Werror -fsyntax-only \
                -I"$root/include" "$out/$file.c"
            count "header $file as $standard" $?
        done
    done
}

# The library, the header and the table of exports.h have the same functions.
exports() {
    nm -D --defined-only "$lib/libs3dlio.so" | awk '{print $3}' | sort >"$out/exported"
    sed -e 's@/\*.*\*/@@' "$root/include/s3dlio.h" | grep -v '^ \*' | grep -oE '\bs3dlio_[a-z0-9_]+\(' |
        tr -d '(' | sort -u >"$out/declared"
    diff "$out/exported" "$out/declared"
    count "exports are the header's functions" $?
    LD_LIBRARY_PATH=$out "$out/abuse" --list | sort | diff - "$out/declared"
    count "abuse.c and panic.c cover every function" $?
    strip -o "$out/stripped" "$lib/libs3dlio.so"
    size=$(stat -c %s "$out/stripped")
    echo "libs3dlio.so stripped: $size bytes; at most $most_bytes are allowed"
    [ "$size" -gt 0 ] && [ "$size" -le "$most_bytes" ]
    count "size of the stripped library" $?
    readelf -d "$lib/libs3dlio.so" | grep -q 'SONAME.*\[libs3dlio.so.0\]'
    count "SONAME" $?
    readelf -d "$lib/libs3dlio.so" | grep -q NODELETE
    count "nodelete" $?
}

build() { # build NAME FLAGS...
    local name=$1
    shift
    $cc -std=c11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Werror -Wno-unknown-warning-option -Wno-format-truncation -pthread -I"$root/include" "$here/$name.c" \
        -o "$out/$name" "$@"
}

build_all() {
    # The program asks for the SONAME; a build folder has the plain name only.
    ln -sf "$lib/libs3dlio.so" "$out/libs3dlio.so.0"
    for name in $programs; do
        build "$name" "$@" || { count "$name compiles" 1; }
    done
}

run() { # run WRAPPER... : every program below the wrapper
    for name in $programs; do
        [ -x "$out/$name" ] || continue
        LD_LIBRARY_PATH=$out "$@" "$out/$name" >"$out/$name.log" 2>&1
        tally "$name" $? "$out/$name.log"
    done
}

# The library's own code with AddressSanitizer (its dependencies without), linked into each program,
# and a proof that the sanitizer sees what the library does.
asan() {
    local library
    library=$("$root/tests/support/sanitized.sh") || { echo "0 passed, 1 failed"; exit 1; }
    cc=clang-19 # as tools.sh installs it
    local link="$library -fsanitize=address -lm -ldl -lrt"
    build_all $link
    for name in $programs; do
        nm "$out/$name" | grep -q __asan_init
        count "$name has AddressSanitizer" $?
    done
    build planted $link
    "$out/planted" >"$out/planted.log" 2>&1
    [ $? -ne 0 ] && grep -q heap-use-after-free "$out/planted.log" && grep -q s3dlio_store_put "$out/planted.log"
    count "AddressSanitizer finds the planted use after free" $?
}

case $mode in
plain)
    build_all -L"$lib" -ls3dlio
    header
    case " $programs " in *" abuse "*) exports ;; esac
    run timeout 600
    ;;
valgrind)
    build_all -L"$lib" -ls3dlio
    export S3DLIO_TEST_SLOW=1
    # The programs that panic.c and exit.c start run outside of Valgrind.
    # What the never-dropped runtime holds is still reachable, not lost. Forked children leak what they
    # inherited, by design: no leak check where there are some.
    memcheck="timeout 1600 valgrind --quiet --suppressions=$here/valgrind.supp --error-exitcode=99 --fair-sched=yes --num-callers=30"
    leaks="--leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite"
    all=$programs
    for programs in $all; do
        case $programs in faults | traffic) continue ;; esac # their deadlines are too short for Valgrind
        case $programs in fork | bad_input | checkpoint | datagen) run $memcheck --leak-check=no ;; *) run $memcheck $leaks ;; esac
    done
    ;;
asan)
    export S3DLIO_TEST_SLOW=1
    # Names in its reports: clang's own symbolizer is in a package of many megabytes.
    export ASAN_SYMBOLIZER_PATH=$(command -v addr2line)
    asan
    all=$programs
    for programs in $all; do
        # Programs with children that panic, or that exit in the middle of things, leave memory behind.
        case $programs in panic | exit | bad_input | fork | traffic) leaks=0 ;; *) leaks=1 ;; esac
        ASAN_OPTIONS=detect_leaks=$leaks:abort_on_error=0 run timeout 900
    done
    ;;
*)
    echo "usage: $0 [plain|valgrind|asan] [PROGRAM...]" >&2
    exit 2
    ;;
esac
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
