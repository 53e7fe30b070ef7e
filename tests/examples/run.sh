#!/usr/bin/env bash
# Runs the examples as the README tells a user to: the main job with its 1 GiB on a local folder, then
# smaller on S3 and Azure, and the small ones in C and Python (Julia's run with the Julia suite).
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
  env S3DLIO_S3_ENDPOINT="$S3DLIO_TEST_SEAWEED" AWS_ACCESS_KEY_ID=s3dliotest \
    AWS_SECRET_ACCESS_KEY=s3dliotestsecret AWS_REGION=us-east-1 "$@"
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
echo "$passed passed, $failed failed"
((failed == 0))
