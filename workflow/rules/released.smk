"""Rows with the original's own weights: fetched, converted, and scored on the scenes here.

INPUT: scene store of the row; a published checkpoint, or released.<row>.checkpoint of params.yaml.
OUTPUT: results/released/<row>/{model.safetensors,config.json,predictions/,metrics.json,scores.json,per_class.csv}.
What is fetched stays in data/released/, and its digest in data/released.lock.csv. No part of `all`: the files are the
original's, and not everyone can reach them.
"""


rule released:
    input:
        local_checkpoint,
    output:
        model="results/released/{row}/model.safetensors",
        config="results/released/{row}/config.json",
    log:
        "logs/released/{row}.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=120,
    params:
        settings=lambda w: PARAMS.released_weights(w.row).canonical(),
        code=CODE["released"],
    shell:
        "job {output} --log {log} --"
        " regionzoo released --settings {params.settings:q} --out results/released/{wildcards.row}"


rule predict_released:
    input:
        model="results/released/{row}/model.safetensors",
        config="results/released/{row}/config.json",
        scenes_manifest=row_path("data/{dataset}/scenes.manifest.json"),
        scenes=ancient(row_path("data/{dataset}/scenes")),
    output:
        predictions=directory("results/released/{row}/predictions"),
        manifest="results/released/{row}/predictions.manifest.json",
    log:
        "logs/predict_released/{row}.log",
    benchmark:
        "logs/predict_released/{row}.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        gpu=0,
        nodes=1,
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=240,
    params:
        settings=lambda w: PARAMS.predict(w.row).canonical(),
        code=CODE["predict"],
    shell:
        "job {output} --log {log} --gpus {resources.gpu} --nodes {resources.nodes} --"
        " regionzoo predict-scenes --settings {params.settings:q} --scenes {input.scenes}"
        " --result results/released/{wildcards.row} --out {output.predictions} --manifest {output.manifest}"
        " --threads {threads} --processes {resources.gpu}"


rule evaluate_released:
    input:
        predictions_manifest="results/released/{row}/predictions.manifest.json",
        predictions=ancient("results/released/{row}/predictions"),
        scenes_manifest=row_path("data/{dataset}/scenes.manifest.json"),
        scenes=ancient(row_path("data/{dataset}/scenes")),
    output:
        metrics="results/released/{row}/metrics.json",
        scores="results/released/{row}/scores.json",
        per_class="results/released/{row}/per_class.csv",
    log:
        "logs/evaluate_released/{row}.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    params:
        settings=lambda w: PARAMS.evaluate(w.row).canonical(),
        code=CODE["evaluate"],
    shell:
        "job {output} --log {log} --"
        " regionzoo evaluate --settings {params.settings:q} --scenes {input.scenes}"
        " --predictions {input.predictions} --out results/released/{wildcards.row}"
