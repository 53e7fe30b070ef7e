#!/usr/bin/env bash
# Runs the tests of the Python binding against the library that S3DLIO_LIBRARY names.
# The servers' variables come from tests/support/servers.py; arguments go to pytest.
# usage: S3DLIO_LIBRARY=target/release/libs3dlio.so tests/python/run.sh [pytest arguments]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${S3DLIO_LIBRARY:?set it to the path of libs3dlio.so}"
S3DLIO_LIBRARY=$(realpath "$S3DLIO_LIBRARY")
export S3DLIO_TEST_FAULTD=${S3DLIO_TEST_FAULTD:-$(dirname "$S3DLIO_LIBRARY")/faultd}
export S3DLIO_LIBRARY PYTHONPATH=$here/../../bindings/python PYTHONDONTWRITEBYTECODE=1
exec "${PYTHON:-python3}" -m pytest -q -p no:cacheprovider --rootdir "$here" -c "$here/pytest.ini" "$@" "$here"
