#!/bin/bash
# Installs the wheels beside this script into a folder of their own and runs benchmarks/gpu_check.py, without a network.
# From the root of a checkout of maskgrid:
#
#     OUT=results bash FOLDER/gpu_check.sh [--seconds 440] [options of gpu_check.py]
#
# FOLDER is what make_kit.sh filled. Python must be 3.12 and have torch, torchvision, numpy, opencv, pandas, pillow,
# pyarrow, scipy, scikit-image, tifffile, pyyaml, tqdm, filelock and rich.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$PWD
python=${PYTHON:-python3}
site=${SITE:-${TMPDIR:-/tmp}/maskgrid-site}
out=${OUT:-$root/gpu-check}
test -f "$root/benchmarks/gpu_check.py" || { echo "$root is not the root of a checkout of maskgrid" >&2; exit 2; }
mkdir -p "$out"
"$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$site" \
  "$here"/wheels/*.whl >"$out/pip.txt" 2>&1 || { cat "$out/pip.txt" >&2; exit 2; }
nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem,temperature.gpu,power.draw \
  --format=csv,noheader >>"$out/log.txt" 2>&1
export PYTHONPATH=$site:$root/src${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
photo=()
test -f "$here/photo.jpg" && photo=(--photo "$here/photo.jpg")
exec "$python" "$root/benchmarks/gpu_check.py" --out "$out" "${photo[@]}" "$@"
