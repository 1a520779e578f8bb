"""The page's pictures, texts and uploads, without a browser and without Gradio."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from multisigma.datasets.videos import VideoWriter
from multisigma.errors import MultisigmaError
from multisigma.models import ScenePrediction
from multisigma.serving.uploads import Limits, open_video, read_upload
from multisigma.serving.views import (
    describe_pixel,
    describe_place,
    draw_cloud,
    list_objects,
    make_views,
    mark_object,
    object_at,
    object_of,
    write_downloads,
    write_viewer_ply,
)
from multisigma.tasks import load_tasks
from tests.visualization.test_point_cloud import CAMERA, ramp, read_ply
from tests.visualization.test_point_cloud import scene as results_of


@pytest.fixture
def scene() -> ScenePrediction:
    found = results_of(ramp())
    tasks = load_tasks(["semantic", "instance", "depth"])
    return ScenePrediction(found.image, dict(found), tasks, found.labels, CAMERA)


def test_views_have_the_size_of_the_image_and_a_legend(scene: ScenePrediction) -> None:
    views = {view.title: view for view in make_views(scene)}
    assert set(views) >= {"Semantic segmentation", "Semantic segmentation over the image", "Instances", "Depth"}
    assert {view.pixels.shape for view in views.values()} == {(8, 30, 3)}
    assert "#0000" in views["Semantic segmentation"].legend
    assert "> car</li>" in views["Semantic segmentation"].legend
    assert "depth, m" in views["Depth"].legend


def test_a_wide_picture_is_shown_smaller(scene: ScenePrediction) -> None:
    wide = ScenePrediction(
        np.zeros((16, 2560, 3), np.uint8),
        {name: result.resized(16, 2560) for name, result in scene.items()},
        scene.tasks,
        scene.labels,
    )
    assert {view.pixels.shape for view in make_views(wide)} == {(8, 1280, 3)}
    assert mark_object(wide, 1).shape == (8, 1280, 3)


def test_a_pixel_in_words(scene: ScenePrediction) -> None:
    text = describe_pixel(scene, 6, 4)
    assert "class **car**, 90% sure" in text
    # 16 / (0.5 + 0.4 + 0.06) m
    assert "distance **16.7 m**, in 90% of pixels within" in text
    assert "1: car, score 0.75, 3 pixels" in text
    assert object_at(scene, 6, 4) == 1
    assert object_at(scene, 7, 5) == 0
    assert "no object" in describe_pixel(scene, 7, 5)
    assert "to infinity" in text
    for column, row in ((-1, 0), (30, 0), (0, 8)):
        with pytest.raises(MultisigmaError, match="must lie in the image of 30 columns and 8 rows"):
            describe_pixel(scene, column, row)


def test_the_place_of_the_mouse_in_one_line(scene: ScenePrediction) -> None:
    """The centre of a pixel of the image of 30x8; what does not come from the page is refused."""
    words = describe_pixel(scene, 6, 4).replace("\n", " ").replace("- ", "")
    assert describe_place(scene, f"{6.5 / 30} {4.5 / 8}").replace(";", "") == words
    for place in ("", "1 0", "nan 0", "inf 0", "0.5", "a b", "-0.1 0"):
        with pytest.raises(MultisigmaError):
            describe_place(scene, place)


def test_an_object_is_marked(scene: ScenePrediction) -> None:
    assert list_objects(scene) == ["1: car, score 0.75, 3 pixels"]
    marked = mark_object(scene, 1)
    mask = scene["instance"][0].mask
    np.testing.assert_array_equal(marked[mask], scene.image[mask])
    edge = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > mask
    assert (marked[edge] == 255).all()
    np.testing.assert_array_equal(marked[~mask & ~edge], scene.image[~mask & ~edge] // 3)
    np.testing.assert_array_equal(mark_object(scene, 0), scene.image)


def test_an_object_is_chosen_by_its_line(scene: ScenePrediction) -> None:
    assert object_of(scene, list_objects(scene)[0]) == 1
    for line in ("", "1", "2: car, score 0.75, 3 pixels", "nan: car"):
        with pytest.raises(MultisigmaError, match=r"one of the 1 of this picture"):
            object_of(scene, line)


def test_downloads(scene: ScenePrediction, tmp_path: Path) -> None:
    cloud = scene.point_cloud(farthest=None)
    paths = {path.name: path for path in write_downloads(scene, tmp_path, cloud)}
    np.testing.assert_array_equal(np.asarray(Image.open(paths["classes.png"])), scene["semantic"].ids)
    np.testing.assert_array_equal(np.asarray(Image.open(paths["instances.png"])), scene["instance"].ids())
    disparity = np.asarray(Image.open(paths["disparity.png"])).astype(float)
    np.testing.assert_allclose((disparity - 1) / 256, scene["depth"].disparity, atol=1 / 256)
    assert len(read_ply(paths["points.ply"].read_bytes())) == len(cloud)
    assert json.loads(paths["scene.json"].read_text())["width"] == 30
    with zipfile.ZipFile(paths["everything.zip"]) as archive:
        assert {"semantic/scene_labelIds.png", "points.ply"} <= set(archive.namelist())
    assert {path.name for path in tmp_path.iterdir()} == set(paths)


def test_a_disparity_too_large_for_the_file_is_written_as_the_largest(scene: ScenePrediction, tmp_path: Path) -> None:
    """That of a picture of 30 million pixels."""
    depth = scene["depth"]
    results = dict(scene) | {"depth": replace(depth, disparity=depth.disparity + 300)}
    wide = ScenePrediction(scene.image, results, scene.tasks, scene.labels)
    paths = {path.name: path for path in write_downloads(wide, tmp_path, None)}
    assert np.asarray(Image.open(paths["disparity.png"])).max() == round(255.99 * 256) + 1


def test_the_point_cloud_of_the_viewer(scene: ScenePrediction, tmp_path: Path) -> None:
    cloud = scene.point_cloud(farthest=None, max_angle=None)
    write_viewer_ply(cloud, tmp_path / "viewer.ply")
    table = read_ply((tmp_path / "viewer.ply").read_bytes())
    np.testing.assert_array_equal(np.stack([table[axis] for axis in "xyz"], -1), cloud.points * [1, -1, -1])
    np.testing.assert_array_equal(table["green"], cloud.colours[:, 1])
    write_viewer_ply(cloud, tmp_path / "few.ply", 50)
    assert len(read_ply((tmp_path / "few.ply").read_bytes())) == 42


def test_uploads_are_checked_before_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    np.testing.assert_array_equal(read_upload(path, Limits()), pixels)
    with pytest.raises(MultisigmaError, match=r"at most 0\.001 MB\. Found 0\.0 MB"):
        read_upload(path, Limits(megabytes=0.001))
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(MultisigmaError, match=r"at most 0\.001 million pixels\. Found 0\.0"):
        read_upload(path, Limits(megapixels=0.001))


def test_faults_of_uploads_name_no_folder(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    whole = tmp_path / "a.png"
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(whole)
    (tmp_path / "half.png").write_bytes(whole.read_bytes()[:60])
    for name in ("text.png", "half.png", "gone.png"):
        with pytest.raises(MultisigmaError) as caught:
            read_upload(tmp_path / name, Limits())
        assert str(tmp_path) not in str(caught.value)


def test_a_turned_point_cloud(scene: ScenePrediction) -> None:
    """A point lies where a camera of 53 degrees sees it; a quarter turn shows it from the side."""
    cloud = scene.point_cloud(farthest=None, max_angle=None).chosen(np.array([100]))
    x, y, z = cloud.points[0]
    drawn = draw_cloud(cloud, 0)
    rows, columns = np.nonzero((drawn != 24).any(-1))
    assert (columns.min(), rows.min()) == (int(640 * (0.5 + x / z)), int(200 + 640 * y / z))
    assert (drawn[rows, columns] == cloud.colours[0]).all()
    # The middle of the cloud is this point's depth, about which it turns: to the depth z - x at 90 degrees.
    side = draw_cloud(cloud, 90)
    rows, columns = np.nonzero((side != 24).any(-1))
    assert columns.min() in (319, 320)
    assert rows.min() == int(200 + 640 * y / (z - x))
    assert (draw_cloud(cloud.chosen(np.zeros(0, int)), 10) == 24).all()


def test_videos_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "video.avi"
    with VideoWriter(path) as writer:
        writer.write(np.zeros((40, 50, 3), np.uint8))
    with open_video(path, Limits()) as video:
        assert [frame.shape for frame in video] == [(40, 50, 3)]
    with pytest.raises(MultisigmaError, match=r"at most 0\.001 million pixels a frame\. Found 0\.0"):
        open_video(path, Limits(megapixels=0.001))
    with pytest.raises(MultisigmaError, match=r"at most 0\.0001 MB"):
        open_video(path, Limits(megabytes=0.0001))
    (tmp_path / "text.avi").write_text("no video")
    for name in ("text.avi", "gone.avi"):
        with pytest.raises(MultisigmaError) as caught:
            open_video(tmp_path / name, Limits())
        assert str(tmp_path) not in str(caught.value)
