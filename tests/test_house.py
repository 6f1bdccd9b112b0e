"""The house: who may import whom, what is registered, what may not be left lying about."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict, Iterator, Set, Tuple

import catalogue
import pytest
import spacy
from spacy.language import Language

ROOT = Path(__file__).resolve().parents[1]
PKG = ROOT / "spacy_docre"
MODULES = sorted(PKG.rglob("*.py"))
GROUND = {"arrays", "errors", "finding", "doc"}
BASIS = {"arrays", "batches", "errors"}  # of everything that computes

# What each room may import of the others.
FLOORS: Dict[str, Set[str]] = {
    "about": set(),
    "errors": set(),
    "arrays": set(),
    "batches": {"arrays"},
    "finding": {"errors"},
    "doc": {"arrays", "errors", "finding"},
    "ty": {"batches", *GROUND},  # until 0.3
    "attributes": GROUND,  # until 0.3
    "__init__": {"about", "visual", *GROUND},
    "losses": BASIS,
    "layers": BASIS,
    "textbook": {"models", "layers", "losses", *BASIS},
    "models": {"layers", "losses", *BASIS},
    "heads": {"models", "layers", *BASIS},
    "readers": GROUND,
    "scoring": {"readers.corpus", *GROUND},
    "visual": GROUND,
    "writers": GROUND,
    "extraction": {"writers", "readers.checks", *GROUND},
    "pipeline": {"batches", "models", "layers", "scoring", *GROUND},
    "training": {"models", "pipeline", "readers", "scoring", *GROUND},
    "packed": {"about", "models", "layers", *GROUND},
    "legacy": {"models", "layers", "losses", *GROUND},
    "reference": {"errors"},
    "cli": {
        "about",
        "batches",
        "losses",
        "layers",
        "models",
        "pipeline",
        "training",
        "packed",
        "readers",
        "reference",
        "extraction",
        "scoring",
        "textbook",
        "visual",
        "writers",
    }
    | GROUND,
    "__main__": {"cli"},
}
# Packages that a room does without.
KEPT_OUT = {
    **dict.fromkeys(
        ["arrays", "batches", "doc", "finding", "ty", "errors", "attributes", "__init__", "about"],
        {"torch", "transformers", "spacy_transformers"},
    ),
    **dict.fromkeys(
        ["readers", "scoring", "visual", "writers", "extraction", "reference"],
        {"torch", "transformers", "spacy_transformers"},
    ),
    **dict.fromkeys(["losses", "layers", "textbook"], {"spacy", "transformers", "spacy_transformers"}),
}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(path: Path) -> str:
    return path.relative_to(PKG).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Full names of all modules a file imports, at whatever depth of its code."""
    package = list(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield name
            yield from (f"{name}.{alias.name}" for alias in node.names)


def allows(allowed: Set[str], name: str) -> bool:
    return any(name == other or name.startswith(other + ".") for other in allowed)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PKG)))
def test_imports_point_down(path):
    room = room_of(path)
    assert room in FLOORS, f"the room {room!r} is not on the floor plan"
    for name in imports(path):
        if name.startswith("spacy_docre."):
            other = name.removeprefix("spacy_docre.")
            is_room = other.split(".")[0] in FLOORS  # else a name of the package itself
            # `from ..readers import align` names the room first, and what is wanted of it then.
            wants_part = any(part.startswith(other + ".") for part in FLOORS[room])
            if is_room and other.split(".")[0] != room and not wants_part:
                assert allows(FLOORS[room], other), f"{room} -> {other}"
        outside = name.split(".")[0]
        assert outside not in KEPT_OUT.get(room, set()), f"{room} -> {outside}"


def test_heads_know_no_spacy():
    """A head is plain torch: third parties write them, tests build them alone."""
    for path in (PKG / "models" / "heads").glob("*.py"):
        assert not {name.split(".")[0] for name in imports(path)} & {"spacy", "spacy_transformers", "transformers"}


HEAVY = ["transformers", "spacy_transformers", "scipy", "rapidfuzz", "rdflib", "networkx"]
HEAVY += [f"spacy_docre.{room}" for room in ("models", "layers", "losses", "heads", "textbook", "pipeline", "packed")]
LIGHT = {
    "package": "import spacy_docre, spacy_docre.scoring, spacy_docre.readers.corpus, spacy_docre.readers.jsonl\n"
    "assert 'spacy_docre.cli' not in sys.modules",
    "help": "from typer.testing import CliRunner; from spacy_docre.cli import app\n"
    "commands = [[], ['convert'], *([command.name] for command in app.registered_commands)]\n"
    "assert len(commands) > 12 and not any(CliRunner().invoke(app, [*c, '--help']).exit_code for c in commands)",
}


@pytest.mark.parametrize("light", LIGHT)
def test_what_is_light_loads_nothing_heavy(light):
    """thinc brings torch along where it is installed; `import spacy_docre` itself adds nothing of the kind, and works
    where there is no torch at all. So does the help of all commands."""
    code = (
        f"import sys; sys.modules['torch'] = None\n{LIGHT[light]}\n"
        f"found = [name for name in sys.modules if name in {HEAVY}]\n"
        "assert sys.modules['torch'] is None and not found, found"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# Registered names


def read_entry_points() -> Dict[str, Dict[str, str]]:
    """ENTRY_POINTS of setup.py: registry, name, module:function."""
    for node in ast.parse((ROOT / "setup.py").read_text(encoding="utf8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ENTRY_POINTS":
            groups = ast.literal_eval(node.value)
            return {group: dict(re.split(r"\s*=\s*", line) for line in lines) for group, lines in groups.items()}
    raise AssertionError("setup.py has no ENTRY_POINTS")


ENTRY_POINTS = read_entry_points()
REGISTERED = [
    (group, name, target)
    for group, names in ENTRY_POINTS.items()
    if group != "console_scripts"
    for name, target in names.items()
]


def load(target: str):
    module, name = target.split(":")
    return getattr(importlib.import_module(module), name)


def resolve(group: str, name: str):
    if group == "spacy_factories":
        return spacy.registry.factories.get(name)
    return getattr(spacy.registry, group.split("_", 1)[1]).get(name)


@pytest.mark.parametrize("group,name,target", REGISTERED, ids=[name for _, name, _ in REGISTERED])
def test_registered_name_resolves_to_its_function(group, name, target):
    function = load(target)
    assert callable(function)
    if group == "spacy_factories":
        # spaCy wraps factories; it keeps what it needs to know of them.
        assert name in spacy.registry.factories
        assert Language.has_factory(name) or resolve(group, name) is not None
        meta = Language.get_factory_meta(name)
        assert meta.factory == name
    else:
        assert resolve(group, name) is function
        assert re.fullmatch(r"spacy-docre\.\w+\.v\d+", name)


def test_nothing_else_is_registered():
    """Decorators must not register what setup.py does not list: it would be found only after an import by chance."""
    for path in MODULES:
        if room_of(path) != "__main__":
            importlib.import_module(module_name(path))
    listed = {name for _, name, _ in REGISTERED}
    found = set()
    for registry in dir(spacy.registry):
        table = getattr(spacy.registry, registry)
        functions = table.get_all() if isinstance(table, catalogue.Registry) else {}
        found |= {name for name, f in functions.items() if str(getattr(f, "__module__", "")).startswith("spacy_docre.")}
    assert found == listed


def test_command_line_is_found():
    """The installed script calls the function that it names without arguments: it has to be the application, which
    reads the command line, and not one of its commands."""
    for target in ENTRY_POINTS["console_scripts"].values():
        module, name = target.split(":")
        code = (
            f"import sys; sys.argv = ['spacy-docre', '--help']; from {module} import {name} as main; sys.exit(main())"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0 and "evaluate" in done.stdout, f"{target} does not show the commands"


def arguments(group: str, function) -> Iterator[Tuple[str, inspect.Parameter]]:
    for name, parameter in inspect.signature(function).parameters.items():
        if group != "spacy_factories" or name not in ("nlp", "name"):  # those come from spaCy
            yield name, parameter


@pytest.mark.parametrize("group,name,target", REGISTERED, ids=[name for _, name, _ in REGISTERED])
def test_registered_function_explains_itself(group, name, target):
    """What each argument is, with its type; and real annotations, which spaCy checks configs against."""
    function = load(target)
    doc = inspect.getdoc(function) or ""
    assert doc.split("\n")[0].endswith((".", ".v1`.")), "no first line that says what it does"
    for argument, parameter in arguments(group, function):
        line = rf"^(\w+, )*{argument}(, \w+)* \([^)]+.*\): \S"
        assert re.search(line, doc, flags=re.MULTILINE), f"`{argument}` is not explained"
        assert parameter.annotation not in (parameter.empty, ""), f"`{argument}` has no annotation"
        assert not isinstance(parameter.annotation, str), f"spaCy can't check the annotation of `{argument}`"


# What may not be left lying about


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PKG)))
def test_no_work_left_over(path):
    """NotImplementedError stands in the abstract methods of DocrePipe alone."""
    tree = ast.parse(path.read_text(encoding="utf8"))
    abstract = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == "DocrePipe":
            abstract = {f.name for f in node.body if isinstance(f, ast.FunctionDef) and _raises(f)}
    left = [f.name for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) and _raises(f)]
    assert not set(left) - abstract
    if abstract:
        from spacy_docre.pipeline.docre_pipe import DocrePipe, LabelledPipe

        for cls in DocrePipe.__subclasses__() + LabelledPipe.__subclasses__():
            for name in abstract if cls is not LabelledPipe else ():
                if name == "decode" and cls.predict is not DocrePipe.predict:
                    continue
                assert getattr(cls, name) is not getattr(DocrePipe, name), f"{cls.__name__}.{name}"


def _raises(function: ast.AST) -> bool:
    return any(
        isinstance(node, ast.Raise) and node.exc is not None and "NotImplementedError" in ast.dump(node.exc)
        for node in ast.walk(function)
    )


SHIPPED = [*MODULES, *sorted((ROOT / "configs").glob("*")), ROOT / "setup.py", ROOT / "project.yml"]


@pytest.mark.parametrize("path", [p for p in SHIPPED if p.is_file()], ids=lambda p: str(p.relative_to(ROOT)))
def test_no_paths_of_a_machine(path):
    text = path.read_text(encoding="utf8")
    found = re.findall(r"(?<![\w.])/(?:home|root|work|tmp|usr|opt|Users|mnt|var|data)/\S*|[A-Z]:\\\\\w+", text)
    assert not found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PKG)))
def test_annotations_are_real(path):
    """With delayed annotations spaCy lets a wrong type in a config through."""
    assert "from __future__ import annotations" not in path.read_text(encoding="utf8")


def test_error_codes_are_known():
    """Each message has a code of its own, and no code is raised that has no message."""
    found = re.findall(r"^    (RW?\d+) =", (PKG / "errors.py").read_text(encoding="utf8"), flags=re.MULTILINE)
    assert len(found) == len(set(found)), "a code is defined twice"
    for kind in ("R", "RW"):
        numbers = [int(code[len(kind) :]) for code in found if code[: len(kind) + 1].rstrip("0123456789") == kind]
        assert numbers == sorted(numbers), "codes are out of order"
    code = "\n".join(path.read_text(encoding="utf8") for path in MODULES)
    assert set(re.findall(r"\b(?:Errors|Warnings)\.(RW?\d+)\b", code)) <= set(found)
