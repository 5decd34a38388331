"""The published tables beside the rebuilt rows.

INPUT: results/<row>/metrics.json of every row that can be built.
OUTPUT: results/tables/: Markdown, CSV, LaTeX and HTML of each table, plots, index.html.
"""


rule tables:
    input:
        metrics=expand("results/{row}/metrics.json", row=PARAMS.zoo_rows),
        per_class=expand("results/{row}/per_class.csv", row=PARAMS.zoo_rows),
        histories=expand(
            "results/{row}/history.csv",
            row=[r for r in PARAMS.zoo_rows if r in PARAMS.rows],
        ),
        pictures=expand(
            "results/{row}/instances.manifest.json", row=PARAMS.instance_rows
        ),
        picture_folders=ancient(
            expand("results/{row}/instances", row=PARAMS.instance_rows)
        ),
        # Runs of a row that differ in the seed alone: `regionzoo run ROW --tag seed1 --set seed=1`.
        repeats=glob_results("results/*+*/metrics.json"),
        released=glob_results("results/released/*/metrics.json"),
    output:
        folder=report(
            directory("results/tables"),
            patterns=TABLE_FILES,
            caption="../report/tables.rst",
            category=lambda w: "Rows" if w.get("row") else "Tables",
            subcategory=lambda w: w.get("row") or w.table.replace("_", " "),
            labels=table_labels,
        ),
    log:
        "logs/tables.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=30,
    params:
        settings=PARAMS.tables().canonical(),
        code=CODE["tables"],
    shell:
        "job {output} --log {log} --"
        " regionzoo tables --settings {params.settings:q} --results results --out {output.folder}"
