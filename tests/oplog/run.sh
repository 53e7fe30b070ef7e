#!/usr/bin/env bash
# Tests the op-log and the metrics of the library that S3DLIO_LIBRARY names, from Python, C++ and Julia, with
# the command beside it. The servers' variables come from tests/support/servers.py; arguments go to pytest.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${S3DLIO_LIBRARY:?set it to the path of libs3dlio.so}"
S3DLIO_LIBRARY=$(realpath "$S3DLIO_LIBRARY")
export S3DLIO_TEST_FAULTD=${S3DLIO_TEST_FAULTD:-$(dirname "$S3DLIO_LIBRARY")/faultd}
export S3DLIO_LIBRARY PYTHONPATH=$here/../python:$here/../../bindings/python PYTHONDONTWRITEBYTECODE=1
tools=${S3DLIO_TEST_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/s3dlio/tools}
exec "$tools/oplog/bin/python" -m pytest -q -p no:cacheprovider --rootdir "$here" -c "$here/../python/pytest.ini" \
    -p conftest "$@" "$here"
