"""The rows of the package: a module imports from its own folder or from rows above it, no other."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "actalker"
ROWS = [
    {"errors"},
    {"timeline", "provenance", "extras"},
    {"media", "ssm", "weights"},
    {"faces"},
    {"heads"},
    {"regions", "signals"},
    {"control"},
    {"backbones", "codecs"},
    {"diffusion"},
    {"pipeline"},
    {"data", "released"},
    {"evaluation"},
    {"training"},
    {"cli", "app"},
]
ROW = {name: number for number, names in enumerate(ROWS) for name in names}
LONGEST = 350


def imports(path: Path, package: Path) -> list[str]:
    """Dotted names, below the package, of everything of ours that a module imports, inside functions too."""
    inside = path.relative_to(package).with_suffix("").parts
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = inside[: len(inside) - node.level]
            full = [*base, *(node.module.split(".") if node.module else [])]
            names += [".".join(full)] if full else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package.name:
            parts = (node.module or "").split(".")[1:]
            names += [".".join(parts)] if parts else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            start = package.name + "."
            names += [a.name.removeprefix(start) for a in node.names if a.name.startswith(start)]
    return names


def violations(package: Path) -> list[str]:
    """Every import that goes sideways or down, as `module imports folder`."""
    bad = []
    for path in sorted(package.rglob("*.py")):
        here = path.relative_to(package).parts[0].removesuffix(".py")
        if here in ("__init__", "__main__", "models"):  # of models: what diffusers runs
            continue
        for name in imports(path, package):
            there = name.partition(".")[0]
            if there in ("__version__", here):
                continue
            if there not in ROW or here not in ROW or ROW[there] >= ROW[here]:
                bad.append(f"{path.relative_to(package)} imports {there}")
    return bad


def test_modules_import_only_from_rows_above():
    assert violations(PACKAGE) == []


def test_the_model_knows_nothing_of_requests_and_of_output():
    for path in (PACKAGE / "pipeline" / "model").rglob("*.py"):
        ours = [name for name in imports(path, PACKAGE) if name.startswith("pipeline")]
        assert all(name.startswith("pipeline.model.") for name in ours), path


def test_the_check_sees_sideways_and_hidden_imports(tmp_path):
    package = tmp_path / "actalker"
    (package / "media").mkdir(parents=True)
    (package / "ssm").mkdir()
    (package / "media" / "a.py").write_text("from ..errors import InputError\nfrom .b import x\n")
    (package / "ssm" / "b.py").write_text("def f():\n    from ..media.a import y\n")
    (package / "errors.py").write_text("from actalker.cli import main\n")
    assert violations(package) == ["errors.py imports cli", "ssm/b.py imports media"]


def test_files_are_short_and_none_is_a_drawer():
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= LONGEST, path
        assert path.stem not in ("utils", "helpers", "common", "misc"), path
