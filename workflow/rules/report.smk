"""What `snakemake --report` and `dvc plots show` need beside the results. No rule stands here."""

from regionzoo.report.offline import write_library
from snakemake.logging import logger

# The pictures of `dvc plots show` are drawn without network; that they could not be is no reason to stop.
if workflow.is_main_process:
    try:
        write_library(Path(workflow.basedir).parent)
    except (UserError, OSError) as error:
        logger.warning(f"No charts in `dvc plots show`, only tables: {error}")

# Taken out of results/tables: the tables, their pictures, the pictures of each row. The index is left out, as the
# pictures in it are files beside it.
TABLES = r"semantic_[a-z_]+|instance"
TABLE_FILES = [
    f"{{table,{TABLES}}}.{{kind,html|csv|png}}",
    f"{{row,{'|'.join(map(re.escape, PARAMS.all_rows))}}}_{{plot,per_class|history|instances_.+}}.png",
]
TABLE_KINDS = {"html": "table", "csv": "table (CSV)", "png": "table (picture)"}
ROW_PLOTS = {
    "per_class": "score of each class (picture)",
    "history": "training losses (picture)",
}


def data_of(row):
    """What a row's numbers were made of, asked from the result itself: params.yaml may have changed since."""
    from regionzoo.report.comparable import comparable
    from regionzoo.report.results import read_metrics

    path = Path("results", row, "metrics.json")
    if not path.exists():
        return "not scored yet"
    metrics = read_metrics(path)
    reason = comparable(metrics)
    return metrics.data.source + (
        f": not comparable with published scores ({reason})" if reason else ""
    )


def row_labels(what):
    """Labels function of a row's file in the report."""
    return lambda wildcards: {"what": what, "data": data_of(wildcards.row)}


def table_labels(wildcards):
    """Labels of a file of results/tables in the report."""
    if row := wildcards.get("row"):
        scene = wildcards.plot.removeprefix("instances_")
        what = ROW_PLOTS.get(scene, f"{scene}: annotated and found instances (picture)")
        return {"what": what, "data": data_of(row)}
    return {"what": TABLE_KINDS[wildcards.kind], "data": "each number says it"}
