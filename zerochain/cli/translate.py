"""Stage 4 on the command line: translate speech into the units of another language."""

from __future__ import annotations

import click

from zerochain.cli.common import Group


@click.group(cls=Group)
def translate() -> None:
    """Translate speech into units of another language, from pairs of recordings."""
