"""What equation 10's approximation of the softmax likelihood costs, against the exact form of equations 8 and 9.

A small network learns scikit-learn's 8x8 digits, a known share of whose labels is replaced by another digit.

At fixed logits (of held-out digits; a network of few epochs and one of many): the temperature sigma^2 that each form
chooses, the negative log likelihood of the labels at it, the value that equation 10 takes for it, and by what each form
multiplies the cross entropy's gradient at the logits.

Learned together with a regression on the same features (the digit's ink, with Gaussian noise of 0.1): the noise that
each form ends with, beside a plain sum; accuracy on the true labels, likelihood of the noisy ones, the temperature that
the held-out logits still ask for, and the regression's error.

python benchmarks/softmax_approximation.py [--seeds 3] [--noise-lr 0.03] [--figure docs/softmax-approximation.png] \
    > benchmarks/results/softmax_approximation.json
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from matplotlib.figure import Figure
from scipy.optimize import minimize_scalar
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from multisigma import (
    EqualWeighting,
    ExactSoftmax,
    Gaussian,
    Loss,
    Prediction,
    Softmax,
    UncertaintyWeighting,
    Weighting,
)
from multisigma.training.environment import describe_environment
from multisigma.visualization.curves import PALETTE

RATES = (0.0, 0.1, 0.2, 0.4, 0.6)
EPOCHS = {"few epochs": 10, "many epochs": 100}
INK_NOISE = 0.1
FORMS: dict[str, Callable[[], Weighting]] = {
    "plain sum": lambda: EqualWeighting(["digit", "ink"]),
    "approximate": lambda: UncertaintyWeighting({"digit": Softmax(), "ink": Gaussian()}),
    "exact": lambda: UncertaintyWeighting({"digit": ExactSoftmax(), "ink": Gaussian()}),
}


@dataclass
class Digits:
    """Pixels (N, 64), noisy labels (N,), true labels (N,), ink with noise (N,) and without (N,)."""

    pixels: Tensor
    labels: Tensor
    true: Tensor
    ink: Tensor
    true_ink: Tensor


def digits(rate: float, seed: int) -> tuple[Digits, Digits]:
    """Two thirds to train on and a third held out, with labels flipped and noise added in both."""
    generator = torch.Generator().manual_seed(seed)
    pixels, true = (torch.as_tensor(array) for array in load_digits(return_X_y=True))
    order = torch.randperm(len(true), generator=generator)
    pixels, true = pixels[order].float() / 16, true[order]
    flipped = torch.rand(len(true), generator=generator) < rate
    other = (true + torch.randint(1, 10, true.shape, generator=generator)) % 10
    ink = (pixels.mean(1) - pixels.mean()) / pixels.mean(1).std()
    noisy = ink + INK_NOISE * torch.randn(ink.shape, generator=generator)
    everything = (pixels, torch.where(flipped, other, true), true, noisy, ink)
    cut = 2 * len(true) // 3
    return Digits(*(tensor[:cut] for tensor in everything)), Digits(*(tensor[cut:] for tensor in everything))


class Network(nn.Module):
    """A shared layer and a head for each task."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Linear(64, 128), nn.ReLU())
        self.digit, self.ink = nn.Linear(128, 10), nn.Linear(128, 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        features = self.shared(pixels)
        return self.digit(features), self.ink(features).squeeze(1)


def losses_of(network: Network, weighting: Weighting, data: Digits, batch: Tensor) -> dict[str, Loss]:
    """Each task's loss over a batch of indices, as the weighting's likelihoods take it."""
    logits, ink = network(data.pixels[batch])
    labels = data.labels[batch]
    exact = isinstance(weighting, UncertaintyWeighting) and "digit" in weighting.exact
    digit = Prediction(logits, labels) if exact else F.cross_entropy(logits, labels)
    return {"digit": digit, "ink": F.mse_loss(ink, data.ink[batch])}


def train(
    data: Digits, weighting: Weighting, tasks: tuple[str, ...], epochs: int, seed: int, noise_lr: float = 0.03
) -> Network:
    """Adam at 0.003, batches of 64; its memory of squares is short, for a noise that starts far off."""
    torch.manual_seed(seed)
    network = Network()
    optimizer = torch.optim.Adam(
        [*weighting.param_groups(lr=noise_lr), {"params": network.parameters()}], lr=0.003, betas=(0.9, 0.99)
    )
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for batch in torch.randperm(len(data.labels), generator=generator).split(64):
            losses = losses_of(network, weighting, data, batch)
            optimizer.zero_grad()
            weighting({name: losses[name] for name in tasks}).backward()
            optimizer.step()
    return network


def likelihood(logits: Tensor, labels: Tensor, variance: float) -> float:
    """The exact mean negative log likelihood at a temperature; equations 8 and 9."""
    total, count = ExactSoftmax().negative_log_likelihood(Prediction(logits, labels), torch.tensor(math.log(variance)))
    return (total / count).item()


def exact_optimum(logits: Tensor, labels: Tensor) -> float:
    """The temperature of greatest likelihood."""
    found = minimize_scalar(
        lambda s: likelihood(logits.double(), labels, math.exp(s)), bounds=(-8, 8), method="bounded"
    )
    return math.exp(found.x)


def at_fixed_logits(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Both forms' optima over the noise, and what they do there."""
    entropy = F.cross_entropy(logits, labels)
    optimum = UncertaintyWeighting({"digit": Softmax()}).optimum(entropy.reshape(1))
    exact, approximate = exact_optimum(logits, labels), optimum.exp().item()
    target = F.one_hot(labels, logits.shape[1])
    plain_gradient = (logits.softmax(1) - target).norm()
    exact_gradient = (((logits / exact).softmax(1) - target) / exact).norm()
    return {
        "cross entropy": entropy.item(),
        "sigma^2 exact": exact,
        "sigma^2 approximate": approximate,
        "NLL at sigma^2 exact": likelihood(logits, labels, exact),
        "NLL at sigma^2 approximate": likelihood(logits, labels, approximate),
        "equation 10 at sigma^2 approximate": entropy.item() / approximate + 0.5 * math.log(approximate),
        "gradient multiplier exact": (exact_gradient / plain_gradient).item(),
        "gradient multiplier approximate": 1 / approximate,
    }


def learned_together(rate: float, form: str, epochs: int, noise_lr: float, seed: int) -> dict[str, float]:
    """Both tasks on one network, and what came of it on the held-out digits."""
    training, held_out = digits(rate, seed)
    weighting = FORMS[form]()
    network = train(training, weighting, ("digit", "ink"), epochs, seed, noise_lr)
    with torch.no_grad():
        logits, ink = network(held_out.pixels)
    variance = weighting.sigma.get("digit", 1.0) ** 2
    scaled = logits / variance if form == "exact" else logits
    return {
        "sigma^2 of the digit": variance,
        "weight of the digit": weighting.weights["digit"],
        "weight of the ink": weighting.weights["ink"],
        "sigma of the ink": weighting.sigma.get("ink", 1.0),
        "accuracy on true labels": (logits.argmax(1) == held_out.true).float().mean().item(),
        "NLL": likelihood(scaled, held_out.labels, 1.0),
        "temperature that is left": exact_optimum(scaled, held_out.labels),
        "RMS error of the ink": (ink - held_out.true_ink).square().mean().sqrt().item(),
    }


def fixed_logits(rate: float, epochs: int, seed: int) -> dict[str, float]:
    """`at_fixed_logits` of a network that learned the digits alone."""
    return at_fixed_logits(*classifier_logits(rate, epochs, seed))


def classifier_logits(rate: float, epochs: int, seed: int) -> tuple[Tensor, Tensor]:
    """Held-out logits and noisy labels of a network that learned the digits alone."""
    training, held_out = digits(rate, seed)
    network = train(training, EqualWeighting(["digit"]), ("digit",), epochs, seed)
    return network(held_out.pixels)[0].detach(), held_out.labels


def over_seeds(measure: Callable[[int], Mapping[str, float]], seeds: int) -> dict[str, dict[str, float]]:
    """Mean and standard deviation of each quantity."""
    rows = [measure(seed) for seed in range(seeds)]
    return {
        name: {"mean": float(f"{mean(values):.4g}"), "sd": float(f"{stdev(values):.2g}")}
        for name in rows[0]
        if (values := [row[name] for row in rows])
    }


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Left, both objectives over the noise for one network; right, the gradient's multiplier by flip rate."""
    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    logits, labels = classifier_logits(0.2, EPOCHS["few epochs"], 0)
    entropy = F.cross_entropy(logits, labels).item()
    variances = torch.logspace(-1, 1, 101).tolist()
    curves = {
        "exact": [likelihood(logits, labels, v) for v in variances],
        "approximate": [entropy / v + 0.5 * math.log(v) for v in variances],
    }
    for (form, values), colour in zip(curves.items(), PALETTE, strict=False):
        left.plot(variances, values, color=colour, label=form)
        lowest = min(range(len(values)), key=values.__getitem__)
        left.plot(variances[lowest], values[lowest], "o", color=colour)
        for training, style in zip(EPOCHS, ("o-", "o--"), strict=True):
            rows = [row for row in result["at fixed logits"] if row["training"] == training]
            rates = [row["flip rate"] for row in rows]
            multipliers = [row[f"gradient multiplier {form}"]["mean"] for row in rows]
            right.plot(rates, multipliers, style, color=colour, markersize=4, label=f"{form}, {training}")
    sigma = "\N{GREEK SMALL LETTER SIGMA}"
    left.set(xscale="log", ylim=(0, 4), xlabel=f"temperature {sigma}\u00b2", ylabel="objective, nats")
    left.set_title("a fifth of the labels flipped, few epochs", fontsize=9, loc="left")
    right.set(yscale="log", xlabel="share of labels flipped", ylabel="multiplier of the gradient")
    right.set_yticks(ticks := (0.2, 0.5, 1, 2, 5), [f"{tick:g}" for tick in ticks])
    right.minorticks_off()
    right.set_title("at the noise's optimum", fontsize=9, loc="left")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="two or more")
    parser.add_argument("--noise-lr", type=float, default=0.03, help="where both are learned; the network has 0.003")
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = [(training, rate) for training in EPOCHS for rate in RATES]
    result: dict[str, Any] = {
        "at fixed logits": [
            {"training": training, "flip rate": rate}
            | over_seeds(partial(fixed_logits, rate, EPOCHS[training]), arguments.seeds)
            for training, rate in settings
        ],
        "learned together": [
            {"training": training, "flip rate": rate, "form": form}
            | over_seeds(partial(learned_together, rate, form, EPOCHS[training], arguments.noise_lr), arguments.seeds)
            for training, rate in settings
            for form in FORMS
        ],
    }
    if arguments.figure:
        draw(result, arguments.figure)
    settings_used = {"seeds": arguments.seeds, "noise_lr": arguments.noise_lr}
    print(json.dumps({**settings_used, "environment": describe_environment(), **result}, indent=2))


if __name__ == "__main__":
    main()
