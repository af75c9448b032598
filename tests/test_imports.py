"""Every module imports with the plain install only; `import actalker` and `--help` stay cheap."""

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
)
NEED_LIGHTNING = (
    "training.module",
    "training.callbacks",
    "training.command",
    "training.averaging",
    "training.plan",
    "data.module",
)
NEED_COMPILERS = ("_kernels", "_adjoint", "cpu_matrix", "cpu_vector")

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
