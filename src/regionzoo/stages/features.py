"""Stage features: frames or imported files -> the per-point features that networks are distilled from."""

from __future__ import annotations

from pathlib import Path

from regionzoo.artifacts import tree_hashes, write_manifest
from regionzoo.errors import UserError
from regionzoo.features.build import build_empty, build_fused, import_openscene
from regionzoo.features.clip_dense import DenseClipSettings
from regionzoo.features.files import FileFeatureSettings, peek_dimension
from regionzoo.features.provider import PixelFeatureSettings
from regionzoo.features.simulated import encode_settings
from regionzoo.integrity import require_content
from regionzoo.launch import threads_each
from regionzoo.progress import Meter
from regionzoo.settings.data import FeatureSettings
from regionzoo.stages._folders import require_frames_of, require_raw, split_scenes
from regionzoo.text.encoders import make_encoder


def run(settings: FeatureSettings, raw: Path, scenes: Path, out: Path, manifest: Path, workers: int) -> None:
    """Make the feature store of every training scene and write statistics into the manifest.

    Raises :class:`UserError` if a setting that the provider needs is absent, or a scene or file cannot be used.
    """
    require_content(scenes)
    source = settings.source
    names = split_scenes(scenes, "train")
    with Meter(f"features {settings.name}", len(names)) as meter:

        def progress(done: int, total: int) -> None:
            meter.update(done)

        if source.provider == "none":
            summary = build_empty(out)
        elif source.provider == "openscene":
            summary = import_openscene(scenes, _folder(settings), names, out, workers, progress)
        else:
            require_raw(raw)
            require_frames_of(raw, source.dataset, f"take OpenScene's files (feature_sources.{settings.name})")
            summary = build_fused(
                scenes_dir=scenes,
                raw_root=raw,
                scene_ids=names,
                source=_pixel_features(settings, names, workers),
                frame_interval=source.frame_interval,
                chunks=source.chunks,
                chunk_points=source.chunk_points,
                seed=settings.seed,
                out_dir=out,
                workers=workers,
                progress=progress,
            )
    write_manifest(manifest, tree_hashes(out, workers=workers), {"source": settings.name, **summary})


def _pixel_features(settings: FeatureSettings, names: list[str], workers: int) -> PixelFeatureSettings:
    source = settings.source
    if source.provider == "simulated":
        return encode_settings(make_encoder(settings.encoder), source.noise, settings.seed)
    if source.provider == "files":
        folder = _folder(settings)
        return FileFeatureSettings(str(folder), peek_dimension(folder, names))
    if source.model is None:
        raise UserError(
            f"feature_sources.{settings.name}.model is not set; give an open_clip model, such as "
            "open_clip:ViT-B-16/openai, or choose another provider"
        )
    return DenseClipSettings(source.model, threads_each(0, min(workers, len(names))))


def _folder(settings: FeatureSettings) -> Path:
    """The folder of imported files, which must be there."""
    wanted, others = "the folder of <scene>/<frame>.npy files", "openscene, open_clip, simulated"
    if settings.source.provider == "openscene":
        wanted = "OpenScene's folder scannet_multiview_lseg (files <scene>_<k>.pt)"
        others = "open_clip, files, simulated"
    key, path = f"feature_sources.{settings.name}.path", settings.source.path
    if path is None:
        raise UserError(f"{key} is not set; set it to {wanted}, or choose another provider ({others})")
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise UserError(f"{key}: no such folder {folder}; set it to {wanted}, or choose another provider ({others})")
    return folder
