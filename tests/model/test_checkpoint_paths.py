"""A checkpoint named by a path of another machine: the forms of Hugging Face's cache and of people's folders."""

from __future__ import annotations

import json

import pytest

from glmcalc import Deployment, plan
from glmcalc.advise.calibrate import calibrate
from glmcalc.advise.diagnose import diagnose
from glmcalc.facts.errors import InputError
from glmcalc.model.checkpoint import load_checkpoint, stands_for

KNOWN = "zai-org/GLM-5.2-FP8"
# huggingface_hub keeps ORG/NAME as models--ORG--NAME/snapshots/<commit>.
CACHED = "/root/.cache/huggingface/hub/models--zai-org--GLM-5.2-FP8/snapshots/0a1b2c3d"
PATHS = ["/models/GLM-5.2-FP8", "/models/glm-5.2-fp8/", "/mnt/models/zai-org/GLM-5.2-FP8", "~/none/GLM-5.2-FP8", CACHED]
LOG = (
    "(APIServer pid=1) INFO 11-20 02:00:01 [api_server.py:1839] vLLM API server version 0.33.0\n"
    "(APIServer pid=1) INFO 11-20 02:00:01 [utils.py:233] non-default args: {{'model_tag': '{0}', 'model': '{0}', "
    "'tensor_parallel_size': 8, 'max_model_len': 1048576, 'max_num_seqs': 64}}\n"
    "(Worker_TP0 pid=2) INFO 11-20 02:05:00 [gpu_model_runner.py:5100] Model loading took 93.12 GiB memory and 1 s\n"
    "(Worker_TP0 pid=2) INFO 11-20 02:06:00 [gpu_worker.py:625] Available KV cache memory: 30.1 GiB\n"
)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_is_not_here_is_the_model_it_is_named_after(path):
    assert load_checkpoint(path) == load_checkpoint(KNOWN)
    made = plan(Deployment(model=path, gpu="h200_sxm", tensor_parallel_size=8, max_model_len=131000))
    same = plan(Deployment(model=KNOWN, gpu="h200_sxm", tensor_parallel_size=8, max_model_len=131000))
    assert made.verdict == same.verdict
    assert any(path in text and KNOWN in text for text in made.to_dict()["warnings"])
    assert path in made.command


@pytest.mark.parametrize(
    "path",
    [
        "/models/mine",
        "/models/GLM-5.2-FP8-mine",
        "/hub/models--other--GLM-5.2-FP8/snapshots/0a",
        "/a/GLM-5.2-FP8/config.json",
    ],
)
def test_another_name_is_refused(path):
    assert stands_for(path) is None
    with pytest.raises(InputError) as told:
        load_checkpoint(path)
    assert told.value.field == "model"


def test_a_near_name_is_offered():
    with pytest.raises(InputError, match=KNOWN):
        load_checkpoint("/models/GLM-5.2-FP-8")


def test_a_folder_that_is_here_speaks_for_itself(tmp_path):
    folder = tmp_path / "GLM-5.2-FP8"
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"architectures": ["SomethingElse"], "model_type": "other"}), "utf-8"
    )
    assert stands_for(str(folder)) is None
    with pytest.raises(InputError):
        load_checkpoint(str(folder))


@pytest.mark.parametrize("path", PATHS)
def test_a_log_of_another_machine_is_budgeted(path):
    data = diagnose(
        LOG.format(path) + "ValueError: No available memory for the cache blocks.", None, {"gpu": "h200_sxm"}
    ).to_dict()
    assert data["budget"] is not None
    assert any(KNOWN in text for text in data["inferred"])
    assert not any("budget" in text for text in data["missing"])
    assert calibrate(LOG.format(path), None, {"gpu": "h200_sxm"}).measured.calibration.available_bytes > 0
