"""The two ways into the manual: its pages through Voila, its chapters in JupyterLab. Both stay on this machine."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

from glmcalc.facts.errors import InputError

_PACKAGE = Path(__file__).resolve().parent.parent
# What this package ships. Other notebooks that lie in the folder are their owner's to trust.
SHIPPED = (
    "index", "calculator", "what_happened", "downgrade", "sizing", "01_vram_budget", "02_indexshare", "03_hardware_sizing",
    "04_oom_workflow", "report",
)  # fmt: skip
# Kernels of pages that were closed are ended after a while, so that a server may stay up.
_VOILA_OPTIONS = (
    "--template=glm",
    "--Voila.ip=127.0.0.1",
    "--Voila.port_retries=0",
    # Extensions that other packages may have installed, and that complain on a page without JupyterLab.
    "--VoilaConfiguration.extension_denylist=nbdime-jupyterlab",
    "--VoilaConfiguration.extension_denylist=jupyterlab-jupytext",
    "--VoilaConfiguration.extension_denylist=@jupyter-notebook/lab-extension",
    "--VoilaConfiguration.allow_theme_override=YES",
    "--MappingKernelManager.cull_interval=60",
    "--MappingKernelManager.cull_idle_timeout=600",
)


def chapters_folder() -> Path:
    """Where the chapters are: inside the installed package, or at the top of a checkout."""
    for folder in (_PACKAGE / "chapters", _PACKAGE.parent / "chapters"):
        if folder.is_dir():
            return folder
    raise InputError(
        "chapters", str(_PACKAGE), "a folder of the package", "The chapters are missing from this installation."
    )


def environment() -> dict[str, str]:
    """This process's environment, in which kernels find this package and Jupyter finds its page template first."""
    own = {
        "JUPYTER_PATH": str(_PACKAGE / "present" / "jupyter"),
        "JUPYTER_CONFIG_PATH": str(_PACKAGE / "present" / "jupyter_config"),  # no news, no look for updates
        "PYTHONPATH": str(_PACKAGE.parent),
    }
    found = {name: os.pathsep.join(filter(None, [path, os.environ.get(name)])) for name, path in own.items()}
    return {**os.environ, **found, "PYDEVD_DISABLE_FILE_VALIDATION": "1"}


def voila_command(port: int) -> list[str]:
    """The command that serves the pages on ``127.0.0.1:port``."""
    return [sys.executable, "-m", "voila", str(chapters_folder()), f"--port={port}", "--no-browser", *_VOILA_OPTIONS]


def serve_app(port: int, open_browser: bool) -> int:
    """Serve the pages until interrupted.

    Args:
        port: loopback port, 1 to 65535.
        open_browser: open the first page once the server is asked to start.

    Returns:
        The server's exit code. On POSIX the server takes this process's place, and nothing returns.

    Raises:
        InputError: a port out of range or in use, or Voila not installed.
    """
    _check(port, "voila", "app")
    command = voila_command(port)
    if open_browser and (os.environ.get("DISPLAY") or sys.platform in ("darwin", "win32")):
        command.remove("--no-browser")
    return _run(command, f"http://127.0.0.1:{port}/")


def read_chapters(port: int, open_browser: bool) -> int:
    """Open the chapters in JupyterLab until interrupted; arguments, result and errors as :func:`serve_app`."""
    _check(port, "jupyterlab", "read")
    command = [sys.executable, "-m", "jupyterlab", f"--notebook-dir={chapters_folder()}", "--ip=127.0.0.1"]
    command += [f"--port={port}", "--ServerApp.port_retries=0", "--LabApp.default_url=/lab/tree/index.ipynb"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    if not open_browser:
        command.append("--no-browser")
    trust_chapters(chapters_folder())
    return _run(command, f"http://127.0.0.1:{port}/lab (with the token printed below)")


def trust_chapters(folder: Path) -> list[str]:
    """Sign the chapters of this package, so that JupyterLab shows their outputs as they were made.

    Signatures go where Jupyter keeps them (``JUPYTER_DATA_DIR``, if set). A folder of signatures that cannot be written
    leaves the chapters as they are: untrusted, and readable.

    Returns:
        Names of the files that were signed.
    """
    import nbformat
    from jupyter_core.paths import jupyter_data_dir
    from nbformat.sign import NotebookNotary

    signed: list[str] = []
    try:
        place = Path(jupyter_data_dir())
        place.mkdir(parents=True, exist_ok=True)
        with NotebookNotary(data_dir=str(place)) as notary:
            for path in (folder / f"{name}.ipynb" for name in SHIPPED):
                if path.is_file():
                    notary.sign(nbformat.read(path, as_version=4))
                    signed.append(path.name)
    except (OSError, ValueError) as error:
        print(f"glmcalc: the chapters stay untrusted in JupyterLab ({error}).", file=sys.stderr)
    return signed


def _check(port: int, module: str, subcommand: str) -> None:
    if not 1 <= port <= 65535:
        raise InputError("port", port, "1 to 65535")
    if importlib.util.find_spec(module) is None:
        raise InputError(
            subcommand,
            "not installed",
            "the notebook extra",
            f"{subcommand} needs the notebook extra: in a checkout, pip install '.[notebook]', or make {subcommand}.",
        )
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: a port just left is free
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError(
                "port", port, "free", f"port: {port} cannot be used ({error.strerror}); choose another with --port."
            ) from error


def _run(command: list[str], address: str) -> int:
    print(f"glmcalc: serving on {address}  (Ctrl-C ends it)", flush=True)
    if os.name == "posix":  # a signal to this process then reaches the server, and its kernels end with it
        os.execve(command[0], command, environment())
    return subprocess.call(command, env=environment())
