"""Settings as older versions wrote them."""

import pytest
import torch
from models import SMALL

from actalker.backbones import ControlUNet
from actalker.errors import InputError
from actalker.pipeline.model.model import ModelConfig

BASE = {name: value for name, value in SMALL["denoiser_args"].items() if name != "branch"}
OLD = {
    "expand": 0.5,
    "state_size": 4,
    "scan_scope": "frame",
    "condition_layout": "rows",
    "scan_form": "ssd",
    "head_size": 16,
    "conv": 4,
    "branch_identity": False,
    "branch_gated": True,
}
NEW = {
    "expand": 0.5,
    "state_size": 4,
    "scan_scope": "frame",
    "condition_layout": "rows",
    "form": "ssd",
    "head_size": 16,
    "conv": 4,
    "identity": False,
    "gated": True,
}


@pytest.mark.parametrize("masks", [0, 2])
def test_a_branchs_settings_in_their_old_places_make_the_same_network(masks):
    old = {**BASE, **OLD, "location_masks": masks}
    config = ModelConfig(denoiser_args=old)
    assert config.denoiser_args == {**BASE, "branch": NEW, "guided": masks > 0}
    assert ModelConfig.from_dict(config.as_dict()) == config
    with torch.device("meta"):
        one, other = ControlUNet.from_config(old), ControlUNet(**config.denoiser_args)
    assert dict(one.config.branch) == dict(other.config.branch) == {**NEW, "directions": "both"}
    shapes = [{name: weight.shape for name, weight in n.state_dict().items()} for n in (one, other)]
    assert shapes[0] == shapes[1]
    assert any(name.startswith("guider.") for name in shapes[0]) is (masks > 0)


def test_a_setting_that_no_branch_has_is_named():
    with pytest.raises(InputError, match="branch setting.*state"):
        ControlUNet(**BASE, branch={"states": 4})
