"""Training of the demo's vision tower, which the LLaVA stages then keep frozen.

Two losses: contrastive against captions, as in CLIP, on the tower's pooled output; and dense, on the patches of the
hidden state that LLaVA reads (layer -2): what covers this patch (shape, color, size, place, or nothing), and is it the
center of an object. Two phases: both losses at first, then the dense loss alone on crowded scenes, half of them grey,
because shapes take longest to learn and must not lean on colors.
"""

import numpy as np
import torch
from torch import nn
from transformers import CLIPModel

from demo_data import COLORS, PLACES, SHAPES, SIZES

ATTRIBUTES = {"shape": SHAPES, "color": COLORS, "size": SIZES, "place": PLACES}

UNKNOWN = -100  # a class that the loss leaves out


def make_grey(pixels, labels, chosen):
    """Takes the colour off the `chosen` images, and off their labels: what is left to learn there are shapes."""
    pixels[chosen] = pixels[chosen].mean(1, keepdim=True)
    labels[chosen, :, list(ATTRIBUTES).index("color")] = UNKNOWN


def patch_labels(record, side, patch):
    """int64 [patches, 5]: class of each attribute (0: nothing there), and whether an object's centre is there."""
    grid = side // patch
    labels = np.zeros((grid * grid, len(ATTRIBUTES) + 1), dtype=np.int64)
    best = np.full(grid * grid, 0.15 * patch * patch)
    edges = np.arange(grid) * patch
    for item in record["objects"]:
        left, top, right, bottom = item["box"]
        across = np.clip(np.minimum(right, edges + patch) - np.maximum(left, edges), 0, None)
        down = np.clip(np.minimum(bottom, edges + patch) - np.maximum(top, edges), 0, None)
        area = np.outer(down, across).ravel()
        center = ((top + bottom) // 2 // patch) * grid + (left + right) // 2 // patch
        area[center] += patch * patch
        covered = area > best
        best[covered] = area[covered]
        classes = [1 + names.index(item[name]) for name, names in ATTRIBUTES.items()]
        labels[covered, :-1] = classes
        labels[center, -1] = 1
    return labels


class TowerTrainer(nn.Module):
    """A CLIP model with linear heads on the patches."""

    def __init__(self, clip_config):
        super().__init__()
        self.clip = CLIPModel(clip_config)
        self.classes = [len(names) + 1 for names in ATTRIBUTES.values()] + [2]
        self.heads = nn.Linear(clip_config.vision_config.hidden_size, sum(self.classes))

    def forward(self, pixels, labels, ids):
        """The contrastive loss, the dense loss, and the accuracies of both."""
        vision = self.clip.vision_model(pixels, output_hidden_states=True)
        dense, dense_accuracy = self._dense(vision.hidden_states[-2], labels)
        image = nn.functional.normalize(self.clip.visual_projection(vision.pooler_output), dim=-1)
        text = self.clip.text_model(input_ids=ids, attention_mask=torch.ones_like(ids)).pooler_output
        text = nn.functional.normalize(self.clip.text_projection(text), dim=-1)
        scores = self.clip.logit_scale.clamp(max=4.6).exp() * image @ text.T
        target = torch.arange(len(scores))
        contrastive = (nn.functional.cross_entropy(scores, target) + nn.functional.cross_entropy(scores.T, target)) / 2
        accuracy = (scores.argmax(1) == target).float().mean()
        return contrastive, dense, accuracy.item(), dense_accuracy

    def dense(self, pixels, labels):
        """The dense loss alone, and the share of patches with an object where every class is right."""
        return self._dense(self.clip.vision_model(pixels, output_hidden_states=True).hidden_states[-2], labels)

    def _dense(self, hidden, labels):
        patches = hidden[:, 1:]
        covered = labels[..., 0] > 0
        weights = torch.where(covered, 6.0, 1.0).flatten()  # about as much for objects as for the empty rest
        loss, right = 0, torch.ones_like(covered)
        for number, scores in enumerate(self.heads(patches).split(self.classes, dim=-1)):
            target = labels[..., number]
            losses = nn.functional.cross_entropy(
                scores.flatten(0, 1), target.flatten(), ignore_index=UNKNOWN, reduction="none"
            )
            loss = loss + (losses * weights).sum() / weights.sum()
            right &= (scores.argmax(-1) == target) | (target == UNKNOWN)
        return loss, right[covered].float().mean().item()
