"""What a fixture expects of one prompt, and how exact the reference itself is."""

import contextlib
import dataclasses

import torch
from transformers.models.llama.modeling_llama import LlamaRMSNorm


@dataclasses.dataclass
class ReferenceRun:
    """Tensors of the prompt's forward pass and of greedy decoding; image tensors are absent for a prompt of text."""

    input_ids: torch.Tensor  # [rows] after image expansion
    logits: torch.Tensor  # [rows, vocabulary]
    generated_ids: torch.Tensor  # [new tokens], the stop token included
    step_logits: torch.Tensor  # [new tokens, vocabulary]
    text: str
    float32_noise: float
    eos_token_id: int
    pixel_values: torch.Tensor | None = None  # [images, 3, height, width]
    vision_hidden: torch.Tensor | None = None  # [images, tokens, what the projector reads]
    image_features: torch.Tensor | None = None  # [images, tokens, what the language model reads]

    def tensors(self) -> dict[str, torch.Tensor]:
        fields = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {name: value.contiguous() for name, value in fields if isinstance(value, torch.Tensor)}

    def least_margin(self) -> float:
        """The smallest distance between the best and the second best logit along the greedy path."""
        best = self.step_logits.topk(2, dim=-1).values
        return float((best[:, 0] - best[:, 1]).min())


@contextlib.contextmanager
def double_precision():
    """transformers computes norms and softmax in float32 whatever the model's type; here they follow the input.
    Rotary angles stay in float32, since that rounding is part of the model."""
    softmax, norm = torch.nn.functional.softmax, LlamaRMSNorm.forward

    def wide_softmax(input, dim=None, _stacklevel=3, dtype=None):
        return softmax(input, dim=dim)

    def wide_norm(self, hidden):
        return self.weight * hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)

    torch.nn.functional.softmax, LlamaRMSNorm.forward = wide_softmax, wide_norm
    try:
        yield
    finally:
        torch.nn.functional.softmax, LlamaRMSNorm.forward = softmax, norm


def relative_difference(value: torch.Tensor, truth: torch.Tensor) -> float:
    return float((value.double() - truth).abs().max() / truth.abs().max())
