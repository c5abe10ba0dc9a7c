"""Pages, chapters and a notebook's HTML."""

from __future__ import annotations

from glmcalc.present.deployment_file import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def build_html(parser: argparse.ArgumentParser) -> None:
    """Options of ``glmcalc html``."""
    parser.add_argument("notebook", metavar="NOTEBOOK", help="an executed notebook, such as papermill's output")
    parser.add_argument("--out", metavar="FILE", help="where to write (default: beside it, ending in .html)")


def run_html(args: argparse.Namespace) -> int:
    """0: the path that was written is printed."""
    from glmcalc.present.export import export_html

    print(export_html(args.notebook, args.out))
    return 0


def build_app(parser: argparse.ArgumentParser, port: str = "8866") -> None:
    """Options of ``glmcalc app``."""
    parser.add_argument("--port", default=port, metavar="N", help=f"loopback port (default: {port})")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")


def run_app(args: argparse.Namespace) -> int:
    """Serve the pages until interrupted."""
    from glmcalc.present.gallery import serve_app

    return serve_app(int(number("port", args.port, whole=True)), not args.no_browser)


def build_read(parser: argparse.ArgumentParser) -> None:
    """Options of ``glmcalc read``."""
    build_app(parser, "8888")


def run_read(args: argparse.Namespace) -> int:
    """Open the chapters in JupyterLab until interrupted."""
    from glmcalc.present.gallery import read_chapters

    return read_chapters(int(number("port", args.port, whole=True)), not args.no_browser)
