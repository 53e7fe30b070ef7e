#!/bin/bash
# Builds the static library with AddressSanitizer and libFuzzer's coverage, its dependencies without, for the fuzz targets
# and for the C tests under AddressSanitizer; prints its path. It has a target folder of its own, so that the plain library
# stays as it is; what the dependencies were built to is shared by hard links.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
own=$target/fuzz
mkdir -p "$own/release"
(cd "$target/release" && find .fingerprint build deps -type f ! -path '*s3dlio*' ! -path '*faultd*' -print0 |
    xargs -0 cp --parents -alf -t "$own/release")
# A wrapper for this crate only: flags in cargo's own environment would rebuild everything.
cat >"$own/rustc" <<'END'
#!/bin/sh
case " $* " in
*" --crate-name s3dlio "*)
    RUSTC_BOOTSTRAP=1 exec "$@" --cfg fuzzing -Zsanitizer=address -Ccodegen-units=1 -Cpasses=sancov-module \
        -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
*) exec "$@" ;;
esac
END
chmod +x "$own/rustc"
cd "$root"
CARGO_TARGET_DIR=$own RUSTC_WORKSPACE_WRAPPER=$own/rustc cargo rustc --release --lib --crate-type staticlib >&2
echo "$own/release/libs3dlio.a"
