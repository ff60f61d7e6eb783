#!/usr/bin/env python3
"""The same shapes through PyTorch and through Tessera, taking turns, as one table.

bench/peers/compare.py [--build FOLDER] [--environment FOLDER] [--rounds N] [--threads 1 2] [--cases encode_image ...]

On first use it installs PyTorch into an environment of its own and builds bench_model. Both sides run one at a time,
alternating, and the best of all rounds counts: machines are noisy, ratios within one run are not.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TORCH_VERSION = "2.13.0"
INFERENCE = ("encode_image", "prefill", "decode")
TRAINING = ("demo_stage1", "demo_stage2", "7b_stage1", "7b_stage2")  # 7b_stage2 takes 15 GB and a minute for each step
CASES = INFERENCE + TRAINING

PEER = '''
import json, sys, time, torch
import torch.nn.functional as F
case, threads = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(threads); torch.manual_seed(0)
class ViTBlock(torch.nn.Module):
    def __init__(s, w=1024, h=16, f=4096):
        super().__init__(); s.h = h
        s.n1, s.n2 = torch.nn.LayerNorm(w), torch.nn.LayerNorm(w)
        s.q, s.k, s.v, s.o = (torch.nn.Linear(w, w) for _ in range(4))
        s.a, s.b = torch.nn.Linear(w, f), torch.nn.Linear(f, w)
    def forward(s, x):
        t, w = x.shape; y = s.n1(x)
        q, k, v = (m(y).view(t, s.h, -1).transpose(0, 1)[None] for m in (s.q, s.k, s.v))
        x = x + s.o(F.scaled_dot_product_attention(q, k, v)[0].transpose(0, 1).reshape(t, w))
        y = s.a(s.n2(x))
        return x + s.b(y * torch.sigmoid(1.702 * y))
class LlamaBlock(torch.nn.Module):
    def __init__(s, w=4096, h=32, f=11008):
        super().__init__(); s.h = h
        s.n1, s.n2 = torch.nn.RMSNorm(w, eps=1e-5), torch.nn.RMSNorm(w, eps=1e-5)
        s.q, s.k, s.v, s.o = (torch.nn.Linear(w, w, bias=False) for _ in range(4))
        s.g, s.u = torch.nn.Linear(w, f, bias=False), torch.nn.Linear(w, f, bias=False)
        s.d = torch.nn.Linear(f, w, bias=False)
    def rotate(s, x, cos, sin):
        a, b = x.chunk(2, -1)
        return x * cos + torch.cat((-b, a), -1) * sin
    def forward(s, x, cache, cos, sin):
        t, w = x.shape; y = s.n1(x)
        q, k, v = (m(y).view(t, s.h, -1).transpose(0, 1)[None] for m in (s.q, s.k, s.v))
        q, k = s.rotate(q, cos, sin), s.rotate(k, cos, sin)
        if cache is not None: k, v = torch.cat((cache, k), 2), torch.cat((cache, v), 2)
        x = x + s.o(F.scaled_dot_product_attention(q, k, v, is_causal=cache is None)[0].transpose(0, 1).reshape(t, w))
        y = s.n2(x)
        return x + s.d(F.silu(s.g(y)) * s.u(y))
def best(f, n):
    times = []
    for _ in range(n + 1):
        t = time.perf_counter(); f(); times.append(time.perf_counter() - t)
    return min(times[1:])
with torch.inference_mode():
    if case == "encode_image":
        conv, norm = torch.nn.Conv2d(3, 1024, 14, 14, bias=False), torch.nn.LayerNorm(1024)
        blocks = [ViTBlock() for _ in range(23)]
        image, position, token = torch.randn(1, 3, 336, 336), torch.randn(577, 1024), torch.randn(1, 1024)
        def run():
            x = norm(torch.cat((token, conv(image)[0].flatten(1).T)) + position)
            for b in blocks: x = b(x)
        print(json.dumps(best(run, 3)))
    else:
        torch.set_default_dtype(torch.bfloat16)
        n, past = (600, 0) if case == "prefill" else (1, 600)
        blocks, norm = [LlamaBlock() for _ in range(8)], torch.nn.RMSNorm(4096, eps=1e-5)
        head = torch.nn.Linear(4096, 32000, bias=False)
        x, cos, sin = torch.randn(n, 4096), torch.randn(n, 128), torch.randn(n, 128)
        cache = torch.randn(1, 32, past, 128) if past else None
        def run():
            y = x
            for b in blocks: y = b(y, cache, cos, sin)
            head(norm(y[-1:]))
        print(json.dumps(best(run, 2 if case == "prefill" else 8)))
'''


def peer_python(folder):
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    check = [python, "-c", f"import numpy, torch; assert torch.__version__.split('+')[0] == '{TORCH_VERSION}'"]
    if subprocess.run(check, capture_output=True).returncode:
        subprocess.run([python, "-m", "pip", "install", "--quiet", f"torch=={TORCH_VERSION}", "numpy"], check=True)
    return python


def build(folder):
    parts = ["-DTESSERA_BUILD_BENCH=ON", "-DTESSERA_BUILD_TESTS=OFF", "-DTESSERA_BUILD_EXAMPLES=OFF"]
    run(["cmake", "-S", ROOT, "-B", folder, "-DCMAKE_BUILD_TYPE=Release", *parts])
    run(["cmake", "--build", folder, "--target", "bench_model", "--parallel", str(os.cpu_count())])
    return folder / "bench" / "bench_model"


def run(command, **environment):
    """The output of a program; what it printed is shown if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode:
        sys.exit(f"{Path(command[0]).name} failed with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def ours(program, case, threads):
    """Seconds, share of the limit, which limit, and the most bytes that the process had (training alone)."""
    command = [program, f"--benchmark_filter=^{case}/{threads}/", "--benchmark_format=json"]
    report = run(command, OMP_NUM_THREADS=str(threads))
    row = json.loads(report)["benchmarks"][0]
    limit = "of_peak" if "of_peak" in row else "of_read"
    return row["best_s"], row[limit], {"of_peak": "FMA peak", "of_read": "read bandwidth"}[limit], row.get("peak_bytes")


def theirs(python, case, threads):
    """Seconds, and the most bytes that the process had (training alone)."""
    program = [ROOT / "bench/peers/torch_training.py"] if case in TRAINING else ["-c", PEER]
    result = json.loads(run([python, *program, case, str(threads)], OMP_NUM_THREADS=str(threads)))
    return result if case in TRAINING else (result, None)


def memory(mine, other):
    """Of both, in MB, and our part of PyTorch's."""
    return "" if other is None else f"{mine / 1e6:.0f} / {other / 1e6:.0f} = {mine / other:.2f}"


def cpu():
    """Its name and the instruction set that Tessera's kernels choose on it."""
    text = Path("/proc/cpuinfo").read_text()
    name = re.search(r"model name\s*:\s*(.*)", text)
    levels = {"avx512": {"avx512f", "avx512vl", "avx512bw", "avx512dq"}, "avx2": {"avx2", "fma", "f16c"}}
    isa = next((level for level, flags in levels.items() if flags <= set(text.split())), "scalar")
    return name.group(1) if name else platform.processor(), os.environ.get("TESSERA_ISA", isa)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "bench")
    parser.add_argument("--environment", type=Path, default=ROOT / "build" / "peers-venv")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--cases", nargs="+", default=CASES, choices=CASES)
    options = parser.parse_args()
    python, program = peer_python(options.environment), build(options.build)
    print("{}, {}; PyTorch {} eager; best of {} rounds\n".format(*cpu(), TORCH_VERSION, options.rounds))
    row = "| {:<12} | {:>7} | {:>10} | {:<21} | {:>10} | {:>5} | {:<20} |"
    print(row.format("case", "threads", "Tessera", "share of the limit", "PyTorch", "ratio", "MB"))
    print(row.format("---", "--:", "--:", "---", "--:", "--:", "---"), flush=True)
    for case in options.cases:
        for threads in options.threads:
            rounds = [(ours(program, case, threads), theirs(python, case, threads)) for _ in range(options.rounds)]
            seconds, share, limit, bytes_ = min(mine for mine, _ in rounds)
            peer, peer_bytes = min(other for _, other in rounds)
            mine, other, ratio = f"{seconds * 1e3:.1f} ms", f"{peer * 1e3:.1f} ms", f"{peer / seconds:.2f}"
            print(row.format(case, threads, mine, f"{share:.0%} of {limit}", other, ratio, memory(bytes_, peer_bytes)),
                  flush=True)


if __name__ == "__main__":
    main()
