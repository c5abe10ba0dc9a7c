"""The pages of the manual that are widgets, and the line of links at the top of each."""

from __future__ import annotations

from html import escape

PAGES = (
    ("what_happened", "What happened?"),
    ("calculator", "Calculator"),
    ("downgrade", "Downgrade"),
    ("sizing", "Sizing"),
    ("01_vram_budget", "1. The VRAM budget"),
    ("02_indexshare", "2. IndexShare"),
    ("03_hardware_sizing", "3. Hardware sizing"),
    ("04_oom_workflow", "4. The OOM workflow"),
    ("report", "A report"),
)


def page_header(page: str, kind: str, standalone: bool) -> str:
    """The top of a page.

    Args:
        page: its notebook's name.
        kind: what screen readers hear after the manual's name.
        standalone: served by itself, so that the way to the others must stand here.
    """
    # Relative, so that they hold behind any prefix; each page is served two levels below the first one.
    links = "".join(
        f'<a href="" aria-current="page">{escape(words)}</a>'
        if name == page
        else f'<a href="{name}.ipynb">{escape(words)}</a>'
        for name, words in PAGES
    )
    nav = f'<nav aria-label="Pages"><a href="../../">All pages</a>{links}</nav>' if standalone else ""
    return (
        f'<header class="gm-top"><h1>The GLM-5.2 production manual<span class="gm-vh">: {escape(kind)}</span></h1>{nav}'
        '<span class="gm-cap" data-rules>nothing leaves this machine</span></header>'
    )
