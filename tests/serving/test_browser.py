"""The page in a real browser: `make test-serve`. Needs gradio, playwright and a Chromium, else it is skipped.

With SCREENSHOTS=FOLDER the test leaves pictures of the page at the width of a phone and of a desk.
"""

import json
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from multisigma import SceneModel
from multisigma.datasets.videos import Video, VideoWriter
from multisigma.serving.uploads import Limits
from multisigma.synthetic.frames import StreetSettings, make_frame
from tests.visualization.test_point_cloud import read_ply

pytestmark = pytest.mark.slow
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
PORT = 7891
LIMITS = Limits(megabytes=2, megapixels=1, frames=4)
ADDRESS = f"http://127.0.0.1:{PORT}"


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("street") / "street.png"
    Image.fromarray(make_frame(StreetSettings(256, 512, seed=77, matching=False), "val", 0).left).save(path)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("gradio")
    import uvicorn

    from multisigma.serving.server import make_app

    folder = str(tmp_path_factory.mktemp("sent"))
    app = make_app(SceneModel.default("cpu"), LIMITS, folder)
    running = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=PORT, log_level="warning"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.1)
    yield ADDRESS
    running.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"]
        )
        yield launched
        launched.close()


def keep_screenshot(page: Any, name: str) -> None:
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1440, 900)])
def test_a_visit(server: str, browser: Any, street: Path, tmp_path: Path, width: int, height: int) -> None:
    """Upload, look at results, click an object, use the keyboard, download; nothing is fetched from another host."""
    page = browser.new_page(viewport={"width": width, "height": height}, accept_downloads=True)
    page.set_default_timeout(120_000)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(server)
    page.set_input_files("#upload input[type=file]", street)
    page.wait_for_selector("#choice input")
    page.wait_for_selector("#pointed img")
    page.wait_for_selector("#files a")
    page.wait_for_selector("#turned img")
    keep_screenshot(page, f"{width}-read")

    # The largest object, by its own file.
    with page.expect_download() as download:
        page.locator("#files a[href*='scene.json']").first.click()
    content = json.loads(Path(download.value.path()).read_text())
    objects = content["tasks"]["instance"]
    number, largest = max(enumerate(objects, 1), key=lambda entry: entry[1]["pixels"])
    with page.expect_download() as download:
        page.locator("#files a[href*='instances.png']").first.click()
    ids = np.asarray(Image.open(download.value.path()))
    assert ids.shape == (256, 512)
    rows, columns = np.nonzero(ids == number)
    middle = len(rows) // 2
    column, row = int(columns[middle]), int(rows[middle])

    picture = page.locator("#pointed img").first
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    picture.click(position={"x": (column + 0.5) * box["width"] / 512, "y": (row + 0.5) * box["height"] / 256})
    page.wait_for_selector(f"#words :text('{number}: {largest['class']}')")
    words = page.locator("#words").inner_text()
    assert f"score {largest['score']:.2f}" in words
    assert "distance" in words
    keep_screenshot(page, f"{width}-object")

    # The mouse over the same pixel, without a click.
    picture.hover(position={"x": 1, "y": 1})
    picture.hover(position={"x": (column + 0.5) * box["width"] / 512, "y": (row + 0.5) * box["height"] / 256})
    page.wait_for_selector(f"#hover :text('{number}: {largest['class']}')")
    said = page.locator("#hover").inner_text()
    # A mouse stands on whole pixels of the screen, and the picture need not begin on one.
    place = re.match(r"Pixel at column (\d+), row (\d+): class", said)
    assert np.abs(np.array(place.groups(), int) - (column, row)).max() <= 1
    assert "in 90% of pixels within" in said

    # By keyboard alone: another pixel, then another result.
    page.locator("#column input").fill("3")
    page.locator("#row input").fill("250")
    page.locator("#look").press("Enter")
    page.wait_for_selector("#words :text('column 3, row 250')")
    page.locator("#choice input").nth(1).focus()
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelectorAll('#choice input')[1].checked")
    page.locator("#choice label", has_text="Depth").click()
    page.wait_for_selector("#legend :text('depth, m')")
    keep_screenshot(page, f"{width}-depth")

    with page.expect_download() as download:
        page.locator("#files a[href*='points.ply']").first.click()
    assert len(read_ply(Path(download.value.path()).read_bytes())) > 1000
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    others = {url for url in asked if not url.startswith((server, "data:", "blob:"))}
    assert not others
    assert not [text for text in complaints if "Content Security Policy" in text]
    page.close()


def test_a_video(server: str, browser: Any, tmp_path: Path) -> None:
    """A video in, the annotated one out: it plays on the page, and the file that is downloaded has its frames."""
    source = tmp_path / "street.mp4"
    with VideoWriter(source, 5) as writer:
        for i in range(LIMITS.frames + 2):
            writer.write(make_frame(StreetSettings(64, 128, seed=77, matching=False), "val", i).left)
    page = browser.new_page(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    page.set_default_timeout(120_000)
    page.goto(server)
    page.set_input_files("#film input[type=file]", source)
    page.wait_for_selector(f"#film-status :text('{LIMITS.frames} frames.')")
    page.wait_for_selector("#annotated video")
    page.wait_for_function("document.querySelector('#annotated video').readyState >= 2")
    assert page.evaluate("document.querySelector('#annotated video').videoWidth") == 128
    with page.expect_download() as download:
        page.locator("#film-files a").first.click()
    kept = tmp_path / "annotated.webm"
    download.value.save_as(kept)
    with Video(kept) as video:
        frames = list(video)
    assert len(frames) == LIMITS.frames
    # The picture, and the panel of the depth below it.
    assert {frame.shape for frame in frames} == {(128, 128, 3)}
    keep_screenshot(page, "video")
    page.close()


def test_what_is_too_large_or_no_picture_is_refused(server: str, browser: Any, tmp_path: Path) -> None:
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.goto(server)
    (tmp_path / "text.png").write_text("no picture")
    Image.new("RGB", (2000, 1000)).save(tmp_path / "large.png")
    (tmp_path / "text.mp4").write_text("no video")
    page.set_input_files("#film input[type=file]", tmp_path / "text.mp4")
    page.wait_for_selector(":text('text.mp4: must be a video')")
    page.reload()
    for name, words in (("text.png", "must be a picture"), ("large.png", "at most 1 million pixels. Found 2.0")):
        page.set_input_files("#upload input[type=file]", tmp_path / name)
        page.wait_for_selector(f":text('{words}')")
        page.reload()
    (tmp_path / "heavy.png").write_bytes(bytes(3_000_000))
    page.set_input_files("#upload input[type=file]", tmp_path / "heavy.png")
    page.wait_for_selector(":text('exceed')")
    page.close()


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../../../etc/passwd",
        "/gradio_api/file=%2e%2e/%2e%2e/etc/passwd",
        "/file=/etc/passwd",
        "/static/../../../../etc/passwd",
        "/assets/..%2f..%2f..%2f..%2fetc/passwd",
        "/gradio_api/upload_progress?upload_id=../../etc/passwd",
        f"/gradio_api/file={Path(__file__).resolve()}",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/gradio_api/file=http://127.0.0.1:1/",
    ],
)
def test_no_file_of_the_host_can_be_had(server: str, path: str) -> None:
    import httpx

    answer = httpx.get(server + path, follow_redirects=False)
    assert answer.status_code != 200 or "root:" not in answer.text
    assert "def test_" not in answer.text
    assert answer.status_code < 500 or "Traceback" not in answer.text


@pytest.mark.parametrize("path", ["/etc/passwd", str(Path(__file__).resolve()), "http://127.0.0.1:1/a.png"])
def test_a_request_made_by_hand_reads_no_file_of_the_host(server: str, path: str) -> None:
    """The first function takes the path of an uploaded file; a path elsewhere is refused."""
    import httpx

    config = httpx.get(f"{server}/config").json()
    function = next(d["id"] for d in config["dependencies"] if len(d["inputs"]) == 2 and len(d["outputs"]) > 5)
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    call = {"data": [file, 65], "fn_index": function, "session_hash": "byhand", "trigger_id": None}
    joined = httpx.post(f"{server}/gradio_api/queue/join", json=call)
    answer = joined.text
    if joined.status_code == 200:
        with httpx.stream("GET", f"{server}/gradio_api/queue/data?session_hash=byhand", timeout=60) as stream:
            for line in stream.iter_lines():
                answer += line
                if "process_completed" in line or "close_stream" in line:
                    break
        assert '"success":false' in answer.replace(" ", "")
    assert "root:" not in answer
