#!/usr/bin/env bash
# Runs the tests of the command against the binary that S3DLIO_TEST_COMMAND names, by default the one of this build.
# The servers' variables come from tests/support/servers.py; arguments go to pytest.
# usage: tests/cli/run.sh [pytest arguments]         S3DLIO_BLESS=1 writes the transcripts anew
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
S3DLIO_TEST_COMMAND=${S3DLIO_TEST_COMMAND:-${CARGO_TARGET_DIR:-$here/../../target}/release/s3dlio}
[[ -x $S3DLIO_TEST_COMMAND ]] || { echo "tests/cli: there is no $S3DLIO_TEST_COMMAND; run: cargo build --release" >&2; exit 1; }
S3DLIO_TEST_COMMAND=$(realpath "$S3DLIO_TEST_COMMAND")
export S3DLIO_TEST_COMMAND PYTHONDONTWRITEBYTECODE=1
exec "${PYTHON:-python3}" -m pytest -q --rootdir "$here" -c "$here/pytest.ini" "$@" "$here"
