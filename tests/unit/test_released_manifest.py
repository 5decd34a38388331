"""The table of published files."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from regionzoo.errors import UserError
from regionzoo.released.manifest import artifact, artifact_of, artifacts, parse

HEAD = "artifact,kind,rows,file,primary,mirror,page,sha256,size,licence\n"


def test_every_row_has_a_checkpoint(repository: Path) -> None:
    plain = yaml.safe_load((repository / "params.yaml").read_text())
    checkpoints = [entry for entry in artifacts().values() if entry.kind == "checkpoint"]
    rows = [row for entry in checkpoints for row in entry.rows]
    assert len(checkpoints) == 14 and sorted(rows) == sorted(plain["published"])
    assert len({entry.primary for entry in checkpoints}) == 14
    shared = {entry.name: entry.rows[1:] for entry in checkpoints if len(entry.rows) > 1}
    assert shared == {
        "scannet_zs_unet32": ("scannet200_zs_unet32",),
        "scannet_zs_openscene_unet32": ("scannet200_zs_openscene_unet32",),
    }


def test_every_row_has_captions_and_their_index() -> None:
    rows = {row for entry in artifacts().values() for row in entry.rows}
    for row in rows:
        captions, index = artifact_of(row, "captions"), artifact_of(row, "index")
        assert (
            captions.file.removesuffix(".json").split("caption_")[1] == index.file.removesuffix(".pkl").split("idx_")[1]
        )


def test_entries_are_sound() -> None:
    for entry in artifacts().values():
        assert entry.licence and entry.rows
        assert urlsplit(entry.page).scheme == "https"
        assert all(urlsplit(address).scheme == "https" for address in (entry.primary, entry.mirror) if address)
    files = [entry.file for entry in artifacts().values()]
    assert len(set(files)) == len(files)


def test_unknown_names_are_answered_with_the_known() -> None:
    assert artifact("scannet_b15n4").file == "scannet_b15n4.pth"
    with pytest.raises(UserError, match="no published file 'x'; there are: scannet_b15n4, "):
        artifact("x")
    with pytest.raises(UserError, match="row 'nuscenes_b12n3': no text are published for it"):
        artifact_of("nuscenes_b12n3", "text")


@pytest.mark.parametrize(
    "line",
    ["a,weights,r,f,,,,,,", "a,text,r,../f,,,,,,", "a,text,r,f,,,,abc,,", "a,text,r,f,,,,,,\na,text,r,g,,,,,,"],
    ids=["kind", "file", "digest", "twice"],
)
def test_unsound_lines_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match="a: "):
        parse(HEAD + line)
    assert parse(HEAD + "a,text,r s,f,http://x,,,,12,free")["a"].rows == ("r", "s")
