"""Draw the moving picture at the top of the README: a generated street, as `multisigma predict` shows a video.

python benchmarks/street_gif.py docs/street.gif
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image

from multisigma import SceneModel
from multisigma.files import write_bytes
from multisigma.models import follow
from multisigma.synthetic import StreetSettings, make_sequence
from multisigma.synthetic.drive import RATE
from multisigma.tracking import DepthSteadier, Tracker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--model", type=Path, default=None, help="the shipped one if not given")
    parser.add_argument("--seed", type=int, default=700)
    parser.add_argument("--street", type=int, default=0)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--width", type=int, default=400)
    parser.add_argument("--every", type=int, default=2, help="frames of the video per shown frame")
    options = parser.parse_args()
    model = SceneModel.load(options.model) if options.model else SceneModel.default("cpu")
    frames = list(
        make_sequence(StreetSettings(256, 512, options.seed, matching=False), "val", options.street, options.frames)
    )
    scenes = follow(model.predict_all((frame.left for frame in frames), frames[0].camera), Tracker(), DepthSteadier())
    shown = []
    for number, scene in enumerate(scenes):
        if number % options.every == 0:
            picture = Image.fromarray(scene.annotate())
            size = options.width, round(options.width * picture.height / picture.width)
            shown.append(picture.resize(size, Image.Resampling.LANCZOS))
    # One palette for all frames: colours would flicker with a palette each.
    mosaic = Image.fromarray(np.concatenate([np.asarray(picture) for picture in shown[:: max(1, len(shown) // 4)]]))
    palette = mosaic.quantize(128)
    quantised = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in shown]
    content = io.BytesIO()
    duration = round(1000 * options.every / RATE)
    quantised[0].save(
        content, "GIF", save_all=True, append_images=quantised[1:], duration=duration, loop=0, optimize=False
    )
    write_bytes(options.path, content.getvalue())
    print(f"{len(shown)} frames, {len(content.getvalue()) / 1e6:.2f} MB in {options.path}")


if __name__ == "__main__":
    main()
