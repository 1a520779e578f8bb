"""Why the weights cannot be learned in the weighted sum itself: they collapse to zero (section 3.2 of the paper).

Two regressions share a network: a line with noise 10 and a wave with noise 0.1. One network learns the weights
w = exp(a) in the sum w1 L1 + w2 L2. The other learns the noise of each task. Both use the same SGD. For the sum the
quickest way to a small sum is to make w small. Then nothing is left to learn from.

python examples/weights_collapse.py [--picture weights-collapse.png]
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from multisigma import Gaussian, UncertaintyWeighting

TASKS, POINTS, BATCH, STEPS, EVERY = ("line", "wave"), 10_000, 100, 4000, 100


class DirectWeights(nn.Module):
    """Equation 1 with learned weights: the sum of w L, with w = exp(a) and no term that holds w up."""

    def __init__(self) -> None:
        super().__init__()
        self.log_weights = nn.ParameterDict({name: nn.Parameter(torch.zeros(())) for name in TASKS})

    def forward(self, losses: dict[str, Tensor]) -> Tensor:
        return torch.stack([self.log_weights[name].exp() * loss for name, loss in losses.items()]).sum()

    @property
    def weights(self) -> dict[str, float]:
        return {name: parameter.exp().item() for name, parameter in self.log_weights.items()}


def truth(x: Tensor) -> Tensor:
    """Return what the network should learn of inputs (N, 1), shape (N, 2)."""
    return torch.cat([5 * x, torch.sin(3 * x)], dim=1)


def train(weighting: DirectWeights | UncertaintyWeighting, seed: int) -> list[dict[str, float]]:
    """Return a row for every 100th step: the objective, and each task's weight and RMS error against the truth."""
    torch.manual_seed(seed)
    x = 4 * torch.rand(POINTS, 1) - 2
    y = truth(x) + torch.tensor([10.0, 0.1]) * torch.randn(POINTS, 2)
    network = nn.Sequential(nn.Linear(1, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
    groups = [{"params": network.parameters()}, {"params": weighting.parameters(), "lr": 1e-2}]
    optimizer = torch.optim.SGD(groups, lr=1e-3, momentum=0.9)
    rows = []
    for step in range(STEPS + 1):
        batch = torch.randint(POINTS, (BATCH,))
        losses = dict(zip(TASKS, (network(x[batch]) - y[batch]).square().mean(0), strict=True))
        optimizer.zero_grad()
        objective = weighting(losses)
        if step % EVERY == 0:
            with torch.no_grad():
                errors = (network(x) - truth(x)).square().mean(0).sqrt()
            row = {"step": step, "objective": objective.item()}
            row |= {f"weight of the {name}": weight for name, weight in weighting.weights.items()}
            rows.append(row | {f"error of the {name}": error.item() for name, error in zip(TASKS, errors, strict=True)})
        objective.backward()
        optimizer.step()
    return rows


def draw(runs: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Draw weights, objective and errors over the steps. Needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    panels = {"weight": ["weight of the line", "weight of the wave"], "objective": ["objective"]}
    panels |= {f"RMS error of the {name}": [f"error of the {name}"] for name in TASKS}
    for axes, (title, columns) in zip(figure.subplots(1, 4), panels.items(), strict=True):
        for (name, rows), colour in zip(runs.items(), ("#c44e52", "#4c72b0"), strict=True):
            for column, style in zip(columns, ("-", "--"), strict=False):
                label = f"{name}: {column}" if title == "weight" else None
                axes.plot([r["step"] for r in rows], [r[column] for r in rows], style, color=colour, label=label)
        axes.set(title=title, xlabel="step")
        if title in ("weight", "objective"):
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, help="also draw the runs into this file")
    arguments = parser.parse_args()
    noise = UncertaintyWeighting(dict.fromkeys(TASKS, Gaussian()))
    runs = {
        "weights learned": train(DirectWeights(), arguments.seed),
        "noise learned": train(noise, arguments.seed),
    }
    for name, rows in runs.items():
        for row in (rows[0], rows[len(rows) // 2], rows[-1]):
            print(f"{name}, " + ", ".join(f"{column} {value:.3g}" for column, value in row.items()))
    if arguments.picture:
        draw(runs, arguments.picture)


if __name__ == "__main__":
    main()
