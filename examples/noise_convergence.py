"""How many iterations the noise needs from each initial value, at the paper's learning rates (appendix B, figure 6).

Each loss is steady at 1, so that the noise alone moves. The optimiser is the paper's SGD with Nesterov momentum 0.9. A
noise has arrived at the first iteration from which sigma stays within 10 % of its optimum.

python examples/noise_convergence.py
"""

import torch

from multisigma import Gaussian, Laplace, Softmax, UncertaintyWeighting

LIKELIHOODS = {"Gaussian": Gaussian(), "Laplace": Laplace(), "Softmax": Softmax()}
STARTS = range(-2, 6)
STEPS = 1500


def iterations(lr: float) -> dict[tuple[str, int], int]:
    """Return the iterations that each likelihood needs from each initial log variance."""
    # Tasks do not influence each other, so one weighting holds all of them.
    runs = {f"{name} from {start}": (name, start) for name in LIKELIHOODS for start in STARTS}
    weighting = UncertaintyWeighting(
        {run: LIKELIHOODS[name] for run, (name, _) in runs.items()},
        initial={run: start for run, (_, start) in runs.items()},
    )
    optimum = weighting.optimum(torch.ones(len(runs)))
    optimizer = torch.optim.SGD(weighting.param_groups(), lr=lr, momentum=0.9, nesterov=True)
    arrived = dict.fromkeys(runs.values(), 0)
    for step in range(STEPS):
        log_variances = torch.tensor(list(weighting.sigma.values())).log() * 2
        factors = torch.exp((log_variances - optimum).abs() / 2)
        arrived |= {run: step + 1 for run, factor in zip(runs.values(), factors, strict=True) if factor > 1.1}
        optimizer.zero_grad()
        weighting(dict.fromkeys(runs, torch.tensor(1.0))).backward()
        optimizer.step()
    return arrived


def main() -> None:
    found = {lr: iterations(lr) for lr in (0.0025, 0.01)}
    columns = [(name, lr) for lr in found for name in LIKELIHOODS]
    print(f"| initial s | {' | '.join(f'{name}, {lr:g}' for name, lr in columns)} |")
    print("| --- " * (len(columns) + 1) + "|")
    for start in STARTS:
        print(f"| {start} | {' | '.join(str(found[lr][name, start]) for name, lr in columns)} |")


if __name__ == "__main__":
    main()
