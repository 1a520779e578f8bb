"""A ROS 2 node: camera images in, labelled point clouds out. Untried on ROS; the test covers `cloud_message_fields`.

    python ros_cloud_node.py --ros-args -r image:=/camera/image_rect -r camera_info:=/camera/camera_info

It subscribes to `image` (sensor_msgs/Image, rgb8 or bgr8, rectified) and `camera_info`, and publishes `points`
(sensor_msgs/PointCloud2) with the header of the image: same stamp, same frame. The points are in the camera's optical
frame as REP 103 has it: x right, y down, z forward. Each has x, y, z, rgb, class, instance and score.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from multisigma import SceneModel
from multisigma.datasets import Camera
from multisigma.visualization.point_cloud import PointCloud

# sensor_msgs/PointField's constants: UINT8, INT32, UINT32, FLOAT32.
DATATYPES = {"|u1": 2, "<i4": 5, "<u4": 6, "<f4": 7}


def cloud_message_fields(cloud: PointCloud) -> dict[str, Any]:
    """Return the content of a PointCloud2 message except its header; `fields` as (name, offset, datatype)."""
    table = cloud.table()
    red, green, blue = (table[name].astype(np.uint32) for name in ("red", "green", "blue"))
    columns = {
        **{name: table[name] for name in "xyz"},
        # PCL and RViz read colours as 0x00RRGGBB in four bytes.
        "rgb": (red << 16 | green << 8 | blue).astype("<u4"),
        **{name: table[name] for name in ("class", "instance", "score")},
    }
    packed = np.empty(len(table), [(name, values.dtype) for name, values in columns.items()])
    for name, values in columns.items():
        packed[name] = values
    offsets = [(name, packed.dtype.fields[name]) for name in columns]  # type: ignore[index]
    return {
        "height": 1,
        "width": len(packed),
        "fields": [(name, offset, DATATYPES[dtype.str]) for name, (dtype, offset) in offsets],
        "is_bigendian": False,
        "point_step": packed.dtype.itemsize,
        "row_step": packed.nbytes,
        "data": packed.tobytes(),
        "is_dense": True,
    }


def camera_of_projection(p: Any, baseline: float) -> Camera:
    """Return the camera of `camera_info.p`, the 3x4 projection of the rectified image, row by row.

    Args:
        p: Twelve numbers.
        baseline: That of the model's camera; it does not change the depth.
    """
    return Camera(baseline, p[0], p[5], p[2], p[6])


def pixels_of_message(message: Any) -> np.ndarray:
    """Return the pixels of a sensor_msgs/Image as RGB, shape (H, W, 3)."""
    if message.encoding not in ("rgb8", "bgr8"):
        raise ValueError(f"The encoding must be rgb8 or bgr8. Found {message.encoding}. Convert with image_proc.")
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    pixels = rows[:, : 3 * message.width].reshape(message.height, message.width, 3)
    return pixels if message.encoding == "rgb8" else pixels[..., ::-1]


def main() -> None:
    """Run the node."""
    import rclpy
    from rclpy.node import Node
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField

    class CloudNode(Node):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__("multisigma")
            self.model = SceneModel.default()
            if self.model.info.camera is None:
                raise RuntimeError("The model does not know its camera, so distances would be right up to a factor.")
            self.projection: Any = None
            self.publisher = self.create_publisher(PointCloud2, "points", qos_profile_sensor_data)
            # Sensor data: old images are dropped while one is predicted.
            self.create_subscription(CameraInfo, "camera_info", self.on_camera, qos_profile_sensor_data)
            self.create_subscription(Image, "image", self.on_image, qos_profile_sensor_data)

        def on_camera(self, message: Any) -> None:
            self.projection = message.p

        def on_image(self, message: Any) -> None:
            if self.projection is None:
                return
            assert self.model.info.camera is not None
            camera = camera_of_projection(self.projection, self.model.info.camera.baseline)
            cloud = self.model.predict(pixels_of_message(message), camera).point_cloud()
            content = cloud_message_fields(cloud)
            fields = [PointField(name=n, offset=o, datatype=t, count=1) for n, o, t in content.pop("fields")]
            self.publisher.publish(PointCloud2(header=message.header, fields=fields, **content))

    rclpy.init()
    rclpy.spin(CloudNode())


if __name__ == "__main__":
    main()
