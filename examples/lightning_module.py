"""A Lightning module with a weighting, and the callback that writes noise and weights as a table and a picture.

Two data sets are trained on together, each with labels for one task. The weighting is a submodule, so that it moves,
saves and resumes with the rest. `param_groups` gives the optimiser its groups.

python examples/lightning_module.py [--out weighting]
"""

import argparse
from pathlib import Path

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from multisigma import Bernoulli, Gaussian, UncertaintyWeighting
from multisigma.training.weighting_recorder import WeightingRecorder

STEPS = 600


class TwoTasks(lightning.LightningModule):
    """Whether a point lies in the unit circle, and its distance from the centre, measured with noise 0.2."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.heads = nn.ModuleDict({"inside": nn.Linear(64, 1), "distance": nn.Linear(64, 1)})
        self.weighting = UncertaintyWeighting({"inside": Bernoulli(), "distance": Gaussian()})

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        x, inside, distance = batch
        features = self.shared(x)
        logit, estimate = (self.heads[name](features).squeeze(1) for name in ("inside", "distance"))
        known, measured = ~inside.isnan(), ~distance.isnan()
        entropy = F.binary_cross_entropy_with_logits(logit[known], inside[known], reduction="sum")
        square = F.mse_loss(estimate[measured], distance[measured], reduction="sum")
        return self.weighting({"inside": (entropy, known.sum()), "distance": (square, measured.sum())})

    def configure_optimizers(self) -> OptimizerLRScheduler:
        groups = self.weighting.param_groups(self, lr=0.01, weight_decay=1e-4, noise_lr=0.05)
        optimizer = torch.optim.AdamW(groups)
        schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, STEPS, power=0.9)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def make_data(samples: int) -> TensorDataset:
    """Return points (N, 2), whether the first half is inside, and the distance of the second; NaN where unlabelled."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(samples, 2, generator=generator)
    distance = x.norm(dim=1)
    inside = (distance < 1).float()
    measured = distance + 0.2 * torch.randn(samples, generator=generator)
    inside[samples // 2 :], measured[: samples // 2] = torch.nan, torch.nan
    return TensorDataset(x, inside, measured)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("weighting"))
    arguments = parser.parse_args()
    lightning.seed_everything(0)
    module = TwoTasks()
    recorder = WeightingRecorder(arguments.out, every=10)
    trainer = lightning.Trainer(
        accelerator="cpu", max_steps=STEPS, callbacks=[recorder], logger=False, enable_checkpointing=False
    )
    trainer.fit(module, DataLoader(make_data(4096), batch_size=64, shuffle=True))
    print(f"sigma {module.weighting.sigma}; see {arguments.out}/weighting.png and weighting.csv")


if __name__ == "__main__":
    main()
