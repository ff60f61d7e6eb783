#!/usr/bin/env python3
"""The same shapes through PyTorch and through Tessera, taking turns, as one table.

bench/peers/compare.py [--build FOLDER] [--rounds N] [--threads 1 2]

Installs PyTorch's CPU build into an environment of its own (build/peers-venv) and builds bench_model on first use. Both
sides run one at a time, alternating, and the best of all rounds counts: machines are noisy, ratios within one run are not.
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
TORCH = "torch==2.13.0"
CASES = ("encode_image", "prefill", "decode")

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
        s.g, s.u, s.d = torch.nn.Linear(w, f, bias=False), torch.nn.Linear(w, f, bias=False), torch.nn.Linear(f, w, bias=False)
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
        conv = torch.nn.Conv2d(3, 1024, 14, 14, bias=False); blocks = [ViTBlock() for _ in range(23)]; norm = torch.nn.LayerNorm(1024)
        image, position, token = torch.randn(1, 3, 336, 336), torch.randn(577, 1024), torch.randn(1, 1024)
        def run():
            x = norm(torch.cat((token, conv(image)[0].flatten(1).T)) + position)
            for b in blocks: x = b(x)
        print(json.dumps(best(run, 3)))
    else:
        torch.set_default_dtype(torch.bfloat16)
        n, past = (600, 0) if case == "prefill" else (1, 32)
        blocks, norm, head = [LlamaBlock() for _ in range(8)], torch.nn.RMSNorm(4096, eps=1e-5), torch.nn.Linear(4096, 32000, bias=False)
        x, cos, sin = torch.randn(n, 4096), torch.randn(n, 128), torch.randn(n, 128)
        cache = torch.randn(1, 32, past, 128) if past else None
        def run():
            y = x
            for b in blocks: y = b(y, cache, cos, sin)
            head(norm(y[-1:]))
        print(json.dumps(best(run, 2 if case == "prefill" else 8)))
'''


def peer_python():
    folder = ROOT / "build" / "peers-venv"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    check = subprocess.run([python, "-c", "import torch, numpy"], capture_output=True)
    if check.returncode:
        subprocess.run([python, "-m", "pip", "install", "--quiet", TORCH, "numpy"], check=True)
    return python


def build(folder):
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DTESSERA_BUILD_BENCH=ON", "-DTESSERA_BUILD_TESTS=OFF", "-DTESSERA_BUILD_EXAMPLES=OFF"]
    subprocess.run(["cmake", "-S", ROOT, "-B", folder, *options], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", folder, "--target", "bench_model", "-j", str(os.cpu_count())], check=True, stdout=subprocess.DEVNULL)
    return folder / "bench" / "bench_model"


def ours(program, case, threads):
    command = [program, f"--benchmark_filter=^{case}/{threads}/", "--benchmark_format=json"]
    row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["benchmarks"][0]
    return row["best_s"], row.get("of_peak", row.get("of_read")), "FMA peak" if "of_peak" in row else "read bandwidth"


def theirs(python, case, threads):
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    return float(subprocess.run([python, "-c", PEER, case, str(threads)], check=True, capture_output=True, text=True, env=environment).stdout)


def cpu_name():
    match = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return match.group(1) if match else platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "bench")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--cases", nargs="+", default=CASES, choices=CASES)
    options = parser.parse_args()
    python, program = peer_python(), build(options.build)
    flags = Path("/proc/cpuinfo").read_text()
    isa = "AVX-512" if "avx512vl" in flags else "AVX2"
    print(f"{cpu_name()}, {isa}; PyTorch {TORCH.split('==')[1]} eager; best of {options.rounds} rounds\n")
    print("| case | threads | Tessera | share of limit | PyTorch | ratio |\n|---|---|---|---|---|---|")
    for case in options.cases:
        for threads in options.threads:
            results = [(ours(program, case, threads), theirs(python, case, threads)) for _ in range(options.rounds)]
            (seconds, share, limit), peer = min(r[0] for r in results), min(r[1] for r in results)
            print(f"| {case} | {threads} | {seconds * 1e3:.1f} ms | {share:.0%} of {limit} | {peer * 1e3:.1f} ms | {peer / seconds:.2f} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
