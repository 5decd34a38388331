"""Commands for people with scans of their own: labels for every point, and where a text is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regionzoo.cli_options import Device, DeviceOption, Engine, EngineOption, ParamsFile, Threads
from regionzoo.cli_released import LayoutOption

OWN_SCANS = "For own scans"

own_scans = typer.Typer(rich_markup_mode="rich")


Row = Annotated[
    str | None,
    typer.Option(help="Row that the weights belong to; default: what their config.json says.", show_default=False),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        help="Weights: a .pth of the original, a .safetensors of ours, or a folder with model.safetensors and "
        "config.json; default: results/<row>.",
        show_default=False,
    ),
]
Encoder = Annotated[
    str | None,
    typer.Option(
        help="Text encoder: minilm, or open_clip:<model>/<tag or file>; default: the row's.", show_default=False
    ),
]
MaxVoxels = Annotated[
    int | None,
    typer.Option(min=1000, help="Voxels of one pass of the network; larger scans go tile by tile.", show_default=False),
]
Margin = Annotated[
    float | None,
    typer.Option(
        min=0, help="Metres around a tile that lend it their context; default: 128 voxels, 2.56 m.", show_default=False
    ),
]
Layout = Annotated[
    LayoutOption | None,
    typer.Option(
        help="Axes of the convolutions in a .pth, if its shapes do not tell: okkki (spconv 2.2 and later), kkkoi "
        "(native builds of 2.x) or kkkio (1.x).",
        show_default=False,
    ),
]
Results = Annotated[Path, typer.Option(help="Folder with a folder of results a row.")]


@own_scans.command(rich_help_panel=OWN_SCANS)
def predict(
    input_: Annotated[
        Path,
        typer.Option("--input", help="A .ply, .npz, .npy, .pts, .xyz or .txt, or a folder laid out as ScanNet's."),
    ],
    output: Annotated[
        list[Path],
        typer.Option(
            help="What to write, by its ending: .npz, .ply, a folder for instances; repeatable. {scan}: name."
        ),
    ],
    row: Row = None,
    checkpoint: Checkpoint = None,
    save: Annotated[
        list[str],
        typer.Option(help="More for the .npz, with commas: logits, probabilities, binary, features, instances."),
    ] = [],  # noqa: B006
    classes: Annotated[
        str | None,
        typer.Option(
            help='Classes to tell apart, such as "sofa|couch, plant"; default: the row\'s.', show_default=False
        ),
    ] = None,
    base: Annotated[
        str, typer.Option(help="Which of --classes the training had labels of; switches calibration on.")
    ] = "",
    calibrate: Annotated[
        bool | None,
        typer.Option(
            "--calibrate/--no-calibrate",
            help="Whether the base-or-novel head has a say; default: with the row's classes, or with --base.",
            show_default=False,
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            help='Text of a class: identity, lseg, simple, or your own with {}, such as "a {} in a room"; default: the '
            "row's.",
            show_default=False,
        ),
    ] = None,
    encoder: Encoder = None,
    half: Annotated[bool, typer.Option("--half", help="Save features as float16.")] = False,
    max_voxels: MaxVoxels = None,
    margin: Margin = None,
    layout: Layout = None,
    results: Results = Path("results"),
    params: ParamsFile = Path("params.yaml"),
    device: DeviceOption = Device.auto,
    engine: EngineOption = Engine.native,
    threads: Threads = 0,
) -> None:
    """Label every point of a scan with a trained or released network.

    Coordinates are in metres with z up, colours are of 8 bits; points keep their order. Points without finite
    coordinates get the label -1.

    Examples:

    [bold]regionzoo predict --row scannet_b15n4 --input scan.ply --output labelled.ply[/bold]
    labels with results/scannet_b15n4; labelled.legend.json and .png say what the colours mean.

    [bold]regionzoo predict --row scannet_b15n4 --checkpoint b15n4.pth --input scan.ply --output out.npz
    --save logits[/bold]
    a checkpoint of the original, asked as the original asks it: labels, and logits without calibration.

    [bold]regionzoo predict --row scannet_zs_openscene_unet32 --input scan.ply --output out.ply
    --classes "sofa|couch|settee, whiteboard, plant"[/bold]
    other classes; of synonyms the best counts, and the first is the name.

    [bold]regionzoo predict --row scannet_inst_b13n4 --input scans/ --output "found/{scan}.npz" --save instances[/bold]
    instances in every scan of a folder.
    """
    from regionzoo.apply.predict import Wish
    from regionzoo.apply.predict import predict as run
    from regionzoo.apply.question import Asked, parse_classes, parse_names
    from regionzoo.apply.run import Runtime
    from regionzoo.apply.weights import load_weights

    asked = Asked(
        classes=None if classes is None else parse_classes(classes),
        base=parse_names(base),
        calibrate=calibrate,
        template=template,
        encoder=encoder,
    )
    wish = Wish(tuple(output), frozenset(name for text in save for name in parse_names(text)), half)
    weights = load_weights(row, checkpoint, params, results, layout.value if layout else None)
    runtime = Runtime(device.value, engine.value, threads, max_voxels, margin)
    run(weights, asked, input_, wish, runtime)


@own_scans.command(rich_help_panel=OWN_SCANS)
def query(
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="What to look for; one map each.")],
    scan: Annotated[Path, typer.Argument(help="A scan, or a folder laid out as ScanNet's.")],
    output: Annotated[
        list[Path],
        typer.Option(
            help="Where to write, .ply or .npz; repeatable; default: <scan>.query.ply and .npz here.",
            show_default=False,
        ),
    ] = [],  # noqa: B006
    row: Row = None,
    checkpoint: Checkpoint = None,
    top: Annotated[
        float | None,
        typer.Option(help="Colour only this share of the points, the most similar ones.", show_default=False),
    ] = None,
    template: Annotated[
        str | None, typer.Option(help='Put the texts into this, such as "a {} in a scene".', show_default=False)
    ] = None,
    encoder: Encoder = None,
    max_voxels: MaxVoxels = None,
    margin: Margin = None,
    layout: Layout = None,
    results: Results = Path("results"),
    params: ParamsFile = Path("params.yaml"),
    device: DeviceOption = Device.auto,
    engine: EngineOption = Engine.native,
    threads: Threads = 0,
) -> None:
    """Colour a scan by how similar each point is to a text.

    Without --row and --checkpoint, the row scannet_b15n4 is asked.

    Examples:

    [bold]regionzoo query "something to sit on" scan.ply[/bold]
    writes scan.query.ply (dark blue to yellow), its legend, and scan.query.npz with the cosines.

    [bold]regionzoo query "a place to sleep" "a plant" scan.ply --top 0.05 --output map.ply[/bold]
    writes map.a-place-to-sleep.ply and map.a-plant.ply, all but the best 5% of the points in grey.
    """
    from regionzoo.apply.query import Search
    from regionzoo.apply.query import query as run
    from regionzoo.apply.run import PLACE, Runtime
    from regionzoo.apply.weights import load_weights

    if row is None and checkpoint is None:
        row = "scannet_b15n4"
    weights = load_weights(row, checkpoint, params, results, layout.value if layout else None)
    outputs = tuple(output) or (Path(f"{PLACE}.query.ply"), Path(f"{PLACE}.query.npz"))
    runtime = Runtime(device.value, engine.value, threads, max_voxels, margin)
    run(weights, Search(tuple(texts), template, encoder, top), scan, outputs, runtime)
