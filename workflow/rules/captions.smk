"""Captioned regions, their fusion, the text tables, and point features to distil from.

INPUT: the raw tree's frames, data/<dataset>/scenes/.
OUTPUT: data/<dataset>/captions/<source or set>/ and data/<dataset>/features/<source>/ with manifests,
data/<dataset>/text/<table>.safetensors.
"""


rule regions:
    input:
        raw="data/{dataset}/raw.manifest.json",
        manifest="data/{dataset}/scenes.manifest.json",
        scenes=ancient("data/{dataset}/scenes"),
    output:
        captions=directory("data/{dataset}/captions/{source}"),
        manifest="data/{dataset}/captions/{source}.manifest.json",
    log:
        "logs/regions/{dataset}-{source}.log",
    benchmark:
        "logs/regions/{dataset}-{source}.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        # 1: a GPU of its own; 0: a GPU if there is one, otherwise the CPU. images: at once before a pretrained captioner.
        # Other captioners use neither.
        gpu=0,
        images=8,
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=720,
    params:
        settings=lambda w: PARAMS.regions(w.source).canonical(),
        code=CODE["regions"],
    shell:
        "job {output} --log {log} --gpus {resources.gpu} --"
        " regionzoo regions --settings {params.settings:q} --raw data/{wildcards.dataset}/raw --scenes {input.scenes}"
        " --out {output.captions} --manifest {output.manifest} --work runs/{wildcards.dataset}/captions"
        " --workers {threads} --batch-size {resources.images}"


rule fuse:
    input:
        manifest="data/{dataset}/scenes.manifest.json",
        scenes=ancient("data/{dataset}/scenes"),
        primary_manifest=fused_path("data/{dataset}/captions/{primary}.manifest.json"),
        primary=ancient(fused_path("data/{dataset}/captions/{primary}")),
        supplementary_manifest=fused_path(
            "data/{dataset}/captions/{supplementary}.manifest.json"
        ),
        supplementary=ancient(fused_path("data/{dataset}/captions/{supplementary}")),
    output:
        captions=directory("data/{dataset}/captions/{fused}"),
        manifest="data/{dataset}/captions/{fused}.manifest.json",
    log:
        "logs/fuse/{dataset}-{fused}.log",
    benchmark:
        "logs/fuse/{dataset}-{fused}.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=240,
    params:
        settings=lambda w: PARAMS.caption_sets[w.fused].canonical(),
        code=CODE["fuse"],
    shell:
        "job {output} --log {log} --"
        " regionzoo fuse --settings {params.settings:q} --scenes {input.scenes} --primary {input.primary}"
        " --supplementary {input.supplementary} --out {output.captions} --manifest {output.manifest}"
        " --workers {threads}"


rule text:
    input:
        manifest=text_path("data/{dataset}/captions/{captions}.manifest.json"),
        captions=ancient(text_path("data/{dataset}/captions/{captions}")),
    output:
        "data/{dataset}/text/{text}.safetensors",
    log:
        "logs/text/{dataset}-{text}.log",
    benchmark:
        "logs/text/{dataset}-{text}.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=120,
    params:
        settings=lambda w: PARAMS.text_table(w.text).canonical(),
        code=CODE["text"],
    shell:
        "job {output} --log {log} --"
        " regionzoo text --settings {params.settings:q} --captions {input.captions} --out {output}"


rule features:
    input:
        raw="data/{dataset}/raw.manifest.json",
        manifest="data/{dataset}/scenes.manifest.json",
        scenes=ancient("data/{dataset}/scenes"),
    output:
        features=directory("data/{dataset}/features/{features}"),
        manifest="data/{dataset}/features/{features}.manifest.json",
    log:
        "logs/features/{dataset}-{features}.log",
    benchmark:
        "logs/features/{dataset}-{features}.tsv"
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=720,
    params:
        settings=lambda w: PARAMS.features(w.features).canonical(),
        code=CODE["features"],
    shell:
        "job {output} --log {log} --"
        " regionzoo features --settings {params.settings:q} --raw data/{wildcards.dataset}/raw --scenes {input.scenes}"
        " --out {output.features} --manifest {output.manifest} --workers {threads}"
