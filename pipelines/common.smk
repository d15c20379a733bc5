"""What all pipelines share: settings are checked, and put into commands, names and paths.

A shell line is made of fixed text and of fields that end in :q. Snakemake quotes each word of such
a field by itself, so that a setting is one inert argument, whatever is in it:

    params: corpus=given(CORPUS), split=given(option("split", config["split"]))
    shell: "{Z:q} extract {params.corpus:q} {params.split:q} --out={output:q}"

Settings enter params through `given`, since Snakemake looks for wildcards in plain texts, and
options are --name=value: a separate value could be empty, which Snakemake leaves out, or begin
with a dash.

Settings are checked while this is read, before any step runs: `check("voice", …)`
stops with an error that names the setting, and `options_of_steps` has the errors of steps do so too.

Whatever a step depends on is among its inputs or params: a change of it runs the step again.

A step that trains continues from the checkpoint in <output>.training, which Snakemake does not
touch: interrupted, or with more steps than before. Where other settings or its inputs changed, it
starts anew, and so it does where 'zerochain run --restart STEP' names it (ANEW). Both reach the
command through variables of the environment, so that neither is among what runs a step again.

Every rule says how many threads it takes at most, and what it needs of a cluster (`needs`). The
threads are a number of its own and not a share of `workflow.cores`, which on a cluster would be
those of the machine that submits jobs. On one machine Snakemake limits them to --cores.
"""

import hashlib
import json
import os
import re
import shlex
import sys
from pathlib import Path

from zerochain.cli.common import OPTIONS, SETTINGS
from zerochain.errors import InputError
from zerochain.formats.corpus import MARKER, read_corpus

PY = [sys.executable, "-P"]  # without the modules that may lie in the folder of the run
Z = [*PY, "-m", "zerochain"]

PREFIX = "set -euo pipefail; export ZEROCHAIN_RESTART_CHANGED=1; "
shell.prefix(PREFIX)
_RESTARTED = "ZEROCHAIN_RUN_RESTART"
if _RESTARTED in os.environ:
    workflow.register_envvars(_RESTARTED)  # for jobs on other machines; the directive's function


class Anew(dict):
    """Rule → "1" where its training starts anew, as was asked for, else "0"."""

    def __missing__(self, rule):
        return str(int(rule in os.environ.get(_RESTARTED, "").split()))


ANEW = Anew()


REFUSED = 3
"""The exit code of a pipeline whose settings were refused: nothing has run."""


def refuse(problem):
    print(f"Error: {problem}", file=sys.stderr)
    refusal = SystemExit(f"Error: {problem}")
    refusal.code = REFUSED
    raise refusal


ASKED = os.environ.pop("ZEROCHAIN_CHECKS", None)  # not for jobs, which have no such pipe
if ASKED is not None:
    REQUESTS, REPLIES = (os.fdopen(int(n), mode) for n, mode in zip(ASKED.split(","), "wr"))


def check(name, *arguments):
    """One of zerochain.cli.checks, made by the 'zerochain run' that reads this."""
    if ASKED is None:
        return
    print(json.dumps([name, *arguments]), file=REQUESTS, flush=True)
    if REPLIES.readline() != "\n":
        sys.exit(REFUSED)


def needs(*, memory_gb, hours, device=None):
    """The resources of a rule, which a cluster's scheduler reserves for each of its jobs.

    They are estimates for tens of hours of speech. Where Snakemake tries a job again
    (--retries), it gets that much more each time, and a training continues.

    Args:
        device: the setting for the option --device of the rule's command, if that has one; "cuda"
            takes a GPU. "auto" does not, as a cluster without any would refuse such a job.
    """
    resources = {
        "mem_mb": lambda wildcards, attempt: 1000 * memory_gb * attempt,
        "runtime": lambda wildcards, attempt: 60 * hours * attempt,  # in minutes
    }
    return {**resources, "gpu": 1} if device == "cuda" else resources


def corpus_in(setting, folder):
    """An argument of a check: the corpus that a setting names."""
    # Absolute: `zerochain run`, which checks it, works in another folder than the run's.
    return {"corpus": str(Path(folder).absolute()), "setting": setting}


def options_of_steps(**settings):
    """Name settings in the errors of steps: option of a command, with _ for -, → its setting."""
    pairs = " ".join(f"{option.replace('_', '-')}={name}" for option, name in settings.items())
    shell.prefix(f"{PREFIX}export {SETTINGS}={shlex.quote(pairs)}; ")


# Values of params.


def given(value):
    """A value of params as it is, braces included."""
    return lambda wildcards: value


def field(table, name):
    """One field of the entry that the wildcard `dataset` names."""
    return lambda wildcards: table[wildcards.dataset][name]


def split_of(table, part):
    """The option for the split on which a dataset's units are fitted or tested."""
    return lambda wildcards: option("split", table[wildcards.dataset][f"{part}_split"])


def shift_of(table):
    """The option that shifts a dataset's gold phones."""
    return lambda wildcards: option("shift-ms", table[wildcards.dataset].get("shift_ms", 0))


def beside(name):
    """The path of a file beside the Snakefile."""
    return str(Path(workflow.basedir) / name)


def present_scores(wildcards, input):
    """The options that name the score files of these settings to 'zerochain report'.

    A run's folder may also hold those of former settings, which the page does not show as rivals.
    """
    return [f"--scores={path}" for path in input if str(path).endswith(".jsonl")]


# Options of commands.


def option(name, value):
    """The words of an option; none where the setting is null."""
    return [] if value is None else [f"--{name}={value}"]


def words(setting, text):
    """The words of a setting that holds options."""
    try:
        return shlex.split(str(text or ""))
    except ValueError as error:
        refuse(f"{setting} is {text!r}, which is not a list of options: {error}")


def several_words(setting, table):
    """The words of each entry of a table of options; an entry that is null is left out."""
    return {
        name: words(f"{setting}.{name}", options)
        for name, options in table.items()
        if options is not None
    }


def judge(setting):
    """The option for the judge from outside that a setting names, and whether there is one."""
    name = config[setting] or "none"
    return option("judge", name), name != "none"


def inverter(setting, text):
    """The words of a training command of 'zerochain invert', with its options."""
    command = words(setting, text)
    if command[:1] not in (["train"], ["train-neural"]):
        refuse(
            f"the inverter is made by 'zerochain invert train' or 'train-neural', but {setting} "
            f"begins with {' '.join(command[:1]) or 'neither'}"
        )
    return command


def names_voices(command):
    """Whether an inverter's command says which voices it has, rather than the setting `voice`."""
    return any(re.match("--(all-voices$|voice(=|$))", word) for word in command)


def protocols(names):
    """The option of each protocol of ABX; there has to be one."""
    if not names:
        refuse("protocols is empty, and ABX needs at least one")
    return [f"--protocol={name}" for name in names]


# Corpora and other paths.


def path(setting, value):
    """A path of the settings as a command takes it, which never looks like an option."""
    if not isinstance(value, str) or not value:
        refuse(f"{setting} is {value!r}, which is not a path")
    return f"./{value}" if value.startswith("-") else value


def watched(outside):
    """A path as the input of a rule.

    Snakemake takes braces for wildcards, and there is no way to escape them: a link without any
    stands for such a path.
    """
    if not re.search("[{}]", outside):
        return outside
    there = Path(outside).absolute()
    link = Path(".inputs", hashlib.sha256(str(there).encode()).hexdigest()[:16])
    link.parent.mkdir(exist_ok=True)
    try:
        link.symlink_to(there)
    except FileExistsError:
        pass  # it links to the same path, which it is named after
    return str(link)


def tables(folder):
    """The files of a corpus that change with its recordings."""
    return [f"{folder}/corpus.json", f"{folder}/utterances.parquet"]


def is_corpus(folder):
    return Path(folder, MARKER).is_file()


def require_corpus(folder):
    if not is_corpus(folder):
        refuse(f"{folder}: not a corpus (it has no {MARKER}); see zerochain import --help")


def utterances(folder, split=None, setting="split"):
    """The utterances of one split of a corpus, or of all; there has to be one."""
    check("split", setting, corpus_in(setting, folder), split)
    try:
        return read_corpus(Path(folder)).select(split=split).utterances
    except InputError as error:
        refuse(f"{setting}: {error}")


# Names, which become file names and wildcards, and numbers.


def entry(setting, value, needed, known):
    """A table with the keys that are needed, and others that are known."""
    if not isinstance(value, dict) or not set(needed) <= value.keys() <= set(known):
        others = [key for key in known if key not in needed]
        refuse(
            f"{setting} is {value}: it needs {', '.join(needed)}"
            + (f", and may have {', '.join(others)}" if others else "")
        )
    return value


def in_paths(setting, names):
    """The names, if files of a run can be named after them: no name leaves the run's folder."""
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"[^\W_][^/{}\x00-\x1f]*", name):
            refuse(
                f"{setting}: {name!r} can't be a file name: begin it with a letter or a digit, and "
                "leave out slashes, braces and line breaks"
            )
    return names


def is_name(text):
    """Whether it is made of letters, digits and -, as the names of systems and datasets are."""
    return isinstance(text, str) and re.fullmatch(r"\w[\w-]*", text) is not None


def named(setting, names):
    """The names, if each is made of letters, digits and -."""
    for name in names:
        if not is_name(name):
            refuse(f"{setting}.{name}: a name is made of letters, digits and -")
    return names


def lowercase(setting, names):
    """Names that the command knows: lower-case letters and hyphens only."""
    for name in names:
        if not isinstance(name, str) or not re.fullmatch("[a-z]+(-[a-z]+)*", name):
            refuse(f"{setting}: there is no {name!r}")
    return names


def one_of(names):
    """The pattern of a wildcard that stands for one of the names; with none, nothing fits."""
    return "|".join(map(re.escape, names)) or "(?!)"


def several(setting, value):
    """A list in an entry of a table, whose type nothing else has checked."""
    if not isinstance(value, list):
        refuse(f"{setting} is {value!r}, not a list: [{value}]")
    return value


def whole(setting, value, least=1):
    """A whole number, for names and threads."""
    if type(value) is not int or value < least:
        refuse(f"{setting} is {value!r}, not a whole number from {least}")
    return value
