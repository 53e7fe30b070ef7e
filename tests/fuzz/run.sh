#!/bin/bash
# Fuzz targets: tests/fuzz/run.sh [quick | SECONDS] [TARGET...]
#   Each target runs for so many seconds (20; quick: 4), two at a time, from its corpus beside this file.
# The library is that of tests/support/sanitized.sh. What a
# target failed on stays in TARGET_DIR/fuzz/found/, to be run again with TARGET_DIR/fuzz/bin/TARGET FILE; once it
# is mended it belongs into the corpus. The last line is "N passed, M failed".
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
seconds=20
case ${1:-} in
quick) seconds=4 && shift ;;
[0-9]*) seconds=$1 && shift ;;
esac
targets=${*:-head chunked range xml uri options manifest safetensors tfrecord tar npy npz hdf5 loader_state loader_manifest oplog pattern calls}
target=${CARGO_TARGET_DIR:-$root/target}
fuzz=$target/fuzz
cc=clang-19 # as tools.sh installs it
passed=0
failed=0

count() { # count NAME STATUS
    if [ "$2" -eq 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $1"; fi
}

build() {
    library=$("$root/tests/support/sanitized.sh") || return 1
    mkdir -p "$fuzz/bin" "$fuzz/found" "$fuzz/grown"
    local flags="-std=c11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Werror -pthread -I$root/include -I$root/tests/c
        -fsanitize=fuzzer,address"
    local link="$library -lm -ldl -lrt"
    for name in $targets planted; do
        case $name in
        calls) $cc $flags "$here/calls.c" -o "$fuzz/bin/$name" $link ;;
        *) $cc $flags -DTARGET="s3dlio_fuzz_$name" "$here/target.c" -o "$fuzz/bin/$name" $link ;;
        esac || return 1
    done
}

# What it finds goes on from run to run, but the corpus of the repository stays as it is.
fuzz_one() { # fuzz_one NAME SECONDS
    mkdir -p "$fuzz/grown/$1"
    "$fuzz/bin/$1" -max_total_time="$2" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=1 \
        -artifact_prefix="$fuzz/found/$1-" "$fuzz/grown/$1" "$here/corpus/$1" >"$fuzz/$1.log" 2>&1
}

report() { # report NAME STATUS
    local runs
    runs=$(grep -a 'stat::number_of_executed_units' "$fuzz/$1.log" | awk '{print $2}')
    echo "$1: ${runs:-no} runs, $(grep -ao 'cov: [0-9]* ft: [0-9]* corp: [0-9]*' "$fuzz/$1.log" | tail -n 1)"
    [ "$2" -eq 0 ] && [ "${runs:-0}" -gt 20 ]
    count "$1" $?
    [ "$2" -eq 0 ] || { grep -aE -A 2 'panicked at|calls.c:[0-9]+: ' "$fuzz/$1.log"; tail -n 60 "$fuzz/$1.log"; }
}

export ASAN_SYMBOLIZER_PATH=$(command -v addr2line) # clang's own is in a package of many megabytes
export ASAN_OPTIONS=detect_leaks=1
export S3DLIO_LOG_LEVEL=off
build || { echo "0 passed, 1 failed"; exit 1; }

# The fuzzer must find what was planted, from nothing: else the rest of this run would prove nothing.
rm -rf "$fuzz/grown/planted"
mkdir -p "$fuzz/grown/planted"
"$fuzz/bin/planted" -max_total_time=60 -artifact_prefix="$fuzz/found/planted-" "$fuzz/grown/planted" >"$fuzz/planted.log" 2>&1
[ $? -ne 0 ] && grep -aq "planted" "$fuzz/planted.log" && grep -aq 'libs3' "$fuzz/found"/planted-crash-*
count "the fuzzer finds the planted defect" $?
rm -f "$fuzz/found"/planted-*

set -- $targets
while [ $# -gt 0 ]; do
    first=$1 second=${2:-}
    shift $(($# > 1 ? 2 : 1))
    fuzz_one "$first" "$seconds" & pid=$!
    status=0
    [ -z "$second" ] || { fuzz_one "$second" "$seconds" || status=$?; }
    wait $pid
    report "$first" $?
    [ -z "$second" ] || report "$second" $status
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
