"""A Hugging Face Trainer with a weighting: a submodule of the model, with a parameter group of its own.

The Trainer moves, saves and resumes the weighting with the model. Its own optimiser would decay the noise, so it gets
one with the weighting's groups. Its log has each task's weight, noise and sigma.

python examples/huggingface_trainer.py [--out trainer]
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_model
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Trainer, TrainingArguments, set_seed

from multisigma import Laplace, Softmax, UncertaintyWeighting

IGNORED, STEPS = -100, 400


class Network(nn.Module):
    """Which of three waves a signal is, and how loud."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Linear(32, 64), nn.ReLU())
        self.wave, self.loudness = nn.Linear(64, 3), nn.Linear(64, 1)
        self.weighting = UncertaintyWeighting({"wave": Softmax(), "loudness": Laplace()})

    def forward(self, signal: Tensor, wave: Tensor, loudness: Tensor) -> dict[str, Tensor]:
        features = self.shared(signal)
        entropy = F.cross_entropy(self.wave(features), wave, ignore_index=IGNORED, reduction="sum")
        labelled = ~loudness.isnan()
        error = F.l1_loss(self.loudness(features).squeeze(1)[labelled], loudness[labelled], reduction="sum")
        # The Trainer trains on the output `loss`.
        return {
            "loss": self.weighting({"wave": (entropy, (wave != IGNORED).sum()), "loudness": (error, labelled.sum())})
        }


class LoggingTrainer(Trainer):
    """A Trainer whose log has the weighting's row beside the loss."""

    def log(self, logs: dict[str, float], *args: object) -> None:
        super().log(logs | self.model.weighting.log(), *args)


def make_data(samples: int) -> list[dict[str, Tensor]]:
    """Return signals (32,), their wave and their loudness; 30 % of the waves and 70 % of the loudness unlabelled."""
    generator = torch.Generator().manual_seed(0)
    wave = torch.randint(3, (samples,), generator=generator)
    loudness = 0.5 + torch.rand(samples, generator=generator)
    phase = torch.linspace(0, 6.283, 32) * (wave + 1).unsqueeze(1)
    signal = loudness.unsqueeze(1) * phase.sin() + 0.3 * torch.randn(samples, 32, generator=generator)
    unlabelled = torch.rand(2, samples, generator=generator) < torch.tensor([[0.3], [0.7]])
    wave, loudness = wave.masked_fill(unlabelled[0], IGNORED), loudness.masked_fill(unlabelled[1], torch.nan)
    return [{"signal": s, "wave": w, "loudness": v} for s, w, v in zip(signal, wave, loudness, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("trainer"))
    arguments = parser.parse_args()
    set_seed(0)
    network = Network()
    groups = network.weighting.param_groups(network, lr=0.01, weight_decay=0.01, noise_lr=0.05)
    settings = TrainingArguments(
        str(arguments.out),
        max_steps=STEPS,
        per_device_train_batch_size=64,
        logging_steps=100,
        save_steps=STEPS,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
    )
    # No scheduler here: the Trainer makes its own from the settings.
    optimizers = (torch.optim.AdamW(groups), None)
    LoggingTrainer(network, settings, train_dataset=make_data(4096), optimizers=optimizers).train()

    # The saved model has the noise that was learned.
    loaded = Network()
    load_model(loaded, arguments.out / f"checkpoint-{STEPS}" / "model.safetensors")
    assert loaded.weighting.sigma == network.weighting.sigma
    print(f"sigma {loaded.weighting.sigma}, weights {loaded.weighting.weights}")


if __name__ == "__main__":
    main()
