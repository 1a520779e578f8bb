"""Runs the official scripts, in their own environment, on each data set whose folder comes in on standard input.

A folder holds `gtFine/`, `semantic/` and `instance/`; a line of JSON goes out for it.
"""

import contextlib
import glob
import json
import os
import sys
import tempfile

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
    truth = sorted(glob.glob(os.path.join(root, "gtFine", "val", "*", "*_gtFine_instanceIds.png")))
    args = instance.args
    args.quiet, args.JSONOutput = True, False
    args.gtInstancesFile = os.path.join(scratch, "gtInstances.json")
    args.predictionPath, args.predictionWalk = os.path.abspath(os.path.join(root, "instance")), None
    predictions = [instance.getPrediction(path, args) for path in truth]
    if not os.path.exists(os.path.join(root, "distances.json")):
        return instance.evaluateImgLists(predictions, truth, args)
    # The distances that the public scripts leave empty, from outside: the rest of AP100m and AP50m is theirs.
    with open(os.path.join(root, "distances.json")) as file:
        distances = json.load(file)
    truths = instance.instances2dict(truth)
    for path, by_class in truths.items():
        for entries in by_class.values():
            for entry in entries:
                entry["medDist"], entry["distConf"] = distances[os.path.basename(path)][str(entry["instID"])]
    instance.writeDict2JSON(truths, args.gtInstancesFile)
    args.distanceAvailable = True
    try:
        return instance.evaluateImgLists(predictions, truth, args)
    finally:
        args.distanceAvailable = False


def panoptic_scores(root, scratch):
    if not os.path.exists(os.path.join(root, "panoptic.json")):
        return None
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
        for name, scores in (("pixel", pixel_scores), ("instance", instance_scores), ("panoptic", panoptic_scores)):
            try:
                result[name] = scores(folder, scratch)
            except (IndexError, ZeroDivisionError) as error:
                result[name] = {"fails": type(error).__name__}
        os.chdir("/")
    print(json.dumps(result), flush=True)
