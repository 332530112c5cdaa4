"""Trained weights that cannot be loaded: each reason is told with what to do about it."""

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nearlossless.cases.case import Case, CaseError
from nearlossless.miniature import PIPELINE
from nearlossless.pipelines.loading import build_baseline

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LOAD = """
import sys
from nearlossless.cases.case import Case, CaseError
from nearlossless.pipelines.loading import build_baseline
try:
    build_baseline(Case.model_validate_json(sys.argv[1]), "cpu")
except CaseError as error:
    print(error)
"""


ANSWERS = {"gated": (403, "GatedRepo"), "missing": (401, "RepoNotFound"), "moved": (404, "RevisionNotFound")}


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the hub does: the status and its error code are told by the model's name."""

    def _answer(self) -> None:
        status, code = next(answer for name, answer in ANSWERS.items() if name in self.path)
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = _answer  # noqa: N815 - the names that http.server calls

    def log_message(self, *_args: object) -> None:
        """Keep requests out of the test's output."""


@pytest.fixture
def hub() -> Iterator[str]:
    """Address of a local server that refuses every model in the hub's own words."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def pinned(quick_case: Case) -> Callable[[str], Case]:
    """Makes a case of a hub model at a pinned commit."""
    return lambda name: quick_case.model_copy(
        update={"model": quick_case.model.model_copy(update={"source": name, "revision": COMMIT})}
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("a/gated", "Accept its licence at https://huggingface.co/a/gated, log in with `hf auth login`"),
        ("a/missing", "your account may not see it: check https://huggingface.co/a/missing"),
        ("a/moved", f"no revision '{COMMIT}': choose one of https://huggingface.co/a/moved/commits/main"),
    ],
)
def test_refusal_of_the_hub_says_what_to_do(
    hub: str, pinned: Callable[[str], Case], tmp_path: Path, name: str, advice: str
) -> None:
    """No licence, no token or no such revision: what the hub answers becomes the step that helps."""
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, pinned(name).model_dump_json()],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"cannot load {name}" in done.stdout
    assert advice in done.stdout
    assert "sd35-large-synthetic" in done.stdout


def test_offline_says_what_to_download(
    pinned: Callable[[str], Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the hub must not be asked and nothing was downloaded, the error holds the command that downloads it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CaseError, match=rf"HF_HUB_OFFLINE.*`hf download a/offline --revision {COMMIT}`"):
        build_baseline(pinned("a/offline"), "cpu")


def test_missing_revision_says_where_to_find_one(quick_case: Case) -> None:
    """A hub name without a commit is answered with the page that lists its commits."""
    model = quick_case.model.model_copy(update={"source": "a/model"})
    with pytest.raises(CaseError, match=r"model\.revision.*https://huggingface\.co/a/model/commits/main"):
        build_baseline(quick_case.model_copy(update={"model": model}), "cpu")


@pytest.fixture
def local(quick_case: Case, tmp_path: Path) -> tuple[Case, Path]:
    """A case of the miniature as a user's own folder, and that folder."""
    folder = Path(shutil.copytree(PIPELINE, tmp_path / "own"))
    return quick_case.model_copy(update={"model": quick_case.model.model_copy(update={"source": str(folder)})}), folder


def test_local_folder_loads(local: tuple[Case, Path]) -> None:
    """A folder with safetensors is a case, even with a pickle of the same weights beside them."""
    case, folder = local
    (folder / "vae" / "diffusion_pytorch_model.bin").write_bytes(b"never read")
    assert build_baseline(case, "cpu").vae is not None


def test_pickled_weights_are_refused(local: tuple[Case, Path]) -> None:
    """A component that only a .bin holds is not loaded; the error says how to convert it."""
    case, folder = local
    (folder / "vae" / "diffusion_pytorch_model.safetensors").rename(folder / "vae" / "diffusion_pytorch_model.bin")
    with pytest.raises(CaseError, match=r"vae/diffusion_pytorch_model\.bin is a pickle.*safe_serialization=True"):
        build_baseline(case, "cpu")


def test_folder_without_some_weights_is_told(local: tuple[Case, Path]) -> None:
    """A component without any weights is an error that names the folder and what belongs there."""
    case, folder = local
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(CaseError, match=r"own(.|\n)*Set model\.source in case\.toml to a folder"):
        build_baseline(case, "cpu")


def test_weights_of_another_shape_are_told(local: tuple[Case, Path]) -> None:
    """Weights that do not fit their configuration are an error of the case, not a crash of the run."""
    case, folder = local
    path = folder / "transformer" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_attention_heads": 8}))
    with pytest.raises(CaseError, match="own"):
        build_baseline(case, "cpu")
