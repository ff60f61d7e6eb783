"""torch_training.py CASE THREADS: prints the seconds of the best step and the most bytes that the process had, as JSON.

The steps of bench/model/training_bench.cpp as a user of PyTorch writes them: eager float32, scaled_dot_product_attention,
conversations padded on the right to the longest (so that causal attention needs no mask), logits of all rows as in
transformers, the fused AdamW of its trainer.
"""

import json
import resource
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    """LLaMA's."""

    def __init__(self, width, heads, inner):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.RMSNorm(width, eps=1e-5), nn.RMSNorm(width, eps=1e-5)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate, self.up = nn.Linear(width, inner, bias=False), nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def rotate(self, x, cos, sin):
        a, b = x.chunk(2, -1)
        return x * cos + torch.cat((-b, a), -1) * sin

    def forward(self, x, cos, sin):
        batch, tokens, width = x.shape
        y = self.norm1(x)
        q, k, v = (m(y).view(batch, tokens, self.heads, -1).transpose(1, 2) for m in (self.q, self.k, self.v))
        q, k = self.rotate(q, cos, sin), self.rotate(k, cos, sin)
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(heads.transpose(1, 2).reshape(batch, tokens, width))
        y = self.norm2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Language(nn.Module):
    def __init__(self, vocab, width, heads, inner, depth):
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.blocks = nn.ModuleList(Block(width, heads, inner) for _ in range(depth))
        self.norm, self.head = nn.RMSNorm(width, eps=1e-5), nn.Linear(width, vocab, bias=False)
        self.channels = width // heads

    def forward(self, x):
        frequencies = 10000.0 ** (-torch.arange(0, self.channels, 2) / self.channels)
        angles = torch.outer(torch.arange(x.shape[1]), frequencies).repeat(1, 2)
        cos, sin = angles.cos(), angles.sin()
        for block in self.blocks:
            x = block(x, cos, sin)
        return self.head(self.norm(x))


def demo():
    """Language model, rows of an image, their width, tokens of text and labels of each conversation, steps."""
    return Language(512, 160, 5, 432, 4), 36, 128, [(60 + 7 * i % 31, 24) for i in range(32)], 12


def two_blocks_7b():
    return Language(32000, 4096, 32, 11008, 2), 576, 1024, [(124, 100)] * 2, 2


def main():
    case, threads = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    language, image_rows, vision_width, texts, steps = demo() if case.startswith("demo") else two_blocks_7b()
    width, vocab = language.embed.weight.shape[1], min(500, language.embed.weight.shape[0])
    connector = nn.Sequential(nn.Linear(vision_width, width), nn.GELU(), nn.Linear(width, width))
    language.requires_grad_(case.endswith("stage2"))
    trained = [p for part in (connector, language) for p in part.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, weight_decay=0, fused=True)

    features = torch.full((len(texts), image_rows, vision_width), 0.1)
    longest = max(text for text, _ in texts)
    ids = torch.zeros(len(texts), longest, dtype=torch.long)
    labels = torch.full((len(texts), image_rows + longest), -100)
    for i, (text, labelled) in enumerate(texts):
        ids[i, :text] = torch.arange(text) % vocab
        labels[i, image_rows + text - labelled : image_rows + text] = ids[i, text - labelled : text]
    targets = F.pad(labels, (0, 1), value=-100)[:, 1:].reshape(-1)

    def step():
        optimizer.zero_grad()
        logits = language(torch.cat((connector(features), language.embed(ids)), 1))
        F.cross_entropy(logits.view(-1, logits.shape[-1]), targets).backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()

    times = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    print(json.dumps([min(times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))


if __name__ == "__main__":
    main()
