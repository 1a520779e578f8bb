"""The page's parts and what they do, in Gradio."""

from __future__ import annotations

import logging
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from multisigma.datasets import Camera
from multisigma.datasets.cameras import DEFAULT_BASELINE
from multisigma.errors import MultisigmaError
from multisigma.models import SceneModel, ScenePrediction, predict_video
from multisigma.progress import Progress
from multisigma.serving.uploads import Limits, open_video, read_upload, require_sent, without_folder
from multisigma.serving.views import (
    View,
    describe_pixel,
    describe_place,
    draw_cloud,
    list_objects,
    make_views,
    mark_object,
    object_at,
    object_of,
    shown_image,
    write_downloads,
    write_viewer_ply,
)
from multisigma.tracking import DepthSteadier, Tracker
from multisigma.visualization.point_cloud import PointCloud

__all__ = ["CSS", "KEPT", "make_page"]

_log = logging.getLogger(__name__)
# Seconds between deletions of files, and their age.
_EVERY, _AGE = 600, 3600
_WAITING = 16
"""Visitors that may wait for the model."""
KEPT = 4
"""Pictures whose results are kept in memory: some hundred megabytes each, of large ones."""
_PROGRESS = gr.Progress()

CSS = """
.legend { display: flex; flex-wrap: wrap; gap: 0.2em 1em; list-style: none; padding: 0; margin: 0; }
.legend li { margin: 0; }
.swatch { display: inline-block; width: 1em; height: 1em; border: 1px solid; vertical-align: -0.1em; }
footer { display: none !important; }
#moved { display: none; }
#hover { min-height: 3em; }
"""

# Gradio's pictures report clicks alone. This keeps the place of the mouse, and clicks a hidden button that sends it.
_HOVER = """
() => document.addEventListener("mousemove", event => {
  const picture = event.target.closest?.("#pointed")?.querySelector("img");
  if (!picture) return;
  const box = picture.getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
  if (!(0 <= x && x < 1 && 0 <= y && y < 1)) return;
  window.placeOfMouse = `${x} ${y}`;
  document.querySelector("#moved").click();
})
"""
_PLACE = "(kept, place) => [kept, window.placeOfMouse]"

_HEAD = """
# multisigma
A picture or a video of a street in; classes, objects and depth out. What you send stays on the machine that runs this
page, and is deleted within about an hour.
"""


@dataclass
class _Results:
    """The results of a picture."""

    scene: ScenePrediction
    views: list[View]
    cloud: PointCloud | None
    # Removed with the rest.
    folder: tempfile.TemporaryDirectory[str]


@dataclass(eq=False)
class _Read:
    """A visitor's picture. `results` is None after `KEPT` later pictures were read.

    It is freed when the visitor leaves, at the latest after an hour.
    """

    results: _Results | None


class _Page(gr.Blocks):  # type: ignore[misc]
    """Blocks that read no file but those that were sent.

    Gradio checks the paths in a request only if it launched the page itself. It also downloads a file that has a URL.
    """

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[Any]:
        try:
            require_sent(inputs, Path(self.GRADIO_CACHE))
        except MultisigmaError as error:
            raise _refusal(str(error)) from error
        found: list[Any] = await super().preprocess_data(block_fn, inputs, state, explicit_call)
        return found


def make_page(model: SceneModel, limits: Limits) -> gr.Blocks:
    """Return the page.

    Args:
        model: The model, which reads one picture or video at a time.
        limits: What visitors may send.
    """
    latest: list[weakref.ref[_Read]] = []
    with _Page(title="multisigma", analytics_enabled=False, delete_cache=(_EVERY, _AGE)) as page:
        kept, film_kept = gr.State(None, time_to_live=_AGE), gr.State(None, time_to_live=_AGE)
        gr.Markdown(_HEAD)
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                upload = gr.File(label="Picture", file_types=["image"], elem_id="upload")
                degrees = gr.Slider(
                    10, 150, value=65, step=1, label="Horizontal field of view, degrees",
                    info="65 is about a phone's main camera. Distances are in proportion to its focal length.",
                    elem_id="fov",
                )  # fmt: skip
                status = gr.Markdown(_limits_text(limits), elem_id="status")
                film = gr.File(label="Video", file_types=["video"], elem_id="film")
                film_status = gr.Markdown(
                    f"At most {limits.megabytes:g} MB; the first {limits.frames} frames are read.",
                    elem_id="film-status",
                )
            with gr.Column(scale=3, min_width=320):
                choice = gr.Radio([], label="Show", elem_id="choice", visible=False)
                slider = gr.ImageSlider(
                    label="Picture | result; drag the line", type="numpy", interactive=False, elem_id="slider",
                    buttons=["fullscreen"],
                )  # fmt: skip
                legend = gr.HTML(elem_id="legend")
        with gr.Row(visible=False) as film_results:
            with gr.Column(scale=3, min_width=320):
                annotated = gr.Video(label="Annotated video", interactive=False, elem_id="annotated")
            with gr.Column(scale=2, min_width=280):
                film_files = gr.File(label="Annotated video as a file", interactive=False, elem_id="film-files")
        with gr.Row(visible=False) as details:
            with gr.Column(scale=3, min_width=320):
                pointed = gr.Image(
                    label="Point at a pixel; click an object", interactive=False, elem_id="pointed",
                    buttons=["fullscreen"],
                )  # fmt: skip
                hover = gr.Markdown(elem_id="hover")
                place, moved = gr.Textbox(visible=False), gr.Button("The mouse moved", elem_id="moved")
                with gr.Row():
                    column = gr.Number(0, label="Column", precision=0, elem_id="column", min_width=80)
                    row = gr.Number(0, label="Row", precision=0, elem_id="row", min_width=80)
                    look = gr.Button("Look there", elem_id="look", min_width=80)
            with gr.Column(scale=2, min_width=280):
                words = gr.Markdown(elem_id="words")
                objects = gr.Dropdown([], label="Objects", elem_id="objects")
        with gr.Row(visible=False) as more:
            with gr.Column(scale=3, min_width=320):
                turned = gr.Image(label="Point cloud", interactive=False, elem_id="turned", buttons=["fullscreen"])
                turn = gr.Slider(-60, 60, value=0, step=5, label="Turn it, degrees", elem_id="turn")
                with gr.Accordion("Point cloud to turn with the mouse", open=False):
                    cloud = gr.Model3D(label="Drag to turn, scroll to zoom", elem_id="cloud", height=420)
            with gr.Column(scale=2, min_width=280):
                files = gr.File(label="Files", file_count="multiple", interactive=False, elem_id="files")

        def read(path: str | None, fov: float) -> tuple[Any, ...]:
            if path is None:
                hidden = gr.update(visible=False)
                nothing = gr.update(value=None)
                return None, _limits_text(limits), hidden, nothing, "", hidden, nothing, "", hidden, nothing, nothing
            source = Path(path)
            pixels = _guarded(lambda: read_upload(source, limits))
            baseline = model.info.camera.baseline if model.info.camera else DEFAULT_BASELINE
            camera = _guarded(lambda: Camera.from_field_of_view(fov, (pixels.shape[0], pixels.shape[1]), baseline))
            scene = _guarded(lambda: model.predict(pixels, camera))
            views = make_views(scene)
            points = scene.point_cloud() if "depth" in scene else None
            held = tempfile.TemporaryDirectory(prefix="multisigma-")
            folder = Path(held.name)
            paths = write_downloads(scene, folder, points)
            shape = None
            if points is not None and len(points):
                shape = folder / "viewer.ply"
                write_viewer_ply(points, shape)
            mine = _Read(_Results(scene, views, points, held))
            latest[:] = [*(other for other in latest if other() is not None), weakref.ref(mine)]
            for other in latest[:-KEPT]:
                if (old := other()) is not None:
                    old.results = None
            first = views[0]
            lines = list_objects(scene)
            doubt = "" if model.info.camera else " Distances are right only up to a factor."
            return (
                mine,
                f"{pixels.shape[1]} x {pixels.shape[0]} pixels, {len(lines)} objects.{doubt}",
                gr.update(choices=[view.title for view in views], value=first.title, visible=True),
                (shown_image(scene), first.pixels),
                first.legend,
                gr.update(visible=True),
                shown_image(scene),
                "Click the picture, or choose an object.",
                gr.update(visible=True),
                None if shape is None else str(shape),
                [str(path) for path in paths],
            )

        def show(held: _Read | None, title: str) -> tuple[Any, str]:
            results = _results(held)
            view = next((view for view in results.views if view.title == title), None) if results else None
            if results is None or view is None:
                return None, ""
            return (shown_image(results.scene), view.pixels), view.legend

        def point(held: _Read | None, x: float | None, y: float | None) -> tuple[Any, ...]:
            results = _results(held)
            if results is None:
                raise _refusal("Send a picture first.")
            at = round(x or 0), round(y or 0)
            text = _guarded(lambda: describe_pixel(results.scene, *at))
            number = object_at(results.scene, *at)
            choices = list_objects(results.scene)
            return (
                *at,
                text,
                mark_object(results.scene, number),
                gr.update(choices=choices, value=choices[number - 1] if number else None),
            )

        def click(held: _Read | None, event: gr.SelectData) -> tuple[Any, ...]:
            results = _results(held)
            if results is None:
                raise _refusal("Send a picture first.")
            # The page may show the picture smaller than it is.
            width, shown = results.scene.image.shape[1], shown_image(results.scene).shape[1]
            match event.index:
                case [int(x), int(y)]:
                    return point(held, x * width // shown, y * width // shown)
            raise _refusal("Click a pixel of the picture.")

        def choose(held: _Read | None, line: str | None) -> tuple[Any, str]:
            results = _results(held)
            if results is None or not line:
                return gr.skip(), gr.skip()
            number = _guarded(lambda: object_of(results.scene, line))
            return mark_object(results.scene, number), f"**Object {line}**"

        def look_at(held: _Read | None, place: str | None) -> str:
            results = held.results if held else None
            if results is None or place is None:
                return ""
            return _guarded(lambda: describe_place(results.scene, place))

        def read_film(path: str | None, fov: float, progress: gr.Progress = _PROGRESS) -> tuple[Any, ...]:
            if path is None:
                return None, gr.skip(), gr.update(visible=False), None, None
            held = tempfile.TemporaryDirectory(prefix="multisigma-")
            out = Path(held.name) / "annotated.webm"
            count = _guarded(lambda: _annotate(model, Path(path), out, fov, limits, progress))
            return held, f"{count} frames.", gr.update(visible=True), str(out), str(out)

        def fill(held: _Read | None) -> Any:
            results = _results(held)
            return gr.update(choices=list_objects(results.scene) if results else [], value=None)

        def turn_cloud(held: _Read | None, angle: float) -> Any:
            results = _results(held)
            return None if results is None or results.cloud is None else draw_cloud(results.cloud, angle)

        # One picture at a time: the model is one, and the visitors wait in a queue.
        model_only: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
        private: dict[str, Any] = {"api_visibility": "private"}
        outputs = [kept, status, choice, slider, legend, details, pointed, words, more, cloud, files]
        shown: dict[str, Any] = {"show_progress": "hidden"}
        for trigger in (upload.change, degrees.release):
            done = trigger(read, [upload, degrees], outputs, **model_only, **private)
            done.then(fill, [kept], [objects], **private)
            done.then(turn_cloud, [kept, turn], [turned], **shown, **private)
        turn.change(turn_cloud, [kept, turn], [turned], **shown, **private)
        choice.change(show, [kept, choice], [slider, legend], **shown, **private)
        found = [column, row, words, pointed, objects]
        pointed.select(click, [kept], found, **shown, **private)
        look.click(point, [kept, column, row], found, **shown, **private)
        # Not in the queue, where they would wait for the model; of many places, the last one counts.
        moved.click(
            look_at, [kept, place], [hover], js=_PLACE, queue=False, trigger_mode="always_last", **shown, **private
        )
        page.load(None, js=_HOVER)
        film.change(
            read_film,
            [film, degrees],
            [film_kept, film_status, film_results, annotated, film_files],
            **model_only,
            **private,
        )
        objects.input(choose, [kept, objects], [pointed, words], **shown, **private)
    page.queue(max_size=_WAITING, api_open=False)
    return page


class _PageProgress(Progress):
    """Show a job's progress on the page."""

    def __init__(self, bar: gr.Progress) -> None:
        self.bar, self.total = bar, 0

    def start(self, job: str, total: int, done: int = 0) -> None:
        self.total = total

    def update(self, done: int, note: str = "") -> None:
        self.bar((done, self.total or None), desc=note, unit="frames")


def _annotate(model: SceneModel, path: Path, out: Path, fov: float, limits: Limits, bar: gr.Progress) -> int:
    """Write a visitor's video with its results; return the number of its frames that were read."""
    with open_video(path, limits) as video:
        baseline = model.info.camera.baseline if model.info.camera else DEFAULT_BASELINE
        try:
            camera = Camera.from_field_of_view(fov, video.size, baseline)
            count, _ = predict_video(
                model,
                video,
                out,
                camera,
                tracker=Tracker(),
                steadier=DepthSteadier(),
                most=limits.frames,
                progress=_PageProgress(bar),
            )
        except MultisigmaError as error:
            raise without_folder(error, path) from error
    return count


def _guarded(work: Callable[[], Any]) -> Any:
    """Show a visitor the message of a `MultisigmaError`, and of no other error."""
    try:
        return work()
    except MultisigmaError as error:
        raise _refusal(str(error)) from error


def _results(held: _Read | None) -> _Results | None:
    """Return a picture's results, or None if there is no picture. If they were dropped, tell the visitor."""
    if held is not None and held.results is None:
        raise _refusal(f"Send the picture again: the results of the last {KEPT} are kept.")
    return held.results if held else None


def _refusal(words: str) -> gr.Error:
    """Return an error that the visitor sees. Its traceback is not logged."""
    return gr.Error(words, print_exception=False)


def _limits_text(limits: Limits) -> str:
    return f"At most {limits.megabytes:g} MB and {limits.megapixels:g} million pixels."
