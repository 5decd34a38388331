"""One row: training, prediction, evaluation, and pictures of found instances.

INPUT: scene store, caption set, feature store and text table of the row.
OUTPUT: results/<row>/{model.safetensors,config.json,history.csv,predictions/,metrics.json,scores.json,per_class.csv,instances/}.
A row that shares another's weights has no model of its own.
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
        history=report(
            "results/{row}/history.csv",
            caption="../report/history.rst",
            category="Rows",
            subcategory="{row}",
            labels=row_labels("training losses (CSV)"),
        ),
    log:
        "logs/train/{row}.log",
    benchmark:
        "logs/train/{row}.tsv"
    retries: 1
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        # GPUs of all nodes together, each with a process of its own; 0: a GPU if there is one, otherwise the CPU.
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
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
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
        metrics=report(
            "results/{row}/metrics.json",
            caption="../report/metrics.rst",
            category="Rows",
            subcategory="{row}",
            labels=row_labels("scores and where they come from (JSON)"),
        ),
        scores="results/{row}/scores.json",
        per_class=report(
            "results/{row}/per_class.csv",
            caption="../report/per_class.rst",
            category="Rows",
            subcategory="{row}",
            labels=row_labels("scores of each class (CSV)"),
        ),
    log:
        "logs/evaluate/{row}.log",
    benchmark:
        "logs/evaluate/{row}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    params:
        settings=lambda w: PARAMS.evaluate(w.row).canonical(),
        trained=row_path("results/{weights}"),
        code=CODE["evaluate"],
    shell:
        "job {output} --log {log} --"
        " regionzoo evaluate --settings {params.settings:q} --scenes {input.scenes}"
        " --predictions {input.predictions} --trained {params.trained} --out results/{wildcards.row}"


rule pictures:
    input:
        predictions_manifest="results/{row}/predictions.manifest.json",
        predictions=ancient("results/{row}/predictions"),
        scenes_manifest=row_path("data/{dataset}/scenes.manifest.json"),
        scenes=ancient(row_path("data/{dataset}/scenes")),
    output:
        pictures=directory("results/{row}/instances"),
        manifest="results/{row}/instances.manifest.json",
    log:
        "logs/pictures/{row}.log",
    benchmark:
        "logs/pictures/{row}.tsv"
    wildcard_constraints:
        row="|".join(map(re.escape, PARAMS.instance_rows)) or "-",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    params:
        row=lambda w: w.row,
        code=CODE["pictures"],
    shell:
        "job {output} --log {log} --"
        " regionzoo pictures --row {params.row} --scenes {input.scenes} --predictions {input.predictions}"
        " --out {output.pictures} --manifest {output.manifest}"
