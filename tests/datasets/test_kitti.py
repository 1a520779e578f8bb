"""KITTI 2015, on small files of the real format."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from multisigma.datasets.check import check_data
from multisigma.datasets.fields import ClassMap, Disparity, InstanceMap
from multisigma.datasets.label_space import CITYSCAPES
from multisigma.datasets.open import find_splits, layout_of, open_dataset
from multisigma.datasets.problems import DataError

SIZE = (16, 40)
CALIBRATION = """calib_time: 09-Jan-2012 13:57:47
corner_dist: 9.950000e-02
S_rect_02: 1.242000e+03 3.750000e+02
P_rect_02: 7.215377e+02 0.000000e+00 6.095593e+02 4.485728e+01 0.000000e+00 7.215377e+02 1.728540e+02 2.163791e-01 0.000000e+00 0.000000e+00 1.000000e+00 2.745884e-03
P_rect_03: 7.215377e+02 0.000000e+00 6.095593e+02 -3.395242e+02 0.000000e+00 7.215377e+02 1.728540e+02 2.199936e+00 0.000000e+00 0.000000e+00 1.000000e+00 2.729905e-03
"""  # noqa: E501


def stored(index: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(index)
    semantic = rng.choice(np.array([0, 7, 11, 23], np.uint8), SIZE)
    number = np.zeros(SIZE, np.uint16)
    semantic[4:8, 4:10], number[4:8, 4:10] = 26, 1
    semantic[4:8, 12:20], number[4:8, 12:20] = 26, 2
    semantic[10:14, 5:9], number[10:14, 5:9] = 24, 1
    semantic[10:14, 30:] = 26  # cars that are not told apart
    disparity = rng.integers(1, 65536, SIZE).astype(np.uint16)
    disparity[rng.random(SIZE) < 0.8] = 0
    return {
        "image_2": rng.integers(0, 256, (*SIZE, 3), np.uint8),
        "semantic": semantic,
        "instance": semantic * np.uint16(256) + number,
        "disp_occ_0": disparity,
        "disp_noc_0": np.where(rng.random(SIZE) < 0.5, disparity, 0).astype(np.uint16),
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for index in range(6):
        for folder, array in stored(index).items():
            path = tmp_path / "training" / folder / f"{index:06d}_10.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), array[..., ::-1] if array.ndim == 3 else array)
        calibration = tmp_path / "training/calib_cam_to_cam" / f"{index:06d}.txt"
        calibration.parent.mkdir(exist_ok=True)
        calibration.write_text(CALIBRATION)
        # The second frame of each pair has no labels.
        assert cv2.imwrite(str(tmp_path / f"training/image_2/{index:06d}_11.png"), np.zeros((*SIZE, 3), np.uint8))
    (tmp_path / "testing/image_2").mkdir(parents=True)
    assert cv2.imwrite(str(tmp_path / "testing/image_2/000000_10.png"), np.zeros((*SIZE, 3), np.uint8))
    return tmp_path


def test_frames_hold_what_the_files_hold(root: Path) -> None:
    assert layout_of(root) == "kitti"
    assert find_splits(root) == ["test", "train", "val"]
    dataset = open_dataset(root, "train")
    assert [dataset.name(i) for i in range(len(dataset))] == ["000000", "000001", "000002", "000003", "000005"]
    assert dataset.labels is CITYSCAPES
    assert dataset.label_counts() == {"semantic": 5, "instance": 5, "disparity": 5, "camera": 5}
    frame, expected = dataset.read(1), stored(1)
    np.testing.assert_array_equal(frame.image, expected["image_2"])
    semantic, instance = frame.get("semantic", ClassMap), frame.get("instance", InstanceMap)
    disparity = frame.get("disparity", Disparity)
    assert semantic is not None
    assert instance is not None
    assert disparity is not None
    np.testing.assert_array_equal(semantic.ids, expected["semantic"])
    ids = expected["semantic"].astype(np.int32)
    ids[4:8, 4:10], ids[4:8, 12:20], ids[10:14, 5:9] = 26000, 26001, 24000
    np.testing.assert_array_equal(instance.ids, ids)
    assert instance.centroids == {26000: (6.5, 5.5), 26001: (15.5, 5.5), 24000: (6.5, 11.5)}
    values = np.where(expected["disp_occ_0"] > 0, expected["disp_occ_0"] / 256, np.nan)
    np.testing.assert_array_equal(disparity.values, values.astype(np.float32))
    assert frame.camera is not None
    # The colour cameras of KITTI are 0.53 to 0.54 m apart.
    assert frame.camera.baseline == pytest.approx(0.5327, abs=1e-4)
    assert (frame.camera.fx, frame.camera.fy) == (721.5377, 721.5377)
    assert (frame.camera.u0, frame.camera.v0) == (609.5593, 172.854)


def test_splits_and_absent_folders(root: Path) -> None:
    assert [open_dataset(root, "val").name(i) for i in range(1)] == ["000004"]
    assert open_dataset(root, "test").label_counts() == {}
    assert open_dataset(root, "test").read(0).image.shape == (*SIZE, 3)
    (root / "training/disp_occ_0").rename(root / "training/gone")
    disparity = open_dataset(root, "train").read(0).get("disparity", Disparity)
    assert disparity is not None
    np.testing.assert_array_equal(np.isfinite(disparity.values), stored(0)["disp_noc_0"] > 0)
    (root / "training/disp_noc_0").rename(root / "training/gone too")
    (root / "training/calib_cam_to_cam").rename(root / "training/gone as well")
    assert open_dataset(root, "train").label_counts() == {"semantic": 5, "instance": 5}
    with pytest.raises(DataError, match="the split 'dev' of KITTI must exist; found the splits test, train, val"):
        open_dataset(root, "dev")


def test_faults_are_listed(root: Path) -> None:
    assert check_data(root).problems == []
    (root / "training/instance/000001_10.png").unlink()
    (root / "training/semantic/000002_10.png").write_bytes(b"")
    (root / "training/calib_cam_to_cam/000004.txt").write_text("P_rect_02: 1 2 3\n")
    report = check_data(root)
    assert [problem.path.name for problem in report.problems] == ["000004.txt", "{name}_10.png", "000002_10.png"]
    assert "the line P_rect_02 with 12 numbers" in report.problems[0].rule
    assert "frame 000001" in report.problems[1].found
    assert open_dataset(root, "train", "unlabelled").label_counts()["instance"] == 4
