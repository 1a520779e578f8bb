"""Damaged requests to the page: `make test-serve`. Needs gradio, else it is skipped."""

import json
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.filterwarnings("ignore")
def test_damaged_requests_give_an_error_in_words_or_a_result() -> None:
    pytest.importorskip("gradio")
    from tests.fuzz.page import fuzz_page, open_page

    with open_page() as page:
        faults, statuses = fuzz_page(page, cases=150, seed=0)
    assert faults == {}
    assert statuses["200"] > 30


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("place", [0, 1])
def test_no_request_names_a_file_of_the_host(place: int) -> None:
    """Not in the place of the picture, nor in that of the slider; /dev/zero would never end."""
    pytest.importorskip("gradio")
    from tests.fuzz.page import API, PATHS, SECRET_SIZE, open_page

    with open_page() as page:
        for path in (page.picture, page.text, "/etc/passwd", "/dev/zero", "http://127.0.0.1:1/a.png"):
            data = [{"path": page.sent, "meta": {"_type": "gradio.FileData"}}, 65]
            data[place] = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
            body = json.dumps({"fn_index": 0, "data": data, "session_hash": "visitor"}).encode()
            said = page.ask(PATHS[0], body)
            assert "sent to this page" in said
            # Past the queue of the model.
            said += page.ask(f"{API}/run/predict", body)
            assert f"{SECRET_SIZE[0]} x {SECRET_SIZE[1]}" not in said
            assert "pixels" not in said


@pytest.mark.filterwarnings("ignore")
def test_a_mouse_that_is_nowhere_is_no_error() -> None:
    pytest.importorskip("gradio")
    from tests.fuzz.page import PATHS, open_page

    with open_page() as page:
        page.read(page.sent)
        body = next(body for body in page.bodies() if "0.5 0.5" in body["data"]) | {"data": [None, None]}
        said = page.ask(PATHS[0], json.dumps(body).encode())
    assert '"success":true' in said.replace(" ", "")


@pytest.mark.filterwarnings("ignore")
def test_only_the_page_s_own_requests_are_answered() -> None:
    pytest.importorskip("gradio")
    from tests.fuzz.page import API, open_page

    with open_page() as page:
        for path in ("file=http://192.0.2.1/", "file/http://192.0.2.1/", "proxy=http://192.0.2.1/", "file=/etc/passwd"):
            assert page.client.get(f"{API}/{path}").status_code == 404
        for path in ("process_recording", "component_server", "call/read", "run/read", "api/predict", "run/predict/"):
            assert page.client.post(f"{API}/{path}", json={"data": []}).status_code == 404
        # A sound request past the queue, where visitors wait for the model.
        sound = {"fn_index": 0, "data": page.bodies()[0]["data"], "session_hash": "visitor"}
        assert page.client.post(f"{API}/run/predict", json=sound).status_code >= 400
        assert page.client.post(f"{API}/queue/join", content=b"[" * 200_000).status_code == 413
        assert page.client.post(f"{API}/upload", files={"text": (None, "1" * 3_000_000)}).status_code >= 400
        assert page.client.get(f"{API}/file={page.sent}").content == page.png


@pytest.mark.filterwarnings("ignore")
def test_the_results_of_the_last_pictures_are_kept() -> None:
    pytest.importorskip("gradio")
    from multisigma.serving.page import KEPT
    from tests.fuzz.page import PATHS, open_page

    with open_page() as page:
        before = set(Path(tempfile.gettempdir()).glob("multisigma-*"))
        look = next(body for body in page.bodies() if "0.5 0.5" in body["data"]) | {"session_hash": "first"}
        said = []
        for visitor in ("first", *range(KEPT)):
            page.read(page.sent, str(visitor))
            said.append(page.ask(PATHS[0], json.dumps(look).encode()))
        assert all("class" in words for words in said[:-1])
        assert "class" not in said[-1]
        folders = [path for path in Path(tempfile.gettempdir()).glob("multisigma-*") if path not in before]
        assert len(folders) <= KEPT
