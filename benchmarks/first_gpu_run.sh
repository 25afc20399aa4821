#!/usr/bin/env bash
# The first run on a card, short and complete: what the machine is, the CUDA tests, then the rows of
# benchmarks/cuda_products.py, the most telling first. Every outcome and row is in a file as soon as it is
# there: a run that is cut off leaves them, and a second one with the same folder goes on.
#
#   benchmarks/first_gpu_run.sh [FOLDER]      default: benchmarks/results/first_gpu_run
#
# For a bare machine: torch, triton, numba, scipy, pytest and hypothesis, no network; quantlab is
# imported from this checkout, and nothing is installed. Without a card all of it runs at small
# shapes in Triton's interpreter, in under five minutes: a test of this script.
#
# PYTHON: the interpreter. Seconds at most: TESTS (120) before the rows, ROWS (480), and REST (180)
# for the tests that are left then.
set -u
root=$(cd "$(dirname "$0")/.." && pwd) || exit
folder=$(realpath -m "${1:-$root/benchmarks/results/first_gpu_run}")
python=${PYTHON:-python3}
mkdir -p "$folder" && cd "$root" || exit
export PYTHONPATH=$root PYTHONUNBUFFERED=1

tests=(
    tests/test_gemm_cuda.py tests/test_measure_cuda.py
    tests/test_rounding.py::test_every_route_finds_the_codes_of_the_reference
    tests/test_rounding.py::test_every_route_rounds_in_the_same_order
    tests/test_rounding.py::test_rows_in_threads_layouts_and_libraries
    tests/test_rounding.py::test_a_batch_of_tensors_is_each_of_them
)

environment() {
    echo "card: $(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader \
        2>/dev/null || echo none)"
    "$python" - <<'PYTHON'
import torch

from benchmarks._harness import machine

needed = ["torch", "triton", "numba", "numpy", "scipy", "safetensors", "pytest", "hypothesis"]
print(", ".join(f"{key} {value}" for key, value in machine(needed).items()))
if torch.cuda.is_available():
    major, minor = torch.cuda.get_device_capability()
    print(f"CUDA {torch.version.cuda}, compute capability {major}.{minor}")
PYTHON
}

# within $1 seconds; a test that ends the process is named, and the next process goes on after it
run_tests() {
    local end=$((SECONDS + $1)) left
    for _ in 1 2 3 4 5 6 7 8; do
        left=$((end - SECONDS))
        [ "$left" -gt 5 ] || break
        CUBLAS_WORKSPACE_CONFIG=:4096:8 timeout -k 5 "$left" "$python" -m pytest \
            -p benchmarks._first_tests --outcomes "$folder/tests.jsonl" --limit 60 \
            -p no:cacheprovider -q --no-header --tb=short -k "not hopper" "${tests[@]}" \
            >>"$folder/tests.txt" 2>&1
        case $? in 124 | 137) break ;; esac
        tail -n 1 "$folder/tests.jsonl" | grep -q finished && break
    done
    "$python" -m benchmarks._first_tests "$folder/tests.jsonl"
}

# within $1 seconds; a row that ends the process is named, and the next process goes on after it
run_rows() {
    local end=$((SECONDS + $1)) left
    for _ in 1 2 3 4 5 6 7 8; do
        left=$((end - SECONDS))
        [ "$left" -gt 5 ] || break
        timeout -k 5 "$left" "$python" benchmarks/cuda_products.py --resume --output "$folder"
        case $? in 0 | 124 | 137) break ;; esac
    done
}

main() {
    echo "== the machine"
    environment
    if "$python" -c "import sys, torch; sys.exit(not torch.cuda.is_available())"; then
        export TRITON_INTERPRET=0
    else
        echo "no card at hand: Triton's interpreter, small shapes; its times say nothing of a GPU"
        export TRITON_INTERPRET=1
    fi
    echo "== tests, at most ${TESTS:-120} s"
    run_tests "${TESTS:-120}"
    echo "== rows, at most ${ROWS:-480} s"
    run_rows "${ROWS:-480}"
    echo "== the tests that are left, at most ${REST:-180} s"
    run_tests "${REST:-180}"
    echo "== done in $SECONDS s"
}

main 2>&1 | tee -a "$folder/log.txt"
