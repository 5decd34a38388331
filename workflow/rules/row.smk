"""One row: training, prediction and evaluation.

INPUT: scene store, caption set, feature store and text table of the row.
OUTPUT: results/<row>/{model.safetensors,config.json,history.csv,predictions/,metrics.json,per_class.csv}. A row that
shares another's weights has no model of its own.
The state to resume from lives in runs/<row>/, which no rule declares, so that Snakemake never removes it.
"""


rule train:
    input:
        scenes_manifest=row_path("data/{dataset}/scenes.manifest.json"),
        scenes=ancient(row_path("data/{dataset}/scenes")),
        captions_manifest=row_path("data/{dataset}/captions/{captions}.manifest.json"),
        captions=ancient(row_path("data/{dataset}/captions/{captions}")),
        features_manifest=row_path("data/{dataset}/features/{features}.manifest.json"),
        features=ancient(row_path("data/{dataset}/features/{features}")),
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
        # Number of GPUs a node, each with a process of its own; 0 trains on a GPU if there is one, otherwise on the CPU.
        gpu=0,
        nodes=1,
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=2880,
    params:
        settings=lambda w: PARAMS.train(w.row).canonical(),
        code=CODE["train"],
    shell:
        "job {output} --log {log} --gpus {resources.gpu} --nodes {resources.nodes} --"
        " regionzoo train --settings {params.settings:q} --scenes {input.scenes} --captions {input.captions}"
        " --features {input.features} --text {input.text} --out results/{wildcards.row} --state runs/{wildcards.row} --threads {threads}"
        " --processes {resources.gpu}"


rule predict:
    input:
        model=row_path("results/{weights}/model.safetensors"),
        config=row_path("results/{weights}/config.json"),
        scenes_manifest=row_path("data/{dataset}/scenes.manifest.json"),
        scenes=ancient(row_path("data/{dataset}/scenes")),
        captions_manifest=row_path("data/{dataset}/captions/{captions}.manifest.json"),
        text=row_path("data/{dataset}/text/{text}.safetensors"),
    output:
        predictions=directory("results/{row}/predictions"),
        manifest="results/{row}/predictions.manifest.json",
    log:
        "logs/predict/{row}.log",
    benchmark:
        "logs/predict/{row}.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        gpu=0,
        nodes=1,
        mem_mb=16000,
        runtime=240,
    params:
        settings=lambda w: PARAMS.predict(w.row).canonical(),
        captions=row_path("data/{dataset}/captions/{captions}"),
        result=row_path("results/{weights}"),
        code=CODE["predict"],
    shell:
        "job {output} --log {log} --gpus {resources.gpu} --nodes {resources.nodes} --"
        " regionzoo predict-scenes --settings {params.settings:q} --scenes {input.scenes} --captions {params.captions}"
        " --text {input.text} --result {params.result} --out {output.predictions} --manifest {output.manifest}"
        " --threads {threads} --processes {resources.gpu}"


rule evaluate:
    input:
        predictions_manifest="results/{row}/predictions.manifest.json",
        predictions=ancient("results/{row}/predictions"),
        scenes_manifest=row_path("data/{dataset}/scenes.manifest.json"),
        scenes=ancient(row_path("data/{dataset}/scenes")),
    output:
        metrics="results/{row}/metrics.json",
        per_class="results/{row}/per_class.csv",
    log:
        "logs/evaluate/{row}.log",
    benchmark:
        "logs/evaluate/{row}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        settings=lambda w: PARAMS.evaluate(w.row).canonical(),
        code=CODE["evaluate"],
    shell:
        "job {output} --log {log} --"
        " regionzoo evaluate --settings {params.settings:q} --scenes {input.scenes}"
        " --predictions {input.predictions} --out results/{wildcards.row}"
