#!/bin/bash
# Looks at reports of op-logs in a headless browser. The command is the one beside S3DLIO_LIBRARY.
# Last line: "N passed, N failed".
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tools=${S3DLIO_TEST_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/s3dlio/tools}
: "${S3DLIO_LIBRARY:?set it to the path of libs3dlio.so}"
exec "$tools/browser/bin/python" -B "$here/look.py" "$(dirname "$(realpath "$S3DLIO_LIBRARY")")/s3dlio"
