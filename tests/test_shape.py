"""The shape of the code: functions and files that are read in one sitting."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 60  # lines of a function, without its docstring
PARAMETERS = 8
FILES = sorted(p for room in ("agents", "envs", "experiments") for p in (ROOT / room).rglob("*.py"))


def is_compiled(function: ast.FunctionDef) -> bool:
    """Does numba compile it? Its structs are unpacked into parameters, and it is not cut for the reader."""
    return any(
        any(word in ast.unparse(decorator) for word in ("njit", "cfunc", "drawn"))
        for decorator in function.decorator_list
    )


def functions(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_compiled(node):
            yield node


def length(function: ast.FunctionDef) -> int:
    """Lines, without those of the docstring."""
    docstring = 0
    if ast.get_docstring(function) is not None:
        docstring = function.body[0].end_lineno - function.body[0].lineno + 1
    return function.end_lineno - function.lineno + 1 - docstring


def parameters(function: ast.FunctionDef) -> int:
    """How many a caller can give, `self` left out."""
    a = function.args
    names = [x.arg for x in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def test_the_measures_themselves():
    (function,) = ast.parse('def f(self, a, *, b=1):\n    """One\n    two."""\n    return a\n').body
    assert (length(function), parameters(function)) == (2, 2)
    assert len(FILES) > 150


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_functions_are_short_and_narrow(path):
    bad = [
        f"{f.name}: {length(f)} lines, {parameters(f)} parameters"
        for f in functions(path)
        if length(f) > LONGEST or parameters(f) > PARAMETERS
    ]
    assert not bad, bad


# Names whose meaning a protocol of ours, Gymnasium, torch or the command line gives: there their docstrings stand.
METHODS = {"act", "learn", "state_dict", "load_state_dict", "load_weights", "bind", "opened", "closed", "draw", "do"}
METHODS |= {"forward", "reset", "step", "render", "close", "send", "recv"}
FUNCTIONS = {"main", "make", "make_vec"}


def undocumented(tree: ast.AST, is_protocol: bool = True, inside: str = "") -> list[str]:
    """Names of public classes and functions without a docstring, nested functions left out.

    is_protocol: whether the methods of `METHODS` must have one, too.
    """
    found = []
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        known = node.name in (METHODS if inside else FUNCTIONS) and not (inside and is_protocol)
        setter = any(ast.unparse(d).endswith(".setter") for d in node.decorator_list)
        if not (ast.get_docstring(node) or known or setter):
            found.append(f"{inside}{node.name}")
        if isinstance(node, ast.ClassDef):
            bases = [ast.unparse(base).partition("[")[0] for base in node.bases]
            found += undocumented(node, "Protocol" in bases, f"{node.name}.")
    return found


def test_a_missing_docstring_is_found():
    source = "def main(): ...\ndef f(): ...\nclass A:\n  def step(self): ...\n  def g(self): ...\n"
    source += "class B(Protocol[T]):\n  def step(self): ...\n"
    assert undocumented(ast.parse(source)) == ["f", "A", "A.g", "B", "B.step"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_public_docstrings_are_complete(path):
    assert undocumented(ast.parse(path.read_text())) == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_read_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= 400
