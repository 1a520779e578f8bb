"""Runs the official scripts, in their own environment, on each data set whose folder comes in on standard input.

A folder holds `gtFine/`, `semantic/` and `instance/`, and beside them `distances.json` (median distance and share of
valid pixels of each instance) and `panoptic/` with `panoptic.json`; a line of JSON goes out for it.
"""

import contextlib
import glob
import json
import os
import sys
import tempfile

import numpy
from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling as instance
from cityscapesscripts.evaluation import evalPanopticSemanticLabeling as panoptic
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as pixel
from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic


def pixel_scores(root, scratch):
    truth = sorted(glob.glob(os.path.join(root, "gtFine", "val", "*", "*_gtFine_labelIds.png")))
    args = pixel.args
    args.quiet, args.JSONOutput = True, False
    args.predictionPath, args.predictionWalk = os.path.join(root, "semantic"), None
    return pixel.evaluateImgLists([pixel.getPrediction(args, path) for path in truth], truth, args)


def instance_scores(root, scratch):
    return instance.evaluateImgLists(*instance_files(root, os.path.join(scratch, "gtInstances.json")), instance.args)


def distance_scores(root, scratch):
    """AP100m and AP50m: the distances that the public scripts leave empty come from outside, the rest is theirs."""
    with open(os.path.join(root, "distances.json")) as file:
        distances = json.load(file)
    predictions, truth = instance_files(root, os.path.join(scratch, "distances.json"))
    truths = instance.instances2dict(truth)
    for path, by_class in truths.items():
        for entries in by_class.values():
            for entry in entries:
                entry["medDist"], entry["distConf"] = distances[os.path.basename(path)][str(entry["instID"])]
    instance.writeDict2JSON(truths, instance.args.gtInstancesFile)
    instance.args.distanceAvailable, instance.np = True, ForgivingNumpy()
    try:
        return instance.evaluateImgLists(predictions, truth, instance.args)
    finally:
        instance.args.distanceAvailable, instance.np = False, numpy


class ForgivingNumpy:
    """NumPy, but for the sum of nothing: the script indexes it where every prediction of a class is ignored."""

    def __getattr__(self, name):
        return getattr(numpy, name)

    def cumsum(self, values):
        return numpy.cumsum(values) if len(values) else numpy.zeros(1)


def instance_files(root, cache):
    truth = sorted(glob.glob(os.path.join(root, "gtFine", "val", "*", "*_gtFine_instanceIds.png")))
    args = instance.args
    args.quiet, args.JSONOutput, args.gtInstancesFile = True, False, cache
    args.predictionPath, args.predictionWalk = os.path.abspath(os.path.join(root, "instance")), None
    return [instance.getPrediction(path, args) for path in truth], truth


def panoptic_scores(root, scratch):
    convert2panoptic(os.path.join(root, "gtFine"), scratch, setNames=["val"])
    with open(os.path.join(scratch, "cityscapes_panoptic_val.json")) as file:
        truth = json.load(file)
    with open(os.path.join(root, "panoptic.json")) as file:
        predictions = {entry["image_id"]: entry for entry in json.load(file)["annotations"]}
    pairs = [(entry, predictions[entry["image_id"]]) for entry in truth["annotations"]]
    categories = {entry["id"]: entry for entry in truth["categories"]}
    folders = os.path.join(scratch, "cityscapes_panoptic_val"), os.path.join(root, "panoptic")
    return panoptic.average_pq(panoptic.pq_compute_single_core(0, pairs, *folders, categories), categories)


for line in sys.stdin:
    folder = line.strip()
    result = {}
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(sys.stderr):
        os.chdir(scratch)
        for name, scores in (
            ("pixel", pixel_scores),
            ("instance", instance_scores),
            ("distance", distance_scores),
            ("panoptic", panoptic_scores),
        ):
            try:
                result[name] = scores(folder, scratch)
            except (IndexError, ZeroDivisionError) as error:
                result[name] = {"fails": type(error).__name__}
        os.chdir("/")
    print(json.dumps(result), flush=True)
