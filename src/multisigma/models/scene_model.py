"""A trained model: one image in, the results of all tasks out. All inference goes through it."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from multisigma.errors import MultisigmaError
from multisigma.files import write_bytes
from multisigma.models.inference import Inference, network_outputs
from multisigma.models.model_info import DEFAULT_FOLDER, INFO_FILE, SHIPPED, ModelInfo
from multisigma.models.scene_network import SceneNetwork
from multisigma.models.scene_predictor import ScenePredictor
from multisigma.tasks import Task

__all__ = ["CARD_FILE", "DEFAULT_FOLDER", "INFO_FILE", "WEIGHTS_FILE", "SceneModel", "default_device"]

WEIGHTS_FILE = "model.safetensors"
"""The file beside `INFO_FILE` that completes a stored model. Nothing in the two can execute."""
CARD_FILE = "MODEL_CARD.md"
"""What a shipped model was trained on, what was measured, and its limits."""

_log = logging.getLogger(__name__)


class SceneModel(nn.Module, ScenePredictor):
    """A network with its tasks, its classes and its noise scales: all that a prediction needs.

    Args:
        info: The description of the model, as `model.json` holds it.
        tasks: The tasks that `info` names, in the same order.
        network: The network with its weights; None to initialise one at random.

    Raises:
        MultisigmaError: The encoder that `info` names is not available.

    Example:
        model = SceneModel.load("run")
        scene = model.predict("street.jpg")
        scene["semantic"].ids
        scene.draw().save("scene.png")
    """

    def __init__(self, info: ModelInfo, tasks: Sequence[Task], network: SceneNetwork | None = None) -> None:
        super().__init__()
        self.info, self.tasks = info, list(tasks)
        self.network = network or SceneNetwork(
            info.outputs,
            encoder=info.encoder,
            encoder_weights="none",
            output_stride=info.output_stride,
            aspp_channels=info.aspp_channels,
            dilations=info.dilations,
            decoder_channels=info.decoder_channels,
            decoder_kernel=info.decoder_kernel,
            skip_channels=info.skip_channels,
            separable=info.separable,
            shared_stages=info.shared_stages,
            mean=info.mean,
            std=info.std,
        )

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.network.mean.device

    def forward(self, rgb: Tensor) -> dict[str, Tensor]:
        """
        Args:
            rgb: RGB from 0 to 255 of any type, shape (B, 3, H, W), any H and W. It is normalised here.

        Returns:
            Each task's output of shape (B, channels, H, W), by task name.
        """
        outputs: dict[str, Tensor] = self.network(rgb)
        return outputs

    @torch.inference_mode()
    def _outputs(
        self, images: Sequence[NDArray[np.uint8]], inference: Inference | None
    ) -> list[dict[str, NDArray[np.float32]]]:
        same = len({image.shape for image in images}) == 1
        found: list[dict[str, NDArray[np.float32]]] = []
        for group in [images] if same else [[image] for image in images]:
            rgb = torch.from_numpy(np.stack(group).transpose(0, 3, 1, 2).copy()).to(self.device)
            with _evaluation_mode(self):
                outputs = network_outputs(self, rgb, self.tasks, inference or Inference())
            arrays = {name: output.cpu().numpy() for name, output in outputs.items()}
            found += [{name: array[i] for name, array in arrays.items()} for i in range(len(group))]
        return found

    def save(self, folder: str | Path, half: bool = False) -> None:
        """Write `model.json` and `model.safetensors` into a folder, which is made if it does not exist.

        Args:
            folder: Where the files go.
            half: Whether to store the kernels of convolutions in half precision, at half the size. `load` makes them
                float32 again. Biases and batch statistics stay float32: they are few, and a variance may exceed
                65504, the largest number in half precision.

        Raises:
            MultisigmaError: The files cannot be written.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MultisigmaError(f"{folder}: cannot be made: {error.strerror or error}. Choose another.") from error
        weights = {
            name: (value.half() if half and value.dim() > 1 else value).cpu().contiguous()
            for name, value in self.network.state_dict().items()
        }
        content = safetensors.torch.save(weights)
        write_bytes(folder / WEIGHTS_FILE, content)
        replace(self.info, weights_sha256=hashlib.sha256(content).hexdigest()).write(folder / INFO_FILE)

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device | None = None, trust_code: bool = False) -> Self:
        """Load a run's model, or a saved one, in evaluation mode.

        Only `model.json` and `model.safetensors` are read. Without `trust_code`, no code of the model's author runs.

        Args:
            folder: A run folder, or the folder of `save`.
            device: Where to compute; None for CUDA, else MPS, else the CPU.
            trust_code: Import the classes of tasks that are not built in, which runs their author's code.

        Raises:
            MultisigmaError: There is no model, or it cannot be read; a task is not built in and `trust_code` is false;
                or the device is not available.
        """
        folder = Path(folder)
        require_files(folder)
        info = ModelInfo.read(folder / INFO_FILE)
        if info.encoder.startswith("hf-hub:"):
            raise MultisigmaError(
                f"{folder}: the encoder must be one that timm has itself. Found {info.encoder!r}, which is on a hub."
            )
        tasks = info.load_tasks(folder / INFO_FILE, trust_code)
        weights = read_weights(folder, info)
        try:
            # Without memory first: the file may name a network far larger than its weights.
            with torch.device("meta"):
                cls(info, tasks).network.load_state_dict(weights, assign=True)
            model = cls(info, tasks)
        except MultisigmaError as error:
            raise MultisigmaError(f"{folder / INFO_FILE}: {error}") from error
        except RuntimeError as error:
            raise _bad_weights(folder, error) from error
        model.network.load_state_dict(weights)
        model.to_device(device)
        return model.eval()

    @classmethod
    def default(cls, device: str | torch.device | None = None) -> Self:
        """Load the small model that the package ships, in evaluation mode, and log which one it is. Works offline.

        Args:
            device: Where to compute; None for CUDA, else MPS, else the CPU.

        Raises:
            MultisigmaError: The package has no weights, as in a checkout without them; or the device is not available.

        Example:
            scene = SceneModel.default().predict("street.jpg")
        """
        model = cls.load(default_folder(), device)
        millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        _log.info(
            "model: the one that multisigma ships (%s, %.1f million parameters), see %s",
            *(model.info.encoder, millions, DEFAULT_FOLDER / CARD_FILE),
        )
        return model

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        revision: str | None = None,
        device: str | torch.device | None = None,
        trust_code: bool = False,
        token: str | None = None,
    ) -> Self:
        """Load a model from the Hugging Face Hub, in evaluation mode, and log the commit that was loaded.

        Only `model.json` and `model.safetensors` are downloaded, into the hub's cache. A folder of this machine is
        loaded as by `load`, and then nothing is fetched.

        Args:
            name: Name of the model on the hub, as 'owner/name'; or a folder.
            revision: Commit, tag or branch. Only a commit always means the same weights. None for the main branch.
            device: As for `load`.
            trust_code: As for `load`. The code is that of this machine's packages; none is downloaded.
            token: Access token, for private models; None for the one that `hf auth login` stored.

        Raises:
            MultisigmaError: There is no such model or revision, the hub cannot be reached, or as for `load`.
        """
        if Path(name).is_dir():
            return cls.load(name, device, trust_code)
        # Here, because it takes a second, and most uses need no hub.
        from multisigma.models.hub import download

        folder, commit = download(str(name), (INFO_FILE, WEIGHTS_FILE), revision, token)
        _log.info("model: %s of the Hugging Face Hub, revision %s", name, commit)
        return cls.load(folder, device, trust_code)

    def push_to_hub(
        self,
        repo_id: str,
        card: str | Path,
        *,
        half: bool = True,
        private: bool = False,
        revision: str | None = None,
        token: str | None = None,
    ) -> str:
        """Upload the model with its card to the Hugging Face Hub, in one commit.

        Args:
            repo_id: Name of the model on the hub, as 'owner/name'. It is made if it does not exist.
            card: The model card, such as the `MODEL_CARD.md` of `multisigma pack`. Licences beside it go along.
            half: As for `save`.
            private: Whether a new model is private.
            revision: Branch to commit to; None for the main one.
            token: Access token; None for the one that `hf auth login` stored.

        Returns:
            The commit, which `from_pretrained` takes as the revision.

        Raises:
            MultisigmaError: The card cannot be read, or the hub refuses.
        """
        from multisigma.models.hub import upload

        with tempfile.TemporaryDirectory() as folder:
            self.save(folder, half)
            return upload(Path(folder), repo_id, Path(card), private=private, revision=revision, token=token)

    def to_device(self, device: str | torch.device | None) -> None:
        """Move the model; None for CUDA, else MPS, else the CPU.

        Raises:
            MultisigmaError: The device is not available.
        """
        try:
            self.to(default_device() if device is None else torch.device(device))
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = str(error).splitlines()[0]
            raise MultisigmaError(
                f"Parameter `device` must be a device of this machine, such as cpu or cuda. Found {device}: {reason}"
            ) from error
        _log.info("computing on %s", self.device)


@contextmanager
def _evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode, and restore the mode of each submodule afterwards, also after an error."""
    modes = {submodule: submodule.training for submodule in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for submodule, training in modes.items():
            submodule.training = training


def default_device() -> torch.device:
    """Return CUDA where there is a GPU, else MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def named_folder(name: str) -> Path:
    """Return the folder of a model by its path or the name `SHIPPED`; see `default_folder` for errors."""
    return default_folder() if name == SHIPPED else Path(name)


def default_folder() -> Path:
    """Return the folder of the model that the package ships. Raises `MultisigmaError` if it has no weights."""
    if not (DEFAULT_FOLDER / WEIGHTS_FILE).is_file():
        raise MultisigmaError(
            f"{DEFAULT_FOLDER}: the package must hold a model, if none is named. Found no {WEIGHTS_FILE}. Name a "
            "run or a saved model, or install a release of multisigma, which has one."
        )
    return DEFAULT_FOLDER


def require_files(folder: Path) -> None:
    """Raise `MultisigmaError` if a folder lacks a file of a stored model."""
    for name in (INFO_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise _no_model(folder, name)


def read_weights(folder: Path, info: ModelInfo) -> dict[str, Tensor]:
    """Read the weights of a stored model by name. Raises `MultisigmaError` if they cannot be read, or are others."""
    try:
        content = (folder / WEIGHTS_FILE).read_bytes()
        if info.weights_sha256 not in ("", hashlib.sha256(content).hexdigest()):
            raise ValueError("they are damaged, or of another model: their checksum is not the stored one")
        return safetensors.torch.load(content)
    except (OSError, RuntimeError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise _bad_weights(folder, error) from error


def _bad_weights(folder: Path, error: Exception) -> MultisigmaError:
    return MultisigmaError(
        f"{folder / WEIGHTS_FILE}: must hold the weights of the network in {INFO_FILE}. Found a fault: {error}. "
        "Restore the file, or write the model again."
    )


def _no_model(folder: Path, missing: str) -> MultisigmaError:
    if (folder / "config.yaml").is_file():
        return MultisigmaError(
            f"{folder}: the run must have the file {missing}, which training writes at its end. Found none. "
            f"Finish it: multisigma train --resume --out {folder}"
        )
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing there"
        return MultisigmaError(f"{folder}: a model must be a folder. Found {found}. Name the folder of a run.")
    return MultisigmaError(
        f"{folder}: a model must have the files {INFO_FILE} and {WEIGHTS_FILE}. Found no {missing}. "
        "Name the folder of a run, or one that `SceneModel.save` wrote."
    )
