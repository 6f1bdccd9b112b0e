"""Commands of a page of docs/, run as a reader runs them.

Commands in Python start in a process that has imported the libraries already: that takes a second where a new
interpreter takes many. All others go to bash.
"""

import os
import re
import runpy
import shlex
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path
from typing import Iterator, List, Tuple

# What commands import, once for all.
PRELOADED = ["spacy_docre.cli", "spacy_docre.packed", "spacy_docre.pipeline.relations", "spacy.cli.train"]


def read_blocks(path: Path) -> List[Tuple[str, str]]:
    """RETURNS (List[Tuple[str, str]]): Language and text of each block of code; output has no language."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text(encoding="utf8"), flags=re.MULTILINE | re.DOTALL)


def split_commands(block: str) -> Iterator[str]:
    """YIELDS (str): The commands of a block, some of which go over several lines."""
    command = ""
    for line in block.splitlines(keepends=True):
        command += line
        if not command.endswith("\\\n"):
            try:
                words = shlex.split(command, comments=True)
            except ValueError:  # a quotation goes on
                continue
            if words:
                yield command
            command = ""
    assert not command, f"not a whole command: {command}"


class Reader:
    """Runs commands in a folder, one after the other.

    folder (Path): Where they run. Packages that pip installs come into its subfolder site.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.context = get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)

    def run(self, command: str) -> str:
        """RETURNS (str): What a command prints. RAISES (AssertionError): If it fails."""
        words = shlex.split(command.replace("\\\n", " "), comments=True)
        if words[0] == "python":
            printed, errors = self.folder / "printed.txt", self.folder / "errors.txt"
            if words[-2] == ">":
                *words, _, name = words
                printed = self.folder / name
            process = self.context.Process(target=run_python, args=(words[1:], self.folder, printed, errors))
            process.start()
            process.join()
            assert process.exitcode == 0, f"{command}\n{printed.read_text('utf8')}\n{errors.read_text('utf8')}"
            return printed.read_text(encoding="utf8")
        if words[:2] == ["pip", "install"]:  # the machine stays as it is, and nothing is downloaded
            python, site = shlex.quote(sys.executable), shlex.quote(str(self.folder / "site"))
            command = f"{python} -m {command.strip()} --no-build-isolation --no-cache-dir --target {site}"
        done = subprocess.run(["bash", "-ec", command], cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def run_python(arguments: List[str], folder: Path, printed: Path, errors: Path) -> None:
    """Do in a new process what `python` does with `-m MODULE ...` or `-c CODE`.

    printed, errors (Path): Files for its two outputs.
    """
    os.chdir(folder)
    sys.path[:0] = [str(folder), str(folder / "site")]
    for descriptor, path in ((1, printed), (2, errors)):
        with path.open("wb") as file:
            os.dup2(file.fileno(), descriptor)
    option, what, *sys.argv[1:] = arguments
    if option == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    elif option == "-c":
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    else:
        raise ValueError(f"python {option}: neither -m nor -c")
