"""Checked parameters, code digests and helpers of the rules. No rule stands here."""

import re
import sys
from pathlib import Path

import yaml

# Jobs find the same interpreter whether or not its environment is activated. What every command runs through marks the
# job as unfinished until it has succeeded, writes the log, ends with Snakemake, takes GPUs.
shell.prefix(
    f'export PATH="{Path(sys.executable).parent}:$PATH"; set -euo pipefail;'
    ' job() {{ exec python -m regionzoo.job "$@"; }}; '
)

from regionzoo.codehash import code_digests
from regionzoo.config import Params
from regionzoo.errors import UserError
from regionzoo.records import distrust_unfinished
from regionzoo.scenes.raw_look import note_changes
from snakemake.exceptions import WorkflowError

try:
    PARAMS = Params.check(dict(config), "params.yaml")
except UserError as error:
    raise WorkflowError(str(error)) from None

# Jobs of a cluster are given their settings by --config; what is up to date is decided once, in the main process.
if workflow.is_main_process and dict(config) != yaml.safe_load(
    Path("params.yaml").read_text()
):
    raise WorkflowError(
        "--config or --configfile changes settings of params.yaml, which DVC and later calls would not see; edit "
        "params.yaml, or use: dvc exp run -S KEY=VALUE"
    )

CODE = code_digests(Path(workflow.basedir).parent / "src")

if workflow.is_main_process:
    distrust_unfinished()
    try:
        for dataset in PARAMS.data:
            for line in note_changes(Path("data", dataset)):
                print(line, file=sys.stderr)
    except UserError as error:
        raise WorkflowError(str(error)) from None


wildcard_constraints:
    dataset="|".join(map(re.escape, PARAMS.data)),
    source="|".join(map(re.escape, PARAMS.region_sources)),
    fused="|".join(map(re.escape, PARAMS.caption_sets)) or "-",
    text="|".join(map(re.escape, PARAMS.text)),
    features="|".join(map(re.escape, PARAMS.feature_sources)),
    row="|".join(map(re.escape, PARAMS.all_rows)),


def row_path(pattern):
    """Input function: a path with the inputs of the job's row filled in; weights is the row that trains for it."""

    def path(wildcards):
        row = PARAMS.all_rows[wildcards.row]
        weights = PARAMS.weights_of(wildcards.row)
        return pattern.format(
            dataset=row.dataset,
            captions=row.captions,
            text=row.text,
            features=PARAMS.rows[weights].features,
            weights=weights,
        )

    return path


def local_checkpoint(wildcards):
    """The checkpoint of a row if params.yaml names a file that is there; the job says what is wrong with others."""
    named = PARAMS.released_weights(wildcards.row).file.checkpoint
    return [named] if named and Path(named).is_file() else []


def fused_path(pattern):
    """Input function: a path with the two sides of the job's caption set filled in."""

    def path(wildcards):
        entry = PARAMS.caption_sets[wildcards.fused]
        return pattern.format(
            dataset=entry.dataset,
            primary=entry.primary,
            supplementary=entry.supplementary,
        )

    return path


def text_path(pattern):
    """Input function: a path with the caption set of the job's text table filled in."""

    def path(wildcards):
        table = PARAMS.text[wildcards.text]
        return pattern.format(dataset=table.dataset, captions=table.captions)

    return path


def glob_results(pattern):
    """Input function: files of runs beside the rows, as far as there are any."""
    return lambda wildcards: sorted(str(path) for path in Path().glob(pattern))
