"""`multisigma predict`: predict pictures of one's own."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from multisigma.cli.console import make_progress, print_line, print_warning
from multisigma.cli.options import GivenCamera, add_camera, add_trust_code, add_votes, load_model
from multisigma.errors import MultisigmaError

# Images that the last message names; each has had a warning of its own.
_NAMED = 5
# That of `multisigma.models.scene_prediction`, whose import takes seconds.
_MAX_ANGLE = 88.0


def make_parser(arguments: Sequence[str]) -> ArgumentParser:
    """Make the parser of the command."""
    parser = ArgumentParser(
        description="Predict pictures of your own: classes, objects and depth as files, a picture and a JSON for each."
    )
    parser.add_argument("inputs", type=Path, nargs="+", help="images, and folders of images", metavar="INPUT")
    parser.add_argument(
        "--model",
        type=Path | None,
        default=None,
        help="run folder, or a saved model; the small one that multisigma ships if not given",
    )
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="folder to make")
    parser.add_argument(
        "--resume", action="store_true", help="go on in the folder of a prediction that was stopped; whole ones stay"
    )
    parser.add_argument("--height", type=int | None, default=None, help="height to work at; the model's if not given")
    parser.add_argument(
        "--device", type=str | None, default=None, help="cpu, cuda, mps, ...; CUDA, else MPS, else the CPU if not given"
    )
    add_votes(parser)
    add_camera(parser)
    parser.add_argument(
        "--calibration", type=Path | None, default=None, help="file that `multisigma calibrate` wrote for this camera"
    )
    parser.add_argument("--points", action="store_true", help="write a labelled point cloud of each image, as PLY")
    parser.add_argument("--view", action="store_true", help="show point clouds and results in the rerun viewer")
    parser.add_argument(
        "--recording", type=Path | None, default=None, help="file NAME.rrd to write what --view would show"
    )
    parser.add_argument(
        "--interval", type=float | None, default=None, help="probability of each point's interval of depth, such as 0.9"
    )
    parser.add_argument("--farthest", type=float, default=80.0, help="largest depth of a point in metres")
    parser.add_argument(
        "--max-angle",
        type=float,
        default=_MAX_ANGLE,
        help="largest angle in degrees between line of sight and surface normal of a point; 90 keeps the points that "
        "float between two objects",
    )
    add_trust_code(parser)
    return parser


def run(options: Namespace) -> None:
    """Predict the images; raise `MultisigmaError` at the end if any could not be predicted."""
    from multisigma.datasets.photographs import find_photographs, read_photograph
    from multisigma.files import remove_leftovers, require_empty

    if options.height is not None and options.height < 1:
        raise MultisigmaError(f"Option --height must be positive. Found {options.height}.")
    if options.interval is not None and not 0 <= options.interval < 1:
        raise MultisigmaError(f"Option --interval must be from 0 to below 1. Found {options.interval:g}.")
    for path in options.inputs:
        # The file's name is a constant of `multisigma.models`, whose import takes seconds.
        if (path / "model.json").is_file():
            raise MultisigmaError(
                f"{path}: an input must be an image or a folder of images. Found a model. Name it with --model: "
                f"multisigma predict INPUT ... --model {path}"
            )
    if options.resume:
        for folder in (options.out, *options.out.rglob("*/")):
            remove_leftovers(folder)
    else:
        require_empty(options.out)
    images = find_photographs(options.inputs)
    given = GivenCamera.of(options)
    if not given and (options.points or options.calibration):
        option = "--points" if options.points else "--calibration"
        raise MultisigmaError(
            f"Option {option} must go with a camera. Found none. Give a camera file with --camera, or the horizontal "
            "field of view with --fov; that of a phone's main camera is about 65 degrees."
        )
    # After the checks, because it takes seconds.
    from multisigma.models import DistanceCalibration
    from multisigma.tasks import choose_votes

    calibration = DistanceCalibration.read(options.calibration) if options.calibration else None
    model = load_model(options.model, options.device, options.trust_code)
    choose_votes(model.tasks, options.votes)
    if doubt := given.doubt(model.info, calibration):
        print_warning(doubt)
    cloud = {"interval": options.interval, "farthest": options.farthest, "max_angle": options.max_angle}
    viewer = None
    if options.view or options.recording:
        from multisigma.visualization.viewer import Viewer

        viewer = Viewer(model.info.labels, options.recording)
    failed = []
    for name, path in make_progress().track(images.items(), "predicting"):
        # The last file of a prediction.
        if options.resume and (options.out / "scenes" / f"{name}.json").is_file():
            continue
        try:
            pixels = read_photograph(path)
            camera = given.camera(pixels.shape[:2], model.info)
            scene = model.predict(pixels, camera, options.height, calibration=calibration)
            if options.points:
                points = options.out / "points"
                points.mkdir(parents=True, exist_ok=True)
                scene.point_cloud(**cloud).write_ply(points / f"{name}.ply")
            scene.save(options.out, name)
            if viewer:
                viewer.show(name, scene.image, scene, camera, scene.point_cloud(**cloud) if camera else None)
        except MultisigmaError as error:
            print_warning(error)
            failed.append(str(path))
    if viewer:
        viewer.close()
    print_line(f"{len(images) - len(failed)} of {len(images)} images predicted, in {options.out}")
    if failed:
        names = ", ".join(failed[:_NAMED]) + (", ..." if len(failed) > _NAMED else "")
        raise MultisigmaError(f"{len(failed)} of {len(images)} images could not be predicted: {names}")
