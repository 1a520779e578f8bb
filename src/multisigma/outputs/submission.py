"""A system's predictions as the files that the Cityscapes scripts and its benchmark take."""

from pathlib import Path

import numpy as np

from multisigma.data.images import encode_disparity, write_png
from multisigma.data.labels import LABELS
from multisigma.data.scene import Scene
from multisigma.files import write_text

_CLASS_NAMES = {label.id: label.name.replace(" ", "-") for label in LABELS}
# The stored format ends there.
_LARGEST_DISPARITY = 255.99


def write_submission(folder: Path, name: str, scene: Scene, size: tuple[int, int]) -> None:
    """Write a frame's scene into `semantic/`, `instance/` and `disparity/`; see `multisigma.data.predictions`.

    Args:
        folder: Folder of the predictions; it must exist.
        name: Name of the frame.
        scene: What to write; a part that is None is left out. Disparities above 255.99 px are written as that.
        size: Height and width of the frame.
    """
    if scene.labels is not None:
        write_png(_folder(folder, "semantic") / f"{name}_labelIds.png", scene.labels)
    if scene.disparity is not None:
        stored = encode_disparity(np.clip(scene.disparity, 0, _LARGEST_DISPARITY).astype(np.float32))
        write_png(_folder(folder, "disparity") / f"{name}_disparity.png", stored)
    if scene.instances is not None:
        masks = _folder(folder, "instance/masks")
        lines = []
        for number, instance in enumerate(scene.instances):
            mask = np.zeros(size, np.uint8)
            height, width = instance.mask.shape
            mask[instance.top : instance.top + height, instance.left : instance.left + width] = instance.mask * 255
            file = f"{name}_{number:03d}_{_CLASS_NAMES[instance.class_id]}.png"
            write_png(masks / file, mask)
            lines.append(f"masks/{file} {instance.class_id} {float(instance.confidence)!r}\n")
        write_text(folder / "instance" / f"{name}.txt", "".join(lines))


def _folder(root: Path, name: str) -> Path:
    path = root / name
    path.mkdir(parents=True, exist_ok=True)
    return path
