"""Damaged requests to the page: `make test-serve`. Needs gradio, else it is skipped."""

import json

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
    from tests.fuzz.page import PATHS, SECRET_SIZE, open_page

    with open_page() as page:
        for path in (page.picture, page.text, "/etc/passwd", "/dev/zero", "http://127.0.0.1:1/a.png"):
            data = [{"path": page.sent, "meta": {"_type": "gradio.FileData"}}, 65]
            data[place] = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
            for url in (PATHS[0], PATHS[3]):
                said = page.ask(url, json.dumps({"fn_index": 0, "data": data, "session_hash": "visitor"}).encode())
                assert "sent to this page" in said
                assert f"{SECRET_SIZE[0]} x {SECRET_SIZE[1]}" not in said


@pytest.mark.filterwarnings("ignore")
def test_a_mouse_that_is_nowhere_is_no_error() -> None:
    pytest.importorskip("gradio")
    from tests.fuzz.page import PATHS, open_page

    with open_page() as page:
        page.read(page.sent)
        body = next(body for body in page.bodies() if "0.5 0.5" in body["data"]) | {"data": [None, None]}
        said = page.ask(PATHS[0], json.dumps(body).encode())
    assert '"success":true' in said.replace(" ", "")
