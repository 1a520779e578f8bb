"""A Hugging Face Accelerate loop with a weighting: the same result on one process and on several.

python examples/accelerate_loop.py
accelerate launch --cpu --num_processes 2 examples/accelerate_loop.py
"""

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from multisigma import Laplace, Softmax, UncertaintyWeighting

IGNORED, EPOCHS = -100, 5


class Network(nn.Module):
    """Which of three waves a signal is, and how loud; the weighting is a submodule, so `prepare` takes care of both."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Linear(32, 64), nn.ReLU())
        self.wave, self.loudness = nn.Linear(64, 3), nn.Linear(64, 1)
        self.weighting = UncertaintyWeighting({"wave": Softmax(), "loudness": Laplace()})

    def forward(self, x: Tensor, wave: Tensor, loudness: Tensor) -> Tensor:
        features = self.shared(x)
        entropy = F.cross_entropy(self.wave(features), wave, ignore_index=IGNORED, reduction="sum")
        labelled = ~loudness.isnan()
        error = F.l1_loss(self.loudness(features).squeeze(1)[labelled], loudness[labelled], reduction="sum")
        # Counts differ from process to process; with (sum, count) the means are over all processes' labels.
        return self.weighting({"wave": (entropy, (wave != IGNORED).sum()), "loudness": (error, labelled.sum())})


def make_data(samples: int) -> TensorDataset:
    """Return signals (N, 32), waves (N,) and loudness (N,); 30 % of the waves and 70 % of the loudness unlabelled."""
    generator = torch.Generator().manual_seed(0)
    wave = torch.randint(3, (samples,), generator=generator)
    loudness = 0.5 + torch.rand(samples, generator=generator)
    phase = torch.linspace(0, 6.283, 32) * (wave + 1).unsqueeze(1)
    x = loudness.unsqueeze(1) * phase.sin() + 0.3 * torch.randn(samples, 32, generator=generator)
    unlabelled = torch.rand(2, samples, generator=generator) < torch.tensor([[0.3], [0.7]])
    return TensorDataset(x, wave.masked_fill(unlabelled[0], IGNORED), loudness.masked_fill(unlabelled[1], torch.nan))


def main() -> None:
    set_seed(0)
    # A batch is split among the processes, so that their number does not change what is learned.
    accelerator = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(split_batches=True))
    network = Network()
    weighting = network.weighting
    optimizer = torch.optim.SGD(weighting.param_groups(network, lr=0.02, weight_decay=1e-4))
    loader = DataLoader(make_data(4096), batch_size=64, shuffle=True)
    network, optimizer, loader = accelerator.prepare(network, optimizer, loader)
    for epoch in range(EPOCHS):
        for batch in loader:
            optimizer.zero_grad()
            accelerator.backward(network(*batch))
            optimizer.step()
        accelerator.print(f"epoch {epoch + 1}: sigma {weighting.sigma}, weights {weighting.weights}")


if __name__ == "__main__":
    main()
