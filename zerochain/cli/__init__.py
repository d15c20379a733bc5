"""The command line. A command imports its stage inside, so that start-up stays fast."""

from __future__ import annotations

import click

import zerochain
from zerochain.cli.check import check
from zerochain.cli.common import Program
from zerochain.cli.corpus import corpus
from zerochain.cli.discover_trained import discover
from zerochain.cli.encode import encode
from zerochain.cli.extract import extract
from zerochain.cli.invert_speaking import invert
from zerochain.cli.recognise import recognise
from zerochain.cli.report import report
from zerochain.cli.run import run
from zerochain.cli.score_units import score
from zerochain.cli.show import show
from zerochain.cli.speakers import speakers
from zerochain.cli.translate_prepare import translate
from zerochain.cli.translate_speech import speech
from zerochain.cli.unit_text import export, import_group

translate.add_command(speech)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(zerochain.__version__, prog_name="zerochain")
def main() -> None:
    """Discover, score, invert and translate discrete units of speech, without transcripts.

    \b
    recordings  --import-->     corpus
    corpus      --discover-->   unit model   --encode-->      units
    units       --score-->      ABX error, bit rate
    units       --invert-->     speech in a target voice
    """


for command in (
    import_group,
    corpus,
    extract,
    discover,
    encode,
    invert,
    translate,
    recognise,
    speakers,
    score,
    report,
    show,
    export,
    check,
    run,
):
    main.add_command(command)
