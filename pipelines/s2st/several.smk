"""Cross-validation, or both directions, or both: a run for each, and a page of their scores."""

# Recordings are imported once. The demonstration corpus is synthesised by each run: which side is
# an interpreter's depends on the direction.
WAYS = {"swapped" if swap else "as-given": swap for swap in SWAPPED}
PARTS = {
    f"{name}-fold-{fold}" if FOLDED else name: {"swap": swap, "fold": fold}
    for name, swap in WAYS.items()
    for fold in TESTED
}
GATHERED = "retrieval" if FOLDED else "translation"
# A topline there is only where a direction's own source has text.
IN_WAYS = {way: [*learned(swap), *BASELINES] for way, swap in WAYS.items()}


def settings_of(wildcards):
    """The settings of one run: those of its direction, and its fold."""
    part = PARTS[wildcards.part]
    chosen = {**direction(part["swap"]), **part, "swapped": {}}
    if not DEMO:
        there = {"source": corpus("first"), "target": corpus("second"), "pairs": PAIRS}
        chosen |= {name: str(Path(value).absolute()) for name, value in there.items()}
    return [f"--set={name}={json.dumps(value)}" for name, value in chosen.items()]


rule part:
    input:
        [] if DEMO else tables(watched(corpus("first"))),
        [] if DEMO else tables(watched(corpus("second"))),
        [] if DEMO else watched(PAIRS),
    output:
        # The page alone: Snakemake deletes outputs before a step runs again, and the run itself
        # knows which of its files are up to date.
        "parts/{part}/report/index.html",
    wildcard_constraints:
        part=one_of(PARTS),
    threads: 8
    resources:
        **needs(memory_gb=16, hours=48, device=config["device"]),
    params:
        recipe=given(workflow.basedir),
        settings=settings_of,
    shell:
        "{Z:q} run {params.recipe:q} --out=parts/{wildcards.part:q} --cores={threads:q}"
        " {params.settings:q}"


def parts_of(wildcards):
    """The runs of one direction."""
    return [part for part, chosen in PARTS.items() if chosen["swap"] == WAYS[wildcards.way]]


def baselines_of(system):
    """What a system is compared with: both kinds of examples, or what is weaker than itself."""
    return {"nearest": [], "frequent": [], "spliced": ["nearest"]}.get(system, ["nearest", "spliced"])


def system_there(system, way):
    """A system's name, with its direction where there are both."""
    name = NAMES.get(system, system)
    return name if len(WAYS) == 1 else f"{name}, {way}"


def name_there(wildcards):
    return option("system", system_there(wildcards.system, wildcards.way))


def texts_there(wildcards):
    """The option for a direction's targets, where these have text."""
    has = has_text(ORDER[WAYS[wildcards.way]][1])
    return option("texts", f"parts/{wildcards.way}/parallel/target" if has else None)


rule score_folds:
    input:
        lambda w: [f"parts/{part}/report/index.html" for part in parts_of(w)],
    output:
        "scores/{way}/retrieval-{system}.jsonl",
    wildcard_constraints:
        way=one_of(WAYS),
    threads: 1
    resources:
        **needs(memory_gb=4, hours=1),
    params:
        folds=lambda w: [
            word
            for part in parts_of(w)
            for word in (
                "--fold",
                f"parts/{part}/translations/{w.system}.parquet",
                f"parts/{part}/units/target.parquet",
                f"parts/{part}/parallel/pairs.parquet",
                f"parts/{part}/parallel/source",
            )
        ],
        baselines=lambda w: [
            word
            for baseline in baselines_of(w.system)
            for part in parts_of(w)
            for word in (
                "--baseline",
                system_there(baseline, w.way),
                f"parts/{part}/translations/{baseline}.parquet",
            )
        ],
        name=name_there,
        reference=for_reference,
        seed=given(SEED),
    shell:
        "rm -f {output:q}"
        " && {Z:q} score folds {params.folds:q} {params.baselines:q} {params.name:q} {params.reference:q}"
        " {params.seed:q} --out={output:q}"


rule score_direction:
    input:
        "parts/{way}/report/index.html",
    output:
        "scores/{way}/translation-{system}.jsonl",
    wildcard_constraints:
        way=one_of(WAYS),
    threads: 1
    resources:
        **needs(memory_gb=4, hours=1),
    params:
        name=name_there,
        reference=for_reference,
        texts=texts_there,
        seed=given(SEED),
    shell:
        "rm -f {output:q}"
        " && {Z:q} score translation parts/{wildcards.way:q}/translations/{wildcards.system:q}.parquet"
        " --references=parts/{wildcards.way:q}/units/target.parquet"
        " --pairs=parts/{wildcards.way:q}/parallel/pairs.parquet"
        " --corpus=parts/{wildcards.way:q}/parallel/source --split=test {params.texts:q}"
        " {params.name:q} {params.reference:q} {params.seed:q} --out={output:q}"
