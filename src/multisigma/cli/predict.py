"""`multisigma predict`: predict pictures, videos and cameras of one's own."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt

from multisigma.cli.console import make_progress, print_line, print_warning
from multisigma.cli.options import GivenCamera, add_camera, add_device, add_model, add_trust_code, add_votes, load_model
from multisigma.errors import MultisigmaError

if TYPE_CHECKING:
    from multisigma.models import DistanceCalibration, Inference, ScenePrediction, ScenePredictor

# Inputs that the last message names; each has had a warning of its own.
_NAMED = 5
# That of `multisigma.models.scene_prediction`, whose import takes seconds.
_MAX_ANGLE = 88.0


def make_parser(arguments: Sequence[str]) -> ArgumentParser:
    """Make the parser of the command."""
    parser = ArgumentParser(
        description="Predict pictures and videos of your own: classes, objects and depth. Of a picture: files, a "
        "picture and a JSON. Of a video: an annotated video, in which objects keep number and colour. A model that "
        "`multisigma export` wrote predicts too: --model FILE.onnx."
    )
    parser.add_argument("inputs", type=Path, nargs="*", help="images, videos, and folders of both", metavar="INPUT")
    add_model(parser)
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="folder to make")
    parser.add_argument(
        "--resume", action="store_true", help="go on in the folder of a prediction that was stopped; whole ones stay"
    )
    parser.add_argument("--height", type=int | None, default=None, help="height to work at; the model's if not given")
    add_device(parser)
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
    parser.add_argument(
        "--coco", action="store_true", help="write objects and panoptic maps in COCO's formats too, into OUT/coco"
    )
    parser.add_argument("--batch", type=PositiveInt, default=1, help="images that the network sees at once; for GPUs")
    parser.add_argument("--half", action="store_true", help="compute in bfloat16, on hardware that is faster with it")
    parser.add_argument("--flip", action="store_true", help="average with the mirrored image; takes twice the time")
    parser.add_argument(
        "--scales",
        type=list[float],
        default=[1.0],
        help="average over sizes, as shares of the working height, such as [0.75,1,1.25]",
    )
    parser.add_argument(
        "--tile",
        type=PositiveInt | None,
        default=None,
        help="see images in overlapping tiles of this side, in working pixels; for huge images",
    )
    parser.add_argument(
        "--camera-index", type=NonNegativeInt | None, default=None, help="number of a camera to watch, until Ctrl-C"
    )
    parser.add_argument("--steady", action="store_true", help="steady the depth of videos over time")
    parser.add_argument("--max-frames", type=PositiveInt | None, default=None, help="frames of each video at most")
    parser.add_argument("--frame-files", action="store_true", help="write the files of each frame of a video too")
    parser.add_argument(
        "--video-format",
        choices=("mp4", "webm", "avi"),
        default="mp4",
        help="format of annotated videos; browsers play webm",
    )
    add_trust_code(parser)
    return parser


def run(options: Namespace) -> None:
    """Predict the inputs; raise `MultisigmaError` at the end if any could not be predicted."""
    from multisigma.datasets.coco import CocoWriter
    from multisigma.datasets.photographs import find_inputs
    from multisigma.datasets.videos import is_video
    from multisigma.files import remove_leftovers, require_empty

    inputs: list[Path] = options.inputs or []
    if options.height is not None and options.height < 1:
        raise MultisigmaError(f"Option --height must be positive. Found {options.height}.")
    if options.interval is not None and not 0 <= options.interval < 1:
        raise MultisigmaError(f"Option --interval must be from 0 to below 1. Found {options.interval:g}.")
    if not inputs and options.camera_index is None:
        raise MultisigmaError("The argument INPUTS must be given, or --camera-index. See `multisigma predict --help`.")
    if options.resume and options.coco:
        raise MultisigmaError("Option --coco lists all images of a run, so it must stand without --resume. Found both.")
    for path in inputs:
        # The file's name is a constant of `multisigma.models`, whose import takes seconds.
        if (path / "model.json").is_file():
            raise MultisigmaError(
                f"{path}: an input must be an image, a video or a folder of these. Found a model. Name it with "
                f"--model: multisigma predict INPUT ... --model {path}"
            )
    if options.resume:
        for folder in (options.out, *options.out.rglob("*/")):
            remove_leftovers(folder)
    else:
        require_empty(options.out)
    named = find_inputs(inputs) if inputs else {}
    videos: dict[str, Path | int] = {name: path for name, path in named.items() if is_video(path)}
    images = {name: path for name, path in named.items() if name not in videos}
    if options.camera_index is not None:
        videos[f"camera-{options.camera_index}"] = options.camera_index
    given = GivenCamera.of(options)
    if not given and (options.points or options.calibration):
        option = "--points" if options.points else "--calibration"
        raise MultisigmaError(
            f"Option {option} must go with a camera. Found none. Give a camera file with --camera, or the horizontal "
            "field of view with --fov; that of a phone's main camera is about 65 degrees."
        )
    # After the checks, because it takes seconds.
    from multisigma.models import DistanceCalibration, Inference, OnnxSceneModel
    from multisigma.tasks import choose_votes

    inference: Inference | None = Inference(options.flip, tuple(options.scales), options.tile, options.half)
    calibration = DistanceCalibration.read(options.calibration) if options.calibration else None
    model: ScenePredictor
    if options.model is not None and options.model.suffix == ".onnx":
        _require_defaults(options)
        inference, model = None, OnnxSceneModel.load(options.model, trust_code=options.trust_code)
    else:
        model = load_model(options.model, options.device, options.trust_code)
    choose_votes(model.tasks, options.votes)
    if doubt := given.doubt(model.info, calibration):
        print_warning(doubt)
    cloud = {"interval": options.interval, "farthest": options.farthest, "max_angle": options.max_angle}
    coco = CocoWriter(options.out / "coco", model.info.labels) if options.coco else None
    viewer = None
    if options.view or options.recording:
        from multisigma.visualization.viewer import Viewer

        viewer = Viewer(model.info.labels, options.recording)

    def write(name: str, file: str, scene: "ScenePrediction", files: bool = True) -> None:
        if options.points and files:
            points = options.out / "points"
            points.mkdir(parents=True, exist_ok=True)
            scene.point_cloud(**cloud).write_ply(points / f"{name}.ply")
        if files:
            scene.save(options.out, name)
        if coco is not None:
            coco.add(name, file, scene)
        if viewer:
            viewer.show(name, scene.image, scene, scene.camera, scene.point_cloud(**cloud) if scene.camera else None)

    failed = _predict_images(model, images, given, inference, calibration, options, write) if images else []
    failed += _predict_videos(model, videos, given, inference, calibration, options, write)
    if coco is not None:
        coco.write()
    if viewer:
        viewer.close()
    if failed:
        count, kinds = len(images) + len(videos), "inputs" if videos else "images"
        names = ", ".join(failed[:_NAMED]) + (", ..." if len(failed) > _NAMED else "")
        raise MultisigmaError(f"{len(failed)} of {count} {kinds} could not be predicted: {names}")


def _require_defaults(options: Namespace) -> None:
    """Raise `MultisigmaError` if an option is given that an exported model does not have."""
    given = {
        "--device": options.device not in (None, "cpu"),
        "--flip": options.flip,
        "--scales": options.scales != [1.0],
        "--tile": options.tile is not None,
        "--half": options.half,
    }
    for option in (option for option, found in given.items() if found):
        raise MultisigmaError(
            f"Option {option} must go with a run or a saved model. Found the exported model {options.model}. "
            "Leave the option out, or name the model that was exported."
        )


def _predict_images(
    model: "ScenePredictor",
    images: Mapping[str, Path],
    given: GivenCamera,
    inference: "Inference | None",
    calibration: "DistanceCalibration | None",
    options: Namespace,
    write: Callable[[str, str, "ScenePrediction"], None],
) -> list[str]:
    """Predict images and write their files; return those that could not be predicted."""
    failed = []

    def predict(names: Sequence[str]) -> "list[ScenePrediction | None]":
        """Predict a batch; one image after the other if any is at fault."""
        paths = [images[name] for name in names]
        try:
            scenes = model.predict_all(
                paths,
                lambda size: given.camera(size, model.info),
                options.height,
                batch=max(1, len(paths)),
                inference=inference,
                calibration=calibration,
            )
            return list(scenes)
        except MultisigmaError as error:
            if len(names) > 1:
                return [scene for name in names for scene in predict([name])]
            print_warning(error)
            failed.append(str(paths[0]))
            return [None]

    names = list(images)
    progress = make_progress()
    progress.start("predicting", len(names))
    for start in range(0, len(names), options.batch):
        batch = names[start : start + options.batch]
        # The last file of a prediction.
        if options.resume:
            batch = [name for name in batch if not (options.out / "scenes" / f"{name}.json").is_file()]
        for name, scene in zip(batch, predict(batch), strict=True):
            try:
                if scene is not None:
                    write(name, str(images[name]), scene)
            except MultisigmaError as error:
                print_warning(error)
                failed.append(str(images[name]))
        progress.update(min(start + options.batch, len(names)))
    progress.stop()
    print_line(f"{len(images) - len(failed)} of {len(images)} images predicted, in {options.out}")
    return failed


def _predict_videos(
    model: "ScenePredictor",
    videos: Mapping[str, Path | int],
    given: GivenCamera,
    inference: "Inference | None",
    calibration: "DistanceCalibration | None",
    options: Namespace,
    write: Callable[[str, str, "ScenePrediction", bool], None],
) -> list[str]:
    """Predict videos and cameras, each into a video; return those that could not be predicted."""
    from multisigma.datasets.videos import Video
    from multisigma.models import predict_video
    from multisigma.tracking import DepthSteadier, Tracker

    failed = []
    for name, source in videos.items():
        path = options.out / "videos" / f"{name}.{options.video_format}"
        if options.resume and path.is_file():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with Video(source) as video:
                video.name = name
                count, rate = predict_video(
                    model,
                    video,
                    path,
                    given.camera(video.size, model.info),
                    options.height,
                    batch=options.batch,
                    inference=inference,
                    calibration=calibration,
                    tracker=Tracker(),
                    steadier=DepthSteadier() if options.steady else None,
                    frame_done=lambda frame, scene: write(frame, f"{frame}.png", scene, options.frame_files),
                    most=options.max_frames,
                    progress=make_progress(),
                )
            print_line(f"{count} frames in {path}, {rate:.1f} frames/s")
        except MultisigmaError as error:
            print_warning(error)
            failed.append(str(source) if isinstance(source, Path) else f"camera {source}")
    return failed
