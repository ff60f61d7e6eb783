#!/usr/bin/env python3
"""Trains the demo checkpoint examples/models/llava15-scenes from nothing.

    train_demo.py --tessera build/examples/tessera --work /tmp/demo --phase all

Phases, each resumed from its last checkpoint in --work:
  data       scenes by `tessera scenes`, and the tokenizer
  tower      the CLIP tower: contrastive and dense losses (demo_tower.py)
  shapes     the tower again: dense loss on crowded scenes, half of them grey
  language   the LLaMA model on texts alone: questions about a caption that stands where the image will
  stage1     LLaVA's stage 1: the projector, on captions, plain template
  stage2     LLaVA's stage 2: projector and language model, on conversations, v1 template without its system sentence
The phases "tower" and "language" do not need each other and may run side by side.
"""

import argparse
import json
import math
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from tokenizers import Tokenizer
from torch import nn

import demo_data as data
import demo_models as models
from demo_tower import TowerTrainer, make_grey, patch_labels

BATCH = {"tower": 64, "shapes": 64, "language": 32, "stage1": 32, "stage2": 32}
BETAS = {
    "tower": (0.9, 0.98),
    "shapes": (0.9, 0.98),
    "language": (0.9, 0.98),
    "stage1": (0.9, 0.999),
    "stage2": (0.9, 0.999),
}
TALK = "attribute,attribute,existence,existence,existence,count,count,relation,size,dialogue,caption,detail"
WARMUP = 0.03
MIXING = {"tower": 3, "language": 1.5}  # how fast scenes of several objects take over
SINGLES = 500  # stage 2 begins with so many batches of scenes with one object
STEPS = {"tower": 1000, "shapes": 1800, "language": 300, "stage1": 200, "stage2": 1300}
SCHEDULES = STEPS | {"language": 800}  # the language model stops before its rate has fallen: the LLaVA stages go on
RATES = {"tower": 1.5e-3, "shapes": 1.5e-3, "language": 1.5e-3, "stage1": 2e-3, "stage2": 1.5e-3}


class Workplace:
    """The folder of the training: data, tokenizer, logs and checkpoints."""

    def __init__(self, folder, tessera):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tessera = tessera

    def options(self, name):
        """Of `tessera scenes`, for each set of scenes."""
        batch = BATCH["stage2"]
        talk = dict(tasks=TALK, tasks_per_scene=4)
        return {
            "one": dict(seed=1, count=24000, objects="1-1", tasks_per_scene=8),
            "many": dict(seed=2, count=60000, objects="1-3", tasks_per_scene=8),
            "crowded": dict(seed=6, count=48000, objects="2-5", tasks="detail"),
            "stage1": dict(seed=3, count=STEPS["stage1"] * batch, objects="1-3", tasks="detail"),
            "stage2-one": dict(seed=4, count=SINGLES * batch, objects="1-1", **talk),
            "stage2-many": dict(seed=5, count=(STEPS["stage2"] - SINGLES) * batch, objects="1-3", **talk),
        }[name]

    def scenes(self, name):
        return data.make_scenes(self.tessera, self.folder / name, **self.options(name))

    def tokenizer(self):
        path = self.folder / "tokenizer.json"
        if not path.exists():
            learn_tokenizer(self).save(str(path))
        return Tokenizer.from_file(str(path))

    def log(self, phase, **values):
        line = json.dumps(values)
        if values["step"] % 20 == 0:
            print(phase, line, flush=True)
        with open(self.folder / f"{phase}.jsonl", "a") as file:
            file.write(line + "\n")

    def trim_log(self, phase, steps):
        """Takes off the lines of steps that a resumed run makes again."""
        path = self.folder / f"{phase}.jsonl"
        lines = [line for line in path.read_text().splitlines(True) if json.loads(line)["step"] < steps]
        path.write_text("".join(lines))


def learn_tokenizer(work):
    names = data.SHAPES + data.COLORS + data.SIZES + data.PLACES + ("zero", "one", "two", "three", "four", "five")
    texts = [" ".join(names + tuple(shape + "s" for shape in data.SHAPES))] * 1000 + [data.SYSTEM_TEXT.strip()] * 1000
    for record in work.scenes("many").records[:6000]:
        for _, question, answer in data.turns(record):
            texts += [f"USER: {question} ASSISTANT: {answer}", f"\n{question}"]
    return data.train_tokenizer(texts)


def train(work, phase, trained, batch_loss):
    """AdamW with LLaVA's schedule: warm-up over 3 % of the steps, cosine to 0, gradients clipped at 1. `trained` is the
    module with the weights; `batch_loss(step)` gives the loss and values to log. Logs every step, saves every 100
    steps and resumes."""
    steps, schedule_steps = STEPS[phase], SCHEDULES[phase]
    parameters = [parameter for parameter in trained.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATES[phase], betas=BETAS[phase], weight_decay=0.0)
    warmup = math.ceil(WARMUP * schedule_steps)

    def rate(step):
        if step < warmup:
            return step / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (schedule_steps - warmup)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    checkpoint = work.folder / f"{phase}.pt"
    first = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        trained.load_state_dict(saved["weights"])
        first = saved["step"]
        work.trim_log(phase, first)
        if first < steps:
            optimizer.load_state_dict(saved["optimizer"])
            schedule.load_state_dict(saved["schedule"])
    begin = time.time()
    for step in range(first, steps):
        loss, values = batch_loss(step)
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, 1.0)
        lr = schedule.get_last_lr()[0]
        optimizer.step()
        schedule.step()
        seconds = (time.time() - begin) / (step - first + 1)
        work.log(phase, step=step, loss=loss.item(), lr=lr, grad_norm=norm.item(), **values, seconds=round(seconds, 3))
        if (step + 1) % 100 == 0 or step + 1 == steps:
            state = dict(
                weights=trained.state_dict(),
                optimizer=optimizer.state_dict(),
                schedule=schedule.state_dict(),
                step=step + 1,
            )
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").rename(checkpoint)
    return trained


def curriculum(phase, step, one, many):
    """Scenes of one object at first, then of one to three: the set of a batch, its indices, and a random generator."""
    random = np.random.default_rng([len(phase), step])
    scenes = one if random.random() > MIXING[phase] * step / SCHEDULES[phase] else many
    return scenes, np.sort(random.choice(len(scenes), BATCH[phase], replace=False)), random


def stack_labels(records):
    return torch.from_numpy(np.stack([patch_labels(record, models.SIDE, models.PATCH) for record in records]))


def train_tower(work):
    torch.manual_seed(1)
    tokenizer = work.tokenizer()
    one, many = work.scenes("one"), work.scenes("many")
    trainer = TowerTrainer(models.clip_config(tokenizer))

    def batch_loss(step):
        scenes, chosen, _ = curriculum("tower", step, one, many)
        records = [scenes.records[index] for index in chosen]
        captions = [encoding.ids for encoding in tokenizer.encode_batch([data.detailed_caption(r) for r in records])]
        longest = max(map(len, captions)) + 1
        end = tokenizer.token_to_id("<pad>")  # the text tower pools at the first one
        ids = torch.tensor([caption + [end] * (longest - len(caption)) for caption in captions])
        contrastive, dense, accuracy, dense_accuracy = trainer(
            models.to_pixels(scenes.images[chosen]), stack_labels(records), ids
        )
        values = dict(
            contrastive=contrastive.item(), accuracy=accuracy, dense=dense.item(), dense_accuracy=dense_accuracy
        )
        return contrastive + dense, {name: round(value, 3) for name, value in values.items()}

    return train(work, "tower", trainer, batch_loss)


def train_shapes(work):
    torch.manual_seed(4)
    trainer = load_weights(work, "tower", TowerTrainer(models.clip_config(work.tokenizer())))
    scenes = work.scenes("crowded")

    def batch_loss(step):
        random = np.random.default_rng([4, step])
        chosen = np.sort(random.choice(len(scenes), BATCH["shapes"], replace=False))
        pixels, labels = models.to_pixels(scenes.images[chosen]), stack_labels([scenes.records[i] for i in chosen])
        make_grey(pixels, labels, torch.from_numpy(random.random(len(chosen)) < 0.5))
        loss, accuracy = trainer.dense(pixels, labels)
        return loss, dict(accuracy=round(accuracy, 3))

    return train(work, "shapes", trainer, batch_loss)


def reading_rounds(record, random):
    """Existence and count, which take longest to learn, and two other tasks, in any order; long answers seldom."""
    by_task = data.turns_by_task(record)
    if random.random() < 0.8:
        by_task.pop("detail")
    others = [task for task in by_task if task not in ("existence", "count")]
    tasks = ["existence", "count"] + list(random.choice(others, 2, replace=False))
    return [turn for task in random.permutation(tasks) for turn in by_task[task]]


def train_language(work):
    torch.manual_seed(2)
    one, many = work.scenes("one"), work.scenes("many")
    model = models.make_language_model(work.tokenizer())
    encoder = data.Encoder(work.tokenizer(), models.IMAGE_TOKENS)

    def batch_loss(step):
        scenes, chosen, random = curriculum("language", step, one, many)
        texts = []
        for index in chosen:
            record = scenes.records[index]
            texts.append(data.conversation_text(data.detailed_caption(record), reading_rounds(record, random)))
        ids, mask, labels = encoder.batch(encoder(texts))
        scores = model(input_ids=ids, attention_mask=mask).logits[:, :-1].flatten(0, 1)
        answers = nn.functional.cross_entropy(scores, labels[:, 1:].flatten(), ignore_index=data.IGNORED)
        everything = ids.masked_fill(mask == 0, data.IGNORED)[:, 1:].flatten()
        whole = nn.functional.cross_entropy(scores, everything, ignore_index=data.IGNORED)
        return answers + 0.2 * whole, dict(whole=round(whole.item(), 3), answers=round(answers.item(), 4))

    return train(work, "language", model, batch_loss)


def rounded_to_bfloat16(model):
    """The same float32 model with weights that a bf16 file holds exactly."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16().float())
    return model


def load_weights(work, phase, module):
    module.load_state_dict(torch.load(work.folder / f"{phase}.pt")["weights"])
    return module


def start_of_stage1(work):
    """The trained tower and language model with a new projector."""
    tokenizer = work.tokenizer()
    clip = load_weights(work, "shapes", TowerTrainer(models.clip_config(tokenizer))).clip
    language = load_weights(work, "language", models.make_language_model(tokenizer))
    torch.manual_seed(3)
    return rounded_to_bfloat16(models.make_llava(tokenizer, clip, language))


def start_of_stage2(work):
    return rounded_to_bfloat16(load_weights(work, "stage1", start_of_stage1(work)))


def set_trainable(llava, stage):
    """Stage 1 trains the projector; stage 2 also the language model and its head; the tower is frozen."""
    parts = [llava.model.multi_modal_projector]
    if stage == "stage2":
        parts += [llava.model.language_model, llava.lm_head]
    llava.requires_grad_(False)
    for part in parts:
        part.requires_grad_(True)
    return llava


def stage_texts(stage, record):
    if stage == "stage1":
        return data.plain_text(record["conversations"][1]["value"])
    return data.conversation_text("<image>", [turn[1:] for turn in data.turns(record)])


def stage_loss(work, stage, llava, scenes):
    """The loss of LLaVA's stages over `scenes` in their order, as a function of the step."""
    encoder = data.Encoder(work.tokenizer(), models.IMAGE_TOKENS)
    batch = BATCH[stage]

    def batch_loss(step):
        chosen = range(step * batch, (step + 1) * batch)
        encoded = encoder([stage_texts(stage, scenes.records[index]) for index in chosen])
        ids, mask, labels = encoder.batch(encoded)
        pixels = models.to_pixels(scenes.images[chosen.start : chosen.stop])
        loss = llava(input_ids=ids, attention_mask=mask, labels=labels, pixel_values=pixels).loss
        return loss, {}

    return batch_loss


def train_stage1(work):
    llava = set_trainable(start_of_stage1(work), "stage1")
    return train(work, "stage1", llava, stage_loss(work, "stage1", llava, work.scenes("stage1")))


def train_stage2(work):
    llava = set_trainable(start_of_stage2(work), "stage2")
    scenes = data.join([work.scenes("stage2-one"), work.scenes("stage2-many")])
    return train(work, "stage2", llava, stage_loss(work, "stage2", llava, scenes))


def save_checkpoint(work, folder):
    """The finished model in bf16 and its processor, as Hugging Face folders hold them."""
    llava = load_weights(work, "stage2", start_of_stage2(work))
    llava.bfloat16().save_pretrained(folder)
    processor = models.make_processor(work.tokenizer())
    processor.save_pretrained(folder)
    processor.image_processor.save_pretrained(folder)


def first_scenes(stage):
    """The set of scenes that a stage begins with."""
    return {"stage1": "stage1", "stage2": "stage2-one"}[stage]


def save_start(llava, path, left_out):
    """Tensors in bf16 under their published names, without those whose names start with one of `left_out`."""
    with tempfile.TemporaryDirectory() as temporary:
        llava.bfloat16().save_pretrained(temporary)
        weights = load_file(Path(temporary) / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if not name.startswith(left_out)}
    path.write_bytes(save(kept, metadata={"format": "pt"}))


def save_first_steps(work, stage, path, steps):
    """The settings, the first conversation as ids, and loss, rate and gradient norm of the first steps."""
    lines = [json.loads(line) for line in (work.folder / f"{stage}.jsonl").read_text().splitlines()[:steps]]
    first = work.scenes(first_scenes(stage)).records[0]
    ids, labels = data.Encoder(work.tokenizer(), models.IMAGE_TOKENS)([stage_texts(stage, first)])[0]
    settings = dict(
        batch=BATCH[stage],
        lr=RATES[stage],
        betas=BETAS[stage],
        eps=1e-8,
        weight_decay=0.0,
        clip=1.0,
        schedule="cosine",
        warmup_ratio=WARMUP,
        schedule_steps=SCHEDULES[stage],
        scenes=work.options(first_scenes(stage)) | dict(count=steps * BATCH[stage]),
        first_input_ids=ids,
        first_labels=labels,
    )
    rows = [json.dumps({name: line[name] for name in ("step", "loss", "lr", "grad_norm")}) for line in lines]
    fields = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in settings.items()]
    fields.append(' "steps": [\n  ' + ",\n  ".join(rows) + "\n ]")
    path.write_text("{\n" + ",\n".join(fields) + "\n}\n")


def save_fixtures(work, folder, steps=200):
    """What another trainer needs to repeat the first steps of both stages. The tower is the finished checkpoint's, and
    stage 2 starts with stage 1's language model."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_start(start_of_stage1(work), folder / "stage1_start.safetensors", ("vision_tower.",))
    save_start(start_of_stage2(work), folder / "stage2_start.safetensors", ("vision_tower.", "language_model."))
    for stage in ("stage1", "stage2"):
        save_first_steps(work, stage, folder / f"{stage}.json", steps)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tessera", default="build/examples/tessera")
    parser.add_argument("--work", required=True)
    parser.add_argument("--phase", required=True)
    parser.add_argument("--out", help="where the finished checkpoint goes")
    parser.add_argument("--fixtures", help="where the first steps of both stages go")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(True)
    work = Workplace(options.work, options.tessera)
    phases = {"data": Workplace.tokenizer, "tower": train_tower, "shapes": train_shapes, "language": train_language}
    phases |= {"stage1": train_stage1, "stage2": train_stage2}
    for phase in phases if options.phase == "all" else [options.phase]:
        phases[phase](work)
    if options.out:
        save_checkpoint(work, options.out)
    if options.fixtures:
        save_fixtures(work, options.fixtures)


if __name__ == "__main__":
    main()
