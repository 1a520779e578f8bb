"""Send the page damaged requests: bodies of its functions, uploads, and paths of the host in every place.

    python -m tests.fuzz.page --cases 2000 [--seed 0]

It needs the extra 'serve' (`make test-serve` makes an environment with it). Each case posts one body. The answer, and
what the queue then reports, may be a result or an error in words. A fault is a traceback, an exception of the page's
own code in the server's log, anything of a file of the host, more than thirty seconds, or more than 1 GiB. A sound
request at the end must still be answered.
"""

import argparse
import contextlib
import faulthandler
import io
import json
import random
import re
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from multisigma import SceneModel
from multisigma.serving.uploads import Limits
from tests.fuzz.mutations import mutate_bytes, mutate_json

SECRET = "a-word-that-only-a-file-of-the-host-holds"
# A picture of the host has this size, and no other picture has.
SECRET_SIZE = (61, 43)
API = "/gradio_api"
PATHS = [f"{API}/{path}" for path in ("queue/join", "queue/join", "queue/join", "run/predict")]
PATHS += [f"{API}/{path}" for path in ("reset", "cancel")]
SECONDS, MEBIBYTES = 30, 1024
_OWN = re.compile(r"multisigma/serving/.*, in (?!preprocess_data)")


class Page:
    """The page, a visitor who has sent a picture, and files of the host that nobody may see.

    Args:
        folder: An empty folder.
        client: A client of the page.
    """

    def __init__(self, folder: Path, client: Any) -> None:
        self.client = client
        self.text, self.picture = folder / "secret.txt", folder / "secret.png"
        self.text.write_text(SECRET)
        Image.new("RGB", SECRET_SIZE, (7, 5, 3)).save(self.picture)
        buffer = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)).save(buffer, "PNG")
        self.png = buffer.getvalue()
        self.sent = self.upload(self.png).json()[0]

    def upload(self, content: bytes, name: str = "a.png") -> Any:
        """Send a file."""
        return self.client.post(f"{API}/upload", files={"files": (name, content)})

    def bodies(self) -> list[dict[str, Any]]:
        """Return a sound body of each function of the page."""
        values = {"file": _file(self.sent), "slider": 65, "number": 3, "textbox": "0.5 0.5", "radio": "Depth"}
        config = self.client.get("/config").json()
        kinds = {part["id"]: part["type"] for part in config["components"]}
        return [
            {
                "fn_index": function["id"],
                "data": [values.get(kinds[part]) for part in function["inputs"]],
                "session_hash": "visitor",
                "event_data": {"index": [3, 5], "value": None},
                "trigger_id": None,
            }
            for function in config["dependencies"]
        ]

    def ask(self, path: str, body: bytes) -> str:
        """Post a body, wait for what the queue says of it, and return all that was said."""
        answer = self.client.post(path, content=body, headers={"content-type": "application/json"})
        said = f"{answer.status_code} {answer.text}"
        with contextlib.suppress(ValueError, KeyError, TypeError):
            visitor = json.loads(body)["session_hash"]
            if answer.status_code == 200 and isinstance(visitor, str) and "event_id" in answer.json():
                query = {"session_hash": visitor}
                with self.client.stream("GET", f"{API}/queue/data", params=query) as stream:
                    said += "\n".join(line for line in stream.iter_lines() if "heartbeat" not in line)
        return said

    def read(self, sent: str, visitor: str = "visitor") -> str:
        """Ask for the results of a picture that was sent."""
        body = {"fn_index": 0, "data": [_file(sent), 65], "session_hash": visitor}
        return self.ask(PATHS[0], json.dumps(body).encode())


@contextlib.contextmanager
def open_page() -> Iterator[Page]:
    """Open the page with the packaged model."""
    from fastapi.testclient import TestClient

    from multisigma.serving.server import make_app

    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as host:
        app = make_app(SceneModel.default("cpu"), Limits(megabytes=2, megapixels=1, frames=2), folder)
        # Gradio answers some damaged bodies with a bare 500, as a server outside of tests does.
        with TestClient(app, raise_server_exceptions=False) as client:
            yield Page(Path(host), client)


def fuzz_page(page: Page, cases: int, seed: int) -> tuple[dict[str, str], Counter[str]]:
    """Send damaged requests.

    Returns:
        What went wrong, with the request, and how often each status was answered.
    """
    bodies, faults, statuses = page.bodies(), dict[str, str](), Counter[str]()
    said = page.read(page.sent)
    if "32 x 24 pixels" not in said:
        raise RuntimeError(f"A sound request must be answered. Found {said[:500]}")
    for number in range(seed, seed + cases):
        # A request that blocks the server blocks this program too.
        faulthandler.dump_traceback_later(4 * SECONDS, exit=True)
        memory, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        log, path, body = io.StringIO(), "", b""
        try:
            with contextlib.redirect_stderr(log):
                path, body, said = _send(page, bodies, random.Random(f"page {number}"))
            what = _fault(said, log.getvalue())
        except Exception as error:
            said, what = "500", f"{type(error).__name__}: {str(error)[:200]}"
        faulthandler.cancel_dump_traceback_later()
        if time.monotonic() - begin > SECONDS:
            what = f"more than {SECONDS} s"
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory > MEBIBYTES * 1024:
            what = f"more than {MEBIBYTES} MiB"
        statuses[said[:3]] += 1
        if what:
            faults.setdefault(what, f"case {number}: {path} {body[:300]!r}")
    if "32 x 24 pixels" not in page.read(page.sent, "another"):
        faults["a sound request is no longer answered"] = "after all cases"
    return faults, statuses


def _send(page: Page, bodies: list[dict[str, Any]], rng: random.Random) -> tuple[str, bytes, str]:
    """Send one damaged request; return its path, its body, and all that was said."""
    if rng.random() < 0.2:
        name = rng.choice(["a.png", "../../a.png", "/etc/a.png", "a\0.png", "a" * 300, ".", "..", "<b>.png"])
        body = mutate_bytes(page.png, rng)
        answer = page.upload(body, name)
        said = f"{answer.status_code} {answer.text}"
        if answer.status_code == 200:
            said += page.read(answer.json()[0])
        return f"{API}/upload", body, said
    content, path = rng.choice(bodies), rng.choice(PATHS)
    if rng.random() < 0.2:
        target = rng.choice([page.text, page.picture, Path("/etc/passwd"), Path("/dev/zero"), Path("/")])
        content = content | {"data": [_file(str(target)), 65]}
    body = mutate_json(json.dumps(content).encode(), rng)
    return path, body, page.ask(path, body)


def _file(path: str) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def _fault(said: str, log: str) -> str | None:
    """Return what an answer gives away of the host, or the exception of the page's own code; None for neither."""
    words = (
        "Traceback",
        "root:x:",
        SECRET,
        f"{SECRET_SIZE[0]} x {SECRET_SIZE[1]} pixels",
        str(Path(__file__).parents[2]),
    )
    found = next((word for word in words if word in said), None)
    if found is not None:
        return re.sub(r"\s+", " ", f"{found}: {said[:300]}")
    # Gradio answers with the words of any exception, and logs its traceback. Those of its own checks are not ours.
    # All requests pass `preprocess_data`, which goes on to Gradio's.
    last = [trace for trace in log.split("Traceback (most recent call last):")[1:] if _OWN.search(trace)]
    return last[-1].strip().splitlines()[-1] if last else None


def main() -> int:
    """Run as a program; 1 if a fault was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with open_page() as page:
        faults, statuses = fuzz_page(page, arguments.cases, arguments.seed)
    for what, case in faults.items():
        print(f"{what}\n  {case}")
    print(f"{arguments.cases} cases, {len(faults)} faults; statuses {dict(statuses)}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
