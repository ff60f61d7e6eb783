"""Random weights for tiny models: activations stay near one, logits spread, the best one stands out."""

import json
import math
import pathlib

import torch
from safetensors.torch import save_file

STORED = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BYTE_TOKENS = slice(3, 259)


def randomize(model: torch.nn.Module, seed: int, stop_ids: int | list[int] = (), stop_gain: float = 1.0) -> None:
    """Fills every parameter, in the order of names. The head's rows of `stop_ids` are scaled by `stop_gain`, so that a
    stop token wins now and then; those of the byte tokens are damped, so that answers are mostly readable."""
    generator = torch.Generator().manual_seed(seed)
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    for name, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("bias"):
            values = 0.1 * noise
        elif "norm" in name or "layrnorm" in name:
            values = 1 + 0.15 * noise
        elif head is not None and parameter is head.weight:
            values = 2.0 / math.sqrt(parameter.shape[1]) * noise
            values[BYTE_TOKENS] *= 0.6
            values[stop_ids] *= stop_gain
        elif "embed_tokens" in name or "embedding" in name and "patch" not in name:
            values = 0.5 * noise
        else:
            fan_in = math.prod(parameter.shape[1:])
            values = 1.2 / math.sqrt(fan_in) * noise
        parameter.data.copy_(values)


def save_tensors(folder: pathlib.Path, tensors: dict[str, torch.Tensor], dtype: str, shards: int) -> None:
    """model.safetensors, or `shards` files of about equal size with their index."""
    stored = STORED[dtype]
    tensors = {name: tensor.detach() for name, tensor in tensors.items()}
    tensors = {name: tensor.to(stored) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    size = {name: tensor.numel() * tensor.element_size() for name, tensor in tensors.items()}
    total, passed, parts = sum(size.values()), 0, [{} for _ in range(shards)]
    for name, tensor in tensors.items():
        parts[min(shards - 1, passed * shards // total)][name] = tensor
        passed += size[name]
    weight_map = {}
    for number, part in enumerate(parts, 1):
        file = f"model-{number:05}-of-{shards:05}.safetensors"
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
