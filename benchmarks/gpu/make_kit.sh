#!/bin/bash
# Collects what gpu_check.sh needs on a machine without a network into a folder (5 MB):
#
#     PYTHON=.venv/bin/python bash benchmarks/gpu/make_kit.sh FOLDER [PHOTO]
#
# The wheels are for Linux on x86-64 and Python $KIT_PYTHON (3.12), in the versions of requirements.lock. Three packages
# have no wheels and are built here, without compiled parts: sam2 (its CUDA extension is left out), antlr4 and iopath.
# Building sam2 imports torch, so PYTHON must have torch, setuptools and wheel.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${1:?give the folder to fill}
photo=${2:-}
python=${PYTHON:-python3}
version=${KIT_PYTHON:-3.12}

# The lock's lines for these packages, as name==version.
pinned() {
  for name in "$@"; do
    grep -oE "^$name==[^ ;]+" "$here/../../requirements.lock" || { echo "requirements.lock has no $name" >&2; exit 1; }
  done
}

wheels=$(pinned hydra-core omegaconf pycocotools pydantic pydantic-core annotated-types typing-inspection \
  typing-extensions orjson platformdirs portalocker)
sources=$(pinned antlr4-python3-runtime iopath sam2)
platforms=()
for glibc in 2_28 2_27 2_24 2_17 2014 1; do
  case $glibc in *_*) platforms+=(--platform "manylinux_${glibc}_x86_64") ;; *) platforms+=(--platform "manylinux${glibc}_x86_64") ;; esac
done
mkdir -p "$folder/wheels"
rm -f "$folder"/wheels/*.whl
# --no-deps: the machine has the other packages, and must keep its own torch.
"$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version "$version" --implementation cp \
  "${platforms[@]}" --dest "$folder/wheels" $wheels
SAM2_BUILD_CUDA=0 "$python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$folder/wheels" $sources
cp "$here/gpu_check.sh" "$folder/"
if [ -f "$photo" ]; then cp "$photo" "$folder/photo.jpg"; fi
du -sb "$folder" | cut -f1 | awk '{printf "%.1f MiB\n", $1 / 1048576}'
