"""Raw trees and the scene store.

INPUT: data.<dataset>.root of params.yaml, or nothing (synthetic rooms or streets).
OUTPUT: data/<dataset>/raw.manifest.json, data/<dataset>/scenes/ and its manifest.
The raw tree itself is no output: it is the user's, or made again from its seed. raw.state.json says what the tree holds
now: the start of every snakemake call looks, and an edit makes it another input of `raw`.
"""


rule raw:
    input:
        state="data/{dataset}/raw.state.json",
    output:
        manifest="data/{dataset}/raw.manifest.json",
    log:
        "logs/raw/{dataset}.log",
    benchmark:
        "logs/raw/{dataset}.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=240,
    params:
        settings=lambda w: PARAMS.raw(w.dataset).canonical(),
        code=CODE["raw"],
    shell:
        "job {output} --log {log} --"
        " regionzoo raw --settings {params.settings:q} --out data/{wildcards.dataset}/raw"
        " --manifest {output.manifest} --workers {threads}"


rule preprocess:
    input:
        manifest="data/{dataset}/raw.manifest.json",
    output:
        scenes=directory("data/{dataset}/scenes"),
        manifest="data/{dataset}/scenes.manifest.json",
    log:
        "logs/preprocess/{dataset}.log",
    benchmark:
        "logs/preprocess/{dataset}.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=240,
    params:
        settings=lambda w: PARAMS.preprocess(w.dataset).canonical(),
        code=CODE["preprocess"],
    shell:
        "job {output} --log {log} --"
        " regionzoo preprocess --settings {params.settings:q} --raw data/{wildcards.dataset}/raw"
        " --out {output.scenes} --manifest {output.manifest} --work runs/{wildcards.dataset}/scenes"
        " --workers {threads}"
