"""A plain PyTorch loop with a classification and a regression, where many samples lack one or both labels.

It needs torch alone. Each loss is a pair (sum over labelled samples, their number), so that a batch without any label
of a task needs no special case. The data's noise of the height is 0.5. The learned sigma is about 0.6, because it
counts what the network has not learned yet.

python examples/plain_loop.py
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from multisigma import Laplace, Softmax, UncertaintyWeighting

IGNORED, STEPS = -100, 1200


def make_data(samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return inputs (N, 8), one of four kinds (N,), and a height (N,) with Laplace noise of scale 0.5."""
    x = torch.randn(samples, 8, generator=generator)
    kind = (x[:, :2] > 0).long() @ torch.tensor([1, 2])
    uniform = torch.rand(samples, generator=generator) - 0.5
    height = 3 * x[:, 2] - x[:, 3] - 0.5 * uniform.sign() * (1 - 2 * uniform.abs()).log()
    unlabelled = torch.rand(2, samples, generator=generator) < torch.tensor([[0.5], [0.8]])
    return x, kind.masked_fill(unlabelled[0], IGNORED), height.masked_fill(unlabelled[1], torch.nan)


class Network(nn.Module):
    """A shared layer and a head for each task."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Linear(8, 64), nn.ReLU())
        self.heads = nn.ModuleDict({"kind": nn.Linear(64, 4), "height": nn.Linear(64, 1)})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.shared(x)
        return {name: head(features) for name, head in self.heads.items()}


def losses_of(outputs: dict[str, Tensor], kind: Tensor, height: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Return each task's loss as (sum, count)."""
    entropy = F.cross_entropy(outputs["kind"], kind, ignore_index=IGNORED, reduction="sum")
    labelled = ~height.isnan()
    error = F.l1_loss(outputs["height"].squeeze(1)[labelled], height[labelled], reduction="sum")
    return {"kind": (entropy, (kind != IGNORED).sum()), "height": (error, labelled.sum())}


def main() -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    x, kind, height = make_data(8192, generator)
    network = Network()
    weighting = UncertaintyWeighting({"kind": Softmax(), "height": Laplace()})
    optimizer = torch.optim.AdamW(weighting.param_groups(network, lr=0.01, weight_decay=1e-4, noise_lr=0.01))
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, STEPS, power=0.9)
    for step in range(1, STEPS + 1):
        batch = torch.randint(len(x), (16,), generator=generator)
        losses = losses_of(network(x[batch]), kind[batch], height[batch])
        optimizer.zero_grad()
        loss = weighting(losses)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            print(f"step {step}: loss {loss.item():.2f}, sigma {weighting.sigma}, weights {weighting.weights}")


if __name__ == "__main__":
    main()
