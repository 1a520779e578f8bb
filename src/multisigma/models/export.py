"""A model as one file for other runtimes: ONNX, or a program of `torch.export`."""

import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from timm.layers.conv2d_same import Conv2dSame, conv2d_same
from torch import Tensor
from torch.export import Dim, ExportedProgram

from multisigma.errors import MultisigmaError
from multisigma.files import write_bytes
from multisigma.models.onnx_scene_model import METADATA_KEY
from multisigma.models.scene_model import SceneModel

__all__ = ["SUFFIXES", "export_model", "export_program"]

SUFFIXES = {".onnx": "ONNX", ".pt2": "a program of torch.export"}
"""The formats by the ending of the file."""


def export_program(model: SceneModel, size: tuple[int, int] | None = None, batch: int | None = None) -> ExportedProgram:
    """Trace the model's forward pass.

    The program takes RGB from 0 to 255 as uint8, shape (B, 3, H, W), normalises it, and returns each task's output by
    name, shape (B, channels, H, W).

    Args:
        model: The model; it is set to evaluation mode and moved to the CPU.
        size: Height and width in pixels. None leaves both free.
        batch: Images at a time, B. None leaves it free.

    Raises:
        MultisigmaError: A side is below 1 pixel, a batch below 1 image, or the encoder needs a fixed size.
    """
    if batch is not None and batch < 1:
        raise MultisigmaError(f"Parameter `batch` must be at least 1 image. Found {batch}.")
    if size is not None and min(size) < 1:
        raise MultisigmaError(f"Parameter `size` must be at least 1 pixel each way. Found {size[0]}x{size[1]}.")
    if size is None and any(type(module) is Conv2dSame for module in model.modules()):
        # Sizes after a few of its strides are expressions that torch does not finish to simplify.
        rows = model.info.working_height
        raise MultisigmaError(
            f"Parameter `size` must be given with the encoder {model.info.encoder!r}, which pads by the size of the "
            f"image. Found none. Set it to that of your images, such as --size {rows}x{2 * rows}, or export as ONNX."
        )
    # Any example does, as long as no size in it is 0 or 1: torch takes these as constants.
    height, width = size or (64, 96)
    example = torch.zeros(batch or 2, 3, height, width, dtype=torch.uint8)
    free = {axis: Dim.AUTO for axis, fixed in ((0, batch), (2, size), (3, size)) if fixed is None}
    with _quiet():
        return torch.export.export(model.eval().cpu(), (example,), dynamic_shapes=(free,), strict=False)


def export_model(model: SceneModel, path: Path, size: tuple[int, int] | None = None, batch: int | None = None) -> None:
    """Write the model as ONNX (`.onnx`) or as a program of `torch.export` (`.pt2`).

    The input is named `rgb`, the outputs by task. An ONNX file carries the content of `model.json` in its metadata
    under the key `multisigma`: `OnnxSceneModel` needs no other file.

    Args:
        model: The model.
        path: The file to write; its ending chooses the format.
        size: Height and width in pixels. None leaves both free.
        batch: Images at a time. None leaves their number free.

    Raises:
        MultisigmaError: The ending is another, the extra `export` is not installed, torch cannot store the encoder with
            free sizes, or the file cannot be written.
    """
    if path.suffix not in SUFFIXES:
        raise MultisigmaError(f"{path}: an exported file must end in {' or '.join(SUFFIXES)}. Found {path.suffix!r}.")
    if path.suffix == ".onnx" and importlib.util.find_spec("onnxscript") is None:
        raise MultisigmaError("ONNX needs the extra 'export': pip install 'multisigma[export]'")
    content = io.BytesIO()
    if path.suffix == ".pt2":
        try:
            program = export_program(model, size, batch)
            with _quiet():
                torch.export.save(program, content)
        except Exception as error:
            # Encoders that pad by the size compute it with functions that torch cannot store.
            raise MultisigmaError(
                f"{path}: the encoder {model.info.encoder!r} must have a fixed size in this format. Found {size}. "
                f"Give one: --size HxW. torch says: {str(error).splitlines()[0]}"
            ) from error
    else:
        import onnx

        with _same_padding_as_one_operation(model):
            program = export_program(model, size, batch)
        with _quiet():
            exported = torch.onnx.export(
                program,
                dynamo=True,
                input_names=["rgb"],
                output_names=list(model.info.outputs),
                custom_translation_table={torch.ops.multisigma.conv2d_same.default: _onnx_conv2d_same},
                verbose=False,
            )
        assert exported is not None
        proto = exported.model_proto
        onnx.helper.set_model_props(proto, {METADATA_KEY: json.dumps(model.info.to_json(), ensure_ascii=False)})
        content.write(proto.SerializeToString())
    write_bytes(path, content.getvalue())


# Before torch 2.7 it reads no schema from `list[int]`.
_SCHEMA: Final = "(Tensor x, Tensor weight, Tensor? bias, int[] stride, int groups) -> Tensor"


@torch.library.custom_op("multisigma::conv2d_same", mutates_args=(), schema=_SCHEMA)
def _conv2d_same(x: Tensor, weight: Tensor, bias: Tensor | None, stride: list[int], groups: int) -> Tensor:
    """Convolve with the padding of TensorFlow, as one operation: ONNX has it too, for any size."""
    return conv2d_same(x, weight, bias, (stride[0], stride[1]), groups=groups)


@_conv2d_same.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None, stride: list[int], groups: int) -> Tensor:
    height, width = ((length - 1) // step + 1 for length, step in zip(x.shape[2:], stride, strict=True))
    return x.new_empty(x.shape[0], weight.shape[0], height, width)


def _onnx_conv2d_same(x: Any, weight: Any, bias: Any, stride: Sequence[int], groups: int) -> Any:
    """Return the operation's node in an ONNX graph."""
    from onnxscript import opset18

    inputs = (x, weight) if bias is None else (x, weight, bias)
    return opset18.Conv(*inputs, auto_pad="SAME_UPPER", strides=stride, group=groups)


class _OneOperation(Conv2dSame):
    """A convolution of timm whose padding is not computed from the size."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = _conv2d_same(x, self.weight, self.bias, list(self.stride), self.groups)
        return y


@contextmanager
def _same_padding_as_one_operation(model: SceneModel) -> Iterator[None]:
    """Make each convolution that pads by the size one operation for the tracer.

    Dilated ones stay as they are: onnxruntime does not pad these by itself.
    """
    modules = [module for module in model.modules() if type(module) is Conv2dSame and set(module.dilation) == {1}]
    for module in modules:
        module.__class__ = _OneOperation
    try:
        yield
    finally:
        for module in modules:
            module.__class__ = Conv2dSame


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' own warnings and progress from the user, who can do nothing about them."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
