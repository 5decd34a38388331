"""One row: training and evaluation.

INPUT: scene store, caption set and text table of the row.
OUTPUT: results/<row>/{model.safetensors,config.json,history.csv,metrics.json,per_class.csv}.
The state to resume from lives in runs/<row>/, which no rule declares, so that Snakemake never removes it.
"""


rule train:
    input:
        scenes_manifest=row_path("data/{dataset}/scenes.manifest.json"),
        scenes=ancient(row_path("data/{dataset}/scenes")),
        captions_manifest=row_path("data/{dataset}/captions/{captions}.manifest.json"),
        captions=ancient(row_path("data/{dataset}/captions/{captions}")),
        text=row_path("data/{dataset}/text/{text}.safetensors"),
    output:
        model="results/{row}/model.safetensors",
        config="results/{row}/config.json",
        history="results/{row}/history.csv",
    log:
        "logs/train/{row}.log",
    benchmark:
        "logs/train/{row}.tsv"
    retries: 1
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        # Number of GPUs, each with a process of its own; 0 trains on a GPU if there is one, otherwise on the CPU.
        gpu=0,
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=2880,
    params:
        settings=lambda w: PARAMS.train(w.row).canonical(),
        code=CODE["train"],
    shell:
        "regionzoo train --settings {params.settings:q} --scenes {input.scenes} --captions {input.captions}"
        " --text {input.text} --out results/{wildcards.row} --state runs/{wildcards.row} --threads {threads}"
        " --processes {resources.gpu} 2>&1 | tee {log}"


rule evaluate:
    input:
        model="results/{row}/model.safetensors",
        config="results/{row}/config.json",
        scenes_manifest=row_path("data/{dataset}/scenes.manifest.json"),
        scenes=ancient(row_path("data/{dataset}/scenes")),
        captions_manifest=row_path("data/{dataset}/captions/{captions}.manifest.json"),
        text=row_path("data/{dataset}/text/{text}.safetensors"),
    output:
        metrics="results/{row}/metrics.json",
        per_class="results/{row}/per_class.csv",
    log:
        "logs/evaluate/{row}.log",
    benchmark:
        "logs/evaluate/{row}.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        gpu=0,
        mem_mb=16000,
        runtime=240,
    params:
        settings=lambda w: PARAMS.evaluate(w.row).canonical(),
        captions=row_path("data/{dataset}/captions/{captions}"),
        code=CODE["evaluate"],
    shell:
        "regionzoo evaluate --settings {params.settings:q} --scenes {input.scenes} --captions {params.captions}"
        " --text {input.text} --result results/{wildcards.row} --threads {threads} --processes {resources.gpu}"
        " 2>&1 | tee {log}"
