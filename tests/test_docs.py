"""What the documentation points at is there."""

import ast
import importlib
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_equation_has_its_code():
    rows = re.findall(r"`([\w/]+\.py):(\w+)`", (ROOT / "docs" / "equations.md").read_text())
    assert len(rows) >= 15
    for file, symbol in rows:
        tree = ast.parse((ROOT / "actalker" / file).read_text())
        names = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        assert symbol in names, f"{file}:{symbol}"


def test_links_and_paths_in_the_documentation_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        text = page.read_text()
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
        for target in re.findall(r"`((?:\w+/)+\w+\.(?:py|yaml))(?::\w+)?`", text):
            assert (ROOT / target).exists() or (ROOT / "actalker" / target).exists(), f"{page.name}: {target}"


def test_benchmarks_import_names_that_exist():
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("actalker"):
                module = importlib.import_module(node.module)
                for name in (alias.name for alias in node.names):
                    submodule = Path(module.__file__).with_name(f"{name}.py")
                    assert hasattr(module, name) or submodule.exists(), f"{path.name}: {name}"
