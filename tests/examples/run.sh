#!/usr/bin/env bash
# Runs the examples as the README tells a user to: the main job with its 1 GiB on a local folder, then
# smaller on S3 and Azure, the small ones in C and Python (Julia's run with the Julia suite), and an MPI job's
# checkpoint with processes of one number that save and of another that load.
# Needs the servers: python3 tests/support/servers.py run -- tests/examples/run.sh
# Ends with `N passed, N failed`.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/s3dlio/target}
library=$CARGO_TARGET_DIR/release/libs3dlio.so
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# Runs a command that must succeed and print this text.
check() {
  local text=$1; shift
  echo "-- ${*//$work/FOLDER}"
  if "$@" >"$work/log" 2>&1 && grep -qi -- "$text" "$work/log"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: no success with \"$text\""
  fi
  cat "$work/log"
}

s3() {
  local -x S3DLIO_S3_ENDPOINT="$S3DLIO_TEST_SEAWEED" AWS_ACCESS_KEY_ID=s3dliotest \
    AWS_SECRET_ACCESS_KEY=s3dliotestsecret AWS_REGION=us-east-1
  "$@"
}

azure() {
  # The account and key that Azurite documents.
  env AZURE_STORAGE_CONNECTION_STRING="DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;BlobEndpoint=$S3DLIO_TEST_AZURITE;" "$@"
}

python() {
  env S3DLIO_LIBRARY="$library" PYTHONPATH=bindings/python "${PYTHON:-python3}" examples/python/checkpoint.py "$@"
}

: "${S3DLIO_TEST_SEAWEED:?run this under tests/support/servers.py}" "${S3DLIO_TEST_AZURITE:?run this under tests/support/servers.py}"
name=examples-$$-$RANDOM
check "every byte came back" examples/run
check "every byte came back" s3 examples/run "s3://$name-cpp/run" 64MiB
check "every byte came back" azure examples/run "az://devstoreaccount1/$name-cpp/run" 64MiB
check "" "$CARGO_TARGET_DIR/demo/roundtrip" "file://$work/c"
check verified python "file://$work/python" 256

# mpirun as root, as in a container, and with more processes than processors.
ranks() {
  local n=$1; shift
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 timeout 120 \
    mpirun --oversubscribe -n "$n" "$work/cmake/examples/checkpoint_mpi" "$@"
}
fails() { ! "$@"; }
check "" cmake -S . -B "$work/cmake" -DS3DLIO_BUILD_EXAMPLES=ON -DS3DLIO_INSTALL=OFF
check "" cmake --build "$work/cmake" --target s3dlio_checkpoint_mpi s3dlio_train
check "saved step 100 by 4 ranks" ranks 4 save "file://$work/mpi"
check "loaded step 100 of 4 ranks by 2 ranks: every element is right" ranks 2 load "file://$work/mpi"
check "loaded step 100 of 4 ranks by 3 ranks: every element is right" ranks 3 load "file://$work/mpi" 100
check "step 100 has a committed checkpoint" fails ranks 2 save "file://$work/mpi"
check "no committed checkpoint" fails ranks 2 load "file://$work/none"
check "made" s3 env S3DLIO_LIBRARY="$library" PYTHONPATH=bindings/python "${PYTHON:-python3}" -c \
  "import s3dlio; s3dlio.Store('s3://$name-mpi').create_container(); print('made')"
check "saved step 7 by 2 ranks" s3 ranks 2 save "s3://$name-mpi/run" 7 16
check "loaded step 7 of 2 ranks by 4 ranks: every element is right" s3 ranks 4 load "s3://$name-mpi/run"
check "saved step 8 by 4 ranks" s3 ranks 4 save "s3://$name-mpi/run" 8 16
check "loaded step 8 of 4 ranks by 1 ranks: every element is right" s3 ranks 1 load "s3://$name-mpi/run"
check "made" s3 env S3DLIO_LIBRARY="$library" PYTHONPATH=bindings/python "${PYTHON:-python3}" -c \
  "import s3dlio; s3dlio.Store('s3://$name-train').create_container(); print('made')"
check "trained" "$work/cmake/examples/train" "file://$work/train"
check "trained" s3 "$work/cmake/examples/train" "s3://$name-train/run" 1000 6
echo "$passed passed, $failed failed"
((failed == 0))
