"""Run the commands of the README and the tutorial as they stand, in the current folder, a fresh clone.

Blocks of `bash` run one after another in one shell. A block of `text` right after one is its output, in which `…`
stands for any text. Run by .ci/run.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.servers import is_reachable

PAGES = ("README.md", "docs/tutorial/index.md")
BLOCK = re.compile(
    r"^```bash\n(?P<commands>.*?)^```\n(?:\n*^```text\n(?P<output>.*?)^```\n)?", re.MULTILINE | re.DOTALL
)
ELSEWHERE = {"make test\n"}  # the part `unit` of .ci/run
SERVERS = {"mlflow ui": "http://127.0.0.1:5000/health", "python src/serve.py": "http://127.0.0.1:8080/health"}
END = "documented-command-ended"


@dataclass(frozen=True)
class Block:
    """Commands, and what they print."""

    commands: str
    output: str | None


def blocks(text: str) -> list[Block]:
    """Return the blocks of commands of a page, in order."""
    return [Block(found["commands"], found["output"]) for found in BLOCK.finditer(text)]


def pattern(output: str) -> re.Pattern[str]:
    """Return an expression that matches the output, with any text for each `…`."""
    return re.compile(".*?".join(map(re.escape, output.rstrip("\n").split("…"))), re.DOTALL)


class Shell:
    """A bash process that keeps its state between blocks; servers run beside it until it is closed."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.bash = subprocess.Popen(
            ["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},  # saves eight processes
        )  # fmt: skip
        self.urls: list[str] = []

    def run(self, commands: str) -> str:
        """Run commands and return what they print; fail if the last one fails."""
        for command, url in SERVERS.items():
            if command in commands and url not in self.urls:
                commands = re.sub(rf"^({command}.*)$", rf"\1 >>{self.log} 2>&1 &", commands, flags=re.MULTILINE)
                self.urls.append(url)
            elif command in commands:
                commands = re.sub(rf"^{command}.*$", ":", commands, flags=re.MULTILINE)  # runs already
        assert self.bash.stdin is not None
        assert self.bash.stdout is not None
        self.bash.stdin.write(f"{commands}\necho {END} $?\n")
        self.bash.stdin.flush()
        lines: list[str] = []
        for line in self.bash.stdout:
            if END in line:
                before, _, code = line.partition(END)
                output = "".join([*lines, before])
                assert int(code) == 0, f"{commands}{output}"
                self._wait_for_servers()
                return output
            lines.append(line)
        raise AssertionError("".join(lines))

    def _wait_for_servers(self) -> None:
        deadline = time.monotonic() + 120
        for url in self.urls:
            while not is_reachable(url):
                assert time.monotonic() < deadline, f"{url}: {self.log.read_text()}"
                time.sleep(0.5)

    def close(self) -> None:
        """Stop the servers, as Ctrl-C would, and the shell."""
        assert self.bash.stdin is not None
        self.bash.stdin.write("kill -INT $(jobs -p); wait\n")
        self.bash.stdin.close()
        try:
            self.bash.wait(timeout=60)
        finally:
            if self.bash.stdout is not None:
                self.bash.stdout.close()
            if self.bash.poll() is None:
                os.killpg(self.bash.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Return a shell in the current folder."""
    started = Shell(tmp_path_factory.mktemp("servers") / "servers.log")
    yield started
    started.close()


@pytest.mark.parametrize(
    ("page", "number"),
    [(page, number) for page in PAGES for number, _ in enumerate(blocks(Path(page).read_text(encoding="utf-8")))],
)
def test_commands(page: str, number: int, shell: Shell) -> None:
    block = blocks(Path(page).read_text(encoding="utf-8"))[number]
    printed = shell.run("\n".join(line for line in block.commands.splitlines() if f"{line}\n" not in ELSEWHERE))
    if block.output is not None:
        expected = pattern(block.output)
        assert expected.search(printed), f"{page}, block {number}: expected\n{block.output}\nprinted\n{printed}"


def test_the_notebook_runs_and_has_no_outputs() -> None:
    import nbformat
    from nbclient import NotebookClient

    path = Path("docs/quickstart.ipynb")
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"] == []
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
