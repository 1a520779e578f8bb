"""The official scripts' side of `benchmarks/evaluation.py`; runs in their environment.

Each line on standard input names a frame's files as JSON; a line with the seconds of processor time that each part of
the scripts took goes out for it.
"""

import contextlib
import json
import os
import sys
import tempfile
import time

from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling as instance
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as pixel
from cityscapesscripts.evaluation.instances2dict import instances2dict
from PIL import Image


def timed(call):
    begin = time.process_time()
    result = call()
    return result, time.process_time() - begin


def loaded(path):
    with Image.open(path) as image:
        image.load()
        return image.copy()


class LoadedImages:
    """Stands for PIL's `Image` with files that are in memory already."""

    def __init__(self, paths):
        self.images = {path: loaded(path) for path in paths}

    def open(self, path):
        return self.images[path]


def measure(files):
    seconds = {}
    args = pixel.args
    args.quiet = True
    matrix, stats = pixel.generateMatrix(args), pixel.generateInstanceStats(args)
    _, seconds["pixel script, from files"] = timed(
        lambda: pixel.evaluatePair(files["semantic"], files["labels"], matrix, stats, {}, args)
    )
    args = instance.args
    args.quiet, args.predictionPath = True, files["root"]
    instance.setInstanceLabels(args)
    truths, reading = timed(lambda: instances2dict([files["instances"]], False))
    _, matching = timed(lambda: instance.matchGtWithPreds([files["list"]], [files["instances"]], truths, args))
    seconds["instance script, from files"] = reading + matching
    predictions = instance.readPredInfo(files["list"], args)
    own = instance.filterGtInstances(truths[os.path.abspath(files["instances"])], args)
    image = loaded(files["instances"])
    original, instance.Image = instance.Image, LoadedImages(predictions)
    _, seconds["instance script's matching, from arrays"] = timed(
        lambda: instance.assignGt2Preds(own, image, predictions, args)
    )
    instance.Image = original
    return seconds


if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.chdir(tempfile.mkdtemp())
for line in sys.stdin:
    with contextlib.redirect_stdout(sys.stderr):
        result = measure(json.loads(line))
    print(json.dumps(result), flush=True)
