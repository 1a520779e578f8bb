"""Results in the rerun viewer: pictures, classes, instances, depth and the point cloud of each image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multisigma.datasets.frame import Camera
from multisigma.datasets.label_space import LabelSpace
from multisigma.datasets.scene import Scene
from multisigma.errors import MultisigmaError
from multisigma.visualization.point_cloud import PointCloud

__all__ = ["Viewer"]

# Size of a point in the window, in its units of pixels; negative numbers mean that in rerun.
_RADIUS = -1.5


class Viewer:
    """A window of the rerun viewer, or a recording that it opens.

    Args:
        labels: The classes, with their colours.
        recording: File to write, such as 'street.rrd', in place of a window.

    Raises:
        MultisigmaError: The package rerun-sdk is not installed, or the window or the file cannot be opened.
    """

    def __init__(self, labels: LabelSpace, recording: Path | None = None) -> None:
        try:
            import rerun
        except ModuleNotFoundError as error:
            raise MultisigmaError(
                "The viewer needs the extra 'viewer' (found no rerun). Run pip install 'multisigma[viewer]'."
            ) from error
        self._rerun, self.count = rerun, 0
        self.stream = rerun.RecordingStream("multisigma")
        try:
            if recording is None:
                self.stream.spawn()
            else:
                self.stream.save(recording)
        except (RuntimeError, OSError) as error:
            raise MultisigmaError(
                f"The viewer could not be opened: {error}. Write a recording with --recording FILE.rrd instead."
            ) from error
        classes = [(label.id, label.name, label.color) for label in labels.classes if 0 <= label.id < 256]
        self.stream.log("/", rerun.AnnotationContext(classes), static=True)
        self.stream.log("world", rerun.ViewCoordinates.RDF, static=True)

    def show(
        self,
        name: str,
        image: NDArray[np.uint8],
        scene: Scene,
        camera: Camera | None = None,
        cloud: PointCloud | None = None,
    ) -> None:
        """Show one image; the time line `image` goes from one to the next.

        Args:
            name: Name of the image.
            image: RGB of shape (H, W, 3).
            scene: The results of the tasks.
            camera: The camera at the size of the image.
            cloud: The point cloud.
        """
        rerun, log = self._rerun, self.stream.log
        self.stream.set_time("image", sequence=self.count)
        self.count += 1
        log("name", rerun.TextDocument(name))
        height, width = image.shape[:2]
        if camera is not None:
            # Here pixel centres lie at integers, in rerun half a pixel further.
            matrix = [[camera.fx, 0, camera.u0 + 0.5], [0, camera.fy, camera.v0 + 0.5], [0, 0, 1]]
            log("world/camera", rerun.Pinhole(image_from_camera=matrix, resolution=[width, height]))
        log("world/camera/image", rerun.Image(image))
        semantic, instance, depth = (scene.get(task) for task in ("semantic", "instance", "depth"))
        if semantic is not None:
            log("world/camera/classes", rerun.SegmentationImage(semantic.ids, opacity=0.5))
        if instance is not None and instance.regions is not None:
            log("world/camera/objects", self._boxes(instance))
        if depth is not None:
            log("disparity", rerun.Image(depth.disparity))
        if cloud is not None:
            ids = {name: cloud.table()[name] for name in ("instance", "score")}
            points = rerun.Points3D(cloud.points, colors=cloud.colours, class_ids=cloud.class_ids, radii=_RADIUS)
            log("world/points", points, rerun.AnyValues(**ids))

    def close(self) -> None:
        """Write what is left and leave the window to the user."""
        self.stream.flush()
        self.stream.disconnect()

    def _boxes(self, instances: Any) -> Any:
        boxes = np.array([found.box for found in instances], np.float32).reshape(-1, 4)
        texts = [
            f"{found.class_name} {found.score:.2f}" + ("" if found.distance is None else f", {found.distance:.1f} m")
            for found in instances
        ]
        return self._rerun.Boxes2D(
            mins=boxes[:, :2],
            sizes=boxes[:, 2:] - boxes[:, :2],
            labels=texts,
            class_ids=[found.class_id for found in instances],
        )
