"""The temperature of class probabilities: fitted like scipy fits it, stored, and applied."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional as F

from multisigma.tasks import PostprocessContext, Semantic
from multisigma.training.temperature import fit_temperature


@pytest.mark.parametrize("true", [0.4, 1.0, 3.7])
def test_the_fit_is_scipys_and_near_the_truth(true: float) -> None:
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(0, 4, (20_000, 7)).astype(np.float32))
    labels = torch.distributions.Categorical(logits=logits / true).sample()

    def loss(logarithm: float) -> float:
        return float(F.cross_entropy(logits.double() / np.exp(logarithm), labels))

    found = fit_temperature(logits, labels)
    assert found == pytest.approx(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x), rel=1e-3)
    assert found == pytest.approx(true, rel=0.1)


def test_samples_of_a_semantic_output_are_labelled_pixels_with_their_own_logits() -> None:
    output = torch.randn(2, 5, 70, 90)
    target = torch.randint(0, 5, (2, 70, 90), dtype=torch.uint8)
    target[:, :50] = 255
    output[:, 0], output[:, 1] = target.float(), torch.arange(2 * 70 * 90).reshape(2, 70, 90).float()
    logits, labels = Semantic().class_samples(output, target)
    assert logits.shape == (len(labels), 5)
    assert len(labels) == 2 * 20 * 90
    assert torch.equal(logits[:, 0].long(), labels)
    assert len(logits[:, 1].unique()) == len(labels)
    big = torch.zeros(1, 200, 200, dtype=torch.uint8)
    assert 4096 <= len(Semantic().class_samples(torch.zeros(1, 5, 200, 200), big)[1]) <= 2 * 4096


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_temperature_is_applied_to_the_probability_and_leaves_the_classes(channels_last: bool) -> None:
    output = np.random.default_rng(0).normal(0, 3, (19, 6, 8)).astype(np.float32)
    output[3, 0] = output[5, 0] = 20.0  # the first of equal classes
    if channels_last:
        output = np.moveaxis(np.moveaxis(output, 0, -1).copy(), -1, 0)
    plain = Semantic().postprocess(output, {}, PostprocessContext())
    warm = Semantic().postprocess(output, {}, PostprocessContext(temperatures={"semantic": 2.0}))
    assert np.array_equal(plain.ids, warm.ids)
    assert np.array_equal(plain.ids, plain.labels.ids_of_train_ids[output.argmax(0)])
    expected = torch.from_numpy(output / 2).softmax(0).amax(0).numpy()
    np.testing.assert_allclose(warm.probability, expected, rtol=1e-6)
