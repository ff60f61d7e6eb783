"""A stage of LLaVA's training by transformers' model, autograd and torch.optim.AdamW, as transformers' Trainer runs it."""

import json
import math

import torch
from transformers import get_cosine_schedule_with_warmup

IGNORED = -100
WARMUP_RATIO, BETAS, EPS, CLIP = 0.03, (0.9, 0.999), 1e-8, 1.0
TRAINED = {
    "stage1": ("model.multi_modal_projector.",),
    "stage2": ("model.multi_modal_projector.", "model.language_model.", "lm_head."),
}


def settings(**more) -> dict:
    return dict(betas=BETAS, eps=EPS, clip=CLIP, warmup_ratio=WARMUP_RATIO, **more)


def groups(model, weight_decay: float) -> list[dict]:
    """As transformers' Trainer: biases and norms do not decay."""
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.dim() > 1]
    vectors = [p for p in trained if p.dim() == 1]
    return [dict(params=matrices, weight_decay=weight_decay), dict(params=vectors, weight_decay=0.0)]


def mean_loss(model, labels: torch.Tensor, **inputs) -> torch.Tensor:
    """model(…).loss, which transformers computes in float32 even in a model of float64."""
    logits = model(**inputs).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED)


def run_stage(model, trained, batch, *, lr, weight_decay, steps, schedule_steps=None, after_backward=None, after_step=None):
    """Trains the parameters whose names start with one of `trained` on batch(step), and gives loss, rate and gradient
    norm of each step. The callbacks get the number of the step."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(trained))
    schedule_steps = schedule_steps or steps
    optimizer = torch.optim.AdamW(groups(model, weight_decay), lr=lr, betas=BETAS, eps=EPS)
    schedule = get_cosine_schedule_with_warmup(optimizer, math.ceil(WARMUP_RATIO * schedule_steps), schedule_steps)
    parameters = [p for p in model.parameters() if p.requires_grad]
    lines = []
    for step in range(steps):
        optimizer.zero_grad()
        loss = mean_loss(model, **batch(step))
        loss.backward()
        if after_backward:
            after_backward(step)
        norm = torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        lines.append(dict(step=step, loss=loss.item(), lr=schedule.get_last_lr()[0], grad_norm=norm.item()))
        optimizer.step()
        schedule.step()
        if after_step:
            after_step(step)
    return lines


def run_text(values: dict, steps: list[dict]) -> str:
    """A JSON object of settings and steps, a line for each step."""
    return json.dumps(values)[:-1] + ', "steps": [\n' + ",\n".join(map(json.dumps, steps)) + "\n]}\n"
