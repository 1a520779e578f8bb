"""Models on the Hugging Face Hub, against a server on this machine that answers as the hub does."""

import base64
import json
import re
import threading
from collections.abc import Iterator
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch

from multisigma import MultisigmaError, SceneModel
from multisigma.models import ModelInfo
from multisigma.tasks import load_tasks


class Hub(ThreadingHTTPServer):
    """Holds the files of each commit, and the commit of each branch."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.commits: dict[str, dict[str, bytes]] = {}
        self.branches: dict[str, str] = {}
        self.downloaded: list[str] = []


class Answers(BaseHTTPRequestHandler):
    """The requests that an upload and a download make."""

    server: Hub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self, content: bytes | dict[str, Any], status: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        if self.headers.get("Authorization") != "Bearer secret":
            return self.answer({"error": "Invalid username or password."}, 401)
        if self.path == "/api/validate-yaml":  # of the card
            return self.answer({"errors": [], "warnings": []})
        if self.path == "/api/repos/create":
            return self.answer({"url": "http://127.0.0.1/me/street", "name": "me/street"})
        if branch := re.fullmatch(r"/api/models/me/street/branch/(\S+)", self.path):
            self.server.branches[branch[1]] = self.server.branches.get("main", "")
            return self.answer({})
        if self.path.startswith("/api/models/me/street/preupload/"):
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]
            return self.answer({"files": modes})
        if branch := re.fullmatch(r"/api/models/me/street/commit/(\S+)", self.path):
            rows = [json.loads(line) for line in body.splitlines()]
            values = [row["value"] for row in rows if row["key"] == "file"]
            files = {value["path"]: base64.b64decode(value["content"]) for value in values}
            commit = sha1(body.encode()).hexdigest()
            self.server.commits[commit] = files
            self.server.branches[branch[1]] = commit
            url = f"http://127.0.0.1/me/street/commit/{commit}"
            return self.answer({"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})
        return self.answer({"error": self.path}, 404)

    def do_GET(self) -> None:
        file = re.fullmatch(r"/me/street/resolve/([^/]+)/(\S+)", self.path)
        revision = file[1] if file else ""
        commit = self.server.branches.get(revision, revision)
        files = self.server.commits.get(commit)
        if file is None or files is None:
            return self.answer(
                {"error": "Not Found"}, 404, X_Error_Code="RevisionNotFound", X_Error_Message="no revision"
            )
        if self.command == "GET":
            self.server.downloaded.append(file[2])
        content = files[file[2]]
        return self.answer(content, ETag=f'"{sha1(content).hexdigest()}"', X_Repo_Commit=commit)

    do_HEAD = do_GET


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"

    class LocalApi(huggingface_hub.HfApi):
        def __init__(self, token: str | None) -> None:
            super().__init__(endpoint, token or False)

        def hf_hub_download(self, *args: Any, **options: Any) -> Any:
            return super().hf_hub_download(*args, cache_dir=tmp_path / "cache", **options)

    monkeypatch.setattr("multisigma.models.hub.HfApi", LocalApi)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def model() -> SceneModel:
    torch.manual_seed(0)
    info = ModelInfo(
        tasks=("semantic", "depth"),
        outputs={"semantic": 19, "depth": 1},
        working_height=32,
        mean=(127.5, 127.5, 127.5),
        std=(127.5, 127.5, 127.5),
        encoder="test_resnet",
        aspp_channels=8,
        decoder_channels=8,
    )
    return SceneModel(info, load_tasks(info.tasks))


@pytest.mark.skipif(int(huggingface_hub.__version__[0]) < 2, reason="it takes no address with a port")
def test_a_model_comes_back_from_the_hub(
    hub: Hub, model: SceneModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "MODEL_CARD.md").write_text("---\nlibrary_name: multisigma\n---\n\n# Streets\n")
    (tmp_path / "LICENSE-encoder.txt").write_text("Apache")
    first = model.push_to_hub("me/street", tmp_path / "MODEL_CARD.md", token="secret", half=False)
    files = {"README.md", "LICENSE-encoder.txt", "model.json", "model.safetensors"}
    assert set(hub.commits[first]) == files | ({".gitattributes"} & set(hub.commits[first]))
    assert b"# Streets" in hub.commits[first]["README.md"]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    second = model.push_to_hub("me/street", tmp_path / "MODEL_CARD.md", token="secret", revision="half")
    assert hub.branches == {"main": first, "half": second}
    hub.branches["main"] = second
    with caplog.at_level("INFO", "multisigma"):
        pinned = SceneModel.from_pretrained("me/street", revision=first, device="cpu")
    assert f"me/street of the Hugging Face Hub, revision {first}" in caplog.text
    assert sorted(hub.downloaded) == ["model.json", "model.safetensors"]
    assert pinned.info == model.info
    newest = SceneModel.from_pretrained("me/street", device="cpu")
    for name, value in pinned.state_dict().items():
        if name in dict(model.named_parameters()):
            torch.testing.assert_close(newest.state_dict()[name], value + 1, rtol=1e-3, atol=1e-3)


def test_refusals_name_the_model_and_the_remedy(hub: Hub, model: SceneModel, tmp_path: Path) -> None:
    with pytest.raises(
        MultisigmaError, match=r"MODEL_CARD\.md: the model card must be a readable file.* multisigma pack"
    ):
        model.push_to_hub("me/street", tmp_path / "MODEL_CARD.md", token="secret")
    (tmp_path / "MODEL_CARD.md").write_text("# Streets\n")
    with pytest.raises(
        MultisigmaError, match=r"'me/street' on the Hugging Face Hub: .*401.* Log in by `hf auth login`"
    ):
        model.push_to_hub("me/street", tmp_path / "MODEL_CARD.md", token="wrong")
    with pytest.raises(MultisigmaError, match=r"'me/street' on the Hugging Face Hub: .* Check the name, the revision"):
        SceneModel.from_pretrained("me/street", revision="none")
    with pytest.raises(MultisigmaError, match=r"'\.\./street/x' on the Hugging Face Hub: "):
        SceneModel.from_pretrained("../street/x")


def test_a_folder_is_loaded_without_the_hub(model: SceneModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model.save(tmp_path / "saved")
    monkeypatch.setattr("multisigma.models.hub.HfApi", None)
    assert SceneModel.from_pretrained(tmp_path / "saved", device="cpu").info == model.info
