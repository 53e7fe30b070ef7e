#!/usr/bin/env bash
# Runs the tests that need PyTorch, JAX and TensorFlow, with the Python that PYTHON_ML names.
# The servers' variables come from tests/support/servers.py; arguments go to pytest.
# usage: S3DLIO_LIBRARY=target/release/libs3dlio.so PYTHON_ML=.../ml/bin/python tests/frameworks/run.sh [pytest arguments]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${S3DLIO_LIBRARY:?set it to the path of libs3dlio.so}" "${PYTHON_ML:?set it to the Python of tests/support/tools.sh ml}"
S3DLIO_LIBRARY=$(realpath "$S3DLIO_LIBRARY")
export S3DLIO_LIBRARY PYTHONPATH=$here/../../bindings/python:$here/../python PYTHONDONTWRITEBYTECODE=1
export OMP_NUM_THREADS=1 TF_CPP_MIN_LOG_LEVEL=3 TF_ENABLE_ONEDNN_OPTS=0 JAX_PLATFORMS=cpu
# JAX has four devices, so that there is something to shard.
export XLA_FLAGS=--xla_force_host_platform_device_count=4
counts=$(mktemp)
trap 'rm -f "$counts"' EXIT
status=0

run() { # run ARGUMENT...
    local ended=0
    "$PYTHON_ML" -m pytest -q -p no:cacheprovider -p conftest --rootdir "$here" -c "$here/pytest.ini" "$@" | tee -a "$counts" || ended=$?
    ((ended == 5)) || status=$((status ? status : ended)) # 5: the arguments select nothing here
}

# What forks workers has a process of its own: forked children of one with JAX's and TensorFlow's threads hang.
# The guide's examples fork before they come to JAX.
forking=("$here/test_torch_data.py" "$here/test_frameworks_guide.py")
run "$@" "${forking[@]/#/--ignore=}" "$here"
run "$@" "${forking[@]}"
# Both runs' last lines, such as `2 failed, 10 passed, 1 error in 3.21s`.
sum() { grep -E ' in [0-9.]+s' "$counts" | grep -oE "[0-9]+ ($1)" | awk '{ n += $1 } END { print n + 0 }'; }
passed=$(sum passed)
((passed || status)) || { echo "the arguments select no test: $*" >&2; status=5; }
echo "$passed passed, $(sum 'failed|errors?') failed"
exit "$status"
