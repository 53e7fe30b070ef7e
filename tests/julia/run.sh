#!/usr/bin/env bash
# Tests the Julia binding: the package's own tests, then those against the servers that
# tests/support/servers.py starts, then the examples. Ends with `N passed, N failed`.
# environment: JULIA (default: julia), S3DLIO_LIBRARY (libs3dlio.so), S3DLIO_TEST_SEAWEED, _S3B, _AZURITE,
# S3DLIO_TEST_FAULTD (default: faultd beside the library)
# usage: python3 tests/support/servers.py run -- tests/julia/run.sh [package|servers|faults|example]...
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
julia=${JULIA:-julia}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export S3DLIO_TEST_FAULTD=${S3DLIO_TEST_FAULTD:-$(dirname "${S3DLIO_LIBRARY:-target/release/x}")/faultd}
export JULIA_DEPOT_PATH=$work/depot JULIA_NUM_THREADS=${JULIA_NUM_THREADS:-2}
passed=0 failed=0

# Runs one program of tests; one that dies before its count is one failure.
count() {
  local limit=$1; shift
  timeout "$limit" "$julia" --startup-file=no --check-bounds=yes --project=bindings/julia "$@" 2>&1 | tee "$work/log"
  local status=${PIPESTATUS[0]} good bad
  if read -r good bad < <(sed -n 's/^S3DLIO-COUNT //p' "$work/log" | tail -n 1); then
    ((bad == 0 && status != 0)) && { echo "exit status $status"; bad=1; }
  else
    echo "$1 died with status $status and no count"
    good=0 bad=1
  fi
  ((passed += good, failed += bad))
  return 0
}

for part in "${@:-package servers faults example}"; do
  for one in $part; do
    case $one in
      package) count 900 bindings/julia/test/runtests.jl ;;
      servers) count 1800 tests/julia/runtests.jl ;;
      faults) count 600 tests/julia/faults.jl ;;
      example) count 300 tests/julia/example.jl ;;
      *) echo "unknown part $one" >&2; exit 2 ;;
    esac
  done
done
echo "$passed passed, $failed failed"
((failed == 0))
